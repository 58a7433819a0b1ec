//! Events as lines of JSON: flat, in the order in which they name their fields.
//!
//! `tracing-subscriber`'s own formatter does the same through three layers of `fmt` and checks each
//! piece for UTF-8 again: 33,000 instructions for a wide line, half of what a connection cost from
//! its handshake to its end. This one takes a sixth.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::time::SystemTime;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::super::moment::to_the_second;
use super::super::sanitize::{append_escaped, may_be_dangerous};
use super::queue::Queue;

/// Puts each event into the queue as one line.
pub(super) struct JsonLines(pub(super) Queue);

thread_local! {
    static LINE: RefCell<Line> = RefCell::default();
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => self.0.push(line.write(event)),
            // An event out of the formatting of an event.
            Err(_) => self.0.push(Line::default().write(event)),
        });
    }
}

/// A line that is being made, and what the next one can use again.
#[derive(Default)]
struct Line {
    text: Vec<u8>,
    /// A `Display`ed value, before it is escaped.
    value: String,
    clock: Clock,
}

impl Line {
    fn write(&mut self, event: &Event<'_>) -> &[u8] {
        let metadata = event.metadata();
        self.text.clear();
        self.text.extend_from_slice(br#"{"timestamp":""#);
        let now = SystemTime::now();
        self.clock.write(now, &mut self.text);
        self.text.extend_from_slice(br#"","level":""#);
        self.text.extend_from_slice(metadata.level().as_str().as_bytes());
        self.text.push(b'"');
        event.record(self);
        self.key("target");
        self.text(metadata.target());
        self.text.extend_from_slice(b"}\n");
        &self.text
    }

    /// Names are the program's own: nothing in them needs escaping.
    fn key(&mut self, name: &str) {
        self.text.extend_from_slice(b",\"");
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
    }

    fn text(&mut self, text: &str) {
        write_text(&mut self.text, text);
    }

    fn number(&mut self, field: &Field, number: impl Serialize) {
        self.key(field.name());
        // Into a Vec, and a number: neither can fail.
        let _ = serde_json::to_writer(&mut self.text, &number);
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.number(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field.name());
        self.text(value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.key(field.name());
        let mut shown = std::mem::take(&mut self.value);
        shown.clear();
        // What fails to show itself shows what it could.
        let _ = write!(shown, "{value:?}");
        self.text(&shown);
        self.value = shown;
    }
}

/// Times as RFC 3339 in UTC with microseconds. Only the first of a second is worked out.
#[derive(Default)]
struct Clock {
    /// `2026-01-01T00:00:00`
    second: String,
    /// Since 1970.
    of: Option<u64>,
}

impl Clock {
    fn write(&mut self, now: SystemTime, out: &mut Vec<u8>) {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs();
        if self.of != Some(second) {
            self.second = to_the_second(second);
            self.of = Some(second);
        }
        out.extend_from_slice(self.second.as_bytes());
        out.push(b'.');
        let mut micros = since.subsec_micros();
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit += (micros % 10) as u8;
            micros /= 10;
        }
        out.extend_from_slice(&digits);
        out.push(b'Z');
    }
}

/// Bytes that JSON, or a terminal, does not take as they are, or that may lead one.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < special.len() {
        special[byte] = byte < 0x20 || may_be_dangerous(byte as u8);
        byte += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special
};

/// Appends a string in quotes. Everything that [`super::super::sanitize`] holds back is escaped.
fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().any(|byte| SPECIAL[usize::from(byte)]) {
        for char in text.chars() {
            match char {
                '"' => out.extend_from_slice(br#"\""#),
                '\\' => out.extend_from_slice(br"\\"),
                '\n' => out.extend_from_slice(br"\n"),
                '\r' => out.extend_from_slice(br"\r"),
                '\t' => out.extend_from_slice(br"\t"),
                char => append_escaped(out, char),
            }
        }
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn text_comes_back_as_it_was_and_moves_no_terminal() {
        for text in [
            "",
            "plain",
            "Grüße, £5, “quotes”, 日本 🎉",
            "quote \" backslash \\ line\nreturn\rtab\tnul\0",
            "\x1b[2J\u{7f}\u{9b}31m\u{202e}\u{2028}\u{2066}",
        ] {
            let mut out = Vec::new();
            write_text(&mut out, text);
            let json = String::from_utf8(out).unwrap();
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert!(!json.chars().any(char::is_control), "{json:?}");
            assert!(!json.contains(['\u{202e}', '\u{2028}', '\u{2066}']), "{json:?}");
        }
    }

    #[test]
    fn the_clock_shows_each_moment_of_a_second_and_the_next() {
        let mut clock = Clock::default();
        let mut check = |seconds, nanos, expected: &str| {
            let mut out = Vec::new();
            clock.write(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(0, 0, "1970-01-01T00:00:00.000000Z");
        check(1_798_761_599, 999_999_999, "2026-12-31T23:59:59.999999Z");
        check(1_798_761_599, 1_234, "2026-12-31T23:59:59.000001Z");
        check(1_798_761_600, 50_000_000, "2027-01-01T00:00:00.050000Z");
    }
}
