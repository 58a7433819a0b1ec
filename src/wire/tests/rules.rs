//! RFC 6455: framing, fragments, UTF-8, limits, and what is found after a violation.

use super::{Out, check, decode, frame, message, protocol, raw_frame, server};
use crate::wire::ProtocolError as P;
use crate::wire::{Decoder, DecoderOptions, Inflater, Input, Opcode, Role, Violation};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// First bytes of fragments: FIN is not set, or the opcode is a continuation.
const TEXT_BEGINS: u8 = 0x01;
const BINARY_BEGINS: u8 = 0x02;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

#[track_caller]
fn check_plain(frames: &[Vec<u8>], expected: &[Out]) {
    check(server(None), &frames.concat(), expected);
}

#[test]
fn whole_messages_of_every_kind() {
    check_plain(
        &[
            frame(TEXT, "Grüße"),
            frame(BINARY, [0xff, 0xfe]),
            frame(PING, "p"),
            frame(PONG, ""),
            frame(CLOSE, b"\x03\xe8bye"),
            frame(TEXT, ""),
        ],
        &[
            message(Opcode::Text, "Grüße", 13),
            message(Opcode::Binary, [0xff, 0xfe], 8),
            message(Opcode::Ping, "p", 7),
            message(Opcode::Pong, "", 6),
            message(Opcode::Close, b"\x03\xe8bye", 11),
            message(Opcode::Text, "", 6),
        ],
    );
}

#[test]
fn lengths_around_the_forms_of_the_header() {
    for (length, header) in [(125, 6), (126, 8), (127, 8), (65_535, 8), (65_536, 14)] {
        let payload = vec![b'x'; length];
        let options = DecoderOptions { max_message_bytes: 65_536, ..server(None) };
        let expected = message(Opcode::Text, &payload, header + length as u64);
        check(options, &frame(TEXT, &payload), &[expected]);
    }
}

#[test]
fn fragments_with_control_frames_between() {
    check_plain(
        &[
            frame(TEXT_BEGINS, "a"),
            frame(PING, "p"),
            frame(GOES_ON, ""),
            frame(PONG, "q"),
            frame(ENDS, "bc"),
            frame(BINARY_BEGINS, ""),
            frame(ENDS, ""),
        ],
        &[
            message(Opcode::Ping, "p", 7),
            message(Opcode::Pong, "q", 7),
            message(Opcode::Text, "abc", 7 + 6 + 8),
            message(Opcode::Binary, "", 12),
        ],
    );
}

#[test]
fn headers_that_break_a_rule() {
    let masked = Some([1, 2, 3, 4]);
    let long = [0; 126];
    for (stream, error) in [
        (frame(TEXT | 0x40, ""), P::ReservedBits),
        (frame(TEXT | 0x20, ""), P::ReservedBits),
        (frame(PING | 0x10, ""), P::ReservedBits),
        (frame(0x83, ""), P::ReservedOpcode(3)),
        (frame(0x07, ""), P::ReservedOpcode(7)),
        (frame(0x8b, ""), P::ReservedOpcode(11)),
        (frame(0x8f, ""), P::ReservedOpcode(15)),
        (frame(0x09, ""), P::ControlFragmented),
        (frame(PING, long), P::ControlTooLong),
        (frame(ENDS, ""), P::UnexpectedContinuation),
        (frame(GOES_ON, "x"), P::UnexpectedContinuation),
        (raw_frame(TEXT, b"x", None), P::NotMasked),
    ] {
        check_plain(&[stream], &[protocol(error)]);
    }
    let again = [frame(TEXT_BEGINS, "a"), frame(TEXT, "b")];
    check_plain(&again, &[protocol(P::ExpectedContinuation)]);
    let client = DecoderOptions { role: Role::Client, ..server(None) };
    check(client, &raw_frame(TEXT, b"x", masked), &[protocol(P::Masked)]);
    let plain = raw_frame(TEXT, b"x", None);
    check(client, &plain, &[message(Opcode::Text, "x", 3)]);
}

#[test]
fn lengths_not_in_their_shortest_form() {
    for (head, error) in [
        (vec![TEXT, 0xfe, 0, 125], P::LengthNotMinimal(125)),
        (vec![TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], P::LengthNotMinimal(65_535)),
        (vec![TEXT, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], P::LengthTooLarge),
    ] {
        check_plain(&[head], &[protocol(error)]);
    }
}

