//! Clients that are difficult when the gateway drains.

use std::time::{Duration, Instant};

use super::super::support::{Gateway, Opening, Raw, Settings, masked_frame, wait_for};
use super::{BROADCAST, ECHO, check_stopped, count, endless};

/// For clients that do not answer: the socket goes soon.
fn hasty() -> Settings {
    Settings::new().set("limits.close_wait=50ms").set("server.drain_timeout=1h")
}

type Act = fn(&mut Raw);

/// One client that `prepare` has brought into some state. After SIGTERM and what `then` does, its
/// end has this cause and code.
#[track_caller]
fn check(what: &str, settings: Settings, path: &str, (prepare, then): (Act, Act), code: &str) {
    let mut gateway = settings.start();
    let mut client = Raw::open(gateway.public, path);
    prepare(&mut client);
    gateway.wait_until_all_is_read();
    gateway.signal("TERM");
    then(&mut client);
    let lines = check_stopped(&mut gateway, 1, 0);
    assert_eq!(count(&lines, "draining", code), 1, "{what}: {lines:?}");
}

fn answer(client: &mut Raw) {
    assert_eq!(client.read_close().unwrap().close_code(), Some(1012));
    client.send_close(1012);
    assert_eq!(client.read_rest(), (vec![], true));
}

#[test]
fn however_a_client_behaves_it_ends_as_draining() {
    let half = |client: &mut Raw| {
        let frame = masked_frame(0x81, b"only the half of it");
        client.send(&frame[..frame.len() / 2]);
    };
    let finish_and_answer = |client: &mut Raw| {
        assert_eq!(client.read_close().unwrap().close_code(), Some(1012));
        let frame = masked_frame(0x81, b"only the half of it");
        client.send(&frame[frame.len() / 2..]);
        client.send_close(1012);
        assert_eq!(client.read_rest(), (vec![], true), "the message is not echoed any more");
    };
    let nothing = |_: &mut Raw| {};
    let fin = |client: &mut Raw| assert!(client.reads_fin());
    check("answers", endless(), ECHO, (nothing, answer), "1012");
    check("mid-frame, then answers", endless(), ECHO, (half, finish_and_answer), "1012");
    check("mid-frame for ever", hasty(), ECHO, (half, fin), "1006");
    check("never answers", hasty(), ECHO, (nothing, fin), "1006");
    let other_code = |client: &mut Raw| {
        client.read_close().unwrap();
        client.send_close(4000);
        assert!(client.reads_fin());
    };
    check("answers with another code", endless(), ECHO, (nothing, other_code), "1012");
}

#[test]
fn who_does_not_read_is_cut_off_behind_a_close_that_never_left() {
    let settings = hasty().set("limits.max_message_bytes=1048576").set("limits.write_wait=1h");
    let mut gateway = settings.start();
    let mut deaf = Raw::open(gateway.public, ECHO);
    let mut writer = Raw::from(deaf.stream.try_clone().unwrap());
    let writing = std::thread::spawn(move || {
        // Its own echoes fill its queue, until the gateway stops reading.
        while writer.try_send(&masked_frame(0x82, &vec![7; 1 << 20])) {}
    });
    gateway.wait_for_metric_above("send_queue_bytes", &[], 0.0);
    gateway.signal("TERM");
    let lines = check_stopped(&mut gateway, 1, 0);
    assert_eq!(count(&lines, "draining", "1006"), 1, "{lines:?}");
    assert!(lines[0]["queue_bytes"].as_u64().unwrap() > 0, "{lines:?}");
    let (frames, _) = deaf.read_rest();
    assert!(frames.iter().all(|frame| frame.opcode() == 2), "no Close fits behind half a frame");
    writing.join().unwrap();
}

