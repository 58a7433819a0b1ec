//! The path to the client is gone: only the kernel can tell, after its last retransmission.

use std::process::Command;

use super::super::support::{Ends, Raw, Settings, in_namespace};
use super::ECHO;

const TEST: &str = "causes::network::a_path_that_is_gone_is_a_network_error";

/// In a namespace of its own, where the loopback interface may be taken down.
#[test]
fn a_path_that_is_gone_is_a_network_error() {
    in_namespace(TEST, inside);
}

fn inside() {
    // The kernel gives up after the first retransmission instead of a quarter of an hour.
    std::fs::write("/proc/sys/net/ipv4/tcp_retries2", "1").unwrap();
    let settings =
        Settings::new().set("heartbeat.ping_interval=100ms").set("heartbeat.pong_wait=1h");
    let mut ends = Ends::of(settings.start());
    let mut client = Raw::open(ends.gateway.public, ECHO);
    assert_eq!(client.read_frame().unwrap().opcode(), 9);
    let lo = |state| {
        let set = Command::new("ip").args(["link", "set", "lo", state]).status().unwrap();
        assert!(set.success());
    };
    lo("down");
    let line = ends.next_line("a lost path");
    lo("up");
    let said = ["initiator", "cause", "code"].map(|field| line[field].as_str().unwrap());
    assert_eq!(said, ["peer", "network_error", "1006"], "{line}");
    let error = line["socket_error"].as_str().unwrap();
    assert!(error.contains("timed out") || error.contains("unreachable"), "{line}");
    ends.check_counts("a lost path");
}
