//! Random messages there and back, in both roles, with and without compression, takeover and
//! fragments; and the same streams read by tungstenite.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::{Role as TheirRole, WebSocket, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{NO_TAKEOVER, Out, Random, decode, raw_frame, server};
use crate::wire::{DecoderOptions, Deflate, Deflater, Opcode, Role, encode};

/// What was put into a stream.
type Sent = (Opcode, Vec<u8>);

struct Sender {
    random: Random,
    role: Role,
    deflater: Option<Deflater>,
    stream: Vec<u8>,
    sent: Vec<Sent>,
}

impl Sender {
    fn new(seed: u64, role: Role, deflate: Option<Deflate>) -> Self {
        let level = (seed % 9 + 1) as u8;
        let deflater = deflate.map(|deflate| {
            let bits = deflate.our_window_bits(role);
            if deflate.we_keep_context(role) {
                Deflater::with_takeover(level, bits)
            } else {
                Deflater::new(level, bits)
            }
        });
        Self { random: Random(seed), role, deflater, stream: Vec::new(), sent: Vec::new() }
    }

    fn payload(&mut self, opcode: Opcode) -> Vec<u8> {
        let limit = [1, 20, 130, 3_000, 70_000][self.random.below(5)];
        let limit = if opcode.is_control() { 126 } else { limit };
        let length = self.random.below(limit);
        match (opcode, self.random.below(2)) {
            (Opcode::Text, _) => {
                let letters = ["a", "e", "ß", "€", "😀", " the ", "notification"];
                let mut text = String::new();
                while text.len() < length {
                    text.push_str(letters[self.random.below(letters.len())]);
                }
                text.into_bytes()
            }
            (Opcode::Close, _) => b"\x03\xe8".to_vec(),
            (_, 0) => (0..length).map(|_| self.random.next() as u8).collect(),
            (_, _) => (0..length).map(|at| (at % 50) as u8).collect(),
        }
    }

    fn key(&mut self) -> Option<[u8; 4]> {
        match self.role {
            Role::Server => None,
            Role::Client => Some((self.random.next() as u32).to_be_bytes()),
        }
    }

    fn send(&mut self, opcode: Opcode) {
        let payload = self.payload(opcode);
        if self.random.below(3) == 0 && !opcode.is_control() {
            self.send_fragments(opcode, &payload);
        } else {
            let key = self.key();
            let min_bytes = self.random.below(100);
            let deflate = self.deflater.as_mut().map(|deflater| (deflater, min_bytes));
            let before = self.stream.len();
            let encoded = encode(&mut self.stream, self.role, opcode, &payload, deflate, key);
            assert_eq!(encoded.wire_bytes as usize, self.stream.len() - before);
        }
        self.sent.push((opcode, payload));
    }

    fn send_fragments(&mut self, opcode: Opcode, payload: &[u8]) {
        let compressed = self.deflater.as_mut().and_then(|it| it.compress(payload));
        let rsv1 = if compressed.is_some() { 0x40 } else { 0 };
        let mut rest = compressed.unwrap_or(payload).to_vec();
        let mut first = if opcode == Opcode::Text { 1 } else { 2 } | rsv1;
        loop {
            let part: Vec<u8> = rest.drain(..self.random.below(rest.len() + 1)).collect();
            let last = rest.is_empty();
            let first_byte = first | if last { 0x80 } else { 0 };
            let frame = raw_frame(first_byte, &part, self.key());
            self.stream.extend(frame);
            if last {
                return;
            }
            first = 0;
            if self.random.below(2) == 0 {
                let ping = self.payload(Opcode::Ping);
                let frame = raw_frame(0x89, &ping, self.key());
                self.stream.extend(frame);
                self.sent.push((Opcode::Ping, ping));
            }
        }
    }
}

fn random_stream(seed: u64, role: Role, deflate: Option<Deflate>) -> Sender {
    let mut sender = Sender::new(seed, role, deflate);
    let opcodes = [Opcode::Text, Opcode::Binary, Opcode::Ping, Opcode::Pong];
    for _ in 0..15 {
        let opcode = opcodes[sender.random.below(opcodes.len())];
        sender.send(opcode);
    }
    sender
}

