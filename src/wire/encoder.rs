//! Whole messages and control frames out (RFC 6455 §5.2, §6.1).

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::deflate::Deflater;
use super::{Opcode, Role, mask};

/// What a frame took on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// Header and payload in bytes.
    pub wire_bytes: u64,
    /// The payload as it crosses the wire, if it is compressed.
    pub compressed_bytes: Option<u64>,
}

/// Appends one message or control frame to `out`, unfragmented.
///
/// With `deflate` (the compressor and the least payload worth it, in bytes), a message goes out
/// compressed if that makes it smaller. `mask` is a client's key, which has to be new and not to be
/// guessed for each frame (RFC 6455 §5.3); a client without one masks with zeros, a server never
/// masks. Control frames of more than 125 bytes and text that is not UTF-8 are the caller's mistake.
#[inline]
pub fn encode(
    out: &mut Vec<u8>,
    role: Role,
    opcode: Opcode,
    payload: &[u8],
    deflate: Option<(&mut Deflater, usize)>,
    mask: Option<[u8; 4]>,
) -> Encoded {
    debug_assert!(!opcode.is_control() || payload.len() <= super::CONTROL_PAYLOAD_BYTES_MAX);
    let compressed = match deflate {
        Some((deflater, min_bytes)) if !opcode.is_control() && payload.len() >= min_bytes => {
            deflater.compress(payload)
        }
        Some(_) | None => None,
    };
    let key = match role {
        Role::Server => None,
        Role::Client => Some(mask.unwrap_or_default()),
    };
    let wire_bytes = append(out, opcode, compressed.unwrap_or(payload), compressed.is_some(), key);
    Encoded { wire_bytes, compressed_bytes: compressed.map(|compressed| compressed.len() as u64) }
}

/// Appends a frame with its payload as it is; the bytes it took.
pub(super) fn append(
    out: &mut Vec<u8>,
    opcode: Opcode,
    payload: &[u8],
    compressed: bool,
    key: Option<[u8; 4]>,
) -> u64 {
    let header = FrameHeader {
        is_final: true,
        rsv1: compressed,
        rsv2: false,
        rsv3: false,
        opcode: tungstenite_opcode(opcode),
        mask: key,
    };
    let start = out.len();
    let length = payload.len() as u64;
    out.reserve(header.len(length) + payload.len());
    header.format(length, out).expect("writing to a Vec does not fail");
    let body = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask::apply(&mut out[body..], key, 0);
    }
    (out.len() - start) as u64
}

const fn tungstenite_opcode(opcode: Opcode) -> OpCode {
    match opcode {
        Opcode::Text => OpCode::Data(Data::Text),
        Opcode::Binary => OpCode::Data(Data::Binary),
        Opcode::Close => OpCode::Control(Control::Close),
        Opcode::Ping => OpCode::Control(Control::Ping),
        Opcode::Pong => OpCode::Control(Control::Pong),
    }
}
