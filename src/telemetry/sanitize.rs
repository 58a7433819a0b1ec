//! No log line can do anything to a terminal or forge a second line, whatever a client sent.
//!
//! JSON is escaped where its strings are written; the formatter of plain lines escapes most of it,
//! but no line feeds in a `Display`ed field, so there the last word is here, where whole lines pass.

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
            Some(escaped) => self.0.write_all(&escaped)?,
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
fn escaped(line: &[u8]) -> Option<Vec<u8>> {
    let (text, end) = match line.strip_suffix(b"\n") {
        Some(text) => (text, "\n"),
        None => (line, ""),
    };
    if !text.iter().copied().any(may_be_dangerous) {
        return None;
    }
    let text = String::from_utf8_lossy(text);
    if !text.chars().any(is_dangerous) {
        return None;
    }
    let mut escaped = Vec::with_capacity(text.len() + 16);
    text.chars().for_each(|char| append_escaped(&mut escaped, char));
    escaped.extend_from_slice(end.as_bytes());
    Some(escaped)
}

/// Whether a dangerous character may begin with this byte. C2 leads the C1 controls, E2 the
/// separators and direction overrides; both lead harmless characters, too.
pub(super) const fn may_be_dangerous(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | 0x7f | 0xc2 | 0xe2)
}

/// Appends a character, one that is dangerous as `\uXXXX`.
pub(super) fn append_escaped(out: &mut Vec<u8>, char: char) {
    if is_dangerous(char) {
        // All dangerous characters are in the basic plane: four digits suffice.
        let digits = u32::from(char);
        write!(out, "\\u{digits:04x}").expect("writing to a Vec does not fail");
    } else {
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
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
