//! One batch on its way through the receivers of a shard.

use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use super::local::{FanOut, Local};
use super::members::OfUser;
use super::variant::Variant;
use super::{Delivery, Member};
use crate::bus::{Target, UserKey};
use crate::telemetry::EndpointIndex;

/// Receivers served before other work of the shard gets its turn, fewer where each is owed much.
const CHUNK: usize = 256;

/// What may be handed to receivers before other work of the shard gets its turn: a few milliseconds
/// of system calls. A full mailbox's worth, for 256 receivers, takes a quarter of a second.
const TURN_DELIVERIES: usize = 65_536;
const TURN_BYTES: usize = 16 << 20;

/// Payload that is compressed before other work of the shard gets its turn.
const TURN_DEFLATED_BYTES: usize = 256 << 10;

/// Receivers whose memory is asked for together. After a thousand system calls nothing of them is
/// in the processor's cache: fetched one by one, each would be waited for in turn.
const GROUP: usize = 16;

/// The batch, sorted by whom it concerns. Numbers are places in the batch, in rising order.
pub(super) struct Sweep<'a> {
    local: &'a Local,
    batch: &'a [Arc<Delivery>],
    shard: &'a FanOut<'a>,
    /// By endpoint: what everybody there gets.
    general: Vec<Vec<usize>>,
    /// By user, in the order of their first publication.
    personal: Vec<(UserKey, Vec<usize>)>,
    /// What was handed out since the last turn of the others.
    turn: Turn,
}

/// How much of a turn has been used up.
#[derive(Default)]
struct Turn {
    receivers: usize,
    deliveries: usize,
    bytes: usize,
}

impl Turn {
    fn is_over(&self) -> bool {
        self.receivers >= CHUNK || self.deliveries >= TURN_DELIVERIES || self.bytes >= TURN_BYTES
    }
}

impl<'a> Sweep<'a> {
    pub(super) fn new(local: &'a Local, batch: &'a [Arc<Delivery>], shard: &'a FanOut<'a>) -> Self {
        let mut general = vec![Vec::new(); local.endpoints.len()];
        let mut personal: Vec<(UserKey, Vec<usize>)> = Vec::new();
        let mut known = std::collections::HashMap::new();
        for (place, delivery) in batch.iter().enumerate() {
            match delivery.publication.to {
                Target::Endpoint(endpoint) => general[usize::from(endpoint.0)].push(place),
                Target::Everyone => general.iter_mut().for_each(|places| places.push(place)),
                Target::User(user) => {
                    let at = *known.entry(user).or_insert_with(|| {
                        personal.push((user, Vec::new()));
                        personal.len() - 1
                    });
                    personal[at].1.push(place);
                }
            }
        }
        Self { local, batch, shard, general, personal, turn: Turn::default() }
    }

    pub(super) async fn run(mut self) {
        for (user, places) in std::mem::take(&mut self.personal) {
            if let Some(members) = self.local.of_user(user) {
                self.serve_user(&members, &places).await;
            }
        }
        for (index, places) in std::mem::take(&mut self.general).into_iter().enumerate() {
            if !places.is_empty() && !self.local.endpoints[index].borrow().is_empty() {
                self.serve_endpoint(EndpointIndex(index as u16), &places).await;
            }
        }
    }

    /// The connections of one user get their own publications and their endpoint's, in one order.
    async fn serve_user(&mut self, members: &OfUser, places: &[usize]) {
        // Most users have one connection, or several of one kind.
        let mut variants: Vec<((EndpointIndex, bool), Variant<'_>)> = Vec::new();
        for member in members {
            let kind = (member.endpoint, member.takes_deflated);
            let known = variants.iter().position(|(known, _)| *known == kind);
            let at = known.unwrap_or(variants.len());
            if known.is_none() {
                count(&variants, self.shard);
                let general = &self.general[usize::from(member.endpoint.0)];
                let variant = self.encode(&merged(general, places), member.takes_deflated).await;
                variants.push((kind, variant));
            }
            let variant = &variants[at].1;
            member.serve_apart(self.local.batch());
            variant.deliver(self.local, member, (self.shard.now)(), self.shard);
            self.turn.receivers += 1;
            self.turn.deliveries += variant.frames();
            self.turn.bytes += variant.bytes();
            if self.turn.is_over() {
                count(&variants, self.shard);
                self.yield_now().await;
            }
        }
        count(&variants, self.shard);
    }

    async fn serve_endpoint(&mut self, endpoint: EndpointIndex, places: &[usize]) {
        let members = &self.local.endpoints[usize::from(endpoint.0)];
        let payloads =
            places.iter().map(|place| self.batch[*place].publication.frame.payload_len());
        let bytes: usize = payloads.sum();
        let chunk =
            CHUNK.min(TURN_DELIVERIES / places.len().max(1)).min(TURN_BYTES / bytes.max(1)).max(1);
        // Plain and deflated, each made for the first receiver that takes it.
        let mut variants: [Option<Variant<'_>>; 2] = [None, None];
        let slots = members.borrow().capacity();
        let mut group: SmallVec<[Rc<Member>; GROUP]> = SmallVec::new();
        for start in (0..slots).step_by(chunk) {
            let mut now = (self.shard.now)();
            let end = slots.min(start + chunk);
            for start in (start..end).step_by(GROUP) {
                let keys = start..end.min(start + GROUP);
                group.extend(keys.filter_map(|key| members.borrow().get(key).map(Rc::clone)));
                for member in &group {
                    member.outbound.fetch();
                }
                for member in group.drain(..) {
                    if member.is_served(self.local.batch()) {
                        continue;
                    }
                    let kind = usize::from(member.takes_deflated);
                    if variants[kind].is_none() {
                        self.count_all(endpoint, &variants);
                        variants[kind] = Some(self.encode(places, member.takes_deflated).await);
                        now = (self.shard.now)();
                    }
                    let variant = variants[kind].as_ref().expect("it was made for this receiver");
                    variant.deliver(self.local, &member, now, self.shard);
                }
            }
            self.count_all(endpoint, &variants);
            self.yield_now().await;
        }
    }

    fn count_all(&self, endpoint: EndpointIndex, variants: &[Option<Variant<'_>>]) {
        for variant in variants.iter().flatten() {
            variant.count(endpoint, self.shard.recorder);
        }
    }

    /// Others get their turns while a large batch is compressed: what was delivered before has to be
    /// counted.
    async fn encode(&self, places: &[usize], deflated: bool) -> Variant<'a> {
        let owed = || places.iter().map(|place| &*self.batch[*place]);
        if !deflated {
            return Variant::plain(owed());
        }
        let mut bytes = 0;
        for delivery in owed() {
            let frame = &delivery.publication.frame;
            if frame.is_deflated() {
                continue;
            }
            frame.deflated(&mut self.shard.deflater.borrow_mut(), self.shard.deflate_min_bytes);
            bytes += frame.payload_len();
            if bytes >= TURN_DEFLATED_BYTES {
                bytes = 0;
                tokio::task::yield_now().await;
            }
        }
        Variant::deflated(owed(), self.shard)
    }

    async fn yield_now(&mut self) {
        self.turn = Turn::default();
        tokio::task::yield_now().await;
    }
}

fn count(variants: &[((EndpointIndex, bool), Variant<'_>)], shard: &FanOut<'_>) {
    for ((endpoint, _), variant) in variants {
        variant.count(*endpoint, shard.recorder);
    }
}

/// Two rising lists as one.
fn merged(one: &[usize], other: &[usize]) -> Vec<usize> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all
}
