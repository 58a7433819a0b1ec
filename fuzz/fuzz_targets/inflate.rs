//! Inflating: whatever a compressed message holds, the memory bound holds and nothing panics; what
//! came out of the compressor comes back.
//!
//! The first byte chooses the limit, the rest is a compressed payload and, for the way back, a
//! plain one.

#![no_main]

use gaugeway::wire::{
    Decoder, DecoderOptions, Deflate, Deflater, Inflater, Input, Opcode, Role, Violation, encode,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [choice, payload @ ..] = data else {
        return;
    };
    let max = 1 << (choice % 20);
    let mut inflater = Inflater::new();
    let mut decoder = decoder(max);
    let mut stream = Vec::new();
    for _ in 0..2 {
        // Twice, so that the second one meets the window of the first.
        encode(&mut stream, Role::Server, Opcode::Binary, payload, None, None);
        stream[0] |= 0x40;
        let mut input = Input::new(&mut stream);
        match decoder.next(&mut input, &mut inflater) {
            Ok(Some(message)) => assert!(message.payload.len() <= max),
            Ok(None) => unreachable!("a whole frame was given"),
            Err(Violation::InflatedTooBig { .. } | Violation::MessageTooBig { .. }) => break,
            Err(violation) => {
                assert_eq!(violation.close_code(), 1007);
                break;
            }
        }
        assert!(decoder.buffered_bytes() <= 32 << 10);
        stream.clear();
    }
    there_and_back(*choice, payload, &mut inflater);
});

fn there_and_back(choice: u8, payload: &[u8], inflater: &mut Inflater) {
    let mut deflater = Deflater::with_takeover(choice % 9 + 1, 15);
    let mut decoder = decoder(payload.len());
    for _ in 0..2 {
        let mut stream = Vec::new();
        encode(
            &mut stream,
            Role::Server,
            Opcode::Binary,
            payload,
            Some((&mut deflater, 0)),
            None,
        );
        let mut input = Input::new(&mut stream);
        let message = decoder.next(&mut input, inflater).expect("our own frame");
        assert_eq!(message.expect("a whole frame").payload, payload);
    }
}

fn decoder(max_message_bytes: usize) -> Decoder {
    Decoder::new(DecoderOptions {
        role: Role::Client,
        max_message_bytes,
        deflate: Some(Deflate::default()),
    })
}
