//! The slow path: frames that came in pieces, and messages that came in fragments.

use std::mem;

use super::{Decoder, Done, Place};
use crate::wire::Opcode;
use crate::wire::header::{FrameKind, Header};
use crate::wire::incoming::Input;
use crate::wire::inflate::Inflater;
use crate::wire::partial::{self, Frame};
use crate::wire::violation::Violation;

impl Decoder {
    /// A frame whose header or payload came in pieces.
    #[cold]
    pub(super) fn resume<'b>(
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
            FrameKind::Starts(opcode) if !self.wants(opcode, &header) => {
                if whole && opcode == Opcode::Close {
                    return Ok(Some(self.finish_control(opcode, &header, inflater)));
                }
            }
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
            Frame { header, received: 0 }
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
            let Some(&byte) = input.rest.first() else {
                return Ok(None);
            };
            partial.header.push(byte);
            let bytes = self.partial.as_ref().map(|it| it.header.as_slice());
            if let Err(violation) = self.judge(bytes.unwrap_or_default()) {
                // The byte stays in the input, so that the caller comes back for a frame that may
                // be whole with it: a Close without payload.
                if let Some(partial) = &mut self.partial {
                    partial.header.pop();
                }
                return Err(violation);
            }
            input.take(1);
        }
    }

    #[cold]
    pub(super) fn whole_fragment<'b>(
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
}
