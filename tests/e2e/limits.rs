//! What a gateway bears: too many connections, too few files, silent and greedy clients, and what
//! clients write into its log.

use std::process::Command;

use serde_json::{Value, json};

use super::support::{
    Answer, Gateway, Metrics, NginxSettings, Opening, Raw, Settings, frame, masked_frame, wait_for,
};

const ECHO: &str = "/ws-notifications";

/// Asks for a WebSocket; the answer, if it was not 101.
#[track_caller]
fn refused(mut client: Raw, opening: &Opening, gateway: &Gateway) -> Answer {
    client.send(&opening.bytes(gateway.public));
    let answer = client.read_answer();
    assert_ne!(answer.status, 101, "{answer:?}");
    answer
}

#[track_caller]
fn opened(mut client: Raw, opening: &Opening, gateway: &Gateway) -> Raw {
    client.send(&opening.bytes(gateway.public));
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

#[test]
fn the_limit_of_connections_holds_and_places_come_back() {
    let gateway = Settings::new().set("server.max_connections=3").start();
    let mut inside: Vec<_> = (0..3).map(|_| Raw::open(gateway.public, ECHO)).collect();
    let mut ended = 0.0;
    let ways: [fn(Raw); 4] = [
        |mut client| {
            client.send_close(1000);
            client.read_close().unwrap();
        },
        |client| client.reset(),
        drop,
        |mut client| client.send(&frame(0x81, b"not masked")),
    ];
    for (index, end) in ways.into_iter().enumerate() {
        let answer = refused(Raw::connect(gateway.public), &Opening::new(ECHO), &gateway);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{answer:?}");
        assert_eq!(answer.error()["code"], "too_many_connections");
        // A bad request takes no place and is told what is wrong with it.
        let bad = Opening::new(ECHO).header("Origin", "https://evil.example");
        assert_eq!(refused(Raw::connect(gateway.public), &bad, &gateway).status, 403);
        end(inside.swap_remove(0));
        ended += 1.0;
        gateway.wait_for_metric("disconnects_total", &[], ended);
        inside.push(Raw::open(gateway.public, ECHO));
        let labels = [("endpoint", ECHO), ("outcome", "too_many_connections")];
        let count = gateway.metrics().sum("handshakes_total", &labels);
        assert_eq!(count, 1.0 + index as f64);
    }
    gateway.metrics().check_sums();
}

#[test]
fn an_address_has_its_own_limit_and_cannot_borrow_another() {
    let gateway = Settings::new()
        .set("server.max_connections_per_ip=2")
        .set("server.trusted_proxies=127.0.0.1/32")
        .start();
    let from = |forwarded: &str| Opening::new(ECHO).header("X-Forwarded-For", forwarded);
    // The proxy's word counts, as far as proxies wrote it: (address that fills up, that is the same).
    for (first, second, third) in [
        ("203.0.113.1", "203.0.113.1:4711", "6.6.6.6, 203.0.113.1"),
        ("203.0.113.2", "::ffff:203.0.113.2", "203.0.113.2, 127.0.0.1"),
        ("2001:db8::1", "[2001:db8::2]:443", "2001:db8:0:0:ffff::"),
    ] {
        let connect = || Raw::connect(gateway.public);
        let one = opened(connect(), &from(first), &gateway);
        let _two = opened(connect(), &from(second), &gateway);
        let answer = refused(connect(), &from(third), &gateway);
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("10")), "{answer:?}");
        assert_eq!(answer.error()["code"], "too_many_connections_per_ip");
        let before = gateway.metrics().sum("disconnects_total", &[]);
        drop(one);
        gateway.wait_for_metric("disconnects_total", &[], before + 1.0);
        drop(opened(connect(), &from(third), &gateway));
        gateway.wait_for_metric("disconnects_total", &[], before + 2.0);
    }
    // A stranger speaks for its own address only, whatever it claims.
    let stranger = || Raw::connect_from("127.0.0.9", gateway.public);
    let _inside = [from("198.51.100.1"), from("198.51.100.2")]
        .map(|opening| opened(stranger(), &opening, &gateway));
    assert_eq!(refused(stranger(), &from("198.51.100.3"), &gateway).status, 429);
    // The claimed addresses have paid nothing for it.
    drop(opened(Raw::connect(gateway.public), &from("198.51.100.1"), &gateway));
    // The same through nginx, which writes the address that it sees behind what the client claims.
    let nginx = NginxSettings::new(gateway.public).start();
    let through = || Raw::connect_from("127.0.0.10", nginx.plain);
    let _two = [from("198.51.100.8"), from("198.51.100.9")]
        .map(|opening| opened(through(), &opening, &gateway));
    assert_eq!(refused(through(), &from("198.51.100.10"), &gateway).status, 429);
    wait_for("the refusal under the address that nginx saw", || {
        let mut lines = gateway.log("handshake refused").into_iter();
        lines.find(|line| line["remote"] == "127.0.0.10")
    });
}

