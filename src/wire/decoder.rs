//! Bytes in, whole messages out (RFC 6455 §5, §6.2; RFC 7692 §6.2, §7.2.2).

use std::mem;

use super::header::{FrameKind, Header, OpenMessage, Rules};
use super::inflate::{self, Inflater};
use super::negotiation::Deflate;
use super::partial::{self, Frame, Message, Partial};
use super::violation::Violation;
use super::{CONTROL_PAYLOAD_BYTES_MAX, Opcode, Role};

/// The bytes of one read, used up frame by frame. They are unmasked in place.
pub struct Input<'b> {
    rest: &'b mut [u8],
}

impl<'b> Input<'b> {
    /// Everything that one read brought.
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all of it is used up.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes not used yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not used yet, for a caller that stops in the middle and goes on later.
    pub fn rest(&self) -> &[u8] {
        self.rest
    }

    /// The next `count` bytes. The caller has made sure that they are there.
    fn take(&mut self, count: usize) -> &'b mut [u8] {
        let (taken, rest) = mem::take(&mut self.rest).split_at_mut(count);
        self.rest = rest;
        taken
    }
}

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

/// A whole message or control frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// What it is.
    pub opcode: Opcode,
    /// Unmasked and inflated. Valid UTF-8 if the opcode is [`Opcode::Text`].
    pub payload: &'a [u8],
    /// All frames of the message as they crossed the wire, headers included.
    pub wire_bytes: u64,
    /// The payload as it crossed the wire, if it was compressed.
    pub compressed_bytes: Option<u64>,
}

