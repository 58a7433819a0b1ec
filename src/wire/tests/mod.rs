//! Tests of the whole of `wire/`: every rule through one `check`, whatever the cuts.

mod compression;
mod negotiation;
mod roundtrip;
mod rules;
mod sending;
mod timing;

use super::{
    Decoder, DecoderOptions, Deflate, Inflater, Input, Opcode, ProtocolError, Role, Violation,
};

/// What came out of a decoder; after a violation, the Close frames that were found behind it.
#[derive(Debug, Clone, PartialEq)]
enum Out {
    Message { opcode: Opcode, payload: Vec<u8>, wire_bytes: u64, compressed_bytes: Option<u64> },
    Violation(Violation),
}

/// An uncompressed message or control frame that took `wire_bytes`.
fn message(opcode: Opcode, payload: impl AsRef<[u8]>, wire_bytes: u64) -> Out {
    Out::Message { opcode, payload: payload.as_ref().to_vec(), wire_bytes, compressed_bytes: None }
}

fn protocol(error: ProtocolError) -> Out {
    Out::Violation(Violation::Protocol(error))
}

/// A server with a limit of 1,000 bytes and permessage-deflate, or not.
fn server(deflate: Option<Deflate>) -> DecoderOptions {
    DecoderOptions { role: Role::Server, max_message_bytes: 1_000, deflate }
}

const NO_TAKEOVER: Deflate = Deflate {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
    server_window_named: false,
};

/// Feeds `stream` whole, byte by byte, cut in two at every place, and at random cuts: each time
/// `expected` has to come out. The end has to be one between messages, unless something is expected
/// to be left.
#[track_caller]
fn check(options: DecoderOptions, stream: &[u8], expected: &[Out]) {
    let decode = |cuts: &mut dyn FnMut(usize) -> usize| decode(options, stream, cuts).0;
    assert_eq!(decode(&mut |rest| rest), expected, "whole");
    assert_eq!(decode(&mut |_| 1), expected, "byte by byte");
    if stream.len() < 2_000 {
        for at in 1..stream.len() {
            let mut first = Some(at);
            let out = decode(&mut |rest| first.take().unwrap_or(rest));
            assert_eq!(out, expected, "cut at {at}");
        }
    }
    for seed in 0..20 {
        let mut random = Random(seed);
        let out = decode(&mut |rest| 1 + random.below(rest.min(100)));
        assert_eq!(out, expected, "random cuts {seed}");
    }
}

/// Decodes a stream in reads of the lengths that `cut` gives for the rest of it.
fn decode(
    options: DecoderOptions,
    stream: &[u8],
    cut: &mut dyn FnMut(usize) -> usize,
) -> (Vec<Out>, Decoder) {
    let mut decoder = Decoder::new(options);
    let mut inflater = Inflater::new();
    let mut out = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (read, later) = rest.split_at(cut(rest.len()).min(rest.len()));
        rest = later;
        let mut read = read.to_vec();
        let mut input = Input::new(&mut read);
        loop {
            match decoder.next(&mut input, &mut inflater) {
                Ok(Some(it)) => out.push(Out::Message {
                    opcode: it.opcode,
                    payload: it.payload.to_vec(),
                    wire_bytes: it.wire_bytes,
                    compressed_bytes: it.compressed_bytes,
                }),
                Ok(None) => break,
                Err(violation) => out.push(Out::Violation(violation)),
            }
        }
        assert!(input.is_empty());
    }
    (out, decoder)
}

/// A frame by hand, right or wrong: first byte, payload, and a mask if a client sends it.
fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    raw_frame(first, payload.as_ref(), Some([0x37, 0xfa, 0x21, 0x3d]))
}

fn raw_frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(mask_bit | length as u8),
        length @ 126..=65_535 => {
            frame.push(mask_bit | 0x7e);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(mask_bit | 0x7f);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(key.unwrap_or_default().iter().filter(|_| key.is_some()));
    let key = key.unwrap_or_default();
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A small generator of pseudo-random numbers (splitmix64), so that every run is the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `limit` - 1.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
