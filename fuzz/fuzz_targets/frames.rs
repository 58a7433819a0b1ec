//! The decoder: the same bytes give the same messages and the same violation however they are cut,
//! and memory stays within the limit.
//!
//! The first byte of the input chooses role, deflate, takeover and limit, the second the cuts.

#![no_main]

use gaugeway::wire::{
    Decoder, DecoderOptions, Deflate, Inflater, Input, Opcode, Role, Violation, parse_close,
};
use libfuzzer_sys::fuzz_target;

/// What came out of a decoder; a violation is followed by the Close frames that are still found.
#[derive(Debug, PartialEq)]
enum Out {
    Message(Opcode, Vec<u8>, u64, Option<u64>),
    Violation(Violation),
}

fuzz_target!(|data: &[u8]| {
    let [options, seed, stream @ ..] = data else {
        return;
    };
    let options = decoder_options(*options);
    let whole = run(options, stream, |rest| rest);
    assert_eq!(whole, run(options, stream, |_| 1), "byte by byte");
    let mut state = u64::from(*seed);
    let cuts = |rest: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % rest.min(40) + 1
    };
    assert_eq!(whole, run(options, stream, cuts), "at random");
});

fn decoder_options(byte: u8) -> DecoderOptions {
    let takeover = byte & 4 != 0;
    let deflate = Deflate {
        server_no_context_takeover: !takeover,
        client_no_context_takeover: !takeover,
        server_max_window_bits: 9 + (byte >> 5).min(6),
        client_max_window_bits: 9 + (byte >> 5).min(6),
        ..Deflate::default()
    };
    DecoderOptions {
        role: if byte & 1 == 0 { Role::Server } else { Role::Client },
        max_message_bytes: [0, 100, 70_000, 1 << 20][usize::from(byte >> 3 & 3)],
        deflate: (byte & 2 != 0).then_some(deflate),
    }
}

fn run(
    options: DecoderOptions,
    stream: &[u8],
    mut cut: impl FnMut(usize) -> usize,
) -> Vec<Out> {
    let mut decoder = Decoder::new(options);
    let mut inflater = Inflater::new();
    let mut out = Vec::new();
    let mut rest = stream.to_vec();
    while !rest.is_empty() {
        let mut read: Vec<u8> = rest.drain(..cut(rest.len())).collect();
        let mut input = Input::new(&mut read);
        loop {
            match decoder.next(&mut input, &mut inflater) {
                Ok(Some(it)) => {
                    assert!(it.opcode.is_control() || it.payload.len() <= options.max_message_bytes);
                    assert!(!it.opcode.is_control() || it.payload.len() <= 125);
                    assert!(it.opcode != Opcode::Text || it.text().len() == it.payload.len());
                    if it.opcode == Opcode::Close {
                        let _ = parse_close(it.payload);
                    }
                    out.push(Out::Message(
                        it.opcode,
                        it.payload.to_vec(),
                        it.wire_bytes,
                        it.compressed_bytes,
                    ));
                }
                Ok(None) => break,
                Err(violation) => {
                    assert!(violation.to_string().len() <= 123);
                    out.push(Out::Violation(violation));
                }
            }
        }
        assert!(input.is_empty());
        // The window, the doubling of a buffer, a margin for what does not compress.
        assert!(decoder.buffered_bytes() <= 2 * options.max_message_bytes + (32 << 10) + 1024);
    }
    out
}
