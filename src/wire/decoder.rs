//! Bytes in, whole messages out (RFC 6455 §5, §6.2; RFC 7692 §6.2, §7.2.2).

mod resume;

use super::header::{FrameKind, Header, OpenMessage, Rules};
use super::incoming::{Incoming, Input};
use super::inflate::{self, Inflater};
use super::negotiation::Deflate;
use super::partial::{Frame, Message, Partial};
use super::violation::Violation;
use super::{CONTROL_PAYLOAD_BYTES_MAX, Opcode, Role};

/// What a [`Decoder`] is made for.
#[derive(Debug, Clone, Copy)]
pub struct DecoderOptions {
    /// Who we are.
    pub role: Role,
    /// The longest payload of a message in bytes, all fragments together, inflated. A compressed
    /// message may take a 64th and 64 bytes more on the wire, for what does not compress.
    pub max_message_bytes: usize,
    /// permessage-deflate as negotiated, if it was.
    pub deflate: Option<Deflate>,
}

/// The way in of one connection. 64 bytes, and nothing on the heap while it waits for nothing
/// (with context takeover: the peer's window, at most 32 KiB).
pub struct Decoder {
    max_message_bytes: usize,
    partial: Option<Box<Partial>>,
    /// The last bytes of earlier messages, for context takeover.
    window: Vec<u8>,
    /// The size of the peer's window in bits; 0: no context takeover.
    window_bits: u8,
    role: Role,
    deflate: bool,
    discarding: bool,
}

/// A whole message or control frame, and where it lies.
struct Done<'b> {
    opcode: Opcode,
    place: Place<'b>,
    wire_bytes: u64,
    compressed_bytes: Option<u64>,
}

enum Place<'b> {
    /// In the caller's buffer, as it came.
    Input(&'b [u8]),
    /// In [`Inflater::inflated`].
    Inflated,
    /// In [`Inflater::gathered`].
    Gathered,
}

impl Decoder {
    /// A decoder at the beginning of a connection, right behind the handshake.
    pub fn new(options: DecoderOptions) -> Self {
        let DecoderOptions { role, max_message_bytes, deflate } = options;
        Self {
            max_message_bytes,
            partial: None,
            window: Vec::new(),
            window_bits: deflate.map_or(0, |deflate| deflate.peer_window_bits(role)),
            role,
            deflate: deflate.is_some(),
            discarding: false,
        }
    }

