//! Whole requests through [`examine`]: each rule a row.

mod fixtures;

use http::{Method, StatusCode, Version};

use super::*;
use crate::telemetry::EndpointIndex;
use crate::telemetry::labels::Outcome;
pub use fixtures::config;
use fixtures::{BROWSER, ID, KEY, NGINX, edit, judge, request};

type Expected = Result<(), (Outcome, u16, Option<&'static str>)>;

const OK: Expected = Ok(());

fn check_at(target: &str, edits: &[(&str, &str)], expected: Expected) {
    let verdict = judge(request(target, edits));
    let verdict = verdict
        .map(drop)
        .map_err(|refusal| (refusal.outcome, refusal.status.as_u16(), refusal.field));
    assert_eq!(verdict, expected, "{target} {edits:?}");
}

fn check(edits: &[(&str, &str)], expected: Expected) {
    check_at("/ws", edits, expected);
}

#[test]
fn a_browsers_request_becomes_a_ticket() {
    let ticket = judge(request("/ws?user_id=anna", &[])).unwrap();
    let response: http::Response<()> = ticket.response();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers();
    // The example of RFC 6455 §1.3.
    assert_eq!(headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(headers["upgrade"], "websocket");
    assert_eq!(headers["connection"], "Upgrade");
    let deflate = headers["sec-websocket-extensions"].to_str().unwrap();
    assert!(deflate.contains("server_no_context_takeover"), "{deflate}");
    assert!(!headers.contains_key("sec-websocket-protocol"));

    let identity = ticket.identity;
    assert_eq!(identity.id, ID);
    assert_eq!(identity.endpoint, EndpointIndex(0));
    assert_eq!(identity.user(), Some("anna"));
    let client = identity.client();
    assert_eq!(client.address.to_string(), "203.0.113.9");
    assert_eq!(client.request_id, Some("4f00c2f3a1b2c3d4e5f60718293a4b5c"));
    let hop = client.nginx.unwrap();
    assert_eq!((hop.host, hop.pid, hop.connection), ("edge-1", 4711, 9));
}

#[test]
fn a_client_without_frills_becomes_one_too() {
    let edits = [("-Origin", ""), ("-Sec-WebSocket-Extensions", "")];
    let ticket = judge(request("/ws", &edits)).unwrap();
    assert_eq!(ticket.deflate, None);
    assert_eq!(ticket.identity.user(), None);
    let response: http::Response<()> = ticket.response();
    assert!(!response.headers().contains_key("sec-websocket-extensions"));
}

#[test]
fn method_and_http_version() {
    for method in ["POST", "HEAD", "OPTIONS", "CONNECT", "get", "BREW"] {
        let mut request = request("/ws", &[]);
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        let refusal = judge(request).unwrap_err();
        assert_eq!((refusal.outcome, refusal.status.as_u16()), (Outcome::BadMethod, 405));
        assert_eq!(refusal.response().headers()["allow"], "GET");
    }
    for (version, refused) in [
        (Version::HTTP_09, true),
        (Version::HTTP_10, true),
        (Version::HTTP_11, false),
        (Version::HTTP_2, false),
    ] {
        let mut request = request("/ws", &[]);
        *request.version_mut() = version;
        let verdict = judge(request).map(drop).map_err(|refusal| refusal.outcome);
        let expected = if refused { Err(Outcome::BadHttpVersion) } else { Ok(()) };
        assert_eq!(verdict, expected, "{version:?}");
    }
}

#[test]
fn host() {
    let bad: Expected = Err((Outcome::BadHost, 400, Some("Host")));
    check(&[("-Host", "")], bad);
    check(&[("Host", "")], bad);
    check(&[("+Host", "app.example")], bad);
    check(&[("Host", "app.example/path")], bad);
    check(&[("Host", "a b")], bad);
    check(&[("Host", "user@app.example")], bad);
    check(&[("Host", "app.example:")], OK);
    // A target in absolute form speaks for itself, but does not excuse a bad Host.
    check_at("http://app.example/ws", &[("Host", "elsewhere.example")], OK);
    check_at("http://app.example/ws", &[("-Host", "")], bad);
    check_at("http://user@app.example/ws", &[], bad);
    let refused: Expected = Err((Outcome::OriginRefused, 403, Some("Origin")));
    check_at("http://elsewhere.example/ws", &[], refused);
}

#[test]
fn connection_and_upgrade() {
    let connection: Expected = Err((Outcome::BadConnection, 400, Some("Connection")));
    check(&[("Connection", "Upgrade")], OK);
    check(&[("Connection", "keep-alive, UPGRADE")], OK);
    check(&[("Connection", "keep-alive"), ("+Connection", " ,upgrade,")], OK);
    check(&[("-Connection", "")], connection);
    check(&[("Connection", "")], connection);
    check(&[("Connection", "close")], connection);
    check(&[("Connection", "upgraded")], connection);
    check(&[("Connection", "keep-alive upgrade")], connection);

    let upgrade: Expected = Err((Outcome::BadUpgrade, 400, Some("Upgrade")));
    check(&[("Upgrade", "WebSocket")], OK);
    check(&[("Upgrade", "h2c, websocket")], OK);
    check(&[("Upgrade", "h2c"), ("+Upgrade", "websocket")], OK);
    check(&[("-Upgrade", "")], upgrade);
    check(&[("Upgrade", "")], upgrade);
    check(&[("Upgrade", "h2c")], upgrade);
    check(&[("Upgrade", "websocket/13")], upgrade);
}

#[test]
fn a_plain_visit_is_told_what_this_is() {
    let no_upgrade = [("Connection", "close"), ("-Upgrade", "")];
    let dropped = judge(request("/ws", &no_upgrade)).unwrap_err();
    assert!(dropped.message.contains("proxy dropped"), "{dropped:?}");
    let mut edits = no_upgrade.to_vec();
    edits.push(("-Sec-WebSocket-Key", ""));
    let visit = judge(request("/ws", &edits)).unwrap_err();
    assert_eq!(visit.message, "this is a WebSocket endpoint");
    for refusal in [dropped, visit] {
        assert_eq!(refusal.outcome, Outcome::BadUpgrade);
        assert_eq!(refusal.status, StatusCode::UPGRADE_REQUIRED);
        assert_eq!(refusal.response().headers()["sec-websocket-version"], "13");
        let hint = refusal.hint.unwrap();
        assert!(hint.contains("proxy_set_header Upgrade $http_upgrade;"), "{hint}");
        assert!(hint.contains("proxy_set_header Connection \"upgrade\";"), "{hint}");
    }
}

#[test]
fn version() {
    let bad: Expected = Err((Outcome::BadVersion, 426, Some("Sec-WebSocket-Version")));
    check(&[("-Sec-WebSocket-Version", "")], bad);
    check(&[("+Sec-WebSocket-Version", "13")], bad);
    for version in ["", "8", "013", "13, 8", "thirteen", "130"] {
        check(&[("Sec-WebSocket-Version", version)], bad);
    }
    let refusal = judge(request("/ws", &[("Sec-WebSocket-Version", "8")])).unwrap_err();
    assert_eq!(refusal.response().headers()["sec-websocket-version"], "13");
}

#[test]
fn key() {
    let bad: Expected = Err((Outcome::BadKey, 400, Some("Sec-WebSocket-Key")));
    check(&[("-Sec-WebSocket-Key", "")], bad);
    check(&[("+Sec-WebSocket-Key", KEY)], bad);
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZWE=",
        "dGhlIHNhbXBsZSBub25jZWFh",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhl IHNhbXBsZSBub25jZQ=",
        "SGVsbG8sIHdvcmxkIQ==",
        "________________________",
    ] {
        check(&[("Sec-WebSocket-Key", key)], bad);
    }
    check(&[("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")], OK);
    check(&[("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAB==")], OK);
}

#[test]
fn body() {
    let length: Expected = Err((Outcome::BadRequest, 400, Some("Content-Length")));
    check(&[("Content-Length", "0")], OK);
    check(&[("Content-Length", "1")], length);
    check(&[("Content-Length", "nonsense")], length);
    check(&[("Content-Length", "0"), ("+Content-Length", "5")], length);
    let chunked = Err((Outcome::BadRequest, 400, Some("Transfer-Encoding")));
    check(&[("Transfer-Encoding", "chunked")], chunked);
}

#[test]
fn origin_by_endpoint() {
    let refused: Expected = Err((Outcome::OriginRefused, 403, Some("Origin")));
    let stranger = [("Origin", "https://stranger.example")];
    check(&stranger, refused);
    check_at("/open", &stranger, OK);
    check_at("/strict", &stranger, refused);
    check_at("/strict", &[], refused);
    check_at("/strict", &[("Origin", "https://other.example")], OK);
    check_at("/strict", &[("-Origin", "")], OK);
    check(&[("Origin", "null")], refused);
    check(&[("+Origin", "https://app.example")], refused);
}

#[test]
fn user() {
    let required: Expected = Err((Outcome::UserRequired, 400, Some("user_id")));
    check_at("/im", &[], required);
    check_at("/im?user_id=", &[], required);
    check_at("/im/?other=1", &[], required);
    check_at("/im?id=anna", &[], OK);
    check_at("/im/?user_id=anna", &[], OK);
    check_at("/im?user_id=%zz", &[], Err((Outcome::BadUser, 400, Some("user_id"))));
    check_at("/ws?id=a%00", &[], Err((Outcome::BadUser, 400, Some("id"))));
    check_at("/ws?user_id=a&id=b", &[], Err((Outcome::BadUser, 400, Some("id"))));
    let long = format!("/ws?id={}", "a".repeat(50_000));
    check_at(&long, &[], Err((Outcome::BadUser, 400, Some("id"))));
}

#[test]
fn compression() {
    let other = ("Origin", "https://other.example");
    let field = Some("Sec-WebSocket-Extensions");
    let required: Expected = Err((Outcome::CompressionRequired, 400, field));
    check_at("/strict", &[other, ("-Sec-WebSocket-Extensions", "")], required);
    check_at("/strict", &[other, ("Sec-WebSocket-Extensions", "x-other")], required);
    let two = [
        other,
        ("Sec-WebSocket-Extensions", "x-other"),
        ("+Sec-WebSocket-Extensions", "permessage-deflate"),
    ];
    check_at("/strict", &two, OK);

    let mut config = config();
    config.compression.enabled = false;
    let endpoints = Endpoints::compile(&config);
    let (_, endpoint) = endpoints.find("/ws").unwrap();
    let (parts, ()) = request("/ws", &[]).into_parts();
    let peer = NGINX.parse().unwrap();
    let ticket = examine(&parts, peer, endpoint, &Proxies::new(&[]), ID).unwrap();
    assert_eq!(ticket.deflate, None);
}

/// No header of any bytes is a panic, and no answer to it is broken JSON ([`judge`] looks).
#[test]
fn hostile_bytes_in_every_header() {
    let long = vec![b'x'; 20_000];
    let values: [&[u8]; 8] = [
        b"\xff\xfe\x80",
        b"\"}\\\"<script>",
        b"\t\x80\xc2\x9b[2J",
        "\u{202e}\u{f6}".as_bytes(),
        b",,,;;==",
        b"%00%ff",
        b"",
        &long,
    ];
    let names = BROWSER.iter().map(|(name, _)| *name);
    for name in names.chain(["Transfer-Encoding", "Content-Length"]) {
        for value in values {
            for target in ["/ws", "/strict"] {
                let mut request = request(target, &[]);
                edit(request.headers_mut(), name, value);
                let _ = judge(request);
                let mut request = self::request(target, &[]);
                edit(request.headers_mut(), &format!("+{name}"), value);
                let _ = judge(request);
            }
        }
    }
}
