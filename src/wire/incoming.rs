//! What goes into a decoder, and what comes out.

use std::mem;

use super::Opcode;

/// The bytes of one read, used up frame by frame. They are unmasked in place.
pub struct Input<'b> {
    pub(super) rest: &'b mut [u8],
}

impl<'b> Input<'b> {
    /// Everything that one read brought.
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all of it is used up.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes not used yet.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not used yet, for a caller that stops in the middle and goes on later.
    pub fn rest(&self) -> &[u8] {
        self.rest
    }

    /// The next `count` bytes. The caller has made sure that they are there.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> &'b mut [u8] {
        let (taken, rest) = mem::take(&mut self.rest).split_at_mut(count);
        self.rest = rest;
        taken
    }
}

/// A whole message or control frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// What it is.
    pub opcode: Opcode,
    /// Unmasked and inflated. Valid UTF-8 if the opcode is [`Opcode::Text`].
    pub payload: &'a [u8],
    /// All frames of the message as they crossed the wire, headers included.
    pub wire_bytes: u64,
    /// The payload as it crossed the wire, if it was compressed.
    pub compressed_bytes: Option<u64>,
}

impl<'a> Incoming<'a> {
    /// The payload of a text message. Checks it a second time (a few GB/s), so that nobody has to
    /// trust a comment; empty if the payload is not UTF-8, which only other opcodes can have.
    pub fn text(&self) -> &'a str {
        simdutf8::basic::from_utf8(self.payload).unwrap_or_default()
    }
}
