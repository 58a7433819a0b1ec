//! Pings, pongs, what counts as a sign of life, and stalls of the gateway itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::support::{Ends, Gateway, Raw, Settings, masked_frame, wait_for};

const PATH: &str = "/ws-notifications";
const PONG_TIMEOUT: &str = "pong_timeout";

/// Pings every 50 ms; a second of silence, which no healthy client needs, is the end.
fn quick() -> Settings {
    Settings::new()
        .set("server.shards=1")
        .set("heartbeat.ping_interval=50ms")
        .set("heartbeat.pong_wait=1s")
}

/// The payload of the next ping; other frames must not come.
#[track_caller]
fn next_ping(client: &mut Raw) -> Vec<u8> {
    let frame = client.read_frame().expect("a ping");
    assert_eq!(frame.opcode(), 9, "{frame:?}");
    frame.payload
}

/// Waits until the gateway's own clock has ticked so often, 25 ms each.
#[track_caller]
fn wait_for_ticks(gateway: &Gateway, ticks: f64) {
    let count = || gateway.metrics().sum("tick_lag_seconds_count", &[]);
    let until = count() + ticks;
    wait_for("ticks", || (count() >= until).then_some(()));
}

#[test]
fn a_silent_client_is_given_up_with_1011() {
    for answered in [true, false] {
        let settings = if answered { quick() } else { quick().set("limits.close_wait=50ms") };
        let mut ends = Ends::of(settings.start());
        let mut client = Raw::open(ends.gateway.public, PATH);
        let close = client.read_close().unwrap();
        assert_eq!(close.close_code(), Some(1011));
        if answered {
            client.send_close(1011);
        }
        assert_eq!(client.read_rest(), (vec![], true), "nothing after our Close, then FIN");
        let code = if answered { "1011" } else { "1006" };
        let line = ends.expect("silence", ["gateway", PONG_TIMEOUT, code]);
        assert_eq!(line["sent_code"], 1011, "{line}");
        assert_eq!(line["pongs_received"], 0, "{line}");
        let pings = line["pings_sent"].as_u64().unwrap();
        assert!(pings >= 2, "{line}");
        let metrics = ends.gateway.metrics();
        assert_eq!(metrics.sum("ping_rtt_seconds_count", &[]), 0.0);
        assert_eq!(metrics.sum("pings_sent_total", &[]), pings as f64);
        let counted = metrics.sum("messages_total", &[("direction", "out"), ("opcode", "ping")]);
        assert_eq!(counted, pings as f64);
    }
}

#[test]
fn a_client_that_answers_is_pinged_on_and_on() {
    let mut ends = Ends::of(quick().start());
    let mut client = Raw::open(ends.gateway.public, PATH);
    let mut payloads = std::collections::HashSet::new();
    for _ in 0..20 {
        let payload = next_ping(&mut client);
        client.send_frame(10, &payload);
        assert_eq!(payload.len(), 8);
        assert!(payloads.insert(payload), "each ping has a token of its own");
    }
    let matched = [("kind", "matched")];
    let metrics = ends.gateway.wait_for_metric("pongs_received_total", &matched, 20.0);
    assert_eq!(metrics.sum("ping_rtt_seconds_count", &[("endpoint", PATH)]), 20.0);
    assert_eq!(metrics.sum("pongs_received_total", &[]), 20.0);
    client.send_close(1000);
    let line = ends.expect("a healthy client", ["client", "client_close", "1000"]);
    assert!(line["pongs_received"].as_u64().unwrap() >= 20, "{line}");
    assert!(line["last_rtt_seconds"].as_f64().unwrap() > 0.0, "{line}");
}

#[test]
fn only_the_matching_pong_gives_a_round_trip_time() {
    let long = Settings::new().set("heartbeat.ping_interval=500ms");
    let mut ends = Ends::of(long.start());
    let mut client = Raw::open(ends.gateway.public, PATH);
    client.send_frame(10, b"before any ping");
    let ping = next_ping(&mut client);
    client.send_frame(10, b"");
    client.send_frame(10, b"12345678");
    client.send_frame(10, &ping[..7]);
    client.send_frame(10, &[&ping[..], b"x"].concat());
    let expect = |unsolicited: f64, matched: f64| {
        let kinds = [("unsolicited", unsolicited), ("matched", matched), ("late", 0.0)];
        for (kind, count) in kinds {
            ends.gateway.wait_for_metric("pongs_received_total", &[("kind", kind)], count);
        }
        let metrics = ends.gateway.metrics();
        assert_eq!(metrics.sum("ping_rtt_seconds_count", &[]), matched);
        assert_eq!(metrics.sum("late_pongs_total", &[]), 0.0);
    };
    expect(5.0, 0.0);
    client.send_frame(10, &ping);
    expect(5.0, 1.0);
    client.send_frame(10, &ping);
    expect(6.0, 1.0);
    // A pong for the newest answers the older ones too; they come too late afterwards.
    let (older, newest) = (next_ping(&mut client), next_ping(&mut client));
    client.send_frame(10, &newest);
    expect(6.0, 2.0);
    client.send_frame(10, &older);
    expect(7.0, 2.0);
    client.send_close(1000);
    let line = ends.expect("pongs of all kinds", ["client", "client_close", "1000"]);
    assert_eq!(line["pongs_received"], 2, "{line}");
}

