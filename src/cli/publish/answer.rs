//! The gateway's answer to a publication, in words.

use std::fmt::Write as _;

use http::StatusCode;
use serde::Deserialize;

use crate::cli::http::Answer;

/// So many characters of somebody else's answer are shown.
const SHOWN_CHARS_MAX: usize = 200;

/// `{"seq":42,"receivers":3}`.
#[derive(Deserialize)]
struct Published {
    seq: u64,
    /// Connections of this gateway that it went to; absent where several gateways share a bus.
    receivers: Option<u64>,
}

/// `{"error":{…}}`.
#[derive(Deserialize)]
struct Envelope {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
    field: Option<String>,
    hint: Option<String>,
}

/// What to print: a line of words, or the answer's own JSON. The error says why nothing is known
/// to be published.
pub(super) fn read(answer: &Answer, as_json: bool, url: &str) -> Result<String, String> {
    let Answer { status, body, whole } = answer;
    if !status.is_success() {
        return Err(refusal(answer, url));
    }
    let Ok(Published { seq, receivers }) = serde_json::from_slice(body) else {
        let what = if *whole { "not the answer of a gateway" } else { "too long or cut off" };
        return Err(format!(
            "{url} answered {status}, but what it said is {what}: {}\nIs --url the admin listener \
             of a gateway?",
            shown(body)
        ));
    };
    if as_json {
        return Ok(format!("{}\n", String::from_utf8_lossy(body).trim()));
    }
    Ok(match receivers {
        None => format!("seq {seq}\n"),
        Some(1) => format!("seq {seq}, 1 receiver\n"),
        Some(count) => format!("seq {seq}, {count} receivers\n"),
    })
}

fn refusal(answer: &Answer, url: &str) -> String {
    let Answer { status, body, whole: _ } = answer;
    let mut said = match serde_json::from_slice(body) {
        Ok(Envelope { error: Refusal { code, message, field, hint } }) => {
            let mut said = format!("not published: {status}: {code}: {message}");
            for (name, value) in [("field", field), ("hint", hint)] {
                if let Some(value) = value {
                    // Writing to a string cannot fail.
                    let _ = write!(said, "\n{name}: {value}");
                }
            }
            // A gateway that has no such path: its public listener.
            if code == "not_found" {
                said += "\nIs --url the admin listener? Clients have another one";
            }
            said
        }
        Err(_) => format!(
            "not published: {url} answered {status}, but not as a gateway does: {}\nIs --url the \
             admin listener of a gateway?",
            shown(body)
        ),
    };
    if *status == StatusCode::UNAUTHORIZED {
        said += "\nThe key of the API is given by the variable GAUGEWAY_API_KEY or by --key-file";
    }
    said
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        _ if text.is_empty() => "nothing".to_owned(),
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Ok`: what is printed; `Err`: what is said, by its parts.
    #[track_caller]
    fn check(status: u16, body: &str, whole: bool, expected: Result<&str, &[&str]>) {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, body: body.into(), whole };
        match (read(&answer, false, "http://a:1/p"), expected) {
            (Ok(line), Ok(expected)) => assert_eq!(line, expected),
            (Err(said), Err(parts)) => {
                assert!(parts.iter().all(|part| said.contains(part)), "{said}");
            }
            (read, _) => panic!("{body}: {read:?}"),
        }
    }

    #[test]
    fn answers() {
        check(200, r#"{"seq":42,"receivers":3}"#, true, Ok("seq 42, 3 receivers\n"));
        check(200, r#"{"seq":42,"receivers":1,"new":{}}"#, true, Ok("seq 42, 1 receiver\n"));
        check(202, r#"{"seq":7,"receivers":0}"#, true, Ok("seq 7, 0 receivers\n"));
        check(200, r#"{"seq":18446744073709551615}"#, true, Ok("seq 18446744073709551615\n"));
        let error = r#"{"error":{"code":"unknown_endpoint","message":"no /x","field":"to.endpoint","hint":"there is /ws"}}"#;
        check(
            404,
            error,
            true,
            Err(&[
                "not published: 404 Not Found: unknown_endpoint: no /x",
                "\nfield: to.endpoint",
                "\nhint: there is /ws",
            ]),
        );
        let not_found = r#"{"error":{"code":"not_found","message":"there is nothing"}}"#;
        check(404, not_found, true, Err(&["there is nothing", "\nIs --url the admin listener?"]));
        let unauthorized = r#"{"error":{"code":"unauthorized","message":"a key is needed"}}"#;
        check(401, unauthorized, true, Err(&["a key is needed", "GAUGEWAY_API_KEY"]));
        check(401, "", true, Err(&["401", ": nothing\n", "--key-file"]));
    }

    #[test]
    fn what_is_no_gateways_answer_is_said_to_be_none() {
        let page = "<!doctype html><title>Welcome to nginx!</title>";
        let other = "Is --url the admin listener";
        check(200, page, true, Err(&["http://a:1/p answered 200 OK", page, other]));
        check(502, page, true, Err(&["not published", "502 Bad Gateway", page, other]));
        check(302, "", true, Err(&["302 Found", other]));
        check(200, r#"{"receivers":3}"#, true, Err(&["not the answer", other]));
        check(200, r#"{"seq":-1}"#, true, Err(&["not the answer"]));
        check(200, r#"{"seq":42,"rec"#, false, Err(&["too long or cut off"]));
        check(500, &"é".repeat(100_000), false, Err(&[&format!(": {}…\n", "é".repeat(200))]));
    }
}
