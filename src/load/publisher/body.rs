//! What is published and to whom: the arguments' words, checked, as the request's JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

/// Who gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Every connection of the user with this name.
    User(String),
    /// Every connection of the endpoint with this path.
    Endpoint(String),
    /// Every connection.
    Everyone,
}

impl To {
    /// The argument of `--to`.
    pub fn parse(text: &str) -> Result<Self, String> {
        const ADVICE: &str = "write user:NAME, endpoint:/PATH or everyone";
        match text.split_once(':') {
            None if text == "everyone" => Ok(Self::Everyone),
            Some(("user", "")) => Err(format!("--to {text}: the name is missing; {ADVICE}")),
            Some(("user", name)) => Ok(Self::User(name.to_owned())),
            Some(("endpoint", path)) if path.starts_with('/') => {
                Ok(Self::Endpoint(path.to_owned()))
            }
            Some(("endpoint", path)) => {
                Err(format!("--to {text}: a path begins with `/`: write endpoint:/{path}"))
            }
            _ => Err(format!("--to {text}: {ADVICE}")),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::User(name) => serde_json::json!({ "user": name }),
            Self::Endpoint(path) => serde_json::json!({ "endpoint": path }),
            Self::Everyone => serde_json::json!({ "everyone": true }),
        }
    }
}

/// How the bytes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// UTF-8, a text message.
    Text,
    /// JSON, a text message.
    Json,
    /// Any bytes, a binary message.
    Binary,
}

/// The body of the request. JSON goes into it as it was written, not a digit changed. The error
/// says what is wrong with the bytes.
pub fn publication_body(
    to: &To,
    form: Form,
    bytes: &[u8],
    compress: bool,
) -> Result<String, String> {
    let payload = match form {
        Form::Text => format!("\"text\":{}", serde_json::Value::from(utf8(bytes)?)),
        Form::Json => {
            let text = utf8(bytes)?;
            serde_json::from_str::<IgnoredAny>(text).map_err(|error| {
                format!("not JSON: {error}; correct it, or send it as text without --json")
            })?;
            format!("\"data\":{}", text.trim_ascii())
        }
        // Base64 has no character that JSON escapes.
        Form::Binary => format!("\"data_base64\":\"{}\"", STANDARD.encode(bytes)),
    };
    let compress = if compress { "" } else { ",\"compress\":false" };
    Ok(format!("{{\"to\":{},{payload}{compress}}}", to.json()))
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        format!("not UTF-8 (at byte {}); --binary sends bytes as they are", error.valid_up_to())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers() {
        for (text, expected) in [
            ("user:42", Ok(To::User("42".to_owned()))),
            ("user:a:b c", Ok(To::User("a:b c".to_owned()))),
            ("endpoint:/ws", Ok(To::Endpoint("/ws".to_owned()))),
            ("everyone", Ok(To::Everyone)),
            ("user:", Err("the name is missing")),
            ("user", Err("write user:NAME, endpoint:/PATH or everyone")),
            ("endpoint:ws", Err("write endpoint:/ws")),
            ("everyone:", Err("write user:NAME")),
            ("Everyone", Err("write user:NAME")),
            ("", Err("write user:NAME")),
        ] {
            match (To::parse(text), expected) {
                (Ok(to), Ok(expected)) => assert_eq!(to, expected),
                (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
                (parsed, _) => panic!("{text}: {parsed:?}"),
            }
        }
    }

    #[test]
    fn bodies() {
        let check = |to, form, bytes: &[u8], compress, expected| {
            assert_eq!(publication_body(&to, form, bytes, compress).unwrap(), expected);
        };
        let everyone = || To::Everyone;
        let user = To::User("a\"\u{7}".to_owned());
        check(
            user,
            Form::Text,
            b"say \"hi\"\n",
            true,
            r#"{"to":{"user":"a\"\u0007"},"text":"say \"hi\"\n"}"#,
        );
        // As it was written: digits, order and doubles.
        check(
            To::Endpoint("/ws".to_owned()),
            Form::Json,
            b" {\"b\": 1.10, \"a\":12345678901234567890123, \"b\":\"\\u00e9\"}\n",
            false,
            r#"{"to":{"endpoint":"/ws"},"data":{"b": 1.10, "a":12345678901234567890123, "b":"\u00e9"},"compress":false}"#,
        );
        check(
            everyone(),
            Form::Binary,
            b"\xff\0",
            true,
            r#"{"to":{"everyone":true},"data_base64":"/wA="}"#,
        );
        check(everyone(), Form::Text, b"", true, r#"{"to":{"everyone":true},"text":""}"#);
    }

    #[test]
    fn bytes_that_are_not_what_they_should_be() {
        for (form, bytes, part) in [
            (Form::Text, &b"ab\xff"[..], "not UTF-8 (at byte 2); --binary"),
            (Form::Json, b"\"\xff\"", "not UTF-8 (at byte 1)"),
            (Form::Json, b"{\n \"a\": tru }", "line 2 column"),
            (Form::Json, b"1 2", "trailing characters at line 1 column 3"),
            // Nothing gets out of its place in the request.
            (Form::Json, b"1},\"to\":{\"everyone\":true", "trailing characters"),
            (Form::Json, b"1,\"to\":{\"everyone\":true}", "trailing characters"),
            (Form::Json, b"", "EOF while parsing a value at line 1 column 0"),
        ] {
            let message = publication_body(&To::Everyone, form, bytes, true).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
