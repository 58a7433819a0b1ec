//! One publication, encoded once for all of its receivers.

use std::sync::OnceLock;

use bytes::Bytes;

use super::deflate::Deflater;
use super::{Opcode, encoder};

/// A server's message as frames ready to be sent, each variant made when the first receiver needs
/// it. Shared by reference (`Arc`); the variants are [`Bytes`], so that queueing one copies nothing.
pub struct SharedFrame {
    opcode: Opcode,
    payload: Bytes,
    plain: OnceLock<Bytes>,
    /// `None` inside: compressing does not make it smaller.
    deflated: OnceLock<Option<Deflated>>,
}

/// The compressed variant.
struct Deflated {
    frame: Bytes,
    payload_bytes: u64,
}

impl SharedFrame {
    /// A publication to be. Text must be UTF-8; this is not checked again.
    pub fn new(opcode: Opcode, payload: Bytes) -> Self {
        Self { opcode, payload, plain: OnceLock::new(), deflated: OnceLock::new() }
    }

    /// The same, but it goes out plain to everybody: for what is compressed already, or holds a
    /// secret beside text that a stranger chose (the length of a compressed frame tells of both).
    pub fn uncompressed(opcode: Opcode, payload: Bytes) -> Self {
        Self { deflated: OnceLock::from(None), ..Self::new(opcode, payload) }
    }

    /// What the message is.
    pub fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// The payload before compression.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload before compression, in bytes.
    pub fn payload_len(&self) -> usize {
        self.payload.len()
    }

    /// The frame for receivers without permessage-deflate, or with a window of less than 15 bits.
    pub fn plain(&self) -> &Bytes {
        self.plain.get_or_init(|| {
            let mut frame = Vec::with_capacity(self.payload.len() + 10);
            encoder::append(&mut frame, self.opcode, &self.payload, false, None);
            frame.into()
        })
    }

    /// The compressed frame, for receivers whose server window has 15 bits. It refers to nothing
    /// sent before, so that it fits any connection; one with context takeover has to call
    /// [`Deflater::forget`] on *its* compressor afterwards.
    ///
    /// `None` if the payload is shorter than `min_bytes` or does not get smaller: then
    /// [`Self::plain`] goes out. The level is that of the `deflater` (a thread's, without takeover)
    /// that came first.
    pub fn deflated(&self, deflater: &mut Deflater, min_bytes: usize) -> Option<&Bytes> {
        if self.payload.len() < min_bytes || self.opcode.is_control() {
            return None;
        }
        let variant = self.deflated.get_or_init(|| {
            deflater.forget();
            let compressed = deflater.compress(&self.payload)?;
            let mut frame = Vec::with_capacity(compressed.len() + 10);
            encoder::append(&mut frame, self.opcode, compressed, true, None);
            let payload_bytes = compressed.len() as u64;
            deflater.forget();
            Some(Deflated { frame: frame.into(), payload_bytes })
        });
        variant.as_ref().map(|variant| &variant.frame)
    }

    /// Has it been tried already what compressing gives? Then [`Self::deflated`] only looks.
    pub fn is_deflated(&self) -> bool {
        self.deflated.get().is_some()
    }

    /// The payload of the compressed variant as it crosses the wire in bytes, if there is one.
    pub fn deflated_payload_bytes(&self) -> Option<u64> {
        let variant = self.deflated.get()?.as_ref()?;
        Some(variant.payload_bytes)
    }
}
