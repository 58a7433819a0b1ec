//! The answer to a request that does not become a WebSocket.

use http::{HeaderValue, Response, StatusCode, header};

use super::ErrorAnswer;
use crate::telemetry::labels::Outcome;

/// Seconds after which a client that met the overall limit may come back.
const RETRY_AFTER_FULL_SECONDS: u32 = 5;
/// Seconds after which a client whose address met its limit may come back.
const RETRY_AFTER_FULL_ADDRESS_SECONDS: u32 = 10;
/// While this gateway ends, another one, or its successor, answers soon.
const RETRY_AFTER_SHUTDOWN_SECONDS: u32 = 1;
/// Of a client's own text, at most so many characters are shown.
const EXCERPT_CHARS_MAX: usize = 64;

/// Why a request was refused, in the words of metrics (`outcome`), of HTTP (`status`) and of the
/// developer who reads the answer (`message`, `field`, `hint`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The label under which it is counted, and the `code` of the JSON body.
    pub outcome: Outcome,
    /// The status of the response.
    pub status: StatusCode,
    /// What is wrong, as a sentence. A client's own text in it is cut and escaped.
    pub message: String,
    /// The header or query parameter that is at fault.
    pub field: Option<&'static str>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Seconds, for the header `Retry-After` (RFC 9110 §10.2.3).
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// A refusal with the status that belongs to the outcome.
    pub fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            status: status_of(outcome),
            message: message.into(),
            field: None,
            hint: None,
            retry_after: None,
        }
    }

    /// The refusal of a whole gateway or a whole address: what [`Admission`](super::Admission)
    /// and the listener say, where no header is at fault.
    pub fn of(outcome: Outcome) -> Self {
        let (message, retry_after) = match outcome {
            Outcome::TooManyConnections => (
                "the gateway has as many connections as it may have",
                Some(RETRY_AFTER_FULL_SECONDS),
            ),
            Outcome::TooManyConnectionsPerIp => (
                "this address has as many connections as it may have",
                Some(RETRY_AFTER_FULL_ADDRESS_SECONDS),
            ),
            Outcome::ShuttingDown => {
                ("the gateway is shutting down", Some(RETRY_AFTER_SHUTDOWN_SECONDS))
            }
            Outcome::NotFound => ("there is no WebSocket endpoint at this path", None),
            Outcome::HeaderTimeout => ("the request head did not arrive in time", None),
            Outcome::HeaderTooLarge => ("the request head is too large", None),
            Outcome::UnreadableRequest => ("this is not an HTTP request", None),
            Outcome::InternalError => ("the gateway failed; this is its own fault", None),
            Outcome::Accepted
            | Outcome::BadMethod
            | Outcome::BadConnection
            | Outcome::BadUpgrade
            | Outcome::BadVersion
            | Outcome::BadKey
            | Outcome::BadHost
            | Outcome::BadHttpVersion
            | Outcome::BadRequest
            | Outcome::OriginRefused
            | Outcome::UserRequired
            | Outcome::BadUser
            | Outcome::CompressionRequired
            | Outcome::Aborted => ("the upgrade request was refused", None),
        };
        Self { retry_after, ..Self::new(outcome, message) }
    }

    /// Names the header or query parameter at fault.
    #[must_use]
    pub fn field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The HTTP response: JSON `{"error":{"code","message","field"?,"hint"?}}`, and the headers
    /// that the status asks for.
    pub fn response(&self) -> Response<String> {
        let code = self.outcome.as_str();
        let body = ErrorAnswer::new(code, &self.message, self.field, self.hint.as_deref());
        let body = serde_json::to_string(&body).expect("strings in a struct always serialise");
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        // A refusal depends on this very request; no cache may answer the next one with it.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110 §15.5.22 wants `Upgrade` in a 426, §7.8 wants it named in `Connection`;
            // RFC 6455 §4.4 wants the versions that the server speaks.
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            let version = HeaderValue::from_static("13");
            headers.insert(header::SEC_WEBSOCKET_VERSION, version);
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The status of an outcome's response. `Accepted` is no refusal; `Aborted` has no reader.
fn status_of(outcome: Outcome) -> StatusCode {
    match outcome {
        Outcome::Accepted => StatusCode::SWITCHING_PROTOCOLS,
        Outcome::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
        Outcome::BadVersion => StatusCode::UPGRADE_REQUIRED,
        Outcome::BadConnection
        | Outcome::BadUpgrade
        | Outcome::BadKey
        | Outcome::BadHost
        | Outcome::BadHttpVersion
        | Outcome::BadRequest
        | Outcome::UserRequired
        | Outcome::BadUser
        | Outcome::CompressionRequired
        | Outcome::UnreadableRequest
        | Outcome::Aborted => StatusCode::BAD_REQUEST,
        Outcome::OriginRefused => StatusCode::FORBIDDEN,
        Outcome::NotFound => StatusCode::NOT_FOUND,
        Outcome::HeaderTimeout => StatusCode::REQUEST_TIMEOUT,
        Outcome::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Outcome::TooManyConnectionsPerIp => StatusCode::TOO_MANY_REQUESTS,
        Outcome::TooManyConnections | Outcome::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Outcome::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A client's own bytes in quotes, fit for a message: cut, and escaped unless visible ASCII, so
/// that neither a terminal nor a reader is fooled by what it shows.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(EXCERPT_CHARS_MAX)];
    let ellipsis = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{ellipsis}\"", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_answers_with_valid_json_and_its_own_code() {
        for &outcome in Outcome::ALL {
            let response = Refusal::of(outcome).response();
            let body: serde_json::Value = serde_json::from_str(response.body()).unwrap();
            assert_eq!(body["error"]["code"], outcome.as_str());
            assert!(body["error"]["message"].is_string());
            assert_eq!(response.headers()["content-type"], "application/json");
        }
    }

    #[test]
    fn a_status_brings_its_headers() {
        let header = |outcome, name: &str| {
            let response = Refusal::of(outcome).response();
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        for (outcome, name, value) in [
            (Outcome::BadMethod, "allow", "GET"),
            (Outcome::BadVersion, "sec-websocket-version", "13"),
            (Outcome::BadVersion, "upgrade", "websocket"),
            (Outcome::TooManyConnections, "retry-after", "5"),
            (Outcome::TooManyConnectionsPerIp, "retry-after", "10"),
            (Outcome::ShuttingDown, "retry-after", "1"),
        ] {
            assert_eq!(header(outcome, name).as_deref(), Some(value), "{outcome:?}");
        }
        for name in ["allow", "sec-websocket-version", "upgrade", "retry-after"] {
            assert_eq!(header(Outcome::BadKey, name), None);
        }
    }

    #[test]
    fn a_clients_text_is_cut_and_escaped() {
        assert_eq!(excerpt(b"h2c"), "\"h2c\"");
        assert_eq!(excerpt(b"\x1b[2J\"\xff"), "\"\\x1b[2J\\\"\\xff\"");
        let long = excerpt(&[b'a'; 10_000]);
        assert_eq!(long, format!("\"{}…\"", "a".repeat(64)));
    }
}
