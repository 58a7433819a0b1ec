//! Each refusal of the handshake: what the client is told, and that it is counted and logged once.

use super::support::refusals::{
    CONNECTION, Counted, ECHO, HOST, KEY, UNKNOWN, UPGRADE, VERSION, altered, check_answer, good,
    with,
};
use super::support::{Answer, NginxSettings, Opening, Raw, Settings, wait_for};

#[test]
fn every_bad_header_is_refused_by_name() {
    let twice = |line: &str| line.repeat(2);
    let key = |value: &str| format!("Sec-WebSocket-Key: {value}\r\n");
    let version = |value: &str| format!("Sec-WebSocket-Version: {value}\r\n");
    let host = |value: &str| format!("Host: {value}\r\n");
    let mut counted = Counted::start();
    for (from, to, status, outcome, field) in [
        (KEY, String::new(), 400, "bad_key", "Sec-WebSocket-Key"),
        (KEY, key(""), 400, "bad_key", "Sec-WebSocket-Key"),
        (KEY, key("short"), 400, "bad_key", "Sec-WebSocket-Key"),
        (KEY, key("dGhlIHNhbXBsZSBub25jZSEhISEh"), 400, "bad_key", "Sec-WebSocket-Key"),
        (KEY, key("dGhlIHNhbXBs*SBub25jZQ=="), 400, "bad_key", "Sec-WebSocket-Key"),
        (KEY, twice(KEY), 400, "bad_key", "Sec-WebSocket-Key"),
        (VERSION, String::new(), 426, "bad_version", "Sec-WebSocket-Version"),
        (VERSION, version("8"), 426, "bad_version", "Sec-WebSocket-Version"),
        (VERSION, version("13, 8"), 426, "bad_version", "Sec-WebSocket-Version"),
        (VERSION, twice(VERSION), 426, "bad_version", "Sec-WebSocket-Version"),
        (HOST, String::new(), 400, "bad_host", "Host"),
        (HOST, host(""), 400, "bad_host", "Host"),
        (HOST, host("a b"), 400, "bad_host", "Host"),
        (HOST, host("gateway.example:99999"), 400, "bad_host", "Host"),
        (HOST, twice(HOST), 400, "bad_host", "Host"),
        (CONNECTION, String::new(), 400, "bad_connection", "Connection"),
        (CONNECTION, "Connection: keep-alive\r\n".into(), 400, "bad_connection", "Connection"),
        (CONNECTION, "Connection: upgraded\r\n".into(), 400, "bad_connection", "Connection"),
        (UPGRADE, String::new(), 400, "bad_upgrade", "Upgrade"),
        (UPGRADE, "Upgrade: h2c\r\n".into(), 400, "bad_upgrade", "Upgrade"),
        (UPGRADE, "Upgrade: websocketx\r\n".into(), 400, "bad_upgrade", "Upgrade"),
        (UPGRADE, format!("{UPGRADE}Content-Length: 5\r\n"), 400, "bad_request", "Content-Length"),
        (
            UPGRADE,
            format!("{UPGRADE}Transfer-Encoding: chunked\r\n"),
            400,
            "bad_request",
            "Transfer-Encoding",
        ),
        ("HTTP/1.1", "HTTP/1.0".into(), 400, "bad_http_version", ""),
        ("GET", "POST".into(), 405, "bad_method", ""),
        ("GET", "HEADS".into(), 405, "bad_method", ""),
        ("GET", "get".into(), 405, "bad_method", ""),
    ] {
        counted.check(altered(ECHO, from, &to).as_bytes(), ECHO, status, outcome, field);
    }
}

