//! Compressing whole messages (RFC 7692 §7.2.1).

use flate2::{Compress, Compression, FlushCompress};

/// What a compressor keeps of its output buffer between messages at most, in bytes.
const OUTPUT_BYTES_KEPT: usize = 256 * 1024;
/// What a flush ends with and a message does not carry (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A compressor. About 300 KiB: one per thread (and window size) serves every connection without
/// context takeover; with it, each connection owns one.
pub struct Deflater {
    stream: Compress,
    level: Compression,
    window_bits: u8,
    output: Vec<u8>,
    keeps_context: bool,
    /// The stream has seen bytes that the next message may not refer to.
    stale: bool,
}

impl Deflater {
    /// One that begins anew with each message (`no_context_takeover`).
    ///
    /// `level` is 1 (fast) to 9 (small), `window_bits` 9 to 15 as negotiated for our side; both are
    /// clamped to that (zlib cannot do 8, which is why it is never agreed upon).
    pub fn new(level: u8, window_bits: u8) -> Self {
        let level = Compression::new(u32::from(level.clamp(1, 9)));
        let window_bits = window_bits.clamp(9, 15);
        Self {
            stream: Compress::new_with_window_bits(level, false, window_bits),
            level,
            window_bits,
            output: Vec::new(),
            keeps_context: false,
            stale: false,
        }
    }

    /// One that refers back to earlier messages of *its* connection (context takeover).
    pub fn with_takeover(level: u8, window_bits: u8) -> Self {
        Self { keeps_context: true, ..Self::new(level, window_bits) }
    }

    /// The next message refers to nothing before it. To be called once the peer was sent something
    /// compressed that did not pass through here, as a [`super::SharedFrame`].
    pub fn forget(&mut self) {
        self.stale = true;
    }

    /// Compresses one message; `None` if that would not make it smaller. What was thrown away is
    /// forgotten.
    pub(super) fn compress(&mut self, payload: &[u8]) -> Option<&[u8]> {
        if self.stale {
            self.stream.reset();
            self.stale = false;
        }
        if self.output.len() > OUTPUT_BYTES_KEPT {
            self.output = Vec::new();
        }
        let room = room_bytes(payload.len());
        if self.output.len() < room {
            self.output.resize(room, 0);
        }
        let length = self.flush(payload, room);
        self.stale = length.is_none() || !self.keeps_context;
        length.map(|length| &self.output[..length])
    }

    /// Compresses into `room` bytes of the output; the length without the tail, if it is less than
    /// the payload's.
    fn flush(&mut self, payload: &[u8], room: usize) -> Option<usize> {
        let (read, written) = (self.stream.total_in(), self.stream.total_out());
        let output = &mut self.output[..room];
        let result = self.stream.compress(payload, output, FlushCompress::Sync);
        let read = (self.stream.total_in() - read) as usize;
        let written = (self.stream.total_out() - written) as usize;
        if result.is_err() || read < payload.len() || written == room {
            // Not to be expected, but a stream that was left in the middle may not be reset either:
            // zlib-rs 0.6 keeps an offset into its pending output, and panics later on.
            self.stream = Compress::new_with_window_bits(self.level, false, self.window_bits);
            return None;
        }
        let length = output[..written].strip_suffix(&TAIL)?.len();
        (length < payload.len()).then_some(length)
    }
}

/// Room in which zlib can finish any payload of `length` bytes in one call: its `deflateBound` for
/// any parameters, and more than the few free bytes it wants to see behind a flush.
const fn room_bytes(length: usize) -> usize {
    length + length / 8 + length / 64 + 64
}
