//! Messages over `max_message_bytes`, plain and compressed.

use super::super::support::{Ends, Opening, Raw, Settings, masked_frame};
use super::{ECHO, deflated, hasty};

const MAX: usize = 1000;

fn small(settings: Settings) -> Ends {
    Ends::of(settings.set(&format!("limits.max_message_bytes={MAX}")).start())
}

#[test]
fn a_message_of_the_limit_passes_and_one_byte_more_does_not() {
    let mut ends = small(Settings::new());
    let mut client = Raw::open(ends.gateway.public, ECHO);
    client.echo(2, &[5; MAX]);
    client.send_frame(2, &[5; MAX + 1]);
    let close = client.read_frame().unwrap();
    assert_eq!(close.close_code(), Some(1009));
    assert_eq!(&close.payload[2..], b"message of 1001 bytes exceeds the limit of 1000 bytes");
    client.send_close(1009);
    assert_eq!(client.read_rest(), (vec![], true));
    let line = ends.expect("one byte more", ["gateway", "message_too_big", "1009"]);
    assert_eq!(line["messages_in"], 1, "{line}");
}

#[test]
fn a_message_is_refused_by_its_header_alone() {
    let mut ends = small(hasty());
    let huge = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for (what, header) in [("1001", &[0x82, 0xfe, 3, 233][..]), ("2^63 − 1", &huge)] {
        let mut client = Raw::open(ends.gateway.public, ECHO);
        client.send(header);
        assert_eq!(client.read_frame().unwrap().close_code(), Some(1009), "{what}");
        assert_eq!(client.read_rest(), (vec![], true), "{what}");
        ends.expect(what, ["gateway", "message_too_big", "1006"]);
    }
}

#[test]
fn fragments_are_added_up() {
    let mut ends = small(hasty());
    let mut client = Raw::open(ends.gateway.public, ECHO);
    client.send(&masked_frame(0x02, &[1; 600]));
    client.send(&masked_frame(0x89, b"control frames do not count"));
    assert_eq!(client.read_frame().unwrap().opcode(), 10);
    client.send(&masked_frame(0x00, &[2; 400]));
    // An empty last fragment is within the limit: the message is echoed whole.
    client.send(&masked_frame(0x80, b""));
    assert_eq!(client.read_frame().unwrap().payload.len(), MAX);
    client.send(&masked_frame(0x02, &[1; 600]));
    client.send(&masked_frame(0x00, &[2; 401])[..4]);
    assert_eq!(client.read_frame().unwrap().close_code(), Some(1009));
    ends.expect("600 + 401", ["gateway", "message_too_big", "1006"]);
}

#[test]
fn a_bomb_ends_in_1009_before_it_is_inflated() {
    let mut ends = small(Settings::new());
    let mut check = |payload: &[u8], opcode: u8| {
        let mut client = Opening::new(ECHO).deflate().open(ends.gateway.public);
        client.send(&masked_frame(0xc0 | opcode, payload));
        let close = client.read_frame().unwrap();
        assert_eq!(close.close_code(), Some(1009));
        assert_eq!(&close.payload[2..], b"message inflates to more than the limit of 1000 bytes");
        client.send_close(1009);
        assert_eq!(client.read_rest(), (vec![], true));
        ends.expect("a bomb", ["gateway", "inflated_too_big", "1009"]);
    };
    check(&deflated(&[b'x'; MAX + 1]), 1);
    check(&deflated(&vec![0; 600_000]), 2);
}

#[test]
fn bombs_cost_no_memory() {
    let ends = Ends::of(Settings::new().set("limits.max_message_bytes=1048576").start());
    let bomb = masked_frame(0xc2, &deflated(&vec![0; 64 << 20]));
    let before = ends.gateway.metrics().sum("process_resident_memory_bytes", &[]);
    let mut clients: Vec<_> =
        (0..8).map(|_| Opening::new(ECHO).deflate().open(ends.gateway.public)).collect();
    for client in &mut clients {
        client.send(&bomb);
    }
    for client in &mut clients {
        assert_eq!(client.read_close().unwrap().close_code(), Some(1009));
    }
    let labels = [("cause", "inflated_too_big")];
    drop(clients);
    let metrics = ends.gateway.wait_for_metric("disconnects_total", &labels, 8.0);
    let after = metrics.sum("process_resident_memory_bytes", &[]);
    assert!(after - before < 32e6, "{before} bytes became {after}");
}

#[test]
fn a_compressed_message_within_the_limit_passes() {
    let mut ends = small(Settings::new());
    let mut client = Opening::new(ECHO).deflate().open(ends.gateway.public);
    client.send(&masked_frame(0xc1, &deflated(&[b'x'; MAX])));
    let back = client.read_frame().unwrap();
    assert_eq!(back.first_byte, 0xc1, "compressed");
    assert!(back.payload.len() < 60, "{back:?}");
    client.send_close(1000);
    let line = ends.expect("within the limit", ["client", "client_close", "1000"]);
    assert_eq!(line["payload_bytes_in"], MAX, "{line}");
    assert!(line["wire_bytes_in"].as_u64().unwrap() < 60, "{line}");
}
