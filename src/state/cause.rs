//! Why a connection ended, as the gateway's own socket saw it: the closed list behind
//! `gaugeway_disconnects_total{initiator,cause,code}`.

use std::fmt;

/// Who ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// A Close frame of the client.
    Client,
    /// The other end of the TCP connection, without a Close frame.
    Peer,
    /// This process.
    Gateway,
}

impl Initiator {
    /// The value of the label `initiator`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Peer => "peer",
            Self::Gateway => "gateway",
        }
    }
}

/// One table: variant, label, who, and the close code that goes (or went) with it.
macro_rules! causes {
    ($($(#[doc = $doc:literal])* $variant:ident => $label:literal, $initiator:ident, $code:literal;)*) => {
        /// Why a connection ended: the first thing that ended it, never a later consequence.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Cause { $($(#[doc = $doc])* $variant,)* }

        impl Cause {
            /// Every cause, in the order of their declaration (= their discriminants).
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value of the label `cause`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// Who acted.
            pub const fn initiator(self) -> Initiator {
                match self { $(Self::$variant => Initiator::$initiator,)* }
            }

            /// The code of the Close frame that the gateway sends for this cause; 1006 where it
            /// sends none of its own (RFC 6455 §7.4.1: 1006 never crosses the wire).
            pub const fn close_code(self) -> u16 {
                match self { $(Self::$variant => $code,)* }
            }
        }
    };
}

causes! {
    /// A Close frame came first; its code is the client's.
    ClientClose => "client_close", Client, 1006;
    /// FIN between frames, without Close.
    PeerEof => "peer_eof", Peer, 1006;
    /// FIN inside a frame.
    PeerEofInFrame => "peer_eof_in_frame", Peer, 1006;
    /// RST.
    PeerReset => "peer_reset", Peer, 1006;
    /// `ETIMEDOUT`, `EHOSTUNREACH` and their like.
    NetworkError => "network_error", Peer, 1006;
    /// Silence while a ping was outstanding. The Close says 1011 (a client may retry at once).
    PongTimeout => "pong_timeout", Gateway, 1011;
    /// The head of the send queue was not wholly written in time. No Close fits behind half a frame.
    WriteTimeout => "write_timeout", Gateway, 1006;
    /// Publications overflowed the send queue.
    QueueOverflow => "queue_overflow", Gateway, 1008;
    /// A message over `max_message_bytes`.
    MessageTooBig => "message_too_big", Gateway, 1009;
    /// A compressed message that inflates over `max_message_bytes`.
    InflatedTooBig => "inflated_too_big", Gateway, 1009;
    /// A violation of RFC 6455 or RFC 7692.
    ProtocolError => "protocol_error", Gateway, 1002;
    /// Text, or a Close reason, that is not UTF-8.
    InvalidUtf8 => "invalid_utf8", Gateway, 1007;
    /// Compressed data that does not inflate.
    InflateError => "inflate_error", Gateway, 1007;
    /// An operator disconnected it, with a code of his choice; this is the one without it.
    Kicked => "kicked", Gateway, 1008;
    /// The process was told to end, and this connection's turn had come.
    Draining => "draining", Gateway, 1012;
    /// The process ended at once, or the time for draining was over.
    Shutdown => "shutdown", Gateway, 1001;
    /// A defect of the gateway: a panic or a task that was cancelled.
    InternalError => "internal_error", Gateway, 1011;
}

/// The value of the label `code`: a bounded set, whatever a peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseLabel(u8);

/// Codes with a label of their own: those RFC 6455 §7.4.1 and the registry define, and those
/// the gateway itself sends from the 3000s and 4000s.
const OWN_CODES: &[(u16, &str)] = &[
    (1000, "1000"),
    (1001, "1001"),
    (1002, "1002"),
    (1003, "1003"),
    (1005, "1005"),
    (1006, "1006"),
    (1007, "1007"),
    (1008, "1008"),
    (1009, "1009"),
    (1010, "1010"),
    (1011, "1011"),
    (1012, "1012"),
    (1013, "1013"),
    (1014, "1014"),
    (3000, "3000"),
    (4001, "4001"),
];
const CODES_3XXX: u8 = OWN_CODES.len() as u8;
const CODES_4XXX: u8 = CODES_3XXX + 1;

impl CloseLabel {
    /// How many labels there are.
    pub const COUNT: usize = CODES_4XXX as usize + 1;

    /// The label of a code that was valid on the wire, or of 1005 and 1006.
    pub fn of(code: u16) -> Self {
        if let Some(index) = OWN_CODES.iter().position(|(own, _)| *own == code) {
            return Self(index as u8);
        }
        match code {
            3000..=3999 => Self(CODES_3XXX),
            4000..=4999 => Self(CODES_4XXX),
            _ => Self::of(1006),
        }
    }

    /// Every label.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// Its place in an array of [`Self::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The value of the label `code`.
    pub fn as_str(self) -> &'static str {
        match self.0 {
            CODES_3XXX => "3xxx",
            CODES_4XXX => "4xxx",
            own => OWN_CODES[own as usize].1,
        }
    }
}

impl fmt::Display for CloseLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_code_never_makes_a_new_label() {
        for code in 0..=u16::MAX {
            assert!(CloseLabel::of(code).index() < CloseLabel::COUNT);
        }
        assert_eq!(CloseLabel::of(1000).as_str(), "1000");
        assert_eq!(CloseLabel::of(3000).as_str(), "3000");
        assert_eq!(CloseLabel::of(3001).as_str(), "3xxx");
        assert_eq!(CloseLabel::of(4001).as_str(), "4001");
        assert_eq!(CloseLabel::of(4999).as_str(), "4xxx");
    }

    #[test]
    fn discriminants_index_the_list() {
        for (index, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index);
        }
    }
}