#[test]
fn a_header_is_judged_as_soon_as_its_bytes_are_there() {
    for (head, violation) in [
        (&[0xc1][..], Violation::Protocol(P::ReservedBits)),
        (&[0x83], Violation::Protocol(P::ReservedOpcode(3))),
        (&[0x80], Violation::Protocol(P::UnexpectedContinuation)),
        (&[0x81, 0x05], Violation::Protocol(P::NotMasked)),
        (&[0x89, 0xfe], Violation::Protocol(P::ControlTooLong)),
        (&[0x81, 0xfe, 0x03, 0xe9], Violation::MessageTooBig { size: 1_001, max: 1_000 }),
    ] {
        check_plain(&[head.to_vec()], &[Out::Violation(violation)]);
        let (out, _) = decode(server(None), &head[..head.len() - 1], &mut |rest| rest);
        assert_eq!(out, [], "one byte less is no violation yet");
    }
}

#[test]
fn a_message_too_big_is_known_by_its_headers() {
    let max = 1_000;
    let exact = [frame(TEXT_BEGINS, [b'x'; 600]), frame(ENDS, [b'x'; 400])];
    check_plain(&exact, &[message(Opcode::Text, [b'x'; 1_000], 1_000 + 8 + 8)]);
    let sum = [frame(TEXT_BEGINS, [b'x'; 600]), vec![ENDS, 0xfe, 0x01, 0x91]];
    let size = 1_001;
    check_plain(&sum, &[Out::Violation(Violation::MessageTooBig { size, max })]);
    let mut vast = vec![BINARY, 0xff];
    vast.extend((i64::MAX as u64).to_be_bytes());
    let size = i64::MAX as u64;
    check_plain(&[vast], &[Out::Violation(Violation::MessageTooBig { size, max })]);
}

