//! The main causes, each on both ways.

use super::super::support::{Raw, Settings, masked_frame};
use super::{BROADCAST, ECHO, Stand, open};

/// Ends a connection on each way by `act`; the gateway says `expected`.
#[track_caller]
fn check(stand: &mut Stand, what: &str, act: impl Fn(Raw), expected: [&str; 3]) {
    for (way, address) in stand.ways() {
        act(open(address, ECHO));
        stand.ends.expect(&format!("{what}, {way}"), expected);
    }
}

/// The gateway's Close arrives as it left, and FIN behind it.
#[track_caller]
fn gets_close(client: &mut Raw, code: u16) {
    let close = client.read_close().unwrap_or_else(|| panic!("{code} was lost"));
    assert_eq!(close.close_code(), Some(code));
    client.send_close(code);
    assert_eq!(client.read_rest(), (vec![], true), "{code}: FIN, nothing before it");
}

#[test]
fn every_end_is_told_as_without_nginx() {
    let settings = Settings::new().set("limits.max_message_bytes=1000");
    let mut stand = Stand::start(settings, |nginx| nginx);
    let closes = |code: u16| {
        move |mut client: Raw| {
            client.send_close(code);
            assert_eq!(client.read_close().unwrap().close_code(), Some(code));
            assert_eq!(client.read_rest(), (vec![], true));
        }
    };
    check(&mut stand, "1000", closes(1000), ["client", "client_close", "1000"]);
    check(&mut stand, "4321", closes(4321), ["client", "client_close", "4xxx"]);
    let closes_empty = |mut client: Raw| {
        client.send_frame(8, b"");
        assert!(client.read_close().unwrap().payload.is_empty());
    };
    check(&mut stand, "no code", closes_empty, ["client", "client_close", "1005"]);
    let wrong = |bytes: Vec<u8>, code| {
        move |mut client: Raw| {
            client.send(&bytes);
            gets_close(&mut client, code);
        }
    };
    let unmasked = wrong(super::super::support::frame(0x81, b"hello"), 1002);
    check(&mut stand, "no mask", unmasked, ["gateway", "protocol_error", "1002"]);
    let not_text = wrong(masked_frame(0x81, b"\xff"), 1007);
    check(&mut stand, "bad text", not_text, ["gateway", "invalid_utf8", "1007"]);
    let too_big = wrong(masked_frame(0x82, &[0; 1001]), 1009);
    check(&mut stand, "too big", too_big, ["gateway", "message_too_big", "1009"]);
    check(&mut stand, "FIN", drop, ["peer", "peer_eof", "1006"]);
    let half = |mut client: Raw| client.send(&masked_frame(0x81, b"hello")[..8]);
    check(&mut stand, "half a frame", half, ["peer", "peer_eof_in_frame", "1006"]);
    // nginx makes a FIN of the client's RST: the two are not separable behind it.
    check(&mut stand, "RST", Raw::reset, ["peer", "peer_eof", "1006"]);
}

#[test]
fn a_silent_client_gets_its_1011() {
    let quick =
        || Settings::new().set("heartbeat.ping_interval=50ms").set("heartbeat.pong_wait=200ms");
    let mut stand = Stand::start(quick(), |nginx| nginx);
    let answers = |mut client: Raw| gets_close(&mut client, 1011);
    check(&mut stand, "answered", answers, ["gateway", "pong_timeout", "1011"]);
    let mut stand = Stand::start(quick().set("limits.close_wait=50ms"), |nginx| nginx);
    let is_mute = |mut client: Raw| {
        assert_eq!(client.read_close().unwrap().close_code(), Some(1011));
        assert_eq!(client.read_rest(), (vec![], true));
    };
    check(&mut stand, "unanswered", is_mute, ["gateway", "pong_timeout", "1006"]);
}

#[test]
fn a_shutdown_reaches_everybody_with_1001() {
    let mut stand = Stand::start(Settings::new(), |nginx| nginx);
    let mut clients: Vec<_> =
        (0..10).flat_map(|_| stand.ways()).map(|(_, address)| open(address, ECHO)).collect();
    stand.ends.gateway.signal("INT");
    for client in &mut clients {
        gets_close(client, 1001);
    }
    assert_eq!(stand.ends.gateway.wait_for_exit(), Some(0));
    for _ in clients {
        let line = stand.ends.next_line("shutdown");
        assert_eq!((&line["cause"], &line["code"]), (&"shutdown".into(), &"1001".into()), "{line}");
    }
}

#[test]
fn a_client_that_never_reads_ends_by_a_policy_of_the_gateway() {
    let settings = Settings::new().set("limits.close_wait=100ms");
    let mut stand = Stand::start(settings, |nginx| nginx);
    for (way, address) in stand.ways() {
        let slow = open(address, BROADCAST);
        let mut sender = Raw::open(stand.ends.gateway.public, BROADCAST);
        let ended = || stand.ends.gateway.metrics().sum("disconnects_total", &[("code", "1006")]);
        let before = ended();
        // Two kernels and nginx take several megabytes before the gateway feels anything.
        while ended() == before {
            for _ in 0..20 {
                sender.send_frame(2, &vec![1; 60_000]);
                assert!(sender.read_frame().is_some());
            }
        }
        stand.ends.expect(way, ["gateway", "queue_overflow", "1006"]);
        drop(slow);
        sender.send_close(1000);
        stand.ends.expect("the sender", ["client", "client_close", "1000"]);
    }
}

#[test]
fn a_reset_under_broadcasts_is_never_taken_for_the_gateways_doing() {
    let mut stand = Stand::start(Settings::new(), |nginx| nginx);
    let mut sender = Raw::open(stand.ends.gateway.public, BROADCAST);
    for (way, address) in stand.ways().into_iter().cycle().take(20) {
        let mut client = open(address, BROADCAST);
        client.echo(1, b"I am in");
        assert!(sender.read_frame().is_some());
        for _ in 0..5 {
            sender.send_frame(2, &vec![2; 30_000]);
        }
        assert!(client.read_frame().is_some());
        client.reset();
        for _ in 0..5 {
            assert!(sender.read_frame().is_some());
        }
        let line = stand.ends.next_line(way);
        let cause = line["cause"].as_str().unwrap();
        assert!(matches!(cause, "peer_eof" | "peer_reset"), "{line}");
        assert_eq!(line["code"], "1006", "{line}");
    }
    stand.ends.check_counts("resets");
}
