//! The first thing that ended a connection decides, whatever errors follow from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::super::support::{Ends, Gateway, Raw, Settings};
use super::BROADCAST;

/// A client that broadcasts as fast as it gets its own messages back, until it is stopped.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Raw>,
}

impl Flood {
    fn start(gateway: &Gateway) -> Self {
        let mut client = Raw::open(gateway.public, BROADCAST);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..8 {
                    client.send_frame(2, &[1; 4000]);
                }
                for _ in 0..8 {
                    assert_eq!(client.read_frame().unwrap().payload.len(), 4000);
                }
            }
            client
        });
        Self { stop, thread }
    }

    fn stop(self) -> Raw {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Ends 200 connections by `act` while broadcasts are written to them.
#[track_caller]
fn check(what: &str, act: impl Fn(Raw), expected: [&str; 3]) {
    const CONNECTIONS: usize = 200;
    let mut ends = Ends::of(Settings::new().set("server.shards=1").start());
    let flood = Flood::start(&ends.gateway);
    for _ in 0..CONNECTIONS {
        let mut client = Raw::open(ends.gateway.public, BROADCAST);
        assert!(client.read_frame().is_some(), "broadcasts arrive");
        act(client);
    }
    let lines: Vec<_> = (0..CONNECTIONS).map(|_| ends.next_line(what)).collect();
    for (index, line) in lines.iter().enumerate() {
        let said = ["initiator", "cause", "code"].map(|field| line[field].as_str().unwrap());
        assert_eq!(said, expected, "{what}, number {index}: {line}");
    }
    ends.check_counts(what);
    drop(flood.stop());
    ends.expect("the flood", ["peer", "peer_eof", "1006"]);
}

#[test]
fn a_close_and_a_reset_at_once_under_broadcasts_is_a_close() {
    let close_and_reset = |mut client: Raw| {
        client.send_close(4001);
        client.reset();
    };
    check("Close, RST", close_and_reset, ["client", "client_close", "4001"]);
}

#[test]
fn a_reset_under_broadcasts_is_a_reset() {
    check("RST", Raw::reset, ["peer", "peer_reset", "1006"]);
}