#[test]
fn without_files_accepting_pauses_and_goes_on_later() {
    let gateway = Settings::new().start();
    let mut early = Raw::open(gateway.public, ECHO);
    // A scraper that stays connected, as Prometheus does.
    let mut scraper = Raw::connect(gateway.admin);
    let scrape = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    scraper.send(scrape);
    scraper.read_answer();
    let limit_files = |files: &str| {
        let set = format!("--nofile={files}:20000");
        let pid = gateway.pid().to_string();
        assert!(Command::new("prlimit").args(["--pid", &pid, &set]).status().unwrap().success());
    };
    limit_files("10");
    let mut waiting: Vec<_> = (0..5).map(|_| Raw::connect(gateway.public)).collect();
    for client in &mut waiting {
        client.send(&Opening::new(ECHO).bytes(gateway.public));
    }
    wait_for("a failed accept in the metrics", || {
        scraper.send(scrape);
        let metrics = Metrics::parse(&scraper.read_answer().body);
        let failed = metrics.sum("accept_failures_total", &[("reason", "file_limit")]);
        (failed > 2.0).then_some(())
    });
    early.send_frame(1, b"still here");
    assert_eq!(early.read_frame().unwrap().payload, b"still here");
    assert!(!gateway.log("accept failed").is_empty());
    limit_files("1000");
    for client in &mut waiting {
        assert!(client.read_head().starts_with("HTTP/1.1 101 "), "whoever waited gets in");
    }
}

#[test]
fn silent_sockets_leave_files_for_the_admin_side() {
    let gateway = Settings::new()
        .files_max(64)
        .set("server.max_connections=1000")
        .set("server.handshake_timeout=1s")
        .start();
    // Not 1,000: what the files leave room for.
    assert_eq!(gateway.log("listening")[0]["max_connections"], 16);
    let warning = gateway.log("configuration").into_iter().map(|line| line["why"].to_string());
    assert!(warning.clone().any(|why| why.contains("at most 16 connections")), "{warning:?}");
    let _silent: Vec<_> = (0..100).map(|_| Raw::connect(gateway.public)).collect();
    gateway.wait_for_metric_above("accept_failures_total", &[("reason", "no_room")], 0.0);
    assert_eq!(gateway.metrics().sum("accept_failures_total", &[("reason", "file_limit")]), 0.0);
    assert_eq!(gateway.admin_get("/health/ready").0, 200);
    // A good client waits no longer than they may stay silent.
    Raw::open(gateway.public, ECHO);
    gateway.wait_for_metric("handshakes_total", &[("outcome", "header_timeout")], 100.0);
    // Full with good clients: the next is told so, by an answer.
    let _inside: Vec<_> = (0..16).map(|_| Raw::open(gateway.public, ECHO)).collect();
    let answer = refused(Raw::connect(gateway.public), &Opening::new(ECHO), &gateway);
    assert_eq!(answer.status, 503);
    assert_eq!(gateway.admin_get("/metrics").0, 200);
}

#[test]
fn a_client_that_reads_no_answers_loses_its_socket() {
    let gateway = Settings::new().set("server.handshake_timeout=300ms").start();
    let mut greedy = Raw::connect(gateway.public);
    // Until the answers have filled every buffer between the two, and then until the end.
    while greedy.try_send(&b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100)) {}
    gateway.wait_for_metric("http_connection_errors_total", &[("reason", "io")], 1.0);
    let _another = Raw::open(gateway.public, ECHO);
    gateway.wait_for_metric("connections", &[], 1.0);
}

