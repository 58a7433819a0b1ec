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

/// Receivers served before other work of the shard gets its turn.
const CHUNK: usize = 256;

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
    /// Receivers served since the last turn of the others.
    served: usize,
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
        Self { local, batch, shard, general, personal, served: 0 }
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
            let at = variants.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
                let general = &self.general[usize::from(member.endpoint.0)];
                let variant = self.encode(&merged(general, places), member.takes_deflated);
                variants.push((kind, variant));
                variants.len() - 1
            });
            member.serve_apart(self.local.batch());
            variants[at].1.deliver(self.local, member, (self.shard.now)(), self.shard);
            self.served += 1;
            if self.served >= CHUNK {
                count(&variants, self.shard);
                self.yield_now().await;
            }
        }
        count(&variants, self.shard);
    }

    async fn serve_endpoint(&mut self, endpoint: EndpointIndex, places: &[usize]) {
        let members = &self.local.endpoints[usize::from(endpoint.0)];
        let plain = self.encode(places, false);
        let mut deflated = None;
        let slots = members.borrow().capacity();
        let mut group: SmallVec<[Rc<Member>; GROUP]> = SmallVec::new();
        for start in (0..slots).step_by(CHUNK) {
            let now = (self.shard.now)();
            let end = slots.min(start + CHUNK);
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
                    let variant = if member.takes_deflated {
                        deflated.get_or_insert_with(|| self.encode(places, true))
                    } else {
                        &plain
                    };
                    variant.deliver(self.local, &member, now, self.shard);
                }
            }
            plain.count(endpoint, self.shard.recorder);
            if let Some(deflated) = &deflated {
                deflated.count(endpoint, self.shard.recorder);
            }
            self.yield_now().await;
        }
    }

    fn encode(&self, places: &[usize], deflated: bool) -> Variant<'a> {
        let owed = places.iter().map(|place| &*self.batch[*place]);
        if deflated { Variant::deflated(owed, self.shard) } else { Variant::plain(owed) }
    }

    async fn yield_now(&mut self) {
        self.served = 0;
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