#[test]
fn a_pong_after_the_verdict_is_late_and_gives_no_round_trip_time() {
    let mut ends = Ends::of(quick().start());
    let mut client = Raw::open(ends.gateway.public, PATH);
    let mut ping = next_ping(&mut client);
    let close = loop {
        match client.read_frame().unwrap() {
            frame if frame.opcode() == 9 => ping = frame.payload,
            frame => break frame,
        }
    };
    assert_eq!(close.close_code(), Some(1011));
    client.send_frame(10, &ping);
    let late = [("kind", "late")];
    let metrics = ends.gateway.wait_for_metric("pongs_received_total", &late, 1.0);
    assert_eq!(metrics.sum("late_pongs_total", &[]), 1.0);
    assert_eq!(metrics.sum("ping_rtt_seconds_count", &[]), 0.0);
    client.send_close(1011);
    ends.expect("a late pong", ["gateway", PONG_TIMEOUT, "1011"]);
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut ends = Ends::of(quick().start());
    let mut client = Raw::open(ends.gateway.public, PATH);
    // No pong, but one byte of a long message after each ping.
    let mut message = masked_frame(0x82, &[3; 100]).into_iter();
    for _ in 0..40 {
        next_ping(&mut client);
        client.send(&[message.next().unwrap()]);
    }
    client.send(&message.collect::<Vec<_>>());
    let echo = std::iter::from_fn(|| client.read_frame()).find(|frame| frame.opcode() != 9);
    assert_eq!(echo.unwrap().payload, [3; 100]);
    client.send_close(1000);
    ends.expect("a slow sender", ["client", "client_close", "1000"]);
}

#[test]
fn a_ping_is_answered_with_its_own_payload() {
    let mut ends = Ends::of(Gateway::start());
    let mut client = Raw::open(ends.gateway.public, PATH);
    let payloads: [&[u8]; 4] = [b"", b"\xff\x00", b"hello", &[7; 125]];
    for payload in payloads {
        client.send_frame(9, payload);
        let pong = client.read_frame().unwrap();
        assert_eq!((pong.first_byte, pong.payload.as_slice()), (0x8a, payload));
    }
    client.send_close(1000);
    ends.expect("pings", ["client", "client_close", "1000"]);
    let metrics = ends.gateway.metrics();
    for (direction, opcode) in [("in", "ping"), ("out", "pong")] {
        let labels = [("direction", direction), ("opcode", opcode)];
        assert_eq!(metrics.sum("messages_total", &labels), 4.0);
    }
    assert_eq!(metrics.sum("pongs_received_total", &[]), 0.0, "pongs of ours are not received");
}

#[test]
fn a_flood_of_pings_stays_within_the_queue() {
    const LIMIT_BYTES: f64 = 131_072.0;
    let settings = Settings::new().set(&format!("limits.send_queue_bytes={LIMIT_BYTES}"));
    let mut ends = Ends::of(settings.start());
    let mut client = Raw::open(ends.gateway.public, PATH);
    let last = masked_frame(0x89, b"the last ping");
    let pings = masked_frame(0x89, &[1; 125]).repeat(200_000);
    let mut writer = Raw::from(client.stream.try_clone().unwrap());
    let writing = std::thread::spawn(move || {
        writer.send(&pings);
        writer.send(&last);
    });
    // Nobody reads the pongs: the gateway stops reading the pings.
    ends.gateway.wait_for_metric("backlogged_connections", &[], 1.0);
    wait_for_ticks(&ends.gateway, 20.0);
    let queued = ends.gateway.metrics().sum("send_queue_max_bytes", &[]);
    assert!(0.0 < queued && queued <= 1.5 * LIMIT_BYTES, "{queued} bytes wait");
    let last_pong = std::iter::from_fn(|| client.read_frame())
        .inspect(|frame| assert_eq!(frame.opcode(), 10))
        .find(|frame| frame.payload == b"the last ping");
    assert!(last_pong.is_some(), "the newest ping is answered");
    writing.join().unwrap();
    client.send_close(1000);
    ends.expect("a flood", ["client", "client_close", "1000"]);
}