#[test]
fn scrapers_that_read_no_answers_do_not_keep_the_others_out() {
    let gateway = Settings::new().start();
    // As many as the admin side serves at a time; the answers overfill every buffer between the two.
    let scrapes = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(400);
    let _greedy: Vec<_> = (0..16)
        .map(|_| {
            let mut client = Raw::connect(gateway.admin);
            client.send(&scrapes);
            client
        })
        .collect();
    let mut operator = Raw::connect(gateway.admin);
    operator.send(b"GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(operator.read_answer().status, 200);
}

/// Resident and virtual bytes of the gateway once it has read all that was sent to it.
#[track_caller]
fn memory(gateway: &Gateway) -> [f64; 2] {
    gateway.wait_until_all_is_read();
    let metrics = gateway.metrics();
    ["resident", "virtual"].map(|kind| metrics.sum(&format!("process_{kind}_memory_bytes"), &[]))
}

#[test]
fn what_a_client_announces_costs_nothing_until_it_is_sent() {
    const MIB: f64 = 1_048_576.0;
    let gateway = Settings::new().set("limits.max_message_bytes=16777216").start();
    let header = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let mut clients: Vec<_> = (0..100).map(|_| Raw::open(gateway.public, ECHO)).collect();
    let before = memory(&gateway);
    // Room that is reserved and not used is virtual only: that would be 1,600 MiB.
    let check = |what: &str| {
        let after = memory(&gateway);
        let [resident, reserved] = [after[0] - before[0], after[1] - before[1]];
        assert!(resident < 3.0 * MIB && reserved < 160.0 * MIB, "{what}: {resident}, {reserved}");
    };
    for client in &mut clients {
        client.send(&header(16 << 20));
        client.send(b"x");
    }
    check("100 announcements of 16 MiB");
    for length in [1 << 30, (16 << 20) + 1, 1 << 62] {
        let mut client = Raw::open(gateway.public, ECHO);
        client.send(&header(length));
        assert_eq!(client.read_close().unwrap().close_code(), Some(1009), "{length}");
    }
    check("announcements beyond the limit");
}

#[test]
fn half_a_message_costs_what_has_come_of_it() {
    const CLIENTS: usize = 500;
    const PAYLOAD: usize = 60 << 10;
    let gateway = Settings::new().start();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Raw::open(gateway.public, ECHO)).collect();
    let message = masked_frame(0x82, &vec![7; PAYLOAD]);
    let (half, rest) = message.split_at(message.len() / 2);
    let [before, _] = memory(&gateway);
    for client in &mut clients {
        client.send(half);
    }
    let cost = (memory(&gateway)[0] - before) / (CLIENTS * half.len()) as f64;
    assert!((0.5..2.2).contains(&cost), "{cost} times what was sent");
    for client in &mut clients {
        client.send(rest);
        assert_eq!(client.read_frame().unwrap().payload.len(), PAYLOAD);
    }
}

/// What the log says of a connection that was opened with these headers.
#[track_caller]
fn opened_line(gateway: &Gateway, opening: &Opening) -> Value {
    let before = gateway.log("connection opened").len();
    opened(Raw::connect(gateway.public), opening, gateway);
    wait_for("the line", || gateway.log("connection opened").get(before).cloned())
}

