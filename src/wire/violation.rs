//! What a peer can do wrong on the wire, and the Close frame that answers it.

use std::fmt;

/// The peer broke a rule or one of our limits; the connection has to end. Always the peer's fault,
/// never ours: what we send is right by construction.
///
/// [`Violation::close_code`] and the `Display` text (at most 123 bytes) make up our Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// A message is longer on the wire than it may be. Known from the header, before the payload came.
    MessageTooBig {
        /// Payload bytes of all frames so far, the refused one included, as declared.
        size: u64,
        /// The limit for the payload in bytes; a compressed message may cross with a little more.
        max: usize,
    },
    /// A compressed message is longer than it may be once it is inflated. Inflating stopped there.
    InflatedTooBig {
        /// The limit in bytes.
        max: usize,
    },
    /// A text message or the reason of a Close frame is not UTF-8 (RFC 6455 §8.1).
    InvalidUtf8 {
        /// Offset in the (inflated) payload of the first byte that belongs to no character.
        at: u64,
    },
    /// A compressed payload cannot be inflated (RFC 7692 §7.2.2); zlib's word for it.
    Inflate(&'static str),
    /// The framing is wrong.
    Protocol(ProtocolError),
}

/// Framing that RFC 6455 or RFC 7692 forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// RSV2 or RSV3 is set, or RSV1 without permessage-deflate (RFC 6455 §5.2).
    ReservedBits,
    /// An opcode without a meaning (RFC 6455 §5.2).
    ReservedOpcode(u8),
    /// RSV1 on a control frame (RFC 7692 §6.1).
    CompressedControl,
    /// RSV1 on a continuation frame (RFC 7692 §6.1).
    CompressedContinuation,
    /// A client's frame without mask (RFC 6455 §5.1).
    NotMasked,
    /// A server's frame with mask (RFC 6455 §5.1).
    Masked,
    /// A length in more bytes than it needs (RFC 6455 §5.2).
    LengthNotMinimal(u64),
    /// A 64-bit length with its highest bit set (RFC 6455 §5.2).
    LengthTooLarge,
    /// A control frame that declares more than 125 bytes (RFC 6455 §5.5).
    ControlTooLong,
    /// A control frame without FIN (RFC 6455 §5.5).
    ControlFragmented,
    /// A continuation without a message to continue (RFC 6455 §5.4).
    UnexpectedContinuation,
    /// A new message before the last fragment of the previous one (RFC 6455 §5.4).
    ExpectedContinuation,
    /// A Close frame whose body is one byte: half a code (RFC 6455 §5.5.1).
    CloseBodyOfOneByte,
    /// A close code that must not cross the wire (RFC 6455 §7.4).
    CloseCode(u16),
}

impl Violation {
    /// The code of the Close frame that answers this (RFC 6455 §7.4.1).
    pub const fn close_code(self) -> u16 {
        match self {
            Self::MessageTooBig { .. } | Self::InflatedTooBig { .. } => 1009,
            Self::InvalidUtf8 { .. } | Self::Inflate(_) => 1007,
            Self::Protocol(_) => 1002,
        }
    }
}

impl From<ProtocolError> for Violation {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MessageTooBig { size, max } => {
                write!(f, "message of {size} bytes exceeds the limit of {max} bytes")
            }
            Self::InflatedTooBig { max } => {
                write!(f, "message inflates to more than the limit of {max} bytes")
            }
            Self::InvalidUtf8 { at } => write!(f, "text is not UTF-8 at byte {at}"),
            Self::Inflate(what) => write!(f, "message cannot be inflated: {what}"),
            Self::Protocol(error) => write!(f, "peer broke the protocol: {error}"),
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("reserved bit set"),
            Self::ReservedOpcode(opcode) => write!(f, "reserved opcode {opcode:#x}"),
            Self::CompressedControl => f.write_str("compressed control frame"),
            Self::CompressedContinuation => f.write_str("RSV1 on a continuation frame"),
            Self::NotMasked => f.write_str("client frame without mask"),
            Self::Masked => f.write_str("server frame with mask"),
            Self::LengthNotMinimal(length) => {
                write!(f, "length {length} not in its shortest form")
            }
            Self::LengthTooLarge => f.write_str("length of 2^63 bytes or more"),
            Self::ControlTooLong => f.write_str("control frame of more than 125 bytes"),
            Self::ControlFragmented => f.write_str("fragmented control frame"),
            Self::UnexpectedContinuation => f.write_str("continuation without a message"),
            Self::ExpectedContinuation => f.write_str("new message inside a fragmented one"),
            Self::CloseBodyOfOneByte => f.write_str("close body of one byte"),
            Self::CloseCode(code) => write!(f, "close code {code} may not be sent"),
        }
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::{ProtocolError, Violation};

    #[test]
    fn reasons_fit_a_close_frame() {
        let longest = [
            Violation::MessageTooBig { size: u64::MAX, max: usize::MAX },
            Violation::InflatedTooBig { max: usize::MAX },
            Violation::InvalidUtf8 { at: u64::MAX },
            Violation::Inflate("too many length or distance symbols"),
            ProtocolError::LengthNotMinimal(u64::MAX).into(),
            ProtocolError::CompressedContinuation.into(),
            ProtocolError::CloseCode(u16::MAX).into(),
        ];
        for violation in longest {
            let reason = violation.to_string();
            assert!(reason.len() <= 123, "{reason}");
            assert!(matches!(violation.close_code(), 1002 | 1007 | 1009));
        }
    }
}
