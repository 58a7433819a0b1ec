//! Agreeing on permessage-deflate (RFC 7692 §7.1), as server and as client.

use std::fmt;

use super::Role;
use super::extensions::{Extension, extensions};

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The largest LZ77 window, and what holds where nothing was said: 32 KiB.
const WINDOW_BITS_MAX: u8 = 15;
/// The smallest window that zlib compresses with; it cannot do 8 (256 bytes).
const WINDOW_BITS_MIN: u8 = 9;

/// permessage-deflate as both sides have agreed on it. Its `Display` is the server's response
/// header value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// The server's messages do not refer to earlier ones.
    pub server_no_context_takeover: bool,
    /// The client's messages do not refer to earlier ones.
    pub client_no_context_takeover: bool,
    /// The server's window in bits, 9 to 15 (8 only in a foreign server's answer).
    pub server_max_window_bits: u8,
    /// The client's window in bits, 9 to 15.
    pub client_max_window_bits: u8,
    /// The client asked for a server window: the answer must name it, even the largest
    /// (RFC 7692 §7.1.2.1).
    pub server_window_named: bool,
}

/// Both sides with the largest window and context takeover: what a bare `permessage-deflate` means.
impl Default for Deflate {
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: WINDOW_BITS_MAX,
            client_max_window_bits: WINDOW_BITS_MAX,
            server_window_named: false,
        }
    }
}

impl Deflate {
    /// The window in bits that the peer's messages may reach back into; 0 without context takeover.
    pub(super) fn peer_window_bits(self, role: Role) -> u8 {
        match role {
            Role::Server if self.client_no_context_takeover => 0,
            Role::Server => self.client_max_window_bits,
            Role::Client if self.server_no_context_takeover => 0,
            Role::Client => self.server_max_window_bits,
        }
    }

    /// Whether *our* messages may refer to earlier ones: the connection owns its compressor.
    pub fn we_keep_context(self, role: Role) -> bool {
        match role {
            Role::Server => !self.server_no_context_takeover,
            Role::Client => !self.client_no_context_takeover,
        }
    }

    /// The window in bits that *we* compress with. Below 15, [`super::SharedFrame::deflated`] is
    /// not for this connection.
    pub fn our_window_bits(self, role: Role) -> u8 {
        match role {
            Role::Server => self.server_max_window_bits,
            Role::Client => self.client_max_window_bits,
        }
    }
}

impl fmt::Display for Deflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            write!(f, "; {SERVER_NO_CONTEXT_TAKEOVER}")?;
        }
        if self.client_no_context_takeover {
            write!(f, "; {CLIENT_NO_CONTEXT_TAKEOVER}")?;
        }
        if self.server_window_named || self.server_max_window_bits < WINDOW_BITS_MAX {
            write!(f, "; {SERVER_MAX_WINDOW_BITS}={}", self.server_max_window_bits)?;
        }
        if self.client_max_window_bits < WINDOW_BITS_MAX {
            write!(f, "; {CLIENT_MAX_WINDOW_BITS}={}", self.client_max_window_bits)?;
        }
        Ok(())
    }
}

/// What we want of permessage-deflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflatePolicy {
    /// Whether messages may refer to earlier ones: better ratios, for some 330 KiB per connection.
    pub context_takeover: bool,
}

/// The server's side: the first offer that we can accept, over all values of
/// `Sec-WebSocket-Extensions` in order; `None` if there is none (then the connection goes on without
/// compression). Malformed, unknown and doubled parameters decline the offer they are in.
pub fn negotiate<'h>(
    offers: impl Iterator<Item = &'h [u8]>,
    policy: DeflatePolicy,
) -> Option<Deflate> {
    offers
        .flat_map(extensions)
        .flatten()
        .filter(|extension| extension.name == NAME)
        .find_map(|offer| accept_offer(&offer, policy))
}

fn accept_offer(offer: &Extension<'_>, policy: DeflatePolicy) -> Option<Deflate> {
    let offered = Parameters::read(offer)?;
    let mut agreed = Deflate {
        server_no_context_takeover: offered.server_no_context_takeover || !policy.context_takeover,
        client_no_context_takeover: offered.client_no_context_takeover || !policy.context_takeover,
        ..Deflate::default()
    };
    match offered.server_max_window_bits {
        None => {}
        Some(Bits::Named(bits)) if bits >= WINDOW_BITS_MIN => {
            agreed.server_max_window_bits = bits;
            agreed.server_window_named = true;
        }
        // RFC 7692 §7.1.2.1: here the value is not optional.
        Some(Bits::Named(_) | Bits::Unnamed) => return None,
    }
    match offered.client_max_window_bits {
        // A client's own 256 bytes are left to it: it may not find a zlib that does them either.
        Some(Bits::Named(bits)) if bits >= WINDOW_BITS_MIN => {
            agreed.client_max_window_bits = bits;
        }
        Some(Bits::Named(_) | Bits::Unnamed) | None => {}
    }
    Some(agreed)
}

