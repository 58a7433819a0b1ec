//! Frames, fragments, compression and close codes: everything between the bytes of a TCP stream and
//! whole WebSocket messages, for both roles (RFC 6455, RFC 7692).
//!
//! The way in: [`Decoder::next`] takes the bytes of one read as an [`Input`] and hands out one whole
//! message or control frame after the other as [`Incoming`]; what the peer did wrong is a
//! [`Violation`] with the close code that answers it. The way out: [`encode`] appends one frame, a
//! [`SharedFrame`] is one publication encoded once for all of its receivers.
//!
//! Invariants: no clock, no I/O, no logging here. A decoder that waits for nothing holds no buffer;
//! memory grows with bytes that came, never with what a header claims. Whatever the cuts between the
//! reads, the result is the same.

mod close;
mod decoder;
mod deflate;
mod encoder;
mod extensions;
mod header;
mod incoming;
mod inflate;
mod mask;
mod negotiation;
mod partial;
mod shared;
#[cfg(test)]
mod tests;
mod violation;

pub use close::{close_payload, parse_close, valid_close_code};
pub use decoder::{Decoder, DecoderOptions};
pub use deflate::Deflater;
pub use encoder::{Encoded, encode};
pub use incoming::{Incoming, Input};
pub use inflate::Inflater;
pub use negotiation::{AnswerError, Deflate, DeflatePolicy, accept_answer, negotiate, offer};
pub use shared::SharedFrame;
pub use violation::{ProtocolError, Violation};

/// The longest payload of a control frame, in bytes (RFC 6455 §5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// Who *we* are. It decides which side masks: clients do, servers do not (RFC 6455 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// We accepted the connection: what comes in must be masked.
    Server,
    /// We opened the connection: what comes in must not be masked.
    Client,
}

/// What a whole message or control frame is (RFC 6455 §5.2, §5.5). Continuations never leave this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// A message of UTF-8 text.
    Text,
    /// A message of bytes.
    Binary,
    /// The Close control frame; [`parse_close`] reads its payload.
    Close,
    /// A Ping, to be answered by a Pong with the same payload.
    Ping,
    /// A Pong, asked for or not.
    Pong,
}

impl Opcode {
    /// Every opcode, in the order of declaration (= their discriminants).
    pub const ALL: &'static [Self] =
        &[Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong];

    /// The value of the label `opcode`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        }
    }

    /// Whether this is a control frame: never fragmented, never compressed, at most
    /// [`CONTROL_PAYLOAD_BYTES_MAX`] long.
    pub const fn is_control(self) -> bool {
        match self {
            Self::Text | Self::Binary => false,
            Self::Close | Self::Ping | Self::Pong => true,
        }
    }
}
