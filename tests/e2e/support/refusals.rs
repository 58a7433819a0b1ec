//! A gateway whose refusals are counted along, and upgrade requests with one thing wrong.

use std::collections::HashMap;

use serde_json::Value;

use super::{Answer, Gateway, Opening, Raw, Settings, wait_for};

/// The endpoint that most tests ask for.
pub const ECHO: &str = "/ws-notifications";
/// The label of requests to no endpoint.
pub const UNKNOWN: &str = "unknown";

// Lines of a good request, to be replaced.
pub const HOST: &str = "Host: gateway.example:8080\r\n";
pub const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
pub const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
pub const CONNECTION: &str = "Connection: Upgrade\r\n";
pub const UPGRADE: &str = "Upgrade: websocket\r\n";

const ENDPOINTS: &str = r#"
[server]
handshake_timeout = "300ms"

[[endpoint]]
path = "/ws-notifications"
inbound = "echo"

[[endpoint]]
path = "/im"
require_user = true

[[endpoint]]
path = "/packed"
require_compression = true

[[endpoint]]
path = "/listed"
allowed_origins = ["https://app.example", "http://localhost:3000"]

[[endpoint]]
path = "/any"
allowed_origins = ["*"]
"#;

/// A gateway, and how many refusals it should have counted by now.
pub struct Counted {
    pub gateway: Gateway,
    expected: HashMap<(String, String), f64>,
}

impl Counted {
    pub fn start() -> Self {
        Self::of(Settings::new().file(ENDPOINTS).start())
    }

    pub fn of(gateway: Gateway) -> Self {
        Self { gateway, expected: HashMap::new() }
    }

    fn total(&self) -> usize {
        self.expected.values().sum::<f64>() as usize
    }

    /// One refusal more has been counted under these labels, and logged; nothing else. Its line.
    #[track_caller]
    pub fn expect(&mut self, endpoint: &str, outcome: &str) -> Value {
        let key = (endpoint.to_owned(), outcome.to_owned());
        *self.expected.entry(key).or_default() += 1.0;
        let total = self.total();
        let lines = wait_for(&format!("line {total}, of {outcome}"), || {
            Some(self.gateway.log("handshake refused")).filter(|lines| lines.len() >= total)
        });
        let metrics = self.gateway.metrics();
        for ((endpoint, outcome), count) in &self.expected {
            let labels = [("endpoint", &**endpoint), ("outcome", &**outcome)];
            let all = metrics.nonzero("handshakes_total");
            assert_eq!(metrics.sum("handshakes_total", &labels), *count, "{labels:?} in {all:?}");
        }
        let all = metrics.nonzero("handshakes_total");
        assert_eq!(metrics.sum("handshakes_total", &[]), total as f64, "{outcome}: {all:?}");
        assert_eq!(metrics.sum("handshake_duration_seconds_count", &[]), total as f64);
        assert_eq!(metrics.sum("connections_opened_total", &[]), 0.0);
        assert_eq!(lines.len(), total, "one refusal, one line: {lines:?}");
        let line = lines.last().unwrap();
        assert_eq!((&line["endpoint"], &line["outcome"]), (&endpoint.into(), &outcome.into()));
        assert!(line["remote"].is_string() && line["duration_seconds"].is_number(), "{line}");
        line.clone()
    }

    /// Sends a request and checks the whole of the refusal.
    #[track_caller]
    pub fn check(
        &mut self,
        request: &[u8],
        endpoint: &str,
        status: u16,
        outcome: &str,
        field: &str,
    ) -> Answer {
        let mut client = Raw::connect(self.gateway.public);
        client.send(request);
        let answer = client.read_answer();
        let line = self.expect(endpoint, outcome);
        let shown = format!("{} -> {answer:?}", request.escape_ascii());
        check_answer(&answer, status, outcome, field);
        assert_eq!(line["status"], status, "{shown}");
        assert_eq!(line["why"], answer.error()["message"], "{shown}");
        answer
    }
}

/// What every refusal's answer must be. An empty `field`: none is named.
#[track_caller]
pub fn check_answer(answer: &Answer, status: u16, outcome: &str, field: &str) {
    let error = answer.error();
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(error["code"], outcome, "{answer:?}");
    assert_eq!(error["field"].as_str().unwrap_or(""), field, "{answer:?}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    let expected = |given: bool, value| given.then_some(value);
    assert_eq!(answer.header("sec-websocket-version"), expected(status == 426, "13"), "{answer:?}");
    assert_eq!(answer.header("allow"), expected(status == 405, "GET"), "{answer:?}");
    assert_eq!(answer.header("retry-after").is_some(), matches!(status, 429 | 503), "{answer:?}");
    assert_eq!(answer.header("sec-websocket-accept"), None, "{answer:?}");
}

pub fn good(path: &str) -> String {
    let request = Opening::new(path).bytes(([127, 0, 0, 1], 1).into());
    String::from_utf8(request).unwrap().replace("127.0.0.1:1", "gateway.example:8080")
}

/// A good request with one thing changed.
#[track_caller]
pub fn altered(path: &str, from: &str, to: &str) -> String {
    let request = good(path);
    assert!(request.contains(from), "{from} is not in {request}");
    request.replace(from, to)
}

pub fn with(path: &str, headers: &str) -> String {
    altered(path, "Upgrade: websocket\r\n", &format!("{headers}\r\nUpgrade: websocket\r\n"))
}
