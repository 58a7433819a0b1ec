//! RFC 7692 §7.2.1: what is compressed on its way out, and what is not.

use std::sync::Arc;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress};

use super::{Out, Random, decode, raw_frame, server};
use crate::wire::{DecoderOptions, Deflate, Deflater, Opcode, Role, SharedFrame, encode};

#[test]
fn small_and_incompressible_messages_go_out_plain() {
    let mut deflater = Deflater::new(1, 15);
    let mut random = Random(7);
    let noise: Vec<u8> = (0..500).map(|_| random.next() as u8).collect();
    let mut check = |payload: &[u8], min_bytes, compressed: bool| {
        let mut out = Vec::new();
        let deflate = Some((&mut deflater, min_bytes));
        let encoded = encode(&mut out, Role::Server, Opcode::Binary, payload, deflate, None);
        assert_eq!(encoded.compressed_bytes.is_some(), compressed);
        assert_eq!(out[0], if compressed { 0xc2 } else { 0x82 });
        assert_eq!(encoded.wire_bytes, out.len() as u64);
        if compressed {
            assert!(out.len() < payload.len());
        }
    };
    check(&[b'a'; 127], 128, false);
    check(&[b'a'; 128], 128, true);
    check(&noise, 0, false);
    check(b"", 0, false);
    check(b"a", 0, false);
}

/// zlib-rs 0.6 panicked here while results were thrown away half-way: see `Deflater::flush`.
#[test]
fn noise_of_any_length_leaves_the_compressor_usable() {
    let mut random = Random(11);
    let noise: Vec<u8> = (0..200_000).map(|_| random.next() as u8).collect();
    for level in [1, 6, 9] {
        for mut deflater in [Deflater::new(level, 15), Deflater::with_takeover(level, 9)] {
            for length in [1, 100, 5_000, 66_000, 70_000, 3, 131_072, 200_000] {
                let start = random.below(noise.len() - length + 1);
                assert_eq!(deflater.compress(&noise[start..start + length]), None);
            }
            assert!(deflater.compress(&[0; 1_000]).is_some());
        }
    }
}

/// Each window size and level, read by an inflater that can look back no further than agreed.
#[test]
fn a_small_window_is_kept() {
    let mut random = Random(3);
    let words: Vec<u8> = (0..40_000).map(|_| b"abcdefgh "[random.below(9)]).collect();
    for bits in 9..=15 {
        for level in [1, 2, 4, 9] {
            let mut deflater = Deflater::new(level, bits);
            let compressed = deflater.compress(&words).unwrap();
            let mut stream = Decompress::new_with_window_bits(false, bits);
            let mut out = Vec::new();
            while out.len() < words.len() {
                // Small outputs, so that zlib needs its window and not what it wrote just now.
                let mut room = [0; 64];
                let (read, written) = (stream.total_in() as usize, stream.total_out());
                stream
                    .decompress(&compressed[read..], &mut room, FlushDecompress::None)
                    .unwrap_or_else(|error| panic!("{bits} bits, level {level}: {error}"));
                let written = (stream.total_out() - written) as usize;
                assert!(written > 0);
                out.extend_from_slice(&room[..written]);
            }
            assert_eq!(out, words);
        }
    }
}

#[test]
fn a_shared_frame_is_made_once_and_fits_every_connection() {
    fn shareable<T: Send + Sync>(value: T) -> Arc<T> {
        Arc::new(value)
    }
    let text = "the same for everybody ".repeat(20);
    let shared = shareable(SharedFrame::new(Opcode::Text, Bytes::from(text.clone())));
    let mut thread = Deflater::new(6, 15);
    assert_eq!(shared.deflated_payload_bytes(), None);
    assert!(shared.deflated(&mut thread, text.len() + 1).is_none());
    let first = shared.deflated(&mut thread, 128).unwrap().clone();
    let second = shared.deflated(&mut thread, 128).unwrap();
    assert_eq!(first.as_ptr(), second.as_ptr());
    assert_eq!(shared.deflated_payload_bytes(), Some(first.len() as u64 - 2));
    assert_eq!(shared.plain()[..], raw_frame(0x81, text.as_bytes(), None)[..]);
    assert_eq!(shared.payload_len(), text.len());

    // With takeover: own, shared, own again. The client keeps one window through all of them.
    let mut own = Deflater::with_takeover(6, 15);
    let mut stream = Vec::new();
    let send = |stream: &mut Vec<u8>, own: &mut Deflater| {
        let payload = text.as_bytes();
        encode(stream, Role::Server, Opcode::Text, payload, Some((own, 0)), None)
    };
    let alone = send(&mut stream, &mut own);
    let continued = send(&mut stream, &mut own);
    assert!(continued.compressed_bytes < alone.compressed_bytes, "the context is used");
    stream.extend_from_slice(&first);
    own.forget();
    let anew = send(&mut stream, &mut own);
    assert_eq!(anew.compressed_bytes, alone.compressed_bytes);
    let client = DecoderOptions { role: Role::Client, ..server(Some(Deflate::default())) };
    let (out, _) = decode(client, &stream, &mut |rest| rest.min(50));
    assert_eq!(out.len(), 4);
    for it in out {
        assert!(matches!(it, Out::Message { payload, .. } if payload == text.as_bytes()));
    }
    let noise = SharedFrame::new(Opcode::Binary, Bytes::from_static(b"abc"));
    assert!(noise.deflated(&mut thread, 0).is_none());
}