#[test]
fn text_fails_at_the_first_bad_byte() {
    let bad = |at| Out::Violation(Violation::InvalidUtf8 { at });
    for (payload, at) in [
        (&b"abc\xffdef"[..], 3),
        (b"\xc0\x80", 0),
        (b"ok\xed\xa0\x80", 2),
        (b"\xf4\x90\x80\x80", 0),
        (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80", 11),
        (b"cut off \xe2\x82", 8),
    ] {
        check_plain(&[frame(TEXT, payload)], &[bad(at)]);
        for cut in 0..payload.len() {
            let (first, second) = payload.split_at(cut);
            let fragments = [frame(TEXT_BEGINS, first), frame(ENDS, second)];
            check_plain(&fragments, &[bad(at)]);
        }
    }
    check_plain(&[frame(BINARY, b"\xff")], &[message(Opcode::Binary, b"\xff", 7)]);
}

#[test]
fn text_split_inside_characters_is_whole_again() {
    let text = "aß€😀";
    for cut in 0..text.len() {
        let (first, second) = text.as_bytes().split_at(cut);
        let fragments = [frame(TEXT_BEGINS, first), frame(ENDS, second)];
        check_plain(&fragments, &[message(Opcode::Text, text, text.len() as u64 + 12)]);
    }
}

/// Autobahn 6.4.3 and 6.4.4: octets trickle in, and the bad one is answered at once.
#[test]
fn a_bad_byte_is_found_before_its_frame_is_whole() {
    let stream = frame(TEXT, b"\xce\xba\xf4\x90\x80\x80 and so on");
    let bad_byte = 6 + 3;
    let (out, decoder) = decode(server(None), &stream[..bad_byte], &mut |_| 1);
    assert_eq!(out, []);
    assert!(decoder.mid_frame() && decoder.mid_message());
    let (out, _) = decode(server(None), &stream[..=bad_byte], &mut |_| 1);
    assert_eq!(out, [Out::Violation(Violation::InvalidUtf8 { at: 2 })]);
}

#[test]
fn after_a_violation_the_peers_close_is_found() {
    let close = frame(CLOSE, b"\x03\xf1");
    let found = message(Opcode::Close, b"\x03\xf1", 8);
    let size = 100_000;
    for (bad, violation) in [
        (frame(TEXT, vec![b'x'; 100_000]), Violation::MessageTooBig { size, max: 1_000 }),
        (frame(TEXT, [0xff; 900]), Violation::InvalidUtf8 { at: 0 }),
        (frame(0xc1, "abc"), Violation::Protocol(P::ReservedBits)),
        (frame(0x83, "abc"), Violation::Protocol(P::ReservedOpcode(3))),
        (frame(PING, [0; 300]), Violation::Protocol(P::ControlTooLong)),
        (raw_frame(TEXT, &[0; 300], None), Violation::Protocol(P::NotMasked)),
    ] {
        let stream = [
            bad,
            frame(TEXT_BEGINS, b"\xff"),
            frame(TEXT, "whatever"),
            raw_frame(PING, b"", None),
            close.clone(),
        ];
        check_plain(&stream, &[Out::Violation(violation), found.clone()]);
    }
}

/// A peer that says Close, however badly, has said its last word.
#[test]
fn a_bad_close_is_found_as_well() {
    for (close, error, wire_bytes) in [
        (frame(0x08, b"\x03\xe8"), P::ControlFragmented, 8),
        (frame(0xc8, b"\x03\xe8"), P::ReservedBits, 8),
        (raw_frame(CLOSE, b"\x03\xe8", None), P::NotMasked, 4),
    ] {
        let found = message(Opcode::Close, b"\x03\xe8", wire_bytes);
        check_plain(&[close], &[protocol(error), found]);
    }
    let long = frame(CLOSE, [b'x'; 126]);
    let found = message(Opcode::Close, b"", long.len() as u64);
    check_plain(&[long], &[protocol(P::ControlTooLong), found]);
    let empty = raw_frame(CLOSE, b"", None);
    let found = message(Opcode::Close, b"", 2);
    check_plain(&[empty], &[protocol(P::NotMasked), found]);
}

#[test]
fn discarding_begins_anywhere() {
    let stream = [
        frame(TEXT_BEGINS, "abc"),
        frame(PING, "ping"),
        frame(ENDS, "def"),
        frame(CLOSE, b"\x03\xe8"),
    ]
    .concat();
    for at in 0..stream.len() {
        let mut decoder = Decoder::new(server(None));
        let mut inflater = Inflater::new();
        let mut bytes = stream.clone();
        let (before, after) = bytes.split_at_mut(at);
        let mut input = Input::new(before);
        while decoder.next(&mut input, &mut inflater).unwrap().is_some() {}
        decoder.discard();
        let mut input = Input::new(after);
        let found = decoder.next(&mut input, &mut inflater).unwrap().unwrap();
        assert_eq!((found.opcode, found.payload), (Opcode::Close, &b"\x03\xe8"[..]));
        assert!(input.is_empty());
        assert_eq!(decoder.buffered_bytes(), 0, "discarding since {at}");
    }
}

#[test]
fn an_idle_decoder_is_small_and_holds_nothing() {
    assert!(size_of::<Decoder>() <= 64, "{}", size_of::<Decoder>());
    let stream = frame(TEXT, [b'x'; 900]);
    for at in 1..stream.len() {
        let (_, decoder) = decode(server(None), &stream[..at], &mut |rest| rest);
        assert!(decoder.mid_frame());
        assert!(decoder.buffered_bytes() <= at + 256, "after {at} bytes");
    }
    let (_, decoder) = decode(server(None), &stream, &mut |_| 7);
    assert!(!decoder.mid_frame() && !decoder.mid_message());
    assert_eq!(decoder.buffered_bytes(), 0);
    // Between fragments, a message is open but no frame is.
    let (_, decoder) = decode(server(None), &frame(TEXT_BEGINS, "abc"), &mut |_| 7);
    assert!(!decoder.mid_frame() && decoder.mid_message());
}

#[test]
fn a_claim_in_a_header_reserves_nothing() {
    let options = DecoderOptions { max_message_bytes: usize::MAX, ..server(None) };
    let mut stream = vec![BINARY, 0xff];
    stream.extend((i64::MAX as u64).to_be_bytes());
    stream.extend([0; 4]);
    stream.extend([0; 1_000]);
    let (out, decoder) = decode(options, &stream, &mut |_| 10);
    assert_eq!(out, []);
    assert!(decoder.buffered_bytes() <= 2 * stream.len() + 256);
}