    /// The next whole message or control frame; `None` when the input is used up. Control frames
    /// come out between the fragments of a message, as they came.
    ///
    /// A violation is final: from then on the decoder discards (see [`Self::discard`]), and the
    /// caller, once it has sent its Close, goes on with the rest of *the same* input.
    #[inline]
    pub fn next<'a>(
        &mut self,
        input: &'a mut Input<'_>,
        inflater: &'a mut Inflater,
    ) -> Result<Option<Incoming<'a>>, Violation> {
        while !input.is_empty() {
            let done = match self.step(input, inflater) {
                Ok(None) => continue,
                Ok(Some(done)) => done,
                Err(violation) => {
                    self.discard();
                    return Err(violation);
                }
            };
            return Ok(Some(Incoming {
                opcode: done.opcode,
                payload: match done.place {
                    Place::Input(payload) => payload,
                    Place::Inflated => inflater.inflated(),
                    Place::Gathered => inflater.gathered(),
                },
                wire_bytes: done.wire_bytes,
                compressed_bytes: done.compressed_bytes,
            }));
        }
        Ok(None)
    }

    /// Whether bytes of an incomplete frame have come: an end of the stream now is one in a frame.
    pub fn mid_frame(&self) -> bool {
        self.partial.as_ref().is_some_and(|it| it.is_mid_frame())
    }

    /// Whether a message has begun and is not whole.
    pub fn mid_message(&self) -> bool {
        self.partial.as_ref().is_some_and(|it| it.message.is_some())
    }

    /// Bytes on the heap now: the incomplete message, and the window of context takeover.
    pub fn buffered_bytes(&self) -> usize {
        self.window.capacity() + self.partial.as_ref().map_or(0, |it| it.bytes())
    }

    /// From now on only Close frames come out, and nothing else is kept or judged: what is left to
    /// do after our own Close (RFC 6455 §7.1.1) or a violation, even in the middle of a frame.
    /// Lengths are followed still, so that the peer's Close behind 8 MB is found. A Close of more
    /// than 125 bytes comes out without its payload.
    pub fn discard(&mut self) {
        self.discarding = true;
        self.window = Vec::new();
        if let Some(partial) = &mut self.partial {
            partial.message = None;
        }
        self.free_if_idle();
    }

    /// Uses up a header, a payload, or what there is of them.
    #[inline]
    fn step<'b>(
        &mut self,
        input: &mut Input<'b>,
        inflater: &mut Inflater,
    ) -> Result<Option<Done<'b>>, Violation> {
        if self.mid_frame() {
            return self.resume(input, inflater);
        }
        self.judge(input.rest)?;
        let Some(header) = Header::read(input.rest) else {
            let partial = self.partial.get_or_insert_default();
            for &byte in input.take(input.remaining()).iter() {
                partial.header.push(byte);
            }
            return Ok(None);
        };
        if (input.remaining() as u64) < header.wire_bytes() {
            input.take(usize::from(header.size));
            let partial = self.partial.get_or_insert_default();
            partial.frame = Some(Frame { header, received: 0 });
            return Ok(None);
        }
        let frame = input.take(header.wire_bytes() as usize);
        let payload = &mut frame[usize::from(header.size)..];
        header.unmask(payload, 0);
        self.whole_frame(&header, payload, inflater)
    }

    fn judge(&self, header: &[u8]) -> Result<(), Violation> {
        if self.discarding {
            return Ok(());
        }
        let open = self.partial.as_ref().and_then(|it| it.message.as_ref());
        let rules = Rules {
            role: self.role,
            deflate: self.deflate,
            open_message: open.map(|message| OpenMessage {
                payload_bytes: message.payload.len() as u64,
                compressed: message.compressed,
            }),
            max_message_bytes: self.max_message_bytes,
        };
        rules.judge(header)
    }

    /// A frame that lies wholly in the input: nothing is copied unless it is a fragment.
    #[inline]
    fn whole_frame<'b>(
        &mut self,
        header: &Header,
        payload: &'b [u8],
        inflater: &mut Inflater,
    ) -> Result<Option<Done<'b>>, Violation> {
        let opcode = match header.kind() {
            FrameKind::Starts(opcode) if self.wants(opcode, header) => opcode,
            FrameKind::Starts(Opcode::Close) => {
                // Too long to be read, but the peer's last word all the same.
                return Ok(Some(Done {
                    opcode: Opcode::Close,
                    place: Place::Input(&payload[..0]),
                    wire_bytes: header.wire_bytes(),
                    compressed_bytes: None,
                }));
            }
            FrameKind::Continuation if !self.discarding => {
                return self.whole_fragment(header, payload, inflater);
            }
            FrameKind::Starts(_) | FrameKind::Continuation | FrameKind::Reserved(_) => {
                return Ok(None);
            }
        };
        if !opcode.is_control() && !header.is_final() {
            self.open_message(opcode, header);
            return self.whole_fragment(header, payload, inflater);
        }
        let mut done = Done {
            opcode,
            place: Place::Input(payload),
            wire_bytes: header.wire_bytes(),
            compressed_bytes: None,
        };
        if !opcode.is_control() && header.is_compressed() {
            self.inflate(opcode, payload, inflater)?;
            done.place = Place::Inflated;
            done.compressed_bytes = Some(header.length);
        } else if opcode == Opcode::Text {
            check_utf8(payload)?;
        }
        Ok(Some(done))
    }

    /// Whether a frame's payload is of use: after our Close, that of a Close alone is, whatever
    /// else is wrong with it.
    fn wants(&self, opcode: Opcode, header: &Header) -> bool {
        !self.discarding
            || (opcode == Opcode::Close && header.length <= CONTROL_PAYLOAD_BYTES_MAX as u64)
    }

    fn open_message(&mut self, opcode: Opcode, header: &Header) {
        let partial = self.partial.get_or_insert_default();
        partial.message = Some(Message::new(opcode, header.is_compressed()));
    }

    fn inflate(
        &mut self,
        opcode: Opcode,
        compressed: &[u8],
        inflater: &mut Inflater,
    ) -> Result<(), Violation> {
        inflater.inflate(compressed, &self.window, self.max_message_bytes)?;
        let payload = inflater.inflated();
        if self.window_bits > 0 {
            inflate::slide(&mut self.window, payload, 1 << self.window_bits);
        }
        if opcode == Opcode::Text {
            check_utf8(payload)?;
        }
        Ok(())
    }

    fn free_if_idle(&mut self) {
        if self.partial.as_ref().is_some_and(|it| it.is_idle()) {
            self.partial = None;
        }
    }
}

#[inline]
fn check_utf8(payload: &[u8]) -> Result<(), Violation> {
    match simdutf8::compat::from_utf8(payload) {
        Ok(_) => Ok(()),
        Err(error) => Err(Violation::InvalidUtf8 { at: error.valid_up_to() as u64 }),
    }
}
