//! What a connection keeps while a frame or a message is incomplete; freed when it is done.

use super::Opcode;
use super::header::{HEADER_BYTES_MAX, Header};
use super::violation::Violation;

/// The unfinished part of a stream. Boxed by the decoder, so that an idle one holds a pointer only.
#[derive(Default)]
pub(super) struct Partial {
    pub(super) header: HeaderBytes,
    pub(super) frame: Option<Frame>,
    /// The payload of an incomplete control frame: it may come between fragments.
    pub(super) control: Vec<u8>,
    pub(super) message: Option<Message>,
}

impl Partial {
    /// Whether bytes of an incomplete frame have come.
    pub(super) fn is_mid_frame(&self) -> bool {
        self.frame.is_some() || !self.header.is_empty()
    }

    /// Whether nothing at all is waited for.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_mid_frame() && self.message.is_none()
    }

    /// Bytes held by this.
    pub(super) fn bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.payload.capacity());
        size_of::<Self>() + self.control.capacity() + message
    }
}

/// The bytes of a header that came in pieces.
#[derive(Default)]
pub(super) struct HeaderBytes {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl HeaderBytes {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Adds a byte; the caller stops when the header is whole, at 14 bytes at the latest.
    pub(super) fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.len)] = byte;
        self.len += 1;
    }

    /// Takes the last byte back.
    pub(super) fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }
}

/// A frame whose header is whole and whose payload is not.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) header: Header,
    pub(super) received: u64,
}

impl Frame {
    /// Payload bytes still to come.
    pub(super) fn missing(&self) -> u64 {
        self.header.length - self.received
    }
}

/// A data message that is not whole yet.
pub(super) struct Message {
    pub(super) opcode: Opcode,
    pub(super) compressed: bool,
    /// Unmasked; still compressed where `compressed`.
    pub(super) payload: Vec<u8>,
    /// How much of `payload` is known to be whole characters; text that is not compressed only.
    valid_utf8: usize,
    /// All frames so far, headers included.
    pub(super) wire_bytes: u64,
}

impl Message {
    pub(super) fn new(opcode: Opcode, compressed: bool) -> Self {
        Self { opcode, compressed, payload: Vec::new(), valid_utf8: 0, wire_bytes: 0 }
    }

    /// Adds what has come of the payload, unmasked; `missing` is what this frame still owes.
    ///
    /// Fails at the first byte that cannot belong to a character, even if the character is not
    /// whole yet (RFC 6455 §8.1).
    pub(super) fn append(&mut self, part: &[u8], missing: u64) -> Result<(), Violation> {
        extend(&mut self.payload, part, missing);
        if self.opcode != Opcode::Text || self.compressed {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(&self.payload[self.valid_utf8..]) {
            Ok(_) => self.valid_utf8 = self.payload.len(),
            Err(error) => {
                self.valid_utf8 += error.valid_up_to();
                if error.error_len().is_some() {
                    return Err(self.invalid_utf8());
                }
            }
        }
        Ok(())
    }

    /// The last fragment has come: no character may be left open.
    pub(super) fn finish_utf8(&self) -> Result<(), Violation> {
        if self.opcode == Opcode::Text && !self.compressed && self.valid_utf8 < self.payload.len() {
            return Err(self.invalid_utf8());
        }
        Ok(())
    }

    fn invalid_utf8(&self) -> Violation {
        Violation::InvalidUtf8 { at: self.valid_utf8 as u64 }
    }
}

/// Appends `part`, growing as a `Vec` does but never beyond what the frame will need: the header's
/// claim limits the room, it never makes it.
pub(super) fn extend(buffer: &mut Vec<u8>, part: &[u8], missing: u64) {
    let needed = buffer.len() + part.len();
    if needed > buffer.capacity() {
        let ceiling = needed.saturating_add(usize::try_from(missing).unwrap_or(usize::MAX));
        let wanted = needed.max(buffer.capacity() * 2).min(ceiling);
        buffer.reserve_exact(wanted - buffer.len());
    }
    buffer.extend_from_slice(part);
}
