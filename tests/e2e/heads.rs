//! Request heads that are large, late, unreadable, cut off or followed by more; and what becomes of
//! their sockets.

use serde_json::Value;

use super::support::refusals::{
    CONNECTION, Counted, ECHO, KEY, UNKNOWN, UPGRADE, VERSION, altered, check_answer, good, with,
};
use super::support::{Raw, Settings, masked_frame, wait_for};

#[test]
fn a_large_head_passes_until_it_is_too_large() {
    let mut counted = Counted::start();
    let padded = |bytes: usize| with(ECHO, &format!("X-Padding: {}", "a".repeat(bytes)));
    let many = |count: usize| {
        let lines: Vec<_> = (0..count).map(|index| format!("X-{index}: 1")).collect();
        with(ECHO, &lines.join("\r\n"))
    };
    for request in [padded(64 << 10), many(200)] {
        let mut client = Raw::connect(counted.gateway.public);
        let _ = client.try_send(request.as_bytes());
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
        assert_eq!(counted.expect(UNKNOWN, "header_too_large")["status"], 431);
    }
    for request in [padded(15 << 10), many(90)] {
        let mut client = Raw::connect(counted.gateway.public);
        client.send(request.as_bytes());
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }
}

#[test]
fn a_slow_head_ends_with_the_handshake_timeout() {
    let mut counted = Counted::start();
    let mut silent = Raw::connect(counted.gateway.public);
    assert!(silent.reads_fin(), "a client that sends nothing");
    counted.expect(UNKNOWN, "header_timeout");

    let mut half = Raw::connect(counted.gateway.public);
    half.send(&good(ECHO).as_bytes()[..60]);
    assert!(half.reads_fin(), "a client that stops in the middle");
    counted.expect(UNKNOWN, "header_timeout");

    // A byte now and then does not put the end off: it comes while bytes are left.
    let mut slow = Raw::connect(counted.gateway.public);
    slow.stream.set_read_timeout(Some(std::time::Duration::from_millis(30))).unwrap();
    let request = with(ECHO, &format!("X-Padding: {}", "a".repeat(4000)));
    let ended = request.bytes().any(|byte| {
        let mut unread = [0; 64];
        let sent = slow.try_send(&[byte]);
        !sent || matches!(std::io::Read::read(&mut slow.stream, &mut unread), Ok(0))
    });
    assert!(ended, "4,000 bytes at this pace are two minutes");
    counted.expect(UNKNOWN, "header_timeout");

    // A kept-alive socket that is not used again is nobody's handshake.
    let mut idle = Raw::connect(counted.gateway.public);
    idle.send(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.read_answer().body, "pong");
    assert!(idle.reads_fin());
    let mut last = Raw::connect(counted.gateway.public);
    assert!(last.reads_fin());
    counted.expect(UNKNOWN, "header_timeout");
}