#[test]
fn a_paused_reader_is_not_taken_for_dead() {
    const MESSAGES: usize = 300;
    let settings = quick().set("limits.send_queue_bytes=65536");
    let mut ends = Ends::of(settings.start());
    let mut client = Raw::open(ends.gateway.public, PATH);
    let message = masked_frame(0x82, &vec![5; 65_536]);
    let mut writer = Raw::from(client.stream.try_clone().unwrap());
    let (answer, pings) = std::sync::mpsc::channel::<Vec<u8>>();
    let writing = std::thread::spawn(move || {
        for _ in 0..MESSAGES {
            writer.send(&message);
            for ping in pings.try_iter() {
                writer.send_frame(10, &ping);
            }
        }
        for ping in &pings {
            writer.send_frame(10, &ping);
        }
    });
    // Its echoes fill the socket and then the queue; reading pauses, for longer than the pong wait.
    ends.gateway.wait_for_metric("backlogged_connections", &[], 1.0);
    wait_for_ticks(&ends.gateway, 60.0);
    assert_eq!(ends.gateway.metrics().sum("disconnects_total", &[]), 0.0);
    let mut echoes = 0;
    while echoes < MESSAGES {
        let frame = client.read_frame().expect("an echo or a ping");
        match frame.opcode() {
            2 => echoes += 1,
            9 => answer.send(frame.payload).unwrap(),
            other => panic!("opcode {other} after {echoes} echoes"),
        }
    }
    drop(answer);
    writing.join().unwrap();
    client.send_close(1000);
    ends.expect("a paused reader", ["client", "client_close", "1000"]);
}

/// Clients on threads of their own that answer every ping until their connection ends.
fn healthy_clients(gateway: &Gateway, count: usize) -> Vec<std::thread::JoinHandle<Option<u16>>> {
    let clients = (0..count).map(|_| Raw::open(gateway.public, PATH));
    let threads = clients.map(|mut client| {
        std::thread::spawn(move || {
            while let Some(frame) = client.read_frame() {
                match frame.opcode() {
                    // The gateway may be gone by now.
                    9 => _ = client.try_send(&masked_frame(0x8a, &frame.payload)),
                    _ => return frame.close_code(),
                }
            }
            None
        })
    });
    threads.collect()
}

#[test]
fn a_gateway_that_was_stopped_for_7_seconds_kills_no_healthy_client() {
    let settings = Settings::new()
        .set("heartbeat.ping_interval=200ms")
        .set("heartbeat.pong_wait=1s")
        .set("limits.write_wait=1s");
    let gateway = settings.start();
    let clients = healthy_clients(&gateway, 50);
    let matched = [("kind", "matched")];
    let answered = |more_than: f64| {
        wait_for("matched pongs", || {
            let count = gateway.metrics().sum("pongs_received_total", &matched);
            (count > more_than).then_some(count)
        })
    };
    answered(100.0);
    gateway.signal("STOP");
    // The stall itself is what is tested: seven times the pong wait.
    std::thread::sleep(std::time::Duration::from_secs(7));
    gateway.signal("CONT");
    // Another ten rounds of pings, which is two pong waits.
    let before = answered(0.0);
    answered(before + 500.0);
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("disconnects_total", &[]), 0.0, "nobody was given up");
    assert_eq!(metrics.sum("connections", &[]), 50.0);
    let lag_seconds = metrics.sum("tick_lag_seconds_sum", &[]);
    assert!(lag_seconds > 6.0, "the stall shows: {lag_seconds} s");
    assert!(!gateway.log("the gateway stalled").is_empty(), "and is logged");
    drop(gateway);
    assert!(clients.into_iter().all(|client| client.join().unwrap().is_none()));
}

#[test]
fn a_client_that_hangs_right_after_a_stall_is_found_as_soon_as_any_other() {
    let settings = quick().set("heartbeat.pong_wait=500ms").set("limits.close_wait=50ms");
    let mut ends = Ends::of(settings.start());
    // The shard is at work when it is stopped: it does not go on with a look at its timers.
    let mut busy = Raw::open(ends.gateway.public, PATH);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let working = std::thread::spawn(move || {
        let messages = masked_frame(0x82, &[8; 4000]).repeat(16);
        while !stopped.load(Ordering::Relaxed) {
            busy.send(&messages);
            let echoes = std::iter::from_fn(|| busy.read_frame()).filter(|it| it.opcode() == 2);
            assert_eq!(echoes.take(16).count(), 16);
        }
    });
    let mut clients: Vec<_> = (0..20).map(|_| Raw::open(ends.gateway.public, PATH)).collect();
    let pings: Vec<_> = clients.iter_mut().map(next_ping).collect();
    ends.gateway.signal("STOP");
    for (client, ping) in clients.iter_mut().zip(&pings) {
        client.send_frame(10, ping);
    }
    // The stall itself is what is tested: four times the pong wait.
    std::thread::sleep(std::time::Duration::from_secs(2));
    ends.gateway.signal("CONT");
    for client in clients {
        let line = ends.next_line("a hung client");
        assert_eq!(line["cause"], PONG_TIMEOUT, "{line}");
        // About 12 are sent in 500 ms, and 40 more where the stall counts as attended.
        let pings = line["pings_sent"].as_u64().unwrap();
        assert!(pings < 25, "{pings} pings went unanswered before it was given up");
        drop(client);
    }
    ends.check_counts("hung clients");
    stop.store(true, Ordering::Relaxed);
    working.join().unwrap();
    ends.expect("the busy client", ["peer", "peer_eof", "1006"]);
}