impl<'a> Incoming<'a> {
    /// The payload of a text message. Checks it a second time (a few GB/s), so that nobody has to
    /// trust a comment; empty if the payload is not UTF-8, which only other opcodes can have.
    pub fn text(&self) -> &'a str {
        simdutf8::basic::from_utf8(self.payload).unwrap_or_default()
    }
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
        let DecoderOptions {
            role,
            max_message_bytes,
            deflate,
        } = options;
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
    /// Lengths are followed still, so that the peer's Close behind 8 MB is found.
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
            partial.frame = Some(Frame {
                header,
                received: 0,
            });
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

    #[cold]
    fn whole_fragment<'b>(
        &mut self,
        header: &Header,
        payload: &[u8],
        inflater: &mut Inflater,
    ) -> Result<Option<Done<'b>>, Violation> {
        if let Some(message) = self.partial.as_mut().and_then(|it| it.message.as_mut()) {
            message.wire_bytes += header.wire_bytes();
            message.append(payload, 0)?;
        }
        self.finish_fragment(header, inflater)
    }

    /// A frame whose header or payload came in pieces.
    #[cold]
    fn resume<'b>(
        &mut self,
        input: &mut Input<'b>,
        inflater: &mut Inflater,
    ) -> Result<Option<Done<'b>>, Violation> {
        let Some(mut frame) = self.resume_header(input)? else {
            return Ok(None);
        };
        let count = frame.missing().min(input.remaining() as u64);
        let part = input.take(count as usize);
        frame.header.unmask(part, frame.received);
        frame.received += count;
        let whole = frame.missing() == 0;

        // The place in the stream is noted before the payload is looked at: if that fails, the
        // rest of this frame can still be discarded.
        let partial = self.partial.get_or_insert_default();
        partial.frame = (!whole).then_some(frame);

        let header = frame.header;
        match header.kind() {
            FrameKind::Starts(opcode) if !self.wants(opcode, &header) => {}
            FrameKind::Starts(opcode) if opcode.is_control() => {
                let partial = self.partial.get_or_insert_default();
                partial::extend(&mut partial.control, part, frame.missing());
                if whole {
                    return Ok(Some(self.finish_control(opcode, &header, inflater)));
                }
            }
            FrameKind::Starts(_) | FrameKind::Continuation if !self.discarding => {
                if let Some(message) = self.partial.as_mut().and_then(|it| it.message.as_mut()) {
                    if whole {
                        message.wire_bytes += header.wire_bytes();
                    }
                    message.append(part, frame.missing())?;
                }
                if whole {
                    return self.finish_fragment(&header, inflater);
                }
            }
            FrameKind::Starts(_) | FrameKind::Continuation | FrameKind::Reserved(_) => {}
        }
        self.free_if_idle();
        Ok(None)
    }

    /// The frame in progress, once its header is whole; a message that begins with it is opened.
    fn resume_header(&mut self, input: &mut Input<'_>) -> Result<Option<Frame>, Violation> {
        let partial = self.partial.get_or_insert_default();
        let frame = if let Some(frame) = partial.frame {
            frame
        } else {
            let Some(header) = self.gather_header(input)? else {
                return Ok(None);
            };
            Frame {
                header,
                received: 0,
            }
        };
        if frame.received == 0 && !self.discarding {
            match frame.header.kind() {
                FrameKind::Starts(opcode) if !opcode.is_control() && !self.mid_message() => {
                    self.open_message(opcode, &frame.header);
                }
                FrameKind::Starts(_) | FrameKind::Continuation | FrameKind::Reserved(_) => {}
            }
        }
        Ok(Some(frame))
    }

    /// Takes bytes of a header one by one, judging each, until it is whole.
    fn gather_header(&mut self, input: &mut Input<'_>) -> Result<Option<Header>, Violation> {
        loop {
            let partial = self.partial.get_or_insert_default();
            if let Some(header) = Header::read(partial.header.as_slice()) {
                partial.header.clear();
                return Ok(Some(header));
            }
            if input.is_empty() {
                return Ok(None);
            }
            partial.header.push(input.take(1)[0]);
            let bytes = self.partial.as_ref().map(|it| it.header.as_slice());
            self.judge(bytes.unwrap_or_default())?;
        }
    }

    /// Whether a frame's payload is of use: after our Close, a Close alone is, whatever else is
    /// wrong with it.
    fn wants(&self, opcode: Opcode, header: &Header) -> bool {
        !self.discarding
            || (opcode == Opcode::Close && header.length <= CONTROL_PAYLOAD_BYTES_MAX as u64)
    }

    fn open_message(&mut self, opcode: Opcode, header: &Header) {
        let partial = self.partial.get_or_insert_default();
        partial.message = Some(Message::new(opcode, header.is_compressed()));
    }

    fn finish_control<'b>(
        &mut self,
        opcode: Opcode,
        header: &Header,
        inflater: &mut Inflater,
    ) -> Done<'b> {
        let partial = self.partial.get_or_insert_default();
        inflater.hold(mem::take(&mut partial.control));
        self.free_if_idle();
        Done {
            opcode,
            place: Place::Gathered,
            wire_bytes: header.wire_bytes(),
            compressed_bytes: None,
        }
    }

    /// A fragment is whole; if it was the last one, so is the message.
    fn finish_fragment<'b>(
        &mut self,
        header: &Header,
        inflater: &mut Inflater,
    ) -> Result<Option<Done<'b>>, Violation> {
        let Some(partial) = self.partial.as_mut().filter(|_| header.is_final()) else {
            return Ok(None);
        };
        let Some(message) = partial.message.take() else {
            return Ok(None);
        };
        self.free_if_idle();
        message.finish_utf8()?;
        let mut done = Done {
            opcode: message.opcode,
            place: Place::Gathered,
            wire_bytes: message.wire_bytes,
            compressed_bytes: None,
        };
        if message.compressed {
            self.inflate(message.opcode, &message.payload, inflater)?;
            done.place = Place::Inflated;
            done.compressed_bytes = Some(message.payload.len() as u64);
        } else {
            inflater.hold(message.payload);
        }
        Ok(Some(done))
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
        Err(error) => Err(Violation::InvalidUtf8 {
            at: error.valid_up_to() as u64,
        }),
    }
}
