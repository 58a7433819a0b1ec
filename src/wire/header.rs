//! Reading and judging frame headers (RFC 6455 §5.2).
//!
//! Headers are judged byte by byte, as soon as the bytes that break a rule are there; tungstenite's
//! `FrameHeader::parse` answers only once all of a header has come, and hides whether a length was
//! in its shortest form. It is the oracle of the tests here; headers that go out are formatted by it.

use super::violation::{ProtocolError, Violation};
use super::{CONTROL_PAYLOAD_BYTES_MAX, Opcode, Role, mask};

/// The longest header: two bytes, a 64-bit length, a masking key.
pub(super) const HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_OR_RSV3: u8 = 0x30;
const MASKED: u8 = 0x80;

/// The header of one frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    first: u8,
    /// How many bytes the header itself takes.
    pub(super) size: u8,
    key: Option<[u8; 4]>,
    /// The declared length of the payload in bytes.
    pub(super) length: u64,
}

/// The meaning of an opcode's four bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Continuation,
    /// A message's first frame or a control frame.
    Starts(Opcode),
    Reserved(u8),
}

impl Header {
    /// Reads the header that `bytes` begin with; `None` while it is incomplete. Judges nothing.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (length, rest) = read_length(second, rest)?;
        let (key, rest) = if second & MASKED == 0 {
            (None, rest)
        } else {
            let (key, rest) = rest.split_first_chunk()?;
            (Some(*key), rest)
        };
        Some(Self { first, size: (bytes.len() - rest.len()) as u8, key, length })
    }

    /// Whether this is the last frame of its message.
    #[inline]
    pub(super) const fn is_final(&self) -> bool {
        self.first & FIN != 0
    }

    /// Whether the message that begins here is compressed (RFC 7692 §6).
    #[inline]
    pub(super) const fn is_compressed(&self) -> bool {
        self.first & RSV1 != 0
    }

    #[inline]
    pub(super) const fn kind(&self) -> FrameKind {
        kind(self.first)
    }

    /// Header and payload in bytes.
    #[inline]
    pub(super) const fn wire_bytes(&self) -> u64 {
        self.length.saturating_add(self.size as u64)
    }

    /// Unmasks a part of the payload that begins at byte `offset` of it.
    #[inline]
    pub(super) fn unmask(&self, part: &mut [u8], offset: u64) {
        if let Some(key) = self.key {
            mask::apply(part, key, offset);
        }
    }
}

/// What a header may say at this point of a connection.
pub(super) struct Rules {
    pub(super) role: Role,
    /// permessage-deflate was negotiated.
    pub(super) deflate: bool,
    /// The message that waits for its continuation, if any.
    pub(super) open_message: Option<OpenMessage>,
    /// The limit for a message's payload in bytes.
    pub(super) max_message_bytes: usize,
}

/// What a continuation is judged by.
#[derive(Clone, Copy)]
pub(super) struct OpenMessage {
    pub(super) payload_bytes: u64,
    pub(super) compressed: bool,
}