#[test]
fn a_request_that_is_under_way_is_answered_and_half_of_one_is_counted() {
    // Who does not answer its Close keeps the gateway, so that it can be asked.
    let mut gateway = endless().set("server.handshake_timeout=1h").start();
    let mut stubborn = Raw::open(gateway.public, ECHO);
    let request = Opening::new(ECHO).bytes(gateway.public);
    let mut half = Raw::connect(gateway.public);
    half.send(&request[..40]);
    let mut silent = Raw::connect(gateway.public);
    let mut used = Raw::connect(gateway.public);
    used.send(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(used.read_answer().body, "pong");
    let mut late = Raw::connect(gateway.public);
    gateway.wait_until_all_is_read();
    // Nothing of this is looked at before the signal is.
    gateway.signal("STOP");
    late.send(&request);
    let mut later = Raw::connect(gateway.public);
    later.send(&request);
    gateway.signal("TERM");
    gateway.signal("CONT");
    let mut opened = vec![&mut stubborn];
    for client in [&mut late, &mut later] {
        let head = client.read_head();
        if head.starts_with("HTTP/1.1 101 ") {
            // It was looked at before the signal after all.
            opened.push(client);
        } else {
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        }
    }
    assert!(half.reads_fin() && silent.reads_fin() && used.reads_fin());
    let metrics = gateway.metrics();
    metrics.check_sums();
    assert_eq!(metrics.sum("connections_opened_total", &[]), opened.len() as f64);
    let refused = metrics.sum("handshakes_total", &[("outcome", "shutting_down")]);
    assert_eq!(
        opened.len() as f64 + refused,
        4.0,
        "the stubborn, the half, the late and the later one"
    );
    assert_eq!(metrics.sum("handshakes_total", &[]), 4.0);
    gateway.signal("TERM");
    for client in &mut opened {
        let code = client.read_close().unwrap().close_code();
        assert!(matches!(code, Some(1001 | 1012)), "{code:?}");
    }
    check_stopped(&mut gateway, opened.len(), opened.len());
}

/// The gateway stands still while its time runs out: whoever was told nothing gets 1001.
#[test]
fn a_gateway_that_stood_still_during_its_drain_ends_when_it_goes_on() {
    let drain_timeout = Duration::from_secs(1);
    let mut gateway = Settings::new()
        .set("limits.close_wait=1h")
        .set(&format!("server.drain_timeout={}s", drain_timeout.as_secs()))
        .start();
    let mut clients: Vec<_> = (0..50).map(|_| Raw::open(gateway.public, BROADCAST)).collect();
    let began = Instant::now();
    gateway.signal("TERM");
    wait_for("the first Close", || (told(&gateway) > 0.0).then_some(()));
    gateway.signal("STOP");
    wait_for("the end of the drain's time", || (began.elapsed() > drain_timeout).then_some(()));
    gateway.signal("CONT");
    let codes: Vec<_> = clients
        .iter_mut()
        .map(|client| client.read_close().unwrap().close_code().unwrap())
        .collect();
    assert!(codes.iter().all(|code| [1001, 1012].contains(code)), "{codes:?}");
    let lines = check_stopped(&mut gateway, 50, 50);
    for (cause, code) in [("draining", 1012), ("shutdown", 1001)] {
        let seen = codes.iter().filter(|seen| **seen == code).count();
        assert_eq!(count(&lines, cause, "1006"), seen, "{cause}");
    }
}

fn told(gateway: &Gateway) -> f64 {
    gateway.metrics().sum("messages_total", &[("direction", "out"), ("opcode", "close")])
}

#[test]
fn whoever_opens_while_the_signal_comes_is_told_as_well() {
    let mut gateway = endless().start();
    let stubborn = Raw::open(gateway.public, ECHO);
    let address = gateway.public;
    let opening = std::thread::spawn(move || {
        let mut outcomes = [0_u32; 2];
        // Until nobody listens any more.
        while let Ok(stream) = std::net::TcpStream::connect(address) {
            let mut client = Raw::from(stream);
            if !client.try_send(&Opening::new(ECHO).bytes(address)) {
                break;
            }
            let mut head = [0; 12];
            if std::io::Read::read_exact(&mut client.stream, &mut head).is_err() {
                break;
            }
            match &head {
                b"HTTP/1.1 101" => outcomes[0] += 1,
                b"HTTP/1.1 503" => outcomes[1] += 1,
                other => panic!("{}", String::from_utf8_lossy(other)),
            }
        }
        outcomes
    });
    gateway.wait_for_metric_above("connections_opened_total", &[], 50.0);
    gateway.signal("TERM");
    let [opened, refused] = opening.join().unwrap().map(f64::from);
    let metrics = wait_for("all to be counted", || {
        let metrics = gateway.metrics();
        (metrics.sum("connections_opened_total", &[]) == opened + 1.0).then_some(metrics)
    });
    assert_eq!(metrics.sum("handshakes_total", &[("outcome", "shutting_down")]), refused);
    wait_for("the others to have left", || {
        (gateway.metrics().sum("connections", &[]) == 1.0).then_some(())
    });
    drop(stubborn);
    check_stopped(&mut gateway, opened as usize + 1, 0);
}
