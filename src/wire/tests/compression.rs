//! RFC 7692 §7.2: compressed messages in and out.

use flate2::{Compress, Compression, FlushCompress};

use super::{NO_TAKEOVER, Out, Random, check, frame, message, protocol, server};
use crate::wire::ProtocolError as P;
use crate::wire::{
    Decoder, DecoderOptions, Deflate, Deflater, Encoded, Inflater, Input, Opcode, Role, Violation,
    encode,
};

const TEXT: u8 = 0xc1;

/// "Hello" as RFC 7692 §7.2.3 compresses it.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

fn inflated(payload: impl AsRef<[u8]>, wire_bytes: u64, compressed_bytes: usize) -> Out {
    Out::Message {
        opcode: Opcode::Text,
        payload: payload.as_ref().to_vec(),
        wire_bytes,
        compressed_bytes: Some(compressed_bytes as u64),
    }
}

/// The compressed payloads, one message each, and what the texts are; with and without takeover.
#[track_caller]
fn check_texts(compressed: &[&[u8]], expected: &[&str]) {
    let stream: Vec<u8> = compressed.iter().flat_map(|it| frame(TEXT, it)).collect();
    let expected: Vec<Out> = compressed
        .iter()
        .zip(expected)
        .map(|(it, text)| inflated(text, it.len() as u64 + 6, it.len()))
        .collect();
    check(server(Some(Deflate::default())), &stream, &expected);
}

#[track_caller]
fn check_error(compressed: &[u8], reason: &'static str) {
    for deflate in [NO_TAKEOVER, Deflate::default()] {
        let expected = [Out::Violation(Violation::Inflate(reason))];
        check(server(Some(deflate)), &frame(TEXT, compressed), &expected);
    }
}

