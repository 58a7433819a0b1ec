//! What a connection is and does, apart from decoding its input.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::peer::{Peer, ReceivedTotals};
use super::shard::Shard;
use crate::bus::{Message, Target};
use crate::config::Inbound;
use crate::events::{MessageReceived, MessageSent, PingSent, PongReceived, PublicationSequenced};
use crate::hub::Member;
use crate::outbound::{Outbound, SocketErrorKind};
use crate::state::{Cause, Effects, Input, Machine, Now, PongKind, Then};
use crate::telemetry::{EndpointIndex, labels};
use crate::wire::{
    Deflate, Deflater, Encoded, Incoming, Opcode, Role, SharedFrame, Violation, close_payload,
    encode, parse_close,
};

/// Bytes that a peer may send after our Close before we stop reading. Enough for what a browser has
/// in flight when its message is refused; less would cost it the Close frame to a RST.
const DISCARD_BYTES_MAX: u64 = 64 << 20;

/// One connection.
pub(super) struct Life {
    pub(super) shard: Rc<Shard>,
    pub(super) outbound: Rc<Outbound>,
    pub(super) member: Rc<Member>,
    pub(super) peer: Rc<Peer>,
    pub(super) machine: Machine,
    /// The code of the client's Close; 1005 without one.
    pub(super) received_code: Option<u16>,
    /// The reason in the client's Close.
    pub(super) received_reason: Option<Box<str>>,
    /// The code of our Close.
    pub(super) sent_code: Option<u16>,
    /// Why the gateway gave the connection up, with the numbers.
    pub(super) detail: Option<Box<str>>,
    /// With context takeover: this connection's own compressor.
    deflater: Option<Box<Deflater>>,
    discarded_bytes: u64,
    pub(super) inbound: Inbound,
    pub(super) reading_paused: bool,
}

/// What a message asks of the one who reads.
pub(super) enum Flow {
    GoOn,
    /// A Close frame came; its code.
    CloseReceived(Option<u16>),
    /// A Close frame came that breaks the rules. It is the peer's last word nevertheless.
    BadClose(Violation),
    GiveUp(Violation),
}

impl Life {
    pub(super) fn new(
        shard: Rc<Shard>,
        member: Rc<Member>,
        peer: Rc<Peer>,
        inbound: Inbound,
        now: Now,
    ) -> Self {
        let seed = shard.ping_seed(peer.identity.id);
        Self {
            machine: Machine::open(&shard.times(), seed, now),
            deflater: peer.deflate.and_then(|deflate| shard.own_deflater(deflate)),
            shard,
            outbound: Rc::clone(&peer.outbound),
            member,
            peer,
            received_code: None,
            received_reason: None,
            sent_code: None,
            detail: None,
            discarded_bytes: 0,
            inbound,
            reading_paused: false,
        }
    }

    /// Notes bytes that came, before they are looked at.
    pub(super) fn note_bytes(&mut self, count: usize, now: Now) {
        self.peer.last_received_us.set(now.real_us);
        self.note_received(0, 0, count as u64);
        self.machine.step(Input::BytesReceived, &self.shard.times(), now);
        if !self.machine.is_open() {
            self.discarded_bytes += count as u64;
            if self.discarded_bytes > DISCARD_BYTES_MAX {
                self.step(Input::TooMuchToDiscard, now);
            }
        }
    }

    /// Does what a message asks for. Answers are appended to `answers`.
    pub(super) fn handle(
        &mut self,
        incoming: &Incoming<'_>,
        answers: &mut Vec<u8>,
        now: Now,
    ) -> Flow {
        let payload_bytes = incoming.payload.len() as u64;
        MessageReceived {
            endpoint: self.endpoint(),
            opcode: incoming.opcode,
            payload_bytes,
            wire_bytes: incoming.wire_bytes,
            compressed_bytes: incoming.compressed_bytes,
        }
        .emit(&self.shard.recorder);
        match incoming.opcode {
            Opcode::Text | Opcode::Binary => {
                self.note_received(1, payload_bytes, 0);
                if self.machine.is_open() {
                    self.take_message(incoming, answers, now);
                }
            }
            Opcode::Ping if self.machine.is_open() => {
                self.append(Opcode::Pong, incoming.payload, None, answers);
            }
            Opcode::Ping => {}
            Opcode::Pong => {
                let kind = self.machine.pong(incoming.payload, now);
                let (kind, rtt_us) = match kind {
                    PongKind::Matched { rtt_us } => (labels::PongKind::Matched, Some(rtt_us)),
                    PongKind::Late { rtt_us } => (labels::PongKind::Late, Some(rtt_us)),
                    PongKind::Unsolicited => (labels::PongKind::Unsolicited, None),
                };
                self.peer.last_rtt_us.set(self.machine.pings().last_rtt_us());
                let rtt = rtt_us.map(Duration::from_micros);
                PongReceived { endpoint: self.endpoint(), kind, rtt }.emit(&self.shard.recorder);
            }
            Opcode::Close => return self.take_close(incoming.payload),
        }
        Flow::GoOn
    }

    /// The gateway must end the connection; `reason` goes into the Close frame and the log.
    pub(super) fn give_up(&mut self, cause: Cause, reason: &str, now: Now) {
        self.give_up_by(Input::GiveUp(cause), reason, now);
    }

    /// The same, for any input that gives it up.
    pub(super) fn give_up_by(&mut self, input: Input, reason: &str, now: Now) {
        if self.machine.is_open() {
            self.detail = Some(reason.into());
            self.step(input, now);
        }
    }

