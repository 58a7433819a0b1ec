//! How long the hot path takes. Prints, asserts nothing about time:
//! `cargo test --release --lib wire::tests::timing -- --nocapture --test-threads 1`.

use std::hint::black_box;
use std::io::Cursor;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

use super::{NO_TAKEOVER, frame, server};
use crate::wire::header::Header;
use crate::wire::{
    Decoder, DecoderOptions, Deflate, Deflater, Inflater, Input, Opcode, Role, encode, mask,
};

/// Runs `work` for a while; nanoseconds per call in the best of several rounds.
fn nanoseconds(mut work: impl FnMut()) -> f64 {
    let calls = if cfg!(debug_assertions) { 10 } else { 2_000 };
    let mut best = Duration::MAX;
    for _ in 0..30 {
        let start = Instant::now();
        for _ in 0..calls {
            work();
        }
        best = best.min(start.elapsed());
    }
    best.as_secs_f64() * 1e9 / f64::from(calls)
}

/// Decodes the one masked frame in `stream` and encodes its payload as a server's echo.
fn echo(options: DecoderOptions, stream: &[u8], mut deflater: Option<Deflater>) -> f64 {
    let mut decoder = Decoder::new(options);
    let mut inflater = Inflater::new();
    let mut read = stream.to_vec();
    let mut out = Vec::with_capacity(2 * stream.len());
    nanoseconds(|| {
        // The copy stands for the kernel's: decoding unmasks in place.
        read.copy_from_slice(stream);
        out.clear();
        let mut input = Input::new(black_box(&mut read));
        let it = decoder.next(&mut input, &mut inflater).unwrap().unwrap();
        let deflate = deflater.as_mut().map(|deflater| (deflater, 0));
        encode(&mut out, Role::Server, it.opcode, it.payload, deflate, None);
        black_box(&out);
    })
}

#[test]
fn echo_of_one_frame() {
    for length in [16, 128, 1_024, 16_384, 65_536] {
        let options = DecoderOptions { max_message_bytes: 65_536, ..server(None) };
        for (name, first, byte) in [("text", 0x81, b'x'), ("binary", 0x82, 0xff)] {
            let stream = frame(first, vec![byte; length]);
            let time = echo(options, &stream, None);
            println!("echo of {length} B {name}: {time:.1} ns");
        }
    }
}

#[test]
fn echo_of_one_compressed_frame() {
    let text =
        r#"{"type":"notification","user":42,"text":"your order was shipped","at":1234567890}"#;
    let text = text.repeat(13);
    for (name, deflate) in [("no takeover", NO_TAKEOVER), ("takeover", Deflate::default())] {
        let mut deflater = Deflater::new(1, 15);
        let stream = frame(0xc1, deflater.compress(text.as_bytes()).unwrap());
        let options = DecoderOptions { max_message_bytes: 65_536, ..server(Some(deflate)) };
        let decode_only = {
            let mut decoder = Decoder::new(options);
            let mut inflater = Inflater::new();
            let mut read = stream.clone();
            nanoseconds(|| {
                read.copy_from_slice(&stream);
                let mut input = Input::new(&mut read);
                let it = decoder.next(&mut input, &mut inflater).unwrap();
                black_box(it.unwrap().payload);
            })
        };
        let both = echo(options, &stream, Some(Deflater::new(1, 15)));
        println!(
            "{} B JSON, {} compressed, {name}: decode {decode_only:.0} ns, echo {both:.0} ns",
            text.len(),
            stream.len() - 8
        );
    }
}

#[test]
fn parts() {
    let stream = frame(0x81, [b'x'; 128]);
    let ours = nanoseconds(|| {
        black_box(Header::read(black_box(&stream)));
    });
    let theirs = nanoseconds(|| {
        let mut cursor = Cursor::new(black_box(&stream));
        black_box(FrameHeader::parse(&mut cursor).is_ok());
    });
    println!("header: {ours:.1} ns, tungstenite's FrameHeader::parse {theirs:.1} ns");
    for length in [128, 65_536] {
        let mut bytes = vec![0; length];
        let time = nanoseconds(|| mask::apply(black_box(&mut bytes), [1, 2, 3, 4], 1));
        println!("unmask {length} B: {time:.1} ns");
        let time = nanoseconds(|| {
            black_box(simdutf8::compat::from_utf8(black_box(&bytes)).is_ok());
        });
        println!("UTF-8 of {length} B: {time:.1} ns");
    }
    let mut out = Vec::with_capacity(256);
    let time = nanoseconds(|| {
        out.clear();
        let payload = black_box(&[0; 128]);
        encode(&mut out, Role::Server, Opcode::Binary, payload, None, None);
        black_box(&out);
    });
    println!("encode 128 B: {time:.1} ns");
}
