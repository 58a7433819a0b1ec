//! The receivers of one shard, and the way of a batch of publications to them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;

use super::Publication;
use crate::events::MessageSent;
use crate::outbound::{Backlogs, Outbound};
use crate::state::Now;
use crate::telemetry::{EndpointIndex, Recorder};
use crate::wire::{Deflater, Opcode};

/// Receivers served before other work of the shard gets its turn.
const CHUNK: usize = 256;

/// One receiver.
pub struct Member {
    /// Its way out.
    pub outbound: Rc<Outbound>,
    /// It can read a frame that was deflated for everybody (window of 15 bits).
    pub takes_deflated: bool,
    /// The last publication before it joined: it gets the later ones.
    pub joined_at_seq: u64,
    /// A frame deflated for everybody was sent to it: its own compressor no longer shares the
    /// peer's window.
    pub context_lost: Cell<bool>,
}

/// What a shard lends to its fan-out.
pub struct FanOut<'a> {
    /// Counts what is sent.
    pub recorder: &'a Recorder,
    /// The shard's queues.
    pub backlogs: &'a Backlogs,
    /// Encodes what is sent compressed.
    pub deflater: &'a RefCell<Deflater>,
    /// Smaller payloads go plain.
    pub deflate_min_bytes: usize,
    /// The shard's clock.
    pub now: &'a dyn Fn() -> Now,
}

/// The receivers of one shard, by endpoint.
pub struct Local {
    endpoints: Vec<RefCell<Slab<Rc<Member>>>>,
}

impl Local {
    /// No receiver on any of so many endpoints.
    pub fn new(endpoints: usize) -> Self {
        Self { endpoints: (0..endpoints).map(|_| RefCell::default()).collect() }
    }

    /// Adds a receiver; the answer is its key.
    pub fn join(&self, endpoint: EndpointIndex, member: Rc<Member>) -> usize {
        self.endpoints[usize::from(endpoint.0)].borrow_mut().insert(member)
    }

    /// Removes a receiver.
    pub fn leave(&self, endpoint: EndpointIndex, key: usize) {
        self.endpoints[usize::from(endpoint.0)].borrow_mut().remove(key);
    }

    /// Writes a batch to all of its receivers, endpoint by endpoint; each receiver gets an
    /// endpoint's publications in the order of the batch.
    pub async fn fan_out(&self, batch: &VecDeque<Arc<Publication>>, shard: &FanOut<'_>) {
        for (index, members) in self.endpoints.iter().enumerate() {
            let endpoint = EndpointIndex(index as u16);
            let owed: Vec<_> =
                batch.iter().filter(|publication| publication.endpoint == endpoint).collect();
            if owed.is_empty() {
                continue;
            }
            let plain = Variant::plain(&owed);
            let mut deflated = None;
            let slots = members.borrow().capacity();
            for start in (0..slots).step_by(CHUNK) {
                let now = (shard.now)();
                for key in start..slots.min(start + CHUNK) {
                    let Some(member) = members.borrow().get(key).map(Rc::clone) else { continue };
                    let variant = if member.takes_deflated {
                        deflated.get_or_insert_with(|| Variant::deflated(&owed, shard))
                    } else {
                        &plain
                    };
                    variant.deliver(&member, now, shard.backlogs);
                }
                plain.count(endpoint, shard.recorder);
                if let Some(deflated) = &deflated {
                    deflated.count(endpoint, shard.recorder);
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The publications of one endpoint in the form that one kind of receiver gets.
struct Variant {
    frames: Vec<Bytes>,
    facts: Vec<Facts>,
    any_compressed: bool,
}

struct Facts {
    seq: u64,
    opcode: Opcode,
    payload_bytes: u64,
    compressed_bytes: Option<u64>,
    /// Receivers since the last count.
    receivers: Cell<u64>,
}

impl Variant {
    fn plain(owed: &[&Arc<Publication>]) -> Self {
        Self::of(owed, |publication| (publication.frame.plain().clone(), None))
    }

    fn deflated(owed: &[&Arc<Publication>], shard: &FanOut<'_>) -> Self {
        let deflater = &mut *shard.deflater.borrow_mut();
        Self::of(owed, |publication| {
            match publication.frame.deflated(deflater, shard.deflate_min_bytes) {
                Some(frame) => (frame.clone(), publication.frame.deflated_payload_bytes()),
                None => (publication.frame.plain().clone(), None),
            }
        })
    }

    fn of(
        owed: &[&Arc<Publication>],
        mut encode: impl FnMut(&Publication) -> (Bytes, Option<u64>),
    ) -> Self {
        let (mut frames, mut facts) = (Vec::with_capacity(owed.len()), Vec::new());
        for publication in owed {
            let (frame, compressed_bytes) = encode(publication);
            frames.push(frame);
            facts.push(Facts {
                seq: publication.seq,
                opcode: publication.frame.opcode(),
                payload_bytes: publication.frame.payload_len() as u64,
                compressed_bytes,
                receivers: Cell::new(0),
            });
        }
        let any_compressed = facts.iter().any(|fact| fact.compressed_bytes.is_some());
        Self { frames, facts, any_compressed }
    }

    fn deliver(&self, member: &Rc<Member>, now: Now, backlogs: &Backlogs) {
        let first = self.facts.partition_point(|fact| fact.seq <= member.joined_at_seq);
        let accepted = member.outbound.deliver(&self.frames[first..], now, backlogs);
        let mut payload_bytes = 0;
        for fact in &self.facts[first..first + accepted] {
            fact.receivers.set(fact.receivers.get() + 1);
            payload_bytes += fact.payload_bytes;
        }
        member.outbound.count_messages(accepted as u64, payload_bytes);
        if self.any_compressed && accepted > 0 {
            member.context_lost.set(true);
        }
    }

    fn count(&self, endpoint: EndpointIndex, recorder: &Recorder) {
        for (fact, frame) in self.facts.iter().zip(&self.frames) {
            MessageSent {
                endpoint,
                opcode: fact.opcode,
                payload_bytes: fact.payload_bytes,
                wire_bytes: frame.len() as u64,
                compressed_bytes: fact.compressed_bytes,
            }
            .emit_times(recorder, fact.receivers.take());
        }
    }
}
