//! What is wrong with a configuration, where, and what to write instead.

use std::fmt;
use std::sync::Arc;

/// So many mistakes are printed; the rest is only counted, so that a wrong file (a log, a binary)
/// does not flood the terminal.
const PRINTED_MAX: usize = 100;

/// So many characters of a wrong value are repeated in a message.
const QUOTED_CHARS_MAX: usize = 60;

/// Where a setting was written. The order is that of precedence: a later place overrides an earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nowhere: the built-in default.
    Default,
    /// In the configuration file.
    File {
        /// As the user named it.
        path: Arc<str>,
        /// Counted from 1; `None` when the mistake concerns the file as a whole.
        line: Option<usize>,
        /// In characters, counted from 1; given for TOML syntax only.
        column: Option<usize>,
    },
    /// In the environment variable of this name.
    Environment(String),
    /// On the command line: `--listen`, `--set server.listen`.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("defaults"),
            Self::File { path, line, column } => {
                f.write_str(path)?;
                for number in [line, column].into_iter().flatten() {
                    write!(f, ":{number}")?;
                }
                Ok(())
            }
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One thing that is wrong. Shown as `FILE:LINE: section.key: what is wrong; what to write`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it was written.
    pub place: Place,
    /// `section.key`; empty when the mistake is not about one setting.
    pub setting: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub advice: String,
}

impl fmt::Display for Mistake {
    /// Control characters of the input are escaped: a hostile file cannot drive the terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = format!("{}: ", self.place);
        // Variables and flags already name the setting.
        let named_by_place = matches!(self.place, Place::Environment(_) | Place::Flag(_));
        if !self.setting.is_empty() && !named_by_place {
            line.push_str(&self.setting);
            line.push_str(": ");
        }
        line.push_str(&self.what);
        if !self.advice.is_empty() {
            line.push_str("; ");
            line.push_str(&self.advice);
        }
        f.write_str(&printable(&line))
    }
}

/// Every mistake of a configuration, at least one, in the order of the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Puts the mistakes into the order in which a reader meets them; `None` when there are none.
    pub(crate) fn collect(mut mistakes: Vec<Mistake>) -> Option<Self> {
        mistakes.sort();
        mistakes.dedup();
        (!mistakes.is_empty()).then_some(Self(mistakes))
    }

    /// All of them.
    pub fn all(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    /// One line each, without a newline at the end; the first 100.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().take(PRINTED_MAX).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        match self.0.len().checked_sub(PRINTED_MAX) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n… and {more} more"),
        }
    }
}

impl std::error::Error for Mistakes {}

/// A mistake inside one value, before it is known where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Byte offset in the file, when it differs from the value's own (an element of a list).
    pub at: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub advice: String,
}

impl Problem {
    pub fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { at: None, what: what.into(), advice: advice.into() }
    }
}

/// Escapes what a terminal would obey or hide: control characters, line separators, direction marks.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // `escape_debug` also escapes quotes and backslashes, which are harmless here.
        if matches!(c, '"' | '\'' | '\\') {
            shown.push(c);
        } else {
            shown.extend(c.escape_debug());
        }
    }
    shown
}

/// A value of the input inside a message: quoted, shortened.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        None => format!("\"{text}\""),
        Some((end, _)) => format!("\"{}…\"", &text[..end]),
    }
}

/// A name of the input inside a message. A colon is part of no name but of every key of the API:
/// what has one may be such a key in the wrong place, and is not repeated.
pub(super) fn quote_name(text: &str) -> String {
    quote(if text.contains(':') { "…" } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let mistake = Mistake {
            place: Place::Environment("GAUGEWAY_A\u{1b}[2J".into()),
            setting: String::new(),
            what: format!("{} is wrong", quote("\u{7}\u{202e}evil\r\n\u{9b}31m")),
            advice: "write ünïcode".into(),
        };
        let shown = mistake.to_string();
        assert!(shown.chars().all(|c| !c.is_control()), "{shown}");
        assert!(!shown.contains('\u{202e}'), "{shown}");
        assert!(shown.ends_with("; write ünïcode"), "{shown}");
    }

    #[test]
    fn long_values_are_shortened_at_a_character() {
        let quoted = quote(&"é".repeat(1_000_000));
        assert_eq!(quoted.chars().count(), QUOTED_CHARS_MAX + 3);
    }

    #[test]
    fn a_flood_is_counted_instead_of_printed() {
        let mistakes = (1..=250)
            .map(|line| Mistake {
                place: Place::File { path: "f".into(), line: Some(line), column: None },
                setting: String::new(),
                what: "wrong".into(),
                advice: String::new(),
            })
            .collect();
        let shown = Mistakes::collect(mistakes).unwrap().to_string();
        assert_eq!(shown.lines().count(), PRINTED_MAX + 1);
        assert!(shown.ends_with("… and 150 more"));
    }
}
