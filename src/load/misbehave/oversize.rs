//! A client with one message that never ends.

use tokio::io::{AsyncWrite, AsyncWriteExt as _, split};

use super::ending::Ending;
use super::watch::Watch;
use crate::load::link::Transport;

/// The message's length, in bytes.
const MESSAGE_BYTES: u64 = 1 << 30;

/// It is sent in pieces of this size.
const PIECE_BYTES: usize = 64 * 1_024;

/// Shared by all: nobody holds a message.
static PIECE: [u8; PIECE_BYTES] = [0; PIECE_BYTES];

/// Any key: whoever looks at the payload has not refused it.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const FIN_BINARY: u8 = 0x82;
const BINARY: u8 = 0x02;
const CONTINUATION: u8 = 0x00;

/// Sends a message of 1 GiB: in one frame that says so at once if `variety` is even, in fragments
/// of 64 KiB if it is odd. Reads meanwhile, to be told to stop; whoever takes all of it is waited for.
pub(super) async fn run(transport: Transport, mut watch: Watch, variety: u32) -> Ending {
    let (mut reading, mut writing) = split(transport);
    let sent = tokio::select! {
        ended = watch.until_ended(&mut reading) => return ended,
        sent = send(&mut writing, variety.is_multiple_of(2)) => sent,
    };
    match sent {
        Ok(()) => watch.until_ended(&mut reading).await,
        Err(error) => watch.after_failed_write(&mut reading, &error).await,
    }
}

async fn send(writing: &mut (impl AsyncWrite + Unpin), in_one_frame: bool) -> std::io::Result<()> {
    if in_one_frame {
        writing.write_all(&header(FIN_BINARY, MESSAGE_BYTES)).await?;
    }
    let pieces = MESSAGE_BYTES / PIECE_BYTES as u64;
    for piece in 0..pieces {
        if !in_one_frame {
            // The last fragment does not say that it is the last: more is always to come.
            let opcode = if piece == 0 { BINARY } else { CONTINUATION };
            writing.write_all(&header(opcode, PIECE_BYTES as u64)).await?;
        }
        writing.write_all(&PIECE).await?;
    }
    writing.flush().await
}

/// A masked frame's header with a length of 64 bits (RFC 6455 §5.2).
fn header(first_byte: u8, length: u64) -> [u8; 14] {
    let mut header = [0; 14];
    header[0] = first_byte;
    header[1] = 0x80 | 127;
    header[2..10].copy_from_slice(&length.to_be_bytes());
    header[10..].copy_from_slice(&KEY);
    header
}
