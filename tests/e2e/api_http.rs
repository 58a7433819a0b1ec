//! HTTP as backends speak it: kept connections, chunked and pipelined bodies, bodies that never end.

use std::io::{Read as _, Write as _};

use serde_json::json;

use super::support::{Answer, Api, Gateway, Raw, Settings, wait_for};

const PUBLISH: &str = "/api/v1/publish";
const STATS: &str = "/api/v1/stats";
const HEAD: &str =
    "POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
const BODY: &str = r#"{"to":{"everyone":true},"text":"x"}"#;

#[track_caller]
fn seq(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()["seq"].as_u64().unwrap()
}

#[test]
fn bodies_come_chunked_pipelined_and_byte_by_byte() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway).raw;
    let half = BODY.len() / 2;
    let chunked = format!(
        "{HEAD}Transfer-Encoding: chunked\r\n\r\n{half:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &BODY[..half],
        BODY.len() - half,
        &BODY[half..]
    );
    let plain = format!("{HEAD}Content-Length: {}\r\n\r\n{BODY}", BODY.len());
    api.send(format!("{chunked}{plain}{chunked}").as_bytes());
    assert_eq!([(); 3].map(|()| seq(&api.read_answer())), [1, 2, 3]);
    for byte in chunked.bytes() {
        api.send(&[byte]);
    }
    assert_eq!(seq(&api.read_answer()), 4);
}

#[test]
fn whoever_asks_before_sending_a_body_is_told_to_go_on_or_not() {
    let gateway = Gateway::start();
    let mut good = Raw::connect(gateway.admin);
    let length = BODY.len();
    good.send(format!("{HEAD}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n").as_bytes());
    assert!(good.read_head().starts_with("HTTP/1.1 100 "));
    good.send(BODY.as_bytes());
    assert_eq!(seq(&good.read_answer()), 1);
    let mut large = Raw::connect(gateway.admin);
    large.send(format!("{HEAD}Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n").as_bytes());
    let answer = large.read_answer();
    answer.refused("a body that is too large", 413, "body_too_large");
    assert_eq!(answer.header("connection"), Some("close"));
}

/// Sends a body that is too large, to its end, before it reads: the answer must not be lost.
#[track_caller]
fn check_too_large(framing: &str, body: &[u8]) {
    let gateway = Gateway::start();
    for _ in 0..20 {
        let mut api = Raw::connect(gateway.admin);
        api.send(format!("{HEAD}{framing}\r\n\r\n").as_bytes());
        api.send(body);
        api.read_answer().refused(framing, 413, "body_too_large");
        assert!(api.reads_fin(), "{framing}: an orderly end");
    }
}

#[test]
fn the_refusal_of_a_large_body_reaches_whoever_is_still_sending() {
    let body = vec![b'x'; 8 << 20];
    check_too_large(&format!("Content-Length: {}", body.len()), &body);
    let mut chunks = Vec::new();
    for chunk in body.chunks(65_536) {
        write!(chunks, "{:x}\r\n", chunk.len()).unwrap();
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    check_too_large("Transfer-Encoding: chunked", &[&chunks[..], b"0\r\n\r\n"].concat());
}

#[test]
fn a_refused_body_leaves_the_connection_usable() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let body = "x".repeat(10_000);
    for (method, path, status) in [
        ("POST", STATS, 405),
        ("POST", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/users/7/connections", 200),
        ("POST", "/metrics", 405),
        ("POST", PUBLISH, 400),
    ] {
        let answer = api.call(method, path, &body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("connection"), None, "{method} {path}");
    }
    assert_eq!(seq(&api.call("POST", PUBLISH, BODY)), 1);
}

#[test]
fn half_a_request_is_no_publication() {
    let gateway = Gateway::start();
    for end in 0..=BODY.len() {
        let mut api = Raw::connect(gateway.admin);
        let length = BODY.len() + 1;
        api.send(format!("{HEAD}Content-Length: {length}\r\n\r\n{}", &BODY[..end]).as_bytes());
        api.shut_down_write();
        let mut rest = Vec::new();
        let _ = api.stream.read_to_end(&mut rest);
    }
    assert_eq!(gateway.metrics().sum("publications_total", &[]), 0.0);
    assert_eq!(seq(&Api::of(&gateway).call("POST", PUBLISH, BODY)), 1);
}

#[test]
fn a_pool_of_connections_is_served_and_leaves_room_for_clients() {
    const POOL: usize = 200;
    let gateway = Gateway::start();
    let mut pool: Vec<_> = (0..POOL).map(|_| Api::of(&gateway)).collect();
    for api in &mut pool {
        assert_eq!(api.call("GET", STATS, "").status, 200);
    }
    // All of them are kept, and used again.
    for (number, api) in pool.iter_mut().enumerate() {
        let answer = api.publish(&json!({ "to": { "everyone": true }, "text": "x" }));
        assert_eq!(answer["seq"], number + 1);
    }
}

#[test]
fn a_pool_does_not_take_the_files_of_the_clients() {
    // 64 files: room for 16 connections, beside 16 guaranteed to the admin side.
    let gateway = Settings::new().files_max(64).start();
    let mut pool: Vec<_> = (0..16).map(|_| Api::of(&gateway)).collect();
    for api in &mut pool {
        assert_eq!(api.call("GET", STATS, "").status, 200);
    }
    // The clients have them all.
    let mut clients: Vec<_> =
        (0..16).map(|_| Raw::open(gateway.public, "/ws-notifications")).collect();
    let mut late = Api::of(&gateway);
    late.raw.send(late.request("GET", STATS, "", &[]).as_bytes());
    clients[15].echo(1, b"still here");
    let metrics = pool[0].call("GET", "/metrics", "").body;
    assert!(!metrics.contains("reason=\"file_limit\"} 1"), "no file was lacking");
    // A place that becomes free is given to whoever waits.
    drop(pool.pop());
    assert_eq!(late.raw.read_answer().status, 200);
    wait_for("a client's leave", || {
        clients.pop();
        (pool[0].call("GET", STATS, "").status == 200).then_some(())
    });
}