#[test]
fn a_head_answer_has_no_body() {
    let mut counted = Counted::start();
    let mut client = Raw::connect(counted.gateway.public);
    client.send(altered(ECHO, "GET", "HEAD").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 405 "));
    counted.expect(ECHO, "bad_method");
    client.send(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_answer().body, "pong", "the socket is still in step");
}

#[test]
fn a_visit_without_upgrade_headers_is_told_what_nginx_must_pass_on() {
    let mut counted = Counted::start();
    let visit = altered(ECHO, UPGRADE, "").replace(CONNECTION, "");
    for request in [visit.clone(), visit.replace(KEY, "")] {
        let answer = counted.check(request.as_bytes(), ECHO, 426, "bad_upgrade", "Upgrade");
        let hint = answer.error()["hint"].to_string();
        assert!(hint.contains("proxy_set_header Upgrade $http_upgrade;"), "{hint}");
        assert_eq!(answer.header("upgrade"), Some("websocket"));
    }
    let answer = counted.check(
        altered(ECHO, "HTTP/1.1", "HTTP/1.0").as_bytes(),
        ECHO,
        400,
        "bad_http_version",
        "",
    );
    assert!(answer.error()["hint"].to_string().contains("proxy_http_version 1.1;"));
}

#[test]
fn pages_of_other_origins_are_kept_out() {
    let mut counted = Counted::start();
    for (path, origin) in [
        (ECHO, "https://evil.example"),
        (ECHO, "null"),
        (ECHO, "http://gateway.example"),
        (ECHO, "https://gateway.example:8081"),
        (ECHO, "https://gateway.example:8080.evil.example"),
        (ECHO, "gateway.example:8080"),
        (ECHO, ""),
        (ECHO, "http://g\u{e4}teway.example:8080"),
        (ECHO, "http://gateway.example:8080\r\nOrigin: http://gateway.example:8080"),
        ("/listed", "http://gateway.example:8080"),
        ("/listed", "http://app.example"),
        ("/listed", "https://app.example.evil.example"),
        ("/listed", "null"),
    ] {
        let request = with(path, &format!("Origin: {origin}"));
        counted.check(request.as_bytes(), path, 403, "origin_refused", "Origin");
    }
    for (path, origin) in [
        (ECHO, "http://gateway.example:8080"),
        (ECHO, "HTTPS://GATEWAY.example:8080"),
        ("/listed", "https://app.example"),
        ("/listed", "https://app.example:443"),
        ("/listed", "http://localhost:3000"),
        ("/any", "https://evil.example"),
        ("/any", "null"),
    ] {
        let mut client = Raw::connect(counted.gateway.public);
        client.send(with(path, &format!("Origin: {origin}")).as_bytes());
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{path} from {origin}: {head}");
    }
}

#[test]
fn an_endpoint_gets_the_user_and_the_compression_that_it_requires() {
    let mut counted = Counted::start();
    let long = format!("/im?user_id={}", "a".repeat(129));
    for (path, outcome, field) in [
        ("/im", "user_required", "user_id"),
        ("/im/", "user_required", "user_id"),
        ("/im?user_id=", "user_required", "user_id"),
        ("/im?user=7", "user_required", "user_id"),
        ("/im?user_id=%ff", "bad_user", "user_id"),
        ("/im?user_id=%zz", "bad_user", "user_id"),
        ("/im?id=a%0d%0ab", "bad_user", "id"),
        ("/im?user_id=a&user_id=b", "bad_user", "user_id"),
        ("/im?user_id=a&id=b", "bad_user", "id"),
        (&long, "bad_user", "user_id"),
    ] {
        counted.check(good(path).as_bytes(), "/im", 400, outcome, field);
    }
    counted.check(good("/ws-notifications?id=%00").as_bytes(), ECHO, 400, "bad_user", "id");
    for offer in ["", "x-webkit-deflate-frame", "permessage-deflate; server_max_window_bits=8"] {
        let request = with("/packed", &format!("Sec-WebSocket-Extensions: {offer}"));
        let field = "Sec-WebSocket-Extensions";
        counted.check(request.as_bytes(), "/packed", 400, "compression_required", field);
    }
    Opening::new("/packed").deflate().open(counted.gateway.public);
    Opening::new("/im?user_id=7").open(counted.gateway.public);
    Opening::new("/im/?id=7").open(counted.gateway.public);
}

#[test]
fn paths_that_are_no_endpoint_count_as_unknown() {
    let mut counted = Counted::start();
    for path in [
        "/nope",
        "/",
        "/ws-notifications/x",
        "/WS-NOTIFICATIONS",
        "/ping",
        "*",
        "/ws-notifications//",
    ] {
        let answer = counted.check(good(path).as_bytes(), UNKNOWN, 404, "not_found", "");
        assert!(answer.error()["hint"].to_string().contains("/ws-notifications"), "{answer:?}");
    }
    // An ordinary request is no handshake: nothing is counted for it.
    for (path, status, body) in [
        ("/ping", 200, "pong"),
        ("/ping/", 200, "pong"),
        ("/ping?x=1", 200, "pong"),
        ("/nope", 404, "not_found"),
        ("/metrics", 404, "not_found"),
        ("/health/live", 404, "not_found"),
    ] {
        let mut client = Raw::connect(counted.gateway.public);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.body.contains(body), "{path}: {answer:?}");
    }
    let mut client = Raw::connect(counted.gateway.public);
    client.send(b"DELETE /ping HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.read_answer();
    check_answer_of_plain(&answer, 405, "bad_method");
    let allowed = answer.header("allow").unwrap_or_default();
    assert!(allowed.contains("GET"), "{answer:?}");
    counted.check(good("/nope").as_bytes(), UNKNOWN, 404, "not_found", "");
}

#[track_caller]
fn check_answer_of_plain(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, &answer.error()["code"]), (status, &code.into()), "{answer:?}");
}