/// The client's side: the header value to offer permessage-deflate with.
pub fn offer(policy: DeflatePolicy) -> &'static str {
    if policy.context_takeover {
        "permessage-deflate; client_max_window_bits"
    } else {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"
    }
}

/// A server's answer that does not fit our offer: the client has to fail the connection
/// (RFC 6455 §4.1, RFC 7692 §7.1). Always the server's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerError {
    /// The header does not follow the grammar.
    Malformed,
    /// An extension that was not offered, or permessage-deflate twice.
    NotOffered,
    /// permessage-deflate with parameters that are unknown, doubled, ill-valued, or a client window
    /// of 8 bits, which zlib cannot make.
    Parameters,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the server's Sec-WebSocket-Extensions is malformed",
            Self::NotOffered => "the server chose an extension that was not offered",
            Self::Parameters => "the server chose permessage-deflate parameters that do not fit",
        })
    }
}

impl std::error::Error for AnswerError {}

/// The client's side: checks the server's answer to [`offer`]; `Ok(None)` if it declined.
///
/// A server that leaves out a `server_no_context_takeover` we asked for is forgiven: what it sends
/// is understood all the same.
pub fn accept_answer<'h>(
    answer: impl Iterator<Item = &'h [u8]>,
    policy: DeflatePolicy,
) -> Result<Option<Deflate>, AnswerError> {
    let mut agreed = None;
    for extension in answer.flat_map(extensions) {
        let extension = extension.ok_or(AnswerError::Malformed)?;
        if extension.name != NAME || agreed.is_some() {
            return Err(AnswerError::NotOffered);
        }
        agreed = Some(read_answer(&extension, policy).ok_or(AnswerError::Parameters)?);
    }
    Ok(agreed)
}

fn read_answer(answer: &Extension<'_>, policy: DeflatePolicy) -> Option<Deflate> {
    let answered = Parameters::read(answer)?;
    let bits = |bits, min| match bits {
        None => Some(WINDOW_BITS_MAX),
        Some(Bits::Named(bits)) if bits >= min => Some(bits),
        Some(Bits::Named(_) | Bits::Unnamed) => None,
    };
    Some(Deflate {
        server_no_context_takeover: answered.server_no_context_takeover,
        client_no_context_takeover: answered.client_no_context_takeover || !policy.context_takeover,
        // What 8 bits compressed is inflated by any larger window.
        server_max_window_bits: bits(answered.server_max_window_bits, 8)?,
        client_max_window_bits: bits(answered.client_max_window_bits, WINDOW_BITS_MIN)?,
        server_window_named: answered.server_max_window_bits.is_some(),
    })
}

/// A window parameter as it was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bits {
    /// With a value of 8 to 15.
    Named(u8),
    /// Without a value.
    Unnamed,
}

/// The four parameters of RFC 7692 §7.1, each at most once.
#[derive(Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<Bits>,
    client_max_window_bits: Option<Bits>,
}

impl Parameters {
    /// `None` if a parameter is unknown, doubled, or has a value that it may not have.
    fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut read = Self::default();
        for (name, value) in &extension.parameters {
            let value = value.as_deref();
            let fresh = match *name {
                SERVER_NO_CONTEXT_TAKEOVER => {
                    value.is_none()
                        && !std::mem::replace(&mut read.server_no_context_takeover, true)
                }
                CLIENT_NO_CONTEXT_TAKEOVER => {
                    value.is_none()
                        && !std::mem::replace(&mut read.client_no_context_takeover, true)
                }
                SERVER_MAX_WINDOW_BITS => {
                    read.server_max_window_bits.replace(bits(value)?).is_none()
                }
                CLIENT_MAX_WINDOW_BITS => {
                    read.client_max_window_bits.replace(bits(value)?).is_none()
                }
                _ => false,
            };
            if !fresh {
                return None;
            }
        }
        Some(read)
    }
}

/// A decimal integer from 8 to 15 without leading zeros (RFC 7692 §7.1.2), or no value.
fn bits(value: Option<&str>) -> Option<Bits> {
    Some(match value {
        None => Bits::Unnamed,
        Some("8") => Bits::Named(8),
        Some("9") => Bits::Named(9),
        Some("10") => Bits::Named(10),
        Some("11") => Bits::Named(11),
        Some("12") => Bits::Named(12),
        Some("13") => Bits::Named(13),
        Some("14") => Bits::Named(14),
        Some("15") => Bits::Named(15),
        Some(_) => return None,
    })
}