impl Rules {
    /// Judges as much of a header as `bytes` hold. The order is that of the bytes, so the verdict
    /// does not depend on how they were cut.
    #[inline]
    pub(super) fn judge(&self, bytes: &[u8]) -> Result<(), Violation> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(());
        };
        self.judge_first(first)?;
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(());
        };
        self.judge_second(first, second)?;
        let Some((length, _)) = read_length(second, rest) else {
            return Ok(());
        };
        judge_length_form(second, length)?;
        self.judge_size(first, length)
    }

    #[inline]
    fn judge_first(&self, first: u8) -> Result<(), ProtocolError> {
        let kind = kind(first);
        let compressed = first & RSV1 != 0;
        if first & RSV2_OR_RSV3 != 0 || (compressed && !self.deflate) {
            return Err(ProtocolError::ReservedBits);
        }
        match kind {
            FrameKind::Reserved(opcode) => Err(ProtocolError::ReservedOpcode(opcode)),
            FrameKind::Continuation if compressed => Err(ProtocolError::CompressedContinuation),
            FrameKind::Continuation if self.open_message.is_none() => {
                Err(ProtocolError::UnexpectedContinuation)
            }
            FrameKind::Starts(opcode) if opcode.is_control() => {
                if compressed {
                    Err(ProtocolError::CompressedControl)
                } else if first & FIN == 0 {
                    Err(ProtocolError::ControlFragmented)
                } else {
                    Ok(())
                }
            }
            FrameKind::Starts(_) if self.open_message.is_some() => {
                Err(ProtocolError::ExpectedContinuation)
            }
            FrameKind::Starts(_) | FrameKind::Continuation => Ok(()),
        }
    }

    #[inline]
    fn judge_second(&self, first: u8, second: u8) -> Result<(), ProtocolError> {
        match (self.role, second & MASKED != 0) {
            (Role::Server, false) => return Err(ProtocolError::NotMasked),
            (Role::Client, true) => return Err(ProtocolError::Masked),
            (Role::Server, true) | (Role::Client, false) => {}
        }
        let declared = usize::from(second & !MASKED);
        match kind(first) {
            FrameKind::Starts(opcode)
                if opcode.is_control() && declared > CONTROL_PAYLOAD_BYTES_MAX =>
            {
                Err(ProtocolError::ControlTooLong)
            }
            FrameKind::Starts(_) | FrameKind::Continuation | FrameKind::Reserved(_) => Ok(()),
        }
    }

    /// Refuses a message by its header, so that none of a too long payload is ever kept.
    #[inline]
    fn judge_size(&self, first: u8, length: u64) -> Result<(), Violation> {
        let (before, compressed) = match kind(first) {
            FrameKind::Starts(opcode) if opcode.is_control() => return Ok(()),
            FrameKind::Starts(_) | FrameKind::Reserved(_) => (0, first & RSV1 != 0),
            FrameKind::Continuation => match self.open_message {
                Some(open) => (open.payload_bytes, open.compressed),
                None => (0, false),
            },
        };
        let size = length.saturating_add(before);
        let max = self.max_message_bytes;
        let limit = if compressed { compressed_bytes_max(max) } else { max };
        if size > limit as u64 {
            return Err(Violation::MessageTooBig { size, max });
        }
        Ok(())
    }
}

/// How long a compressed message may be on the wire, in bytes, when its payload may have `max`.
///
/// What cannot be compressed grows: zlib stores it in blocks of 5 bytes more, by default for every
/// 16 KiB. A 64th and 64 bytes cover blocks of 320 bytes and any short message.
const fn compressed_bytes_max(max: usize) -> usize {
    max.saturating_add(max / 64 + 64)
}

#[inline]
const fn kind(first: u8) -> FrameKind {
    match first & 0x0f {
        0x0 => FrameKind::Continuation,
        0x1 => FrameKind::Starts(Opcode::Text),
        0x2 => FrameKind::Starts(Opcode::Binary),
        0x8 => FrameKind::Starts(Opcode::Close),
        0x9 => FrameKind::Starts(Opcode::Ping),
        0xa => FrameKind::Starts(Opcode::Pong),
        reserved => FrameKind::Reserved(reserved),
    }
}

/// The declared length and what follows it; `None` while it is incomplete.
#[inline]
fn read_length(second: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match second & !MASKED {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            Some((u64::from(u16::from_be_bytes(*length)), rest))
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            Some((u64::from_be_bytes(*length), rest))
        }
        length => Some((u64::from(length), rest)),
    }
}

#[inline]
fn judge_length_form(second: u8, length: u64) -> Result<(), ProtocolError> {
    let shortest = match second & !MASKED {
        126 => 126,
        127 => 65_536,
        _ => 0,
    };
    if length < shortest {
        return Err(ProtocolError::LengthNotMinimal(length));
    }
    if length > i64::MAX as u64 {
        return Err(ProtocolError::LengthTooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

    use super::Header;

    #[test]
    fn reads_what_tungstenite_reads() {
        let key = [1, 2, 3, 4];
        for first in 0..=u8::MAX {
            for mask in [None, Some(key)] {
                for length in [0, 1, 125, 126, 65_535, 65_536, u64::from(u32::MAX) + 1] {
                    let mut bytes = Vec::new();
                    let formatted = FrameHeader { is_final: true, mask, ..FrameHeader::default() };
                    formatted.format(length, &mut bytes).unwrap();
                    bytes[0] = first;
                    for cut in 0..bytes.len() {
                        assert!(Header::read(&bytes[..cut]).is_none());
                    }
                    let ours = Header::read(&bytes).unwrap();
                    assert_eq!(usize::from(ours.size), bytes.len());
                    assert_eq!((ours.length, ours.key), (length, mask));
                    // tungstenite refuses reserved opcodes; everything else it reads alike.
                    if let Ok(theirs) = FrameHeader::parse(&mut Cursor::new(&bytes)) {
                        let (theirs, their_length) = theirs.unwrap();
                        assert_eq!(ours.length, their_length);
                        assert_eq!(ours.key, theirs.mask);
                        assert_eq!(ours.is_final(), theirs.is_final);
                        assert_eq!(ours.is_compressed(), theirs.rsv1);
                    }
                }
            }
        }
    }
}