#[test]
fn what_is_not_http_1_is_counted_as_unreadable() {
    let mut counted = Counted::start();
    let tls_hello =
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x20";
    let control = altered(ECHO, "13\r\n", "\x1b[2J\r\n");
    for (what, bytes) in [
        ("garbage", &b"\x00\xff\x01garbage\r\n\r\n"[..]),
        ("TLS", tls_hello),
        ("HTTP/3.0", b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
        ("a header without colon", b"GET / HTTP/1.1\r\nHost\r\n\r\n"),
        ("a control character", control.as_bytes()),
        (
            "two lengths",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ] {
        let mut client = Raw::connect(counted.gateway.public);
        client.send(bytes);
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{what}: {head}");
        let line = counted.expect(UNKNOWN, "unreadable_request");
        assert_eq!(line["status"], 400, "{what}: {line}");
    }
    // Nobody here speaks HTTP/2: it gets no answer, and the line claims none.
    let mut client = Raw::connect(counted.gateway.public);
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert_eq!(client.read_to_end(), b"");
    let line = counted.expect(UNKNOWN, "unreadable_request");
    assert_eq!(line["status"], Value::Null, "{line}");
    assert_eq!(counted.gateway.unreadable_lines(), [Value::Null; 0]);
}

#[test]
fn header_bytes_beyond_ascii_do_no_harm() {
    let gateway = Settings::new().start();
    let mut client = Raw::connect(gateway.public);
    let mut request = altered("/ws?id=a", "\r\n\r\n", "\r\nUser-Agent: ").into_bytes();
    request.extend(
        b"\xff\xfe\r\nX-Request-ID: \xc3\x28\r\nX-Forwarded-For: \xff\r\nCookie: \x80\r\n\r\n",
    );
    client.send(&request);
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    drop(client);
    let line = gateway.closed_line();
    assert_eq!(line["user"], "a");
    assert_eq!(line["remote"], "127.0.0.1");
}

#[test]
fn a_client_that_left_before_the_101_is_counted_as_aborted() {
    let mut counted = Counted::of(Settings::new().set("server.max_connections=1").start());
    counted.gateway.signal("STOP");
    let mut client = Raw::connect(counted.gateway.public);
    client.send(good(ECHO).as_bytes());
    client.reset();
    counted.gateway.signal("CONT");
    let line = counted.expect(ECHO, "aborted");
    assert_eq!(line["status"], Value::Null, "{line}");
    // The one place is free again.
    Raw::open(counted.gateway.public, ECHO);
}

#[test]
fn frames_right_behind_the_request_are_not_lost() {
    let gateway = Settings::new().start();
    let mut client = Raw::connect(gateway.public);
    let mut bytes = good(ECHO).into_bytes();
    bytes.extend(masked_frame(0x81, b"early"));
    bytes.extend(masked_frame(0x82, &[7; 300]));
    bytes.extend(&masked_frame(0x81, b"split")[..4]);
    client.send(&bytes);
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.read_frame().unwrap().payload, b"early");
    assert_eq!(client.read_frame().unwrap().payload, [7; 300]);
    client.send(&masked_frame(0x81, b"split")[4..]);
    assert_eq!(client.read_frame().unwrap().payload, b"split");
    client.send_close(1000);
    assert_eq!(client.read_close().unwrap().close_code(), Some(1000));
    assert_eq!(gateway.closed_line()["messages_in"], 3);
}

#[test]
fn a_refused_client_may_try_again_on_the_same_socket() {
    let gateway = Settings::new().start();
    let hidden = "GET /nope HTTP/1.1\r\nUpgrade: x\r\n\r\n";
    for refused in [
        altered(ECHO, KEY, ""),
        altered(ECHO, VERSION, ""),
        altered(ECHO, UPGRADE, "").replace(CONNECTION, ""),
        altered(ECHO, "GET", "POST"),
        good("/nope"),
        // The body of a refused request is no request: it would be a second one in disguise.
        altered(ECHO, "\r\n\r\n", &format!("\r\nContent-Length: 34\r\n\r\n{hidden}")),
        altered(
            ECHO,
            "\r\n\r\n",
            &format!("\r\nTransfer-Encoding: chunked\r\n\r\n22\r\n{hidden}\r\n0\r\n\r\n"),
        ),
    ] {
        let mut client = Raw::connect(gateway.public);
        client.send(refused.as_bytes());
        assert!(client.read_answer().status >= 400, "{refused}");
        client.send(good(ECHO).as_bytes());
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "after {refused}: {head}");
    }
    let metrics = gateway.wait_for_metric("disconnects_total", &[], 7.0);
    assert_eq!(metrics.sum("handshakes_total", &[]), 14.0);
    metrics.check_sums();
}

#[test]
fn a_body_that_does_not_come_holds_no_socket() {
    let gateway = Settings::new().set("server.handshake_timeout=300ms").start();
    for request in [
        altered(ECHO, "\r\n\r\n", "\r\nContent-Length: 1000000\r\n\r\n"),
        "GET /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n".to_owned(),
        "GET /ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff".to_owned(),
    ] {
        let mut client = Raw::connect(gateway.public);
        client.send(request.as_bytes());
        client.read_answer();
        assert!(client.reads_fin(), "{request}");
    }
}

#[test]
fn a_request_that_is_half_there_at_the_end_is_told_so() {
    let mut gateway = Settings::new().start();
    let mut client = Raw::connect(gateway.public);
    let request = good(ECHO);
    client.send(&request.as_bytes()[..60]);
    gateway.wait_until_all_is_read();
    gateway.signal("TERM");
    wait_for("the end to begin", || (gateway.admin_get("/health/ready").0 == 503).then_some(()));
    client.send(&request.as_bytes()[60..]);
    let answer = client.read_answer();
    check_answer(&answer, 503, "shutting_down", "");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(client.reads_fin());
    assert_eq!(gateway.wait_for_exit(), Some(0));
    let line = wait_for("its line", || gateway.log("handshake refused").pop());
    assert_eq!(line["outcome"], "shutting_down");
}
