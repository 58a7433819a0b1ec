//! A client that sends a frame which RFC 6455 forbids.

use tokio::io::AsyncWriteExt as _;

use super::ending::Ending;
use super::watch::Watch;
use crate::load::link::Transport;

/// A masking key of zeros leaves payloads readable; that is not what is wrong with them.
const KEY: [u8; 4] = [0; 4];

/// What is wrong, and the frame: its bytes before and after the masking key, if it has one.
struct BadFrame {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it documents the table and names its tests")
    )]
    what: &'static str,
    header: &'static [u8],
    is_masked: bool,
    payload: &'static [u8],
}

/// One after the other, a round each.
const BAD_FRAMES: [BadFrame; 10] = [
    BadFrame { what: "no mask (§5.1)", header: &[0x81, 5], is_masked: false, payload: b"plain" },
    masked("RSV2 set (§5.2)", &[0xa1, 0x85], b"hello"),
    masked("reserved opcode 0x3 (§5.2)", &[0x83, 0x85], b"hello"),
    masked("fragmented ping (§5.5)", &[0x09, 0x81], b"?"),
    masked("ping of 126 bytes (§5.5)", &[0x89, 0xfe, 0, 126], &[0; 126]),
    masked("continuation without a message (§5.4)", &[0x80, 0x85], b"again"),
    masked("text that is not UTF-8 (§8.1)", &[0x81, 0x82], b"\xc3\x28"),
    masked("length not in its shortest form (§5.2)", &[0x82, 0xfe, 0, 5], b"short"),
    masked("close code 1005 on the wire (§7.4.1)", &[0x88, 0x82], &1005_u16.to_be_bytes()),
    masked("close payload of 1 byte (§5.5.1)", &[0x88, 0x81], b"\x03"),
];

const fn masked(what: &'static str, header: &'static [u8], payload: &'static [u8]) -> BadFrame {
    BadFrame { what, header, is_masked: true, payload }
}

impl BadFrame {
    fn bytes(&self) -> Vec<u8> {
        let key: &[u8] = if self.is_masked { &KEY } else { &[] };
        [self.header, key, self.payload].concat()
    }
}

/// Sends the frame that `variety` picks and waits for the end.
pub(super) async fn run(mut transport: Transport, mut watch: Watch, variety: u32) -> Ending {
    let frame = BAD_FRAMES[variety as usize % BAD_FRAMES.len()].bytes();
    let written = match transport.write_all(&frame).await {
        Ok(()) => transport.flush().await,
        failed => failed,
    };
    match written {
        Ok(()) => watch.until_ended(&mut transport).await,
        Err(error) => watch.after_failed_write(&mut transport, &error).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Decoder, DecoderOptions, Inflater, Input, Opcode, Role, parse_close};

    /// What a server that keeps the rules says of it.
    fn violation(frame: &BadFrame) -> String {
        let options =
            DecoderOptions { role: Role::Server, max_message_bytes: 1_024, deflate: None };
        let mut bytes = frame.bytes();
        let (mut decoder, mut inflater) = (Decoder::new(options), Inflater::new());
        let violation = match decoder.next(&mut Input::new(&mut bytes), &mut inflater) {
            Ok(Some(close)) if close.opcode == Opcode::Close => parse_close(close.payload).err(),
            Ok(_) => None,
            Err(violation) => Some(violation),
        };
        violation.unwrap_or_else(|| panic!("{}: nothing is wrong with it", frame.what)).to_string()
    }

    #[test]
    fn each_frame_breaks_the_rule_that_it_is_named_after() {
        let expected = [
            "client frame without mask",
            "reserved bit set",
            "reserved opcode 0x3",
            "fragmented control frame",
            "control frame of more than 125 bytes",
            "continuation without a message",
            "text is not UTF-8 at byte 0",
            "length 5 not in its shortest form",
            "close code 1005 may not be sent",
            "close body of one byte",
        ];
        for (frame, expected) in BAD_FRAMES.iter().zip(expected) {
            let said = violation(frame);
            assert!(said.contains(expected), "{}: {said}", frame.what);
        }
    }
}
