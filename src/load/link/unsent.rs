//! Bytes that a socket did not take yet.

/// A link's way out, in order. Nothing on the heap while nothing waits.
#[derive(Default)]
pub(super) struct Unsent {
    bytes: Vec<u8>,
    /// So many of them are written.
    written: usize,
}

impl Unsent {
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub fn push(&mut self, bytes: &[u8]) {
        // Each byte moves at most once for each byte that was written.
        if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The socket took so many.
    pub fn advance(&mut self, count: usize) {
        self.written += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