#[test]
fn a_trusted_proxys_headers_reach_the_log_and_garbage_does_not() {
    let gateway = Settings::new().start();
    let opening = |headers: &[(&str, &str)]| {
        headers
            .iter()
            .fold(Opening::new(ECHO), |opening, (name, value)| opening.header(name, value))
    };
    let good = [
        ("X-Forwarded-For", "203.0.113.7:4711"),
        ("X-Request-ID", "39aa6c8ff9c827c9"),
        ("X-Nginx-Host", "edge-1"),
        ("X-Nginx-Pid", "4711"),
        ("X-Nginx-Connection", "18446744073709551615"),
    ];
    let line = opened_line(&gateway, &opening(&good));
    let fields =
        ["remote", "remote_port", "request_id", "nginx_host", "nginx_pid", "nginx_connection"];
    let seen = |line: &Value| Value::from_iter(fields.map(|field| line[field].clone()));
    let expected = json!(["203.0.113.7", 4711, "39aa6c8ff9c827c9", "edge-1", 4711, u64::MAX]);
    assert_eq!(seen(&line), expected);
    let closed = gateway.closed_line();
    assert_eq!(seen(&closed), expected, "the same at the end");
    for (name, value) in [
        ("X-Forwarded-For", "<script>"),
        ("X-Forwarded-For", "203.0.113.7, \"'; DROP"),
        ("X-Request-ID", "a b"),
        ("X-Request-ID", "\u{202e}gpj"),
        ("X-Request-ID", &"a".repeat(129)),
        ("X-Nginx-Pid", "-1"),
        ("X-Nginx-Pid", "99999999999999999999"),
        ("X-Nginx-Connection", "0x10"),
        ("X-Nginx-Host", ""),
    ] {
        let line = opened_line(&gateway, &opening(&[(name, value)]));
        assert_eq!(line["remote"], "127.0.0.1", "{line}");
        let rest = ["request_id", "nginx_host", "nginx_pid", "nginx_connection"];
        assert!(rest.iter().all(|field| line[field] == Value::Null), "{name}: {value}: {line}");
    }
    assert_eq!(gateway.unreadable_lines(), [Value::Null; 0]);
}

#[test]
fn nginx_and_gateway_name_a_connection_alike() {
    let gateway = Settings::new().start();
    let nginx = NginxSettings::new(gateway.public).start();
    // What a client claims to be is replaced by nginx.
    let opening = Opening::new(ECHO).header("X-Request-ID", "mine").header("X-Nginx-Pid", "1");
    let client = opening.open(nginx.plain);
    drop(client);
    let line = gateway.closed_line();
    let logged = wait_for("nginx' line", || nginx.access_log().pop());
    for (ours, theirs) in
        [("request_id", "request_id"), ("nginx_pid", "pid"), ("nginx_connection", "connection")]
    {
        let [ours, theirs] = [&line[ours], &logged[theirs]].map(Value::to_string);
        assert_eq!(ours.trim_matches('"'), theirs.trim_matches('"'), "{line} {logged}");
    }
}

#[test]
fn nothing_that_a_client_writes_breaks_a_log_line() {
    let gateway = Settings::new().start();
    let forged = "x\",\"level\":\"ERROR\",\"message\":\"listening\",\"y\":\"";
    let encoded =
        |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    let texts = [
        forged,
        "\\",
        "\\u000a",
        "a\u{202e}b\u{2028}c",
        "<b>${jndi:ldap://x}</b>",
        "%s%n",
        "日本🎉",
    ];
    for (index, text) in texts.into_iter().enumerate() {
        let agent = format!("a{}\t;", text.replace(|char: char| !char.is_ascii(), ""));
        let opening = Opening::new(&format!("{ECHO}?id={}", encoded(text)));
        let mut client = opening.header("User-Agent", &agent).open(gateway.public);
        let reason = format!("{text}\r\n{{\"message\":1}}\u{1b}[2J\u{9b}31m\0");
        client.send_frame(8, &[&1000_u16.to_be_bytes(), reason.as_bytes()].concat());
        client.read_close();
        let closed = wait_for("the line", || gateway.log("connection closed").get(index).cloned());
        assert_eq!(closed["user"], text);
        assert_eq!(closed["received_reason"], reason);
        let line = gateway.log("connection opened")[index].clone();
        assert_eq!((&line["user"], &line["user_agent"]), (&text.into(), &agent.into()));
        assert_eq!((&line["level"], &closed["level"]), (&"INFO".into(), &"INFO".into()));
    }
    assert_eq!(gateway.log("listening").len(), 1, "none was forged");
    assert_eq!(gateway.unreadable_lines(), [Value::Null; 0]);
    // Of much text the log gets a part.
    let agent = "a".repeat(10_000);
    opened(
        Raw::connect(gateway.public),
        &Opening::new(ECHO).header("User-Agent", &agent),
        &gateway,
    );
    let line = wait_for("the line", || gateway.log("connection opened").get(texts.len()).cloned());
    assert!(line.to_string().len() < 1000, "{line}");
}
