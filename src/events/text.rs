//! What a client chose, cut to a length that a log line can bear.

use std::borrow::Cow;

/// A name or a Close reason (RFC 6455 §5.5 allows 123 bytes), in characters.
pub(crate) const NAME_CHARS_MAX: usize = 128;
/// A `User-Agent`, an `Origin`, an explanation.
pub(crate) const PROSE_CHARS_MAX: usize = 256;

/// The text, or its first `chars_max` characters and `…`. Escaping is the log writer's work.
pub(crate) fn bounded(text: &str, chars_max: usize) -> Cow<'_, str> {
    // A character takes a byte or more.
    if text.len() <= chars_max {
        return Cow::Borrowed(text);
    }
    match text.char_indices().nth(chars_max) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn only_what_is_too_long_is_cut() {
        assert_eq!(bounded("", 3), "");
        assert_eq!(bounded("abc", 3), "abc");
        assert_eq!(bounded("abcd", 3), "abc…");
        assert_eq!(bounded("äöüß", 3), "äöü…");
    }
}