#[test]
fn the_examples_of_the_rfc() {
    check_texts(&[HELLO], &["Hello"]);
    check_texts(&[HELLO, HELLO], &["Hello"; 2]);
    check_texts(&[HELLO, b"\xf2\x00\x11\x00\x00"], &["Hello"; 2]);
    check_texts(&[b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"], &["Hello"]);
    check_texts(&[b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"], &["Hello"]);
    let two_blocks = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
    check_texts(&[two_blocks], &["Hello"]);
}

#[test]
fn final_blocks_and_several_streams() {
    let last: &[u8] = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    check_texts(&[last], &["Hello"]);
    check_texts(&[&[last, b"\x00"].concat()], &["Hello"]);
    check_texts(&[&[last, last, HELLO].concat()], &["HelloHelloHello"]);
    // The window outlives a final block, inside a message and between messages.
    let again: &[u8] = b"\xf2\x00\x11\x00\x00";
    check_texts(&[last, again], &["Hello"; 2]);
    check_texts(&[&[last, again].concat()], &["HelloHello"]);
}

#[test]
fn a_message_of_nothing_but_final_blocks_does_not_stall_the_thread() {
    let last: &[u8] = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    let streams = |count: usize| [&b"\x03\x00".repeat(count - 1), last].concat();
    let most = streams(256);
    let expected = [inflated("Hello", most.len() as u64 + 8, most.len())];
    check(server(Some(NO_TAKEOVER)), &frame(TEXT, &most), &expected);
    check_error(&streams(257), "too many final blocks in one message");
}

#[test]
fn empty_messages() {
    check_texts(&[b"\x00", b"", b"\x02\x00", HELLO], &["", "", "", "Hello"]);
}

#[test]
fn what_cannot_be_inflated() {
    check_error(b"\xf2\x48\xcd\xc9\xc9", "invalid stored block lengths");
    check_error(b"\x06\x00", "invalid block type");
    check_error(b"\xf2\x00\x11\x00\x00", "invalid distance too far back");
    check_error(b"\xf3\x48\xcd\xc9\xc9\x07\x00\xff\xff", "invalid block type");
    check_error(b"\xf3\x48\xcd\xc9\xc9\x07\x00Hello", "invalid stored block lengths");
    check_error(&[HELLO, b"\x00\x00\xff\xff"].concat(), "invalid stored block lengths");
    // A stored block that claims more than comes.
    check_error(b"\x00\x40\x00\xbf\xffx", "the stream ends inside a block");
}

#[test]
fn without_takeover_the_window_is_forgotten() {
    let stream = [frame(TEXT, HELLO), frame(TEXT, b"\xf2\x00\x11\x00\x00")].concat();
    let expected = [
        inflated("Hello", 13, 7),
        Out::Violation(Violation::Inflate("invalid distance too far back")),
    ];
    check(server(Some(NO_TAKEOVER)), &stream, &expected);
}

#[test]
fn fragments_of_a_compressed_message_with_a_ping_between() {
    let stream = [
        frame(0x41, &HELLO[..3]),
        frame(0x89, "p"),
        frame(0x00, &HELLO[3..4]),
        frame(0x80, &HELLO[4..]),
    ];
    let expected = [message(Opcode::Ping, "p", 7), inflated("Hello", 7 + 18, 7)];
    check(server(Some(NO_TAKEOVER)), &stream.concat(), &expected);
    let plain = frame(0x81, "plain");
    let plain_message = message(Opcode::Text, "plain", 11);
    check(server(Some(NO_TAKEOVER)), &plain, &[plain_message]);
}

#[test]
fn the_compression_bit_where_it_must_not_be() {
    let options = server(Some(NO_TAKEOVER));
    check(options, &frame(0xc9, ""), &[protocol(P::CompressedControl)]);
    let again = [frame(0x41, HELLO), frame(0xc0, "")].concat();
    check(options, &again, &[protocol(P::CompressedContinuation)]);
    check(server(None), &frame(TEXT, HELLO), &[protocol(P::ReservedBits)]);
}

#[test]
fn inflated_text_is_checked() {
    let mut deflater = Deflater::new(1, 15);
    let compressed = deflater.compress(b"aaaaaaaaaaaaaaaaaaaa\xff").unwrap();
    let expected = [Out::Violation(Violation::InvalidUtf8 { at: 20 })];
    check(server(Some(NO_TAKEOVER)), &frame(TEXT, compressed), &expected);
}

#[test]
fn the_limit_holds_for_what_comes_out() {
    let mut deflater = Deflater::new(9, 15);
    for (length, fits) in [(999, true), (1_000, true), (1_001, false), (9_000, false)] {
        let text = "a".repeat(length);
        let compressed = deflater.compress(text.as_bytes()).unwrap().to_vec();
        let expected = if fits {
            inflated(&text, compressed.len() as u64 + 6, compressed.len())
        } else {
            Out::Violation(Violation::InflatedTooBig { max: 1_000 })
        };
        check(server(Some(NO_TAKEOVER)), &frame(TEXT, compressed), &[expected]);
    }
}

/// A legal message may cross the wire longer than it is: stored blocks.
#[test]
fn the_limit_has_a_margin_for_what_does_not_compress() {
    let mut stored = vec![0x00, 0xe8, 0x03, 0x17, 0xfc];
    stored.extend([b'x'; 1_000]);
    stored.push(0x00);
    let expected = inflated([b'x'; 1_000], 1_006 + 8, 1_006);
    check(server(Some(NO_TAKEOVER)), &frame(TEXT, &stored), &[expected]);
    let size = 1_080;
    let expected = Out::Violation(Violation::MessageTooBig { size, max: 1_000 });
    check(server(Some(NO_TAKEOVER)), &frame(TEXT, [0; 1_080]), &[expected]);
}

#[test]
fn a_bomb_ends_in_bounded_memory() {
    // 1 MiB of zeros, flushed fully so that it can be repeated: 1 GiB in all.
    let zeros = vec![0; 1 << 20];
    let mut piece = Vec::with_capacity(1 << 16);
    let mut compress = Compress::new(Compression::new(9), false);
    compress.compress_vec(&zeros, &mut piece, FlushCompress::Full).unwrap();
    let bomb = piece.repeat(1_024);
    let max = 4 << 20;
    let mut inflater = Inflater::new();
    let result = inflater.inflate(&bomb, &[], max);
    assert_eq!(result, Err(Violation::InflatedTooBig { max }));
    assert_eq!(inflater.inflated().len(), max + 1);
    inflater.inflate(HELLO, &[], max).unwrap();
    assert_eq!(inflater.inflated(), b"Hello");
}

/// The window that takeover keeps is the peer's, no more, and is used to its full length.
#[test]
fn takeover_keeps_no_more_than_the_window() {
    for bits in 9..=15_u8 {
        let deflate = Deflate { client_max_window_bits: bits, ..Deflate::default() };
        let options = DecoderOptions { max_message_bytes: 100_000, ..server(Some(deflate)) };
        let mut decoder = Decoder::new(options);
        let (mut inflater, mut random) = (Inflater::new(), Random(u64::from(bits)));
        let mut deflater = Deflater::with_takeover(9, bits);
        let unit: Vec<u8> = (0..400).map(|_| random.next() as u8).collect();
        for _ in 0..100 {
            let length = random.below(2_000);
            let payload: Vec<u8> = (0..length).map(|at| unit[(at * 7) % 400]).collect();
            let mut out = Vec::new();
            let deflate = Some((&mut deflater, 0));
            let key = Some([9, 8, 7, 6]);
            let Encoded { wire_bytes, .. } =
                encode(&mut out, Role::Client, Opcode::Binary, &payload, deflate, key);
            let mut input = Input::new(&mut out);
            let it = decoder.next(&mut input, &mut inflater).unwrap().unwrap();
            assert_eq!((it.payload, it.wire_bytes), (&payload[..], wire_bytes));
            assert!(decoder.buffered_bytes() <= 1 << bits);
        }
    }
}