    /// The socket ended: an EOF, unless an error came before it. After an RST a failed write
    /// consumes ECONNRESET and the next read says EOF: the first error decides.
    pub(super) fn socket_ended(&mut self, mid_frame: bool, now: Now) {
        let eof = if mid_frame { Cause::PeerEofInFrame } else { Cause::PeerEof };
        let cause = match self.outbound.first_error().map(|error| error.kind) {
            None | Some(SocketErrorKind::Pipe) => eof,
            Some(SocketErrorKind::Reset) => Cause::PeerReset,
            Some(SocketErrorKind::Network) => Cause::NetworkError,
        };
        self.step(Input::SocketEnded(cause), now);
    }

    /// Steps the machine and performs what it asks.
    pub(super) fn step(&mut self, input: Input, now: Now) {
        let shard = Rc::clone(&self.shard);
        let effects = self.machine.step(input, &shard.times(), now);
        self.perform(effects, now);
        if self.outbound.close_is_written() {
            let effects = self.machine.step(Input::CloseWritten, &shard.times(), now);
            self.perform(effects, now);
        }
        self.peer.is_closing.set(!self.machine.is_open());
    }

    /// Hands answers to the socket.
    pub(super) fn flush_answers(&self, answers: &mut Vec<u8>, now: Now) {
        if !answers.is_empty() {
            self.outbound.send(answers, now, &self.shard.backlogs);
            answers.clear();
        }
    }

    pub(super) fn endpoint(&self) -> EndpointIndex {
        self.member.endpoint
    }

    fn take_message(&mut self, incoming: &Incoming<'_>, answers: &mut Vec<u8>, now: Now) {
        match self.inbound {
            Inbound::Ignore => {}
            Inbound::Echo => {
                self.append(incoming.opcode, incoming.payload, self.peer.deflate, answers);
                self.outbound.count_messages(1, incoming.payload.len() as u64);
            }
            Inbound::Broadcast => {
                let payload = Bytes::copy_from_slice(incoming.payload);
                let frame = SharedFrame::new(incoming.opcode, payload);
                let to = Target::Endpoint(self.endpoint());
                self.shard.hub.publish(Message { to, frame }, now.real_us);
                PublicationSequenced { source: labels::Source::Client }.emit(&self.shard.recorder);
            }
        }
    }

    fn take_close(&mut self, payload: &[u8]) -> Flow {
        match parse_close(payload) {
            Err(violation) => Flow::BadClose(violation),
            Ok(close) => {
                let code = close.map(|(code, _)| code);
                if self.received_code.is_none() {
                    self.received_code = Some(code.unwrap_or(1005));
                    let reason = close.map(|(_, reason)| reason);
                    self.received_reason = reason.filter(|text| !text.is_empty()).map(Into::into);
                }
                Flow::CloseReceived(code)
            }
        }
    }

    fn note_received(&self, messages: u64, payload_bytes: u64, wire_bytes: u64) {
        let received = self.peer.received.get();
        self.peer.received.set(ReceivedTotals {
            messages: received.messages + messages,
            payload_bytes: received.payload_bytes + payload_bytes,
            wire_bytes: received.wire_bytes + wire_bytes,
        });
    }

    /// Appends one frame to `out` and counts it.
    fn append(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        deflate: Option<Deflate>,
        out: &mut Vec<u8>,
    ) {
        let min_bytes = self.shard.deflate_min_bytes();
        let mut plainly = |deflater: Option<&mut Deflater>| {
            let deflater = deflater.map(|deflater| (deflater, min_bytes));
            encode(out, Role::Server, opcode, payload, deflater, None)
        };
        let encoded = match (deflate, self.deflater.as_deref_mut()) {
            (None, _) => plainly(None),
            (Some(_), Some(own)) => {
                if self.member.context_lost.take() {
                    own.forget();
                }
                plainly(Some(own))
            }
            (Some(deflate), None) => {
                self.shard.with_deflater(deflate, |deflater| plainly(Some(deflater)))
            }
        };
        self.count_sent(opcode, payload.len(), encoded);
    }

    fn count_sent(&self, opcode: Opcode, payload_bytes: usize, encoded: Encoded) {
        MessageSent {
            endpoint: self.endpoint(),
            opcode,
            payload_bytes: payload_bytes as u64,
            wire_bytes: encoded.wire_bytes,
            compressed_bytes: encoded.compressed_bytes,
        }
        .emit(&self.shard.recorder);
    }

    fn perform(&mut self, effects: Effects, now: Now) {
        let Effects { drop_unstarted, ping, close, then } = effects;
        if let Some(token) = ping {
            let mut frame = Vec::new();
            self.append(Opcode::Ping, &token, None, &mut frame);
            PingSent.emit(&self.shard.recorder);
            self.outbound.send(&frame, now, &self.shard.backlogs);
        }
        if let Some(code) = close {
            let mut payload = Vec::new();
            self.sent_code = Some(code.unwrap_or(1005));
            if let Some(code) = code {
                // The answer to a client's Close carries its code alone.
                let ours = self.machine.given_up().is_some();
                let reason = if ours { self.detail.as_deref() } else { None };
                close_payload(code, reason.unwrap_or(""), &mut payload);
            }
            let mut frame = Vec::new();
            self.append(Opcode::Close, &payload, None, &mut frame);
            self.outbound.close(&frame, drop_unstarted, now, &self.shard.backlogs);
        }
        match then {
            Then::GoOn => {}
            Then::Finish => self.outbound.end(false, &self.shard.backlogs),
            Then::Abort => self.outbound.end(true, &self.shard.backlogs),
        }
    }
}
