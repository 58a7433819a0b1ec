//! Clients that do not read: the queue overflows or the write deadline passes; nobody else suffers.

use super::super::support::{Ends, Gateway, Raw, Settings, masked_frame};
use super::{BROADCAST, ECHO};

const MESSAGE_BYTES: usize = 60_000;

/// Sends broadcasts, one at a time, each of which comes back, until `enough`.
#[track_caller]
fn broadcast_until(sender: &mut Raw, mut enough: impl FnMut() -> bool) -> usize {
    let mut sent = 0;
    while !enough() {
        sender.send_frame(2, &vec![4; MESSAGE_BYTES]);
        let back = sender.read_frame().expect("the sender gets its own message");
        assert_eq!(back.payload.len(), MESSAGE_BYTES, "the others go on undisturbed");
        sent += 1;
        assert!(sent < 5_000, "300 MB found room somewhere");
    }
    sent
}

fn is_backlogged(gateway: &Gateway) -> bool {
    gateway.metrics().sum("backlogged_connections", &[]) > 0.0
}

fn closed(gateway: &Gateway) -> bool {
    !gateway.log("connection closed").is_empty()
}

#[test]
fn a_queue_of_publications_that_overflows_ends_in_1008() {
    for (limit, answered) in [
        ("send_queue_bytes=262144", true),
        ("send_queue_messages=4", true),
        ("send_queue_messages=4", false),
    ] {
        let settings = Settings::new().set(&format!("limits.{limit}"));
        let settings = if answered { settings } else { settings.set("limits.close_wait=100ms") };
        let mut ends = Ends::of(settings.start());
        let mut slow = Raw::open(ends.gateway.public, BROADCAST);
        let mut sender = Raw::open(ends.gateway.public, BROADCAST);
        let gateway = &ends.gateway;
        let mut sent = broadcast_until(&mut sender, || is_backlogged(gateway));
        // Five more than fit, then no more: the queue is full whatever the scrape saw.
        let mut more = 0;
        sent += broadcast_until(&mut sender, || {
            more += 1;
            more > 6
        });
        if answered {
            let mut messages = 0;
            let close = loop {
                let frame = slow.read_frame().expect("messages, then the Close");
                if frame.opcode() == 8 {
                    break frame;
                }
                assert_eq!(frame.payload.len(), MESSAGE_BYTES, "whole frames only");
                messages += 1;
            };
            assert_eq!(close.close_code(), Some(1008));
            assert_eq!(&close.payload[2..], b"send queue overflow");
            assert!(messages < sent, "what was not begun was dropped");
            slow.send_close(1008);
            assert_eq!(slow.read_rest(), (vec![], true));
        }
        let code = if answered { "1008" } else { "1006" };
        let line = ends.expect(limit, ["gateway", "queue_overflow", code]);
        assert_eq!(line["sent_code"], 1008, "{line}");
        assert!(line["queue_bytes"].as_u64().unwrap() >= MESSAGE_BYTES as u64, "{line}");
        sender.send_close(1000);
        ends.expect("the sender", ["client", "client_close", "1000"]);
        // The gauge is written at the next tick.
        ends.gateway.wait_for_metric("send_queue_bytes", &[], 0.0);
    }
}

#[test]
fn a_client_that_never_reads_ends_by_the_write_deadline() {
    let settings = Settings::new()
        .set("limits.write_wait=500ms")
        .set("limits.send_queue_bytes=1000000000")
        .set("limits.send_queue_messages=1000000");
    let mut ends = Ends::of(settings.start());
    let mut slow = Raw::open(ends.gateway.public, BROADCAST);
    let mut sender = Raw::open(ends.gateway.public, BROADCAST);
    let gateway = &ends.gateway;
    broadcast_until(&mut sender, || is_backlogged(gateway) || closed(gateway));
    let line = ends.expect("a client that never reads", ["gateway", "write_timeout", "1006"]);
    assert!(line["sent_code"].is_null(), "no Close fits behind half a frame: {line}");
    assert!(line["queue_bytes"].as_u64().unwrap() > 0, "{line}");
    let (frames, fin) = slow.read_rest();
    assert!(!fin, "RST");
    assert!(frames.iter().all(|frame| frame.opcode() == 2));
    sender.send_close(1000);
    ends.expect("the sender", ["client", "client_close", "1000"]);
}

#[test]
fn an_echo_that_is_not_read_pauses_reading_and_then_ends_by_the_write_deadline() {
    let settings =
        Settings::new().set("limits.write_wait=500ms").set("limits.send_queue_bytes=262144");
    let mut ends = Ends::of(settings.start());
    let mut client = Raw::open(ends.gateway.public, ECHO);
    let message = masked_frame(0x82, &vec![6; MESSAGE_BYTES]);
    let sent = (0..5_000).take_while(|_| client.try_send(&message)).count();
    assert!(sent < 5_000, "300 MB found room somewhere");
    let line = ends.expect("a client that never reads", ["gateway", "write_timeout", "1006"]);
    let (read, handed) = (&line["messages_in"], line["messages_out"].as_u64().unwrap());
    assert_eq!(read.as_u64().unwrap(), handed, "{line}");
    assert!((handed as usize) <= sent, "{line}");
}

#[test]
fn an_echo_never_overflows() {
    let settings =
        Settings::new().set("limits.send_queue_bytes=1024").set("limits.send_queue_messages=1");
    let mut ends = Ends::of(settings.start());
    let mut client = Raw::open(ends.gateway.public, ECHO);
    let mut writer = Raw::from(client.stream.try_clone().unwrap());
    let writing = std::thread::spawn(move || {
        for _ in 0..300 {
            writer.send_frame(2, &vec![6; MESSAGE_BYTES]);
        }
    });
    ends.gateway.wait_for_metric("backlogged_connections", &[], 1.0);
    for _ in 0..300 {
        assert_eq!(client.read_frame().unwrap().payload.len(), MESSAGE_BYTES);
    }
    writing.join().unwrap();
    client.send_close(1000);
    ends.expect("a client that reads in the end", ["client", "client_close", "1000"]);
}