#[test]
fn there_and_back() {
    let small_windows =
        Deflate { server_max_window_bits: 9, client_max_window_bits: 10, ..Deflate::default() };
    for (role, receiver) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
        for deflate in [None, Some(NO_TAKEOVER), Some(Deflate::default()), Some(small_windows)] {
            let options = DecoderOptions { role: receiver, max_message_bytes: 100_000, deflate };
            for seed in 0..25 {
                let Sender { stream, sent, .. } = random_stream(seed, role, deflate);
                let mut random = Random(seed);
                let widest = [1, 17, 4_000, usize::MAX][random.below(4)];
                let cut = &mut |rest: usize| 1 + random.below(rest.min(widest));
                let (out, decoder) = decode(options, &stream, cut);
                let mut wire = 0;
                let received: Vec<Sent> = out
                    .into_iter()
                    .map(|it| match it {
                        Out::Message { opcode, payload, wire_bytes, .. } => {
                            wire += wire_bytes;
                            (opcode, payload)
                        }
                        Out::Violation(violation) => panic!("{violation}"),
                    })
                    .collect();
                assert!(received == sent, "seed {seed} from {role:?} with {deflate:?}");
                assert_eq!(wire, stream.len() as u64);
                assert!(!decoder.mid_frame() && !decoder.mid_message());
                assert!(decoder.buffered_bytes() <= 32 << 10);
            }
        }
    }
}

/// tungstenite as oracle: it reads the same messages from uncompressed streams, and refuses the
/// streams that we refuse, whatever byte is changed in them.
#[test]
fn tungstenite_agrees() {
    let mut refused = 0;
    for seed in 0..300 {
        let Sender { mut stream, .. } = random_stream(seed, Role::Client, None);
        stream.truncate(3_000);
        let mut random = Random(seed);
        if seed % 3 > 0 {
            let at = random.below(stream.len().min(100));
            stream[at] ^= 1 << random.below(8);
        }
        let options = DecoderOptions { max_message_bytes: 100_000, ..server(None) };
        let (ours, _) = decode(options, &stream, &mut |rest| rest);
        let theirs = tungstenite_reads(&stream);
        let is_violation = |out: &Out| matches!(out, Out::Violation(_));
        let good = ours.iter().take_while(|it| !is_violation(it)).count();
        refused += usize::from(good < ours.len());
        let shortest = good.min(theirs.messages.len());
        for (ours, theirs) in ours.iter().zip(&theirs.messages).take(shortest) {
            assert!(
                matches!(ours, Out::Message { opcode, payload, .. } if (*opcode, payload) == (theirs.0, &theirs.1)),
                "seed {seed}"
            );
        }
        // We fail at once on incomplete frames and check lengths more strictly: never more lenient.
        assert!(good <= theirs.messages.len() || theirs.blind, "seed {seed}");
        assert!(!theirs.refused || good < ours.len(), "seed {seed}");
    }
    assert!(refused > 10, "{refused}");
}

struct Theirs {
    messages: Vec<Sent>,
    refused: bool,
    /// tungstenite stopped reading at a Close, we do not.
    blind: bool,
}

fn tungstenite_reads(stream: &[u8]) -> Theirs {
    let config = WebSocketConfig::default().max_message_size(Some(100_000));
    let transport = Cursor::new(stream.to_vec());
    let mut socket =
        WebSocket::from_raw_socket(ReadOnly(transport), TheirRole::Server, Some(config));
    let mut theirs = Theirs { messages: Vec::new(), refused: false, blind: false };
    loop {
        let message = match socket.read() {
            Ok(Message::Text(text)) => (Opcode::Text, text.as_bytes().to_vec()),
            Ok(Message::Binary(payload)) => (Opcode::Binary, payload.to_vec()),
            Ok(Message::Ping(payload)) => (Opcode::Ping, payload.to_vec()),
            Ok(Message::Pong(payload)) => (Opcode::Pong, payload.to_vec()),
            Ok(Message::Close(_) | Message::Frame(_)) => {
                theirs.blind = true;
                return theirs;
            }
            Err(Error::Protocol(error)) => {
                use tokio_tungstenite::tungstenite::error::ProtocolError as Theirs;
                // The end of the stream is none of ours; a bad close body is left to parse_close.
                theirs.blind = error == Theirs::InvalidCloseSequence;
                theirs.refused = !theirs.blind && error != Theirs::ResetWithoutClosingHandshake;
                return theirs;
            }
            Err(Error::Utf8(_) | Error::Capacity(_)) => {
                theirs.refused = true;
                return theirs;
            }
            Err(_) => return theirs,
        };
        theirs.messages.push(message);
    }
}

/// A stream that takes and forgets tungstenite's pongs.
struct ReadOnly(Cursor<Vec<u8>>);

impl std::io::Read for ReadOnly {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::io::Write for ReadOnly {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
