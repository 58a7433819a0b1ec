//! The socket ends without a Close frame: FIN, FIN inside a frame, RST.

use super::super::support::{Ends, Gateway, Opening, Raw, masked_frame};
use super::{ECHO, deflated};

const EOF: [&str; 3] = ["peer", "peer_eof", "1006"];
const EOF_IN_FRAME: [&str; 3] = ["peer", "peer_eof_in_frame", "1006"];
const RESET: [&str; 3] = ["peer", "peer_reset", "1006"];

#[test]
fn an_end_between_frames_is_told_from_one_inside_a_frame() {
    let mut ends = Ends::of(Gateway::start());
    let mut check = |what: &str, bytes: &[u8], expected: [&str; 3]| {
        let mut client = Opening::new(ECHO).deflate().open(ends.gateway.public);
        client.send(bytes);
        client.shut_down_write();
        let (frames, fin) = client.read_rest();
        assert!(fin, "{what}: FIN, not RST");
        assert!(frames.iter().all(|it| it.opcode() != 8), "{what}: nobody asked for a Close");
        let line = ends.expect(what, expected);
        assert!(line["received_code"].is_null() && line["sent_code"].is_null(), "{line}");
        assert_eq!(line["wire_bytes_in"], bytes.len(), "{what}: {line}");
        assert!(line["socket_error"].is_null(), "{line}");
    };
    let text = masked_frame(0x81, b"hello");
    let long = masked_frame(0x82, &vec![7; 60_000]);
    let fragment = masked_frame(0x01, b"begun");
    check("nothing sent", b"", EOF);
    check("a whole message", &text, EOF);
    check("one byte of a header", &text[..1], EOF_IN_FRAME);
    check("a header without all of its key", &text[..5], EOF_IN_FRAME);
    check("a header alone", &text[..6], EOF_IN_FRAME);
    check("a part of a payload", &text[..8], EOF_IN_FRAME);
    check("a part of an extended length", &long[..3], EOF_IN_FRAME);
    check("a part of a long payload", &long[..40_000], EOF_IN_FRAME);
    check("a whole message and a byte", &[&text[..], &text[..1]].concat(), EOF_IN_FRAME);
    // The stream ends between frames: the message is not whole, no frame is.
    check("a whole fragment", &fragment, EOF);
    check("a fragment and a part of the next", &[&fragment[..], &[0x80]].concat(), EOF_IN_FRAME);
    let ping = masked_frame(0x89, b"p");
    check("a fragment and a ping", &[&fragment[..], &ping].concat(), EOF);
    check("a fragment and half a ping", &[&fragment[..], &ping[..6]].concat(), EOF_IN_FRAME);
    check("half a Close", &masked_frame(0x88, b"\x03\xe8")[..7], EOF_IN_FRAME);
    let compressed = masked_frame(0xc1, &deflated(b"hello"));
    check("half a compressed frame", &compressed[..9], EOF_IN_FRAME);
}

#[test]
fn a_reset_is_a_reset_wherever_it_comes() {
    let mut ends = Ends::of(Gateway::start());
    let text = masked_frame(0x81, b"hello");
    for (what, bytes) in [("at rest", &[][..]), ("inside a frame", &text[..7])] {
        let mut client = Raw::open(ends.gateway.public, ECHO);
        client.send(bytes);
        client.reset();
        let line = ends.expect(what, RESET);
        assert_eq!(line["socket_operation"], "read", "{line}");
        assert!(line["socket_error"].as_str().unwrap().contains("reset"), "{line}");
        assert!(line["received_code"].is_null() && line["sent_code"].is_null(), "{line}");
    }
}

#[test]
fn the_closing_line_adds_up_what_crossed() {
    let mut ends = Ends::of(Gateway::start());
    let mut client = Opening::new(&format!("{ECHO}?user_id=anna")).open(ends.gateway.public);
    let port = client.stream.local_addr().unwrap().port();
    client.echo(1, b"hello");
    client.echo(2, &[9; 300]);
    client.send_frame(9, b"ping");
    assert_eq!(client.read_frame().unwrap().opcode(), 10);
    client.send_close(1000);
    assert!(client.reads_fin());
    let line = ends.expect("a conversation", ["client", "client_close", "1000"]);
    for (field, expected) in [
        ("messages_in", 2),
        ("messages_out", 2),
        ("payload_bytes_in", 305),
        ("payload_bytes_out", 305),
        ("wire_bytes_in", 11 + 308 + 10 + 8),
        ("wire_bytes_out", 7 + 304 + 6 + 4),
        ("queue_bytes", 0),
        ("pings_sent", 0),
        ("remote_port", u64::from(port)),
    ] {
        assert_eq!(line[field], expected, "{field}: {line}");
    }
    assert_eq!(line["user"], "anna");
    assert_eq!(line["remote"], "127.0.0.1");
    assert_eq!(line["endpoint"], ECHO);
    let (lifetime, idle) = (&line["lifetime_seconds"], &line["idle_seconds"]);
    let (lifetime, idle) = (lifetime.as_f64().unwrap(), idle.as_f64().unwrap());
    assert!(0.0 <= idle && idle <= lifetime && lifetime < 60.0, "{line}");
    let opened = &ends.gateway.log("connection opened")[0];
    assert_eq!(opened["connection_id"], line["connection_id"]);
    assert!(ends.gateway.unreadable_lines().is_empty());
}
