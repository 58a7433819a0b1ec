//! Reading: bytes into messages, within bounds on how much one turn may take.

use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::life::{Flow, Life};
use super::shard::Buffers;
use crate::config::Inbound;
use crate::hub::Waiting;
use crate::state::{Cause, Input as Event, Now};
use crate::wire::{Decoder, Inflater, Input, Violation};

/// Reads of one connection before the others of its shard get their turn.
const READS_PER_TURN: usize = 4;

/// Answers are handed to the socket when this much has gathered, and behind the last message read.
const ANSWERS_BYTES: usize = 64 << 10;

/// One connection's input.
pub(super) struct Inbox {
    decoder: Decoder,
    /// Input that was read before reading paused.
    held: Option<Box<[u8]>>,
    /// Where a waker of this connection lies in the hub, for when it is drained.
    waits_for_hub: Option<Waiting>,
}

impl Inbox {
    /// `leftover` came behind the request's head.
    pub(super) fn new(decoder: Decoder, leftover: Vec<u8>) -> Self {
        let held = (!leftover.is_empty()).then(|| leftover.into());
        Self { decoder, held, waits_for_hub: None }
    }

    /// Reads and handles what is there.
    pub(super) fn poll(&mut self, life: &mut Life, cx: &mut Context<'_>, now: Now) {
        if self.must_wait(life, cx, now) {
            return;
        }
        let shard = Rc::clone(&life.shard);
        let Buffers { read, answers, inflater } = &mut *shard.buffers.borrow_mut();
        // Nothing that a panic left behind may reach another client.
        answers.clear();
        if let Some(mut held) = self.held.take() {
            self.take(life, &mut held, (answers, inflater), now);
        }
        for _ in 0..READS_PER_TURN {
            if life.machine.ending().is_some() || self.must_wait(life, cx, now) {
                return;
            }
            let mut space = ReadBuf::new(read);
            let polled = life.outbound.poll_read(cx, &mut space);
            let count = space.filled().len();
            match polled {
                Poll::Ready(Ok(())) if count > 0 => {
                    life.note_bytes(count, now);
                    self.take(life, &mut read[..count], (answers, inflater), now);
                }
                // After a failed write, an error says that nothing is left to read.
                Poll::Ready(_) => life.socket_ended(self.decoder.mid_frame(), now),
                Poll::Pending => return,
            }
        }
        // Others first; then this one again.
        cx.waker().wake_by_ref();
    }

    /// Handles input until it is used up, reading must pause, or the connection has ended.
    fn take(
        &mut self,
        life: &mut Life,
        bytes: &mut [u8],
        (answers, inflater): (&mut Vec<u8>, &mut Inflater),
        now: Now,
    ) {
        let mut input = Input::new(bytes);
        let mut used_up = false;
        while !used_up && life.machine.ending().is_none() {
            let flow = match self.decoder.next(&mut input, inflater) {
                Ok(Some(incoming)) => life.handle(&incoming, answers, now),
                Ok(None) => {
                    used_up = true;
                    Flow::GoOn
                }
                Err(violation) => Flow::GiveUp(violation),
            };
            match flow {
                Flow::GoOn if used_up || answers.len() >= ANSWERS_BYTES => {
                    life.flush_answers(answers, now);
                    if !used_up && has_too_many_answers(life) {
                        self.held = Some(input.rest().into());
                        used_up = true;
                    }
                }
                Flow::GoOn => {}
                Flow::CloseReceived(code) => {
                    life.flush_answers(answers, now);
                    life.step(Event::CloseReceived(code), now);
                    self.decoder.discard();
                }
                Flow::BadClose(violation) => {
                    life.flush_answers(answers, now);
                    life.give_up(cause_of(violation), &violation.to_string(), now);
                    life.step(Event::CloseReceived(None), now);
                    self.decoder.discard();
                }
                Flow::GiveUp(violation) => {
                    life.flush_answers(answers, now);
                    life.give_up(cause_of(violation), &violation.to_string(), now);
                    self.decoder.discard();
                }
            }
        }
        answers.clear();
        answers.shrink_to(4 * ANSWERS_BYTES);
    }

    /// Must reading wait? Answers that pile up pause it, and so does a hub that is behind. A socket
    /// that failed is read to its end in any case: a Close may lie in it.
    fn must_wait(&mut self, life: &mut Life, cx: &mut Context<'_>, now: Now) -> bool {
        let behind = life.machine.is_open()
            && life.outbound.first_error().is_none()
            && (has_too_many_answers(life) || self.hub_is_behind(life, cx));
        if life.reading_paused && !behind {
            life.step(Event::ReadingResumed, now);
        }
        life.reading_paused = behind;
        behind
    }

    fn hub_is_behind(&mut self, life: &Life, cx: &mut Context<'_>) -> bool {
        if life.inbound != Inbound::Broadcast {
            return false;
        }
        let Some(mailbox) = life.shard.hub.congested() else { return false };
        self.waits_for_hub = mailbox.wake_when_drained(cx.waker(), self.waits_for_hub);
        true
    }
}

/// Half of what publications may take: a client that sends and does not read stops being read.
fn has_too_many_answers(life: &Life) -> bool {
    life.outbound.queued_answer_bytes() > life.shard.backlogs.limits().bytes / 2
}

fn cause_of(violation: Violation) -> Cause {
    match violation {
        Violation::MessageTooBig { .. } => Cause::MessageTooBig,
        Violation::InflatedTooBig { .. } => Cause::InflatedTooBig,
        Violation::InvalidUtf8 { .. } => Cause::InvalidUtf8,
        Violation::Inflate(_) => Cause::InflateError,
        Violation::Protocol(_) => Cause::ProtocolError,
    }
}