#[test]
fn an_endpoint_is_served_with_and_without_a_trailing_slash() {
    let gateway = Settings::new().start();
    for path in ["/ws-notifications", "/ws-notifications/", "/ws/", "/ws/?id=7", "/im/?user_id=7"] {
        let mut client = Raw::open(gateway.public, path);
        client.send_close(1000);
        assert_eq!(client.read_close().unwrap().close_code(), Some(1000), "{path}");
    }
    let metrics = gateway.metrics();
    for (endpoint, count) in [("/ws-notifications", 2.0), ("/ws", 2.0), ("/im", 1.0)] {
        let labels = [("endpoint", endpoint)];
        assert_eq!(metrics.sum("connections_opened_total", &labels), count, "{endpoint}");
    }
}

#[test]
fn nginx_passes_refusals_on_unchanged() {
    let mut counted = Counted::of(Settings::new().set("server.max_connections_per_ip=1").start());
    let nginx = NginxSettings::new(counted.gateway.public).start();
    let bare = altered(ECHO, UPGRADE, "").replace(CONNECTION, "");
    for (request, endpoint, status, outcome, field) in [
        (bare, ECHO, 426, "bad_upgrade", "Upgrade"),
        (altered(ECHO, KEY, ""), ECHO, 400, "bad_key", "Sec-WebSocket-Key"),
        (altered(ECHO, VERSION, ""), ECHO, 426, "bad_version", "Sec-WebSocket-Version"),
        (altered(ECHO, "GET", "POST"), ECHO, 405, "bad_method", ""),
        (altered(ECHO, UPGRADE, "Upgrade: h2c\r\n"), ECHO, 400, "bad_upgrade", "Upgrade"),
        (with(ECHO, "Origin: https://evil.example"), ECHO, 403, "origin_refused", "Origin"),
        (good("/im/"), "/im", 400, "user_required", "user_id"),
        (good("/ws?id=%00"), "/ws", 400, "bad_user", "id"),
    ] {
        let mut client = Raw::connect(nginx.plain);
        client.send(request.as_bytes());
        let answer = client.read_answer();
        check_answer(&answer, status, outcome, field);
        let line = counted.expect(endpoint, outcome);
        let logged = wait_for("nginx' line", || {
            nginx.access_log().into_iter().find(|logged| logged["request_id"] == line["request_id"])
        });
        assert_eq!(logged["status"].to_string().trim_matches('"'), status.to_string(), "{logged}");
    }
    let first = Raw::open(nginx.plain, ECHO);
    let mut second = Raw::connect(nginx.plain);
    second.send(good(ECHO).as_bytes());
    check_answer(&second.read_answer(), 429, "too_many_connections_per_ip", "");
    drop(first);
    let mut ping = Raw::connect(nginx.plain);
    for path in ["/ping", "/ping/"] {
        ping.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(ping.read_answer().status, 200, "{path}");
    }
}

#[test]
fn an_nginx_without_the_upgrade_lines_is_diagnosed() {
    let mut counted = Counted::start();
    for (settings, status, outcome, hint) in [
        (
            &["proxy_set_header Upgrade=''", "proxy_set_header Connection=''"][..],
            426,
            "bad_upgrade",
            "proxy_set_header Upgrade $http_upgrade;",
        ),
        (&["proxy_set_header Connection=''"], 400, "bad_connection", "proxy_set_header Connection"),
        (&["proxy_http_version=1.0"], 400, "bad_http_version", "proxy_http_version 1.1;"),
        (&["proxy_set_header Host=$proxy_host"], 403, "origin_refused", "Host $http_host;"),
    ] {
        let nginx = NginxSettings::new(counted.gateway.public);
        let nginx = settings.iter().fold(nginx, |nginx, set| nginx.option("--set", set)).start();
        let mut client = Raw::connect(nginx.plain);
        client.send(with(ECHO, "Origin: http://gateway.example:8080").as_bytes());
        let answer = client.read_answer();
        assert_eq!((answer.status, &answer.error()["code"]), (status, &outcome.into()));
        assert!(answer.error()["hint"].to_string().contains(hint), "{answer:?}");
        counted.expect(ECHO, outcome);
    }
}
