//! How a link ended, in words from a closed list.

use std::io::{self, ErrorKind};

use crate::wire::{ProtocolError, Violation};

/// Without a Close frame from the server (RFC 6455 §7.1.5).
pub(super) const ABNORMAL: u16 = 1006;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// As a browser would report it: the code of the server's Close frame, 1005 if that had none, 1006
    /// if none came or the server broke the protocol.
    pub code: u16,
    /// We asked for it, by [`super::Link::close`], `drop_without_close` or `reset`, before the server
    /// did.
    pub by_us: bool,
    /// `closed`: by a Close frame of the server. Without one: `eof` (the stream ended, from whichever
    /// side), `reset`, `timed out` (of our Close no answer came, or TCP gave up), `network`, and
    /// `violation: …` for what the server did wrong.
    pub reason: &'static str,
}

/// A socket's error. TLS that ends without its own farewell is an end of the stream like any other.
pub(in crate::load) fn reason_of(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            "reset"
        }
        ErrorKind::UnexpectedEof => "eof",
        ErrorKind::TimedOut => "timed out",
        ErrorKind::InvalidData => "violation: TLS",
        _ => "network",
    }
}

/// The server's mistake, without its numbers.
pub(super) const fn violation_reason(violation: Violation) -> &'static str {
    match violation {
        Violation::MessageTooBig { .. } | Violation::InflatedTooBig { .. } => {
            "violation: message too big"
        }
        Violation::InvalidUtf8 { .. } => "violation: text is not UTF-8",
        Violation::Inflate(_) => "violation: message cannot be inflated",
        Violation::Protocol(error) => match error {
            ProtocolError::ReservedBits => "violation: reserved bit set",
            ProtocolError::ReservedOpcode(_) => "violation: reserved opcode",
            ProtocolError::CompressedControl => "violation: compressed control frame",
            ProtocolError::CompressedContinuation => "violation: RSV1 on a continuation frame",
            ProtocolError::Masked | ProtocolError::NotMasked => "violation: masked frame",
            ProtocolError::LengthNotMinimal(_) => "violation: length not in its shortest form",
            ProtocolError::LengthTooLarge => "violation: length of 2^63 bytes or more",
            ProtocolError::ControlTooLong => "violation: control frame of more than 125 bytes",
            ProtocolError::ControlFragmented => "violation: fragmented control frame",
            ProtocolError::UnexpectedContinuation => "violation: continuation without a message",
            ProtocolError::ExpectedContinuation => "violation: new message inside a fragmented one",
            ProtocolError::CloseBodyOfOneByte => "violation: close body of one byte",
            ProtocolError::CloseCode(_) => "violation: close code that may not be sent",
        },
    }
}
