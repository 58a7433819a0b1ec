//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1).

use std::borrow::Cow;

/// One extension of a list, with its parameters in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension<'h> {
    pub(super) name: &'h str,
    pub(super) parameters: Vec<(&'h str, Option<Cow<'h, str>>)>,
}

/// Most parameters of one extension that are looked at; more make it malformed. permessage-deflate
/// has four.
const PARAMETERS_MAX: usize = 16;

/// The extensions of one header value in order; `None` stands for one that is malformed. Empty
/// list elements are skipped (RFC 9110 §5.6.1).
pub(super) fn extensions(header: &[u8]) -> impl Iterator<Item = Option<Extension<'_>>> {
    split_outside_quotes(header, b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(extension)
}

fn extension(element: &[u8]) -> Option<Extension<'_>> {
    let mut parts = split_outside_quotes(element, b';').map(<[u8]>::trim_ascii);
    let name = token(parts.next()?)?;
    let mut parameters = Vec::new();
    for part in parts {
        if parameters.len() == PARAMETERS_MAX {
            return None;
        }
        parameters.push(parameter(part)?);
    }
    Some(Extension { name, parameters })
}

fn parameter(part: &[u8]) -> Option<(&str, Option<Cow<'_, str>>)> {
    let Some(equals) = part.iter().position(|&byte| byte == b'=') else {
        return Some((token(part)?, None));
    };
    let (name, value) = (part[..equals].trim_ascii(), part[equals + 1..].trim_ascii());
    Some((token(name)?, Some(self::value(value)?)))
}

/// A token, or a quoted string that is one when its quoting is taken off.
fn value(value: &[u8]) -> Option<Cow<'_, str>> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return token(value).map(Cow::Borrowed);
    };
    let quoted = quoted.strip_suffix(b"\"")?;
    let mut plain = String::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        let byte = if byte == b'\\' { *bytes.next()? } else { byte };
        if !is_token_byte(byte) {
            return None;
        }
        plain.push(char::from(byte));
    }
    (!plain.is_empty()).then_some(Cow::Owned(plain))
}

fn token(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || !bytes.iter().copied().all(is_token_byte) {
        return None;
    }
    str::from_utf8(bytes).ok()
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Splits at `separator`, but not inside quoted strings. An open quote reaches to the end.
fn split_outside_quotes(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    bytes.split(move |&byte| {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        }
        !quoted && byte == separator
    })
}

#[cfg(test)]
mod tests {
    use super::extensions;

    #[test]
    fn grammar() {
        let check = |header: &str, expected: &[Option<&str>]| {
            let shown: Vec<Option<String>> = extensions(header.as_bytes())
                .map(|it| it.map(|it| format!("{} {:?}", it.name, it.parameters)))
                .collect();
            let expected: Vec<_> = expected.iter().map(|it| it.map(str::to_owned)).collect();
            assert_eq!(shown, expected, "{header}");
        };
        check("", &[]);
        check(" , ,", &[]);
        check("a", &[Some("a []")]);
        check("a;b", &[Some(r#"a [("b", None)]"#)]);
        check("a , b", &[Some("a []"), Some("b []")]);
        check("a ; b = 1", &[Some(r#"a [("b", Some("1"))]"#)]);
        check(r#"a;b="1,\2;",c"#, &[None, Some("c []")]);
        check(r#"a;b="1\2",c"#, &[Some(r#"a [("b", Some("12"))]"#), Some("c []")]);
        check(r#"a;b="1\",c"#, &[None]);
        check(r#"a;b="1"2,c"#, &[None, Some("c []")]);
        check(r#"a;b="",c"#, &[None, Some("c []")]);
        check("a;;b,c", &[None, Some("c []")]);
        check("a;=1,c", &[None, Some("c []")]);
        check("a;b=,c", &[None, Some("c []")]);
        check("a b,c", &[None, Some("c []")]);
        check("é,c", &[None, Some("c []")]);
        check(&format!("a{},c", ";b".repeat(17)), &[None, Some("c []")]);
    }
}
