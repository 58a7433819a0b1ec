//! The other side of permessage-deflate (RFC 7692), strict about the window that was agreed on.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::{Frame, masked_frame};

/// What a compressed message does not carry (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Reads compressed messages of one connection.
pub struct Inflate {
    stream: Decompress,
    keeps_context: bool,
}

impl Inflate {
    /// Without context takeover.
    pub fn new(window_bits: u8) -> Self {
        Self { stream: Decompress::new_with_window_bits(false, window_bits), keeps_context: false }
    }

    /// With it.
    pub fn with_takeover(window_bits: u8) -> Self {
        Self { keeps_context: true, ..Self::new(window_bits) }
    }

    /// A message's payload, whether it is compressed or not.
    #[track_caller]
    pub fn read(&mut self, frame: &Frame) -> Vec<u8> {
        assert_eq!(frame.first_byte & 0xb0, 0x80, "one whole frame, no reserved bit");
        if frame.first_byte & 0x40 == 0 {
            return frame.payload.clone();
        }
        if !self.keeps_context {
            self.stream.reset(false);
        }
        let input = [&frame.payload[..], &TAIL].concat();
        let (mut output, mut rest) = (Vec::new(), &input[..]);
        // In small steps, so that zlib has nothing but its window to look back into.
        let mut step = [0; 64];
        loop {
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let inflated = self.stream.decompress(rest, &mut step, FlushDecompress::Sync);
            inflated.expect("it inflates within the window agreed on");
            rest = &rest[(self.stream.total_in() - read) as usize..];
            let written = (self.stream.total_out() - written) as usize;
            output.extend_from_slice(&step[..written]);
            if written < step.len() && rest.is_empty() {
                return output;
            }
        }
    }
}

/// A client's text message in one frame, compressed without context.
pub fn deflated_frame(payload: &[u8]) -> Vec<u8> {
    let mut stream = Compress::new(Compression::new(6), false);
    let mut output = Vec::with_capacity(payload.len() + 64);
    stream.compress_vec(payload, &mut output, FlushCompress::Sync).unwrap();
    assert!(output.ends_with(&TAIL));
    masked_frame(0xc1, &output[..output.len() - TAIL.len()])
}
