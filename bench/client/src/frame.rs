//! The little of RFC 6455 that a counting client needs: masked frames out, frame headers in.

/// Opcodes of RFC 6455 §5.2 that this client tells apart.
const OPCODE_CLOSE: u8 = 0x8;
const OPCODE_PING: u8 = 0x9;

/// The bit that says that a masking key follows.
const MASKED: u8 = 0x80;

/// Sent as the masking key of every frame. Predictable on purpose: the frame is built once and sent
/// many times, and no proxy stands between this client and the server it measures.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What one call of [`Scanner::scan`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Whole text and binary messages (frames with FIN that are not control frames).
    pub messages: u64,
    /// Payloads of the pings that must be answered.
    pub pings: Vec<Vec<u8>>,
    /// A Close frame was seen: its code, or 1005 when it had none (RFC 6455 §7.1.5).
    pub close: Option<u16>,
}

/// Counts the frames of one server's stream without keeping or unmasking their payload.
///
/// Payload bytes are skipped, so that the client costs little beside the server it measures; only the
/// payloads of control frames (at most 125 bytes, RFC 6455 §5.5) are kept, because a pong repeats them.
#[derive(Debug, Default)]
pub struct Scanner {
    header: [u8; 10],
    header_len: u8,
    is_control: bool,
    payload_left: u64,
    control_payload: Vec<u8>,
}

impl Scanner {
    /// Takes the next bytes of the stream, however they were cut. Errors name the violated rule.
    pub fn scan(&mut self, mut bytes: &[u8], found: &mut Found) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                bytes = self.skip_payload(bytes, found);
                continue;
            }
            self.header[usize::from(self.header_len)] = bytes[0];
            self.header_len += 1;
            bytes = &bytes[1..];
            if self.header_len >= 2 && self.header_len == self.header_length()? {
                self.begin_payload(found);
            }
        }
        Ok(())
    }

    /// Length of the header whose first two bytes are known (RFC 6455 §5.2).
    fn header_length(&self) -> Result<u8, &'static str> {
        if self.header[1] & MASKED != 0 {
            return Err("the server masked a frame (RFC 6455 §5.1)");
        }
        Ok(match self.header[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        })
    }

    fn begin_payload(&mut self, found: &mut Found) {
        let header = &self.header;
        self.payload_left = match header[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([header[2], header[3]])),
            127 => header[2..10].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
            length => u64::from(length),
        };
        self.is_control = header[0] & 0x08 != 0;
        if self.payload_left == 0 {
            self.finish_frame(found);
        }
    }

    fn skip_payload<'bytes>(&mut self, bytes: &'bytes [u8], found: &mut Found) -> &'bytes [u8] {
        let taken = bytes.len().min(usize::try_from(self.payload_left).unwrap_or(usize::MAX));
        if self.is_control {
            self.control_payload.extend_from_slice(&bytes[..taken]);
        }
        self.payload_left -= taken as u64;
        if self.payload_left == 0 {
            self.finish_frame(found);
        }
        &bytes[taken..]
    }

    fn finish_frame(&mut self, found: &mut Found) {
        let is_final = self.header[0] & 0x80 != 0;
        match self.header[0] & 0x0f {
            OPCODE_PING => found.pings.push(std::mem::take(&mut self.control_payload)),
            OPCODE_CLOSE => {
                let code = self
                    .control_payload
                    .get(..2)
                    .map(|code| u16::from_be_bytes([code[0], code[1]]));
                found.close = Some(code.unwrap_or(1005));
            }
            _ if self.is_control => {}
            _ => found.messages += u64::from(is_final),
        }
        self.control_payload.clear();
        self.header_len = 0;
    }
}

/// A masked text frame with FIN.
pub fn text(payload: &[u8]) -> Vec<u8> {
    masked(0x81, payload)
}

/// A masked pong that repeats a ping's payload (RFC 6455 §5.5.3).
pub fn pong(payload: &[u8]) -> Vec<u8> {
    masked(0x8a, payload)
}

/// A masked Close frame with code 1000.
pub fn close() -> Vec<u8> {
    masked(0x88, &1000_u16.to_be_bytes())
}

fn masked(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    frame.push(first_byte);
    match payload.len() {
        length @ 0..126 => frame.push(MASKED | length as u8),
        length @ 126..65_536 => {
            frame.push(MASKED | 0x7e);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(MASKED | 0x7f);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans `stream` cut into pieces of every size: the result must not depend on the cuts.
    fn check(stream: &[u8], expected: &Found) {
        for piece in 1..=stream.len() {
            let (mut scanner, mut found) = (Scanner::default(), Found::default());
            for bytes in stream.chunks(piece) {
                scanner.scan(bytes, &mut found).expect("a valid stream");
            }
            assert_eq!(&found, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn counts_messages_of_every_length_form() {
        let mut stream = vec![0x81, 0x00];
        for length in [1_usize, 125, 126, 65_535, 65_536] {
            match length {
                0..126 => stream.extend([0x82, length as u8]),
                126..65_536 => {
                    stream.extend([0xc1, 126]);
                    stream.extend((length as u16).to_be_bytes());
                }
                _ => {
                    stream.extend([0x82, 127]);
                    stream.extend((length as u64).to_be_bytes());
                }
            }
            stream.resize(stream.len() + length, 0xff);
        }
        let (mut scanner, mut found) = (Scanner::default(), Found::default());
        for bytes in stream.chunks(1_000) {
            scanner.scan(bytes, &mut found).expect("a valid stream");
        }
        assert_eq!(found, Found { messages: 6, ..Found::default() });
    }

    #[test]
    fn a_fragmented_message_with_a_ping_inside_is_one_message() {
        let stream = [0x01, 1, b'a', 0x89, 2, b'h', b'i', 0x00, 0, 0x80, 1, b'b'];
        check(&stream, &Found { messages: 1, pings: vec![b"hi".to_vec()], close: None });
    }

    #[test]
    fn a_close_frame_gives_its_code_or_1005() {
        check(&[0x88, 2, 0x03, 0xf0], &Found { close: Some(1008), ..Found::default() });
        check(&[0x88, 0], &Found { close: Some(1005), ..Found::default() });
    }

    #[test]
    fn a_masked_server_frame_is_refused() {
        assert!(Scanner::default().scan(&text(b"x"), &mut Found::default()).is_err());
    }

    #[test]
    fn frames_out_use_the_minimal_length_form() {
        for (length, header) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            assert_eq!(text(&vec![b'x'; length]).len(), header + 4 + length);
        }
    }
}
