//! Publications in the form that one kind of receiver gets.

use std::cell::Cell;

use bytes::Bytes;

use super::local::{FanOut, Local};
use super::{Delivery, Member};
use crate::events::{DeliveriesDropped, MessageSent, PublicationDelivered};
use crate::outbound::LagSample;
use crate::state::Now;
use crate::telemetry::labels::DropReason;
use crate::telemetry::{EndpointIndex, Recorder};
use crate::wire::Opcode;

/// Some publications of a batch, encoded.
pub(super) struct Variant<'a> {
    frames: Vec<Bytes>,
    facts: Vec<Facts<'a>>,
    any_compressed: bool,
    bytes: usize,
}

struct Facts<'a> {
    delivery: &'a Delivery,
    opcode: Opcode,
    payload_bytes: u64,
    compressed_bytes: Option<u64>,
    /// Receivers since the last count.
    receivers: Cell<u64>,
}

impl<'a> Variant<'a> {
    /// For receivers without permessage-deflate, or with a small window.
    pub(super) fn plain(owed: impl Iterator<Item = &'a Delivery>) -> Self {
        Self::of(owed, |delivery| (delivery.publication.frame.plain().clone(), None))
    }

    /// For receivers with permessage-deflate and a window of 15 bits.
    pub(super) fn deflated(owed: impl Iterator<Item = &'a Delivery>, shard: &FanOut<'_>) -> Self {
        let deflater = &mut *shard.deflater.borrow_mut();
        Self::of(owed, |delivery| {
            let frame = &delivery.publication.frame;
            match frame.deflated(deflater, shard.deflate_min_bytes) {
                Some(smaller) => (smaller.clone(), frame.deflated_payload_bytes()),
                None => (frame.plain().clone(), None),
            }
        })
    }

    fn of(
        owed: impl Iterator<Item = &'a Delivery>,
        mut encode: impl FnMut(&Delivery) -> (Bytes, Option<u64>),
    ) -> Self {
        let (mut frames, mut facts) = (Vec::new(), Vec::new());
        for delivery in owed {
            let (frame, compressed_bytes) = encode(delivery);
            frames.push(frame);
            facts.push(Facts {
                delivery,
                opcode: delivery.publication.frame.opcode(),
                payload_bytes: delivery.publication.frame.payload_len() as u64,
                compressed_bytes,
                receivers: Cell::new(0),
            });
        }
        let any_compressed = facts.iter().any(|fact| fact.compressed_bytes.is_some());
        let bytes = frames.iter().map(Bytes::len).sum();
        Self { frames, facts, any_compressed, bytes }
    }

    /// How many publications one receiver is owed at most.
    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Their frames together, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Hands to one receiver whatever was published after it joined.
    #[expect(
        clippy::inline_always,
        reason = "a call, and the registers saved around it, are 7 % of a delivery's instructions"
    )]
    #[inline(always)]
    pub(super) fn deliver(&self, local: &Local, member: &Member, now: Now, shard: &FanOut<'_>) {
        let first = self
            .facts
            .partition_point(|fact| fact.delivery.publication.seq <= member.joined_at_seq);
        let owed = &self.facts[first..];
        let Some(oldest) = owed.first() else { return };
        let times = local.sample(owed.len());
        let since_us = oldest.delivery.publication.sequenced_us;
        let sample = (times > 0).then_some(LagSample { since_us, times });
        let frames = &self.frames[first..];
        let accepted = member.outbound.deliver(frames, sample, now, shard.backlogs);
        let mut payload_bytes = 0;
        for fact in &owed[..accepted] {
            fact.receivers.set(fact.receivers.get() + 1);
            payload_bytes += fact.payload_bytes;
        }
        member.outbound.count_messages(accepted as u64, payload_bytes);
        // Written once only: a write would make the processor carry the line back to memory.
        if self.any_compressed && accepted > 0 && !member.context_lost.get() {
            member.context_lost.set(true);
        }
        if accepted < owed.len() {
            let reason = if member.outbound.has_overflowed() {
                DropReason::QueueOverflow
            } else {
                DropReason::Closing
            };
            let count = (owed.len() - accepted) as u64;
            DeliveriesDropped { reason, count }.emit(shard.recorder);
        }
    }

    /// Counts what was delivered since the last count.
    pub(super) fn count(&self, endpoint: EndpointIndex, recorder: &Recorder) {
        for (fact, frame) in self.facts.iter().zip(&self.frames) {
            let receivers = fact.receivers.take();
            MessageSent {
                endpoint,
                opcode: fact.opcode,
                payload_bytes: fact.payload_bytes,
                wire_bytes: frame.len() as u64,
                compressed_bytes: fact.compressed_bytes,
            }
            .emit_times(recorder, receivers);
            PublicationDelivered { receivers }.emit(recorder);
            fact.delivery.count_receivers(receivers);
        }
    }
}
