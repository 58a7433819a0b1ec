//! What RFC 6455 and RFC 7692 forbid ends in a Close that says so, before the frame is complete
//! where its header already is wrong.

use super::super::support::{Ends, Frame, Gateway, Opening, frame, masked_frame};
use super::{ECHO, deflated, hasty};

const KEY: [u8; 4] = [1, 2, 3, 4];

/// What is sent: `bytes` cut at `judged`, where the verdict must be out. The rest follows later.
struct Wrong<'a> {
    bytes: &'a [u8],
    judged: usize,
}

/// A gateway for those who answer its Close, and one that does not wait for the others.
fn gateways() -> [(bool, Ends); 2] {
    [(true, Ends::of(Gateway::start())), (false, Ends::of(hasty().start()))]
}

/// Sends what is wrong; checks the Close, once answered and once not.
#[track_caller]
fn check(
    gateways: &mut [(bool, Ends); 2],
    opening: &Opening,
    wrong: &Wrong<'_>,
    says: (&str, u16, &str),
) {
    let (cause, code, detail) = says;
    let (first, rest) = wrong.bytes.split_at(wrong.judged);
    for (answered, ends) in gateways {
        let answered = *answered;
        let mut client = opening.open(ends.gateway.public);
        client.echo(1, b"before");
        client.send(first);
        let close = client.read_frame().expect("a frame");
        assert_eq!(close.close_code(), Some(code), "{detail}: {close:?}");
        let reason = String::from_utf8(close.payload[2..].to_vec()).unwrap();
        assert!(reason.contains(detail), "{reason:?} does not say {detail:?}");
        if answered {
            client.send(rest);
            // A wrong Close is a Close still: nothing can follow it.
            if wrong.bytes[0] & 15 != 8 {
                client.send(&masked_frame(0x81, b"not to be echoed"));
                client.send_close(1000);
            }
        }
        assert_eq!(client.read_rest(), (vec![], true), "{detail}: FIN, nothing before it");
        let label = if answered { code.to_string() } else { "1006".to_owned() };
        let line = ends.expect(detail, ["gateway", cause, &label]);
        assert_eq!(line["sent_code"], code, "{line}");
        assert_eq!(line["received_code"].as_u64(), answered.then_some(1000), "{line}");
        assert_eq!(line["detail"], reason, "{line}");
        assert_eq!(line["messages_out"], 1, "{line}");
    }
}

#[test]
fn wrong_framing_is_a_protocol_error() {
    let mut gateways = gateways();
    let opening = Opening::new(ECHO);
    // The verdict comes with the byte that is wrong: it does not wait for the rest of the frame.
    let mut wrong = |bytes: &[u8], judged, detail| {
        let wrong = Wrong { bytes, judged };
        check(&mut gateways, &opening, &wrong, ("protocol_error", 1002, detail));
    };
    wrong(&frame(0x81, b"hello"), 2, "client frame without mask");
    wrong(&frame(0x88, b"\x03\xe8"), 2, "client frame without mask");
    wrong(&masked_frame(0xc1, b"hello"), 1, "reserved bit set");
    wrong(&masked_frame(0xa1, b"hello"), 1, "reserved bit set");
    wrong(&masked_frame(0x91, b"hello"), 1, "reserved bit set");
    wrong(&masked_frame(0xf9, b"hello"), 1, "reserved bit set");
    wrong(&masked_frame(0x83, b"hello"), 1, "reserved opcode 0x3");
    wrong(&masked_frame(0x8b, b"hello"), 1, "reserved opcode 0xb");
    wrong(&masked_frame(0x09, b"hello"), 1, "fragmented control frame");
    wrong(&masked_frame(0x08, b"\x03\xe8"), 1, "fragmented control frame");
    wrong(&masked_frame(0x89, &[0; 126]), 2, "control frame of more than 125 bytes");
    wrong(&masked_frame(0x8a, &vec![0; 70_000]), 2, "control frame of more than 125 bytes");
    wrong(&masked_frame(0x80, b"what"), 1, "continuation without a message");
    let begun = masked_frame(0x01, b"begun");
    let interrupted = [&begun[..], &masked_frame(0x81, b"new")].concat();
    wrong(&interrupted, begun.len() + 1, "new message inside a fragmented one");
    let short = [&[0x81, 0xfe, 0, 125][..], &KEY, &[0; 125]].concat();
    wrong(&short, 4, "length 125 not in its shortest form");
    let short = [&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff][..], &KEY, &vec![0; 65_535]].concat();
    wrong(&short, 10, "length 65535 not in its shortest form");
}

