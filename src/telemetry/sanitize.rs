//! No log line can do anything to a terminal or forge a second line, whatever a client sent.
//!
//! The formatters escape most of it (`serde_json` everything below U+0020), but not DEL and the C1
//! controls in JSON, nor line feeds in a `Display`ed field of the plain format; so the last word is
//! here, where whole lines pass.

use std::fmt::Write as _;
use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

/// A writer that takes one log line per `write`, ended by a line feed, and passes it on with every
/// other control character, line separator and direction override as `\uXXXX`, which inside of a
/// JSON string means the same.
#[derive(Debug, Clone)]
pub(crate) struct Sanitizing<W>(pub(crate) W);

impl<W: Write> Write for Sanitizing<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match escaped(line) {
            None => self.0.write_all(line)?,
            Some(escaped) => self.0.write_all(escaped.as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'w, W> MakeWriter<'w> for Sanitizing<W>
where
    W: MakeWriter<'w>,
    W::Writer: Write,
{
    type Writer = Sanitizing<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Sanitizing(self.0.make_writer())
    }
}

/// The line with its dangerous characters escaped; `None` if it has none.
fn escaped(line: &[u8]) -> Option<String> {
    let (text, end) = match line.strip_suffix(b"\n") {
        Some(text) => (text, "\n"),
        None => (line, ""),
    };
    // C2 leads the C1 controls, E2 the separators and direction overrides. Both lead harmless
    // characters too; only the slow path tells.
    let suspicious = |byte: &u8| matches!(byte, 0..=0x1f | 0x7f | 0xc2 | 0xe2);
    if !text.iter().any(suspicious) {
        return None;
    }
    let text = String::from_utf8_lossy(text);
    if !text.chars().any(is_dangerous) {
        return None;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_dangerous(char) {
            // All dangerous characters are in the basic plane: four digits suffice.
            let digits = u32::from(char);
            write!(escaped, "\\u{digits:04x}").expect("writing to a String does not fail");
        } else {
            escaped.push(char);
        }
    }
    escaped.push_str(end);
    Some(escaped)
}

fn is_dangerous(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let mut out = Vec::new();
        Sanitizing(&mut out).write_all(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn harmless_lines_pass_unchanged() {
        check("plain\n", "plain\n");
        check("no line feed", "no line feed");
        check("Grüße, £5, “quotes”, 日本 🎉\n", "Grüße, £5, “quotes”, 日本 🎉\n");
        check("", "");
    }

    #[test]
    fn what_moves_a_terminal_is_escaped() {
        check("a\x1b[2Jb\n", "a\\u001b[2Jb\n");
        check("a\nb\r\n", "a\\u000ab\\u000d\n");
        check("\u{7f}\u{9b}31m\n", "\\u007f\\u009b31m\n");
        check("\u{202e}gpj\u{2028}\n", "\\u202egpj\\u2028\n");
        check("two\n\n", "two\\u000a\n");
    }
}