#[test]
fn a_length_of_2_to_the_63_is_a_protocol_error() {
    let mut ends = Ends::of(hasty().start());
    let mut client = Opening::new(ECHO).open(ends.gateway.public);
    client.send(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(client.read_frame().unwrap().close_code(), Some(1002));
    assert_eq!(client.read_rest(), (vec![], true));
    let line = ends.expect("2^63", ["gateway", "protocol_error", "1006"]);
    assert_eq!(line["detail"], "peer broke the protocol: length of 2^63 bytes or more", "{line}");
}

#[test]
fn compression_has_rules_of_its_own() {
    let mut gateways = gateways();
    let opening = Opening::new(ECHO).deflate();
    let mut wrong = |bytes: &[u8], judged, detail| {
        let wrong = Wrong { bytes, judged };
        check(&mut gateways, &opening, &wrong, ("protocol_error", 1002, detail));
    };
    wrong(&masked_frame(0xc9, b"hello"), 1, "compressed control frame");
    wrong(&masked_frame(0xc8, b"\x03\xe8"), 1, "compressed control frame");
    wrong(&masked_frame(0xe1, b"hello"), 1, "reserved bit set");
    wrong(&masked_frame(0xc0, b"hello"), 1, "RSV1 on a continuation frame");
    let begun = masked_frame(0x41, &deflated(b"begun"));
    let continued = [&begun[..], &masked_frame(0xc0, b"")].concat();
    wrong(&continued, begun.len() + 1, "RSV1 on a continuation frame");
}

#[test]
fn text_that_is_not_utf8_fails_at_its_first_bad_byte() {
    let mut gateways = gateways();
    let opening = Opening::new(ECHO).deflate();
    let mut wrong = |bytes: &[u8], judged, detail| {
        check(&mut gateways, &opening, &Wrong { bytes, judged }, ("invalid_utf8", 1007, detail));
    };
    let mut wrong_text = |text: &[u8], detail| {
        let bytes = masked_frame(0x81, text);
        wrong(&bytes, bytes.len(), detail);
    };
    wrong_text(b"ab\xffcd", "not UTF-8 at byte 2");
    wrong_text(b"cut \xe2\x82", "not UTF-8 at byte 4");
    // A surrogate, an overlong form, and what is beyond U+10FFFF.
    wrong_text(b"\xed\xa0\x80", "not UTF-8 at byte 0");
    wrong_text(b"\xc0\xaf", "not UTF-8 at byte 0");
    wrong_text(b"\xf4\x90\x80\x80", "not UTF-8 at byte 0");
    // Inside a frame of which more is to come.
    wrong(&masked_frame(0x81, &[b"abc\xff", &[b'x'; 400][..]].concat()), 12, "at byte 3");
    wrong(&masked_frame(0x81, b"abc\xf4\x90xxxx"), 11, "at byte 3");
    // Split over frames: the second byte shows that the first was none.
    let begun = masked_frame(0x01, b"ab\xe2");
    let split = [&begun[..], &masked_frame(0x80, b"\x28xxxxxxxx")].concat();
    wrong(&split, begun.len() + 7, "not UTF-8 at byte 2");
    let unfinished = [&begun[..], &masked_frame(0x80, b"\x82")].concat();
    wrong(&unfinished, unfinished.len(), "not UTF-8 at byte 2");
    let compressed = masked_frame(0xc1, &deflated(b"good, then \xff"));
    wrong(&compressed, compressed.len(), "not UTF-8 at byte 11");
}

#[test]
fn what_does_not_inflate_is_told_from_a_wrong_frame() {
    let mut gateways = gateways();
    let opening = Opening::new(ECHO).deflate();
    let mut wrong = |payload: &[u8], detail| {
        let bytes = &masked_frame(0xc2, payload);
        let wrong = Wrong { bytes, judged: bytes.len() };
        check(&mut gateways, &opening, &wrong, ("inflate_error", 1007, detail));
    };
    wrong(&[0xff; 9], "cannot be inflated: invalid block type");
    // A stored block that announces more than there is.
    wrong(&[0x00, 0x50, 0x00, 0xaf, 0xff, b'h'], "cannot be inflated: the stream ends inside");
    let noise: Vec<u8> = (0..2_000_u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
    let mut cut = deflated(&noise);
    cut.truncate(cut.len() / 2);
    wrong(&cut, "cannot be inflated");
}

#[test]
fn a_character_split_over_frames_with_a_ping_between_is_no_violation() {
    let mut ends = Ends::of(Gateway::start());
    let mut client = Opening::new(ECHO).open(ends.gateway.public);
    client.send(&masked_frame(0x01, b"\xe2"));
    client.send(&masked_frame(0x89, b"still there?"));
    assert_eq!(client.read_frame().unwrap().opcode(), 10);
    client.send(&masked_frame(0x00, b"\x82"));
    client.send(&masked_frame(0x80, b"\xac"));
    assert_eq!(client.read_frame().unwrap().payload, "€".as_bytes());
    client.send_close(1000);
    ends.expect("a euro", ["client", "client_close", "1000"]);
}

#[test]
fn what_came_before_a_violation_in_the_same_segment_is_answered_first() {
    let mut ends = Ends::of(Gateway::start());
    let mut client = Opening::new(ECHO).open(ends.gateway.public);
    let mut bytes = masked_frame(0x81, b"one");
    bytes.extend(masked_frame(0x89, b"two"));
    bytes.extend([0x83, 0x80]);
    bytes.extend(KEY);
    bytes.extend(masked_frame(0x81, b"three"));
    bytes.extend(masked_frame(0x88, b"\x0f\xa1"));
    client.send(&bytes);
    let (frames, fin) = client.read_rest();
    let opcodes: Vec<_> = frames.iter().map(Frame::opcode).collect();
    assert_eq!((opcodes, fin), (vec![1, 10, 8], true));
    // The Close behind the refused frame was found: the handshake is complete.
    let line = ends.expect("a late violation", ["gateway", "protocol_error", "1002"]);
    assert_eq!(line["received_code"], 4001, "{line}");
}
