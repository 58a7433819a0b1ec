//! The receivers of one shard, and the way of a batch of publications to them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;

use super::members::{ByUser, OfUser};
use super::sweep::Sweep;
use super::{Delivery, Member, Users};
use crate::bus::UserKey;
use crate::outbound::Backlogs;
use crate::state::Now;
use crate::telemetry::{EndpointIndex, Recorder};
use crate::wire::Deflater;

/// Deliveries for each whose lag is measured: a clock value in every queued frame would cost more
/// than what it tells. Of what a receiver is owed together it is the oldest publication's.
const SAMPLED_ONE_IN: u32 = 16;

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

/// The receivers of one shard, by endpoint and by user.
pub struct Local {
    pub(super) endpoints: Vec<RefCell<Slab<Rc<Member>>>>,
    by_user: RefCell<ByUser>,
    users: Arc<Users>,
    /// Batches so far.
    batches: Cell<u64>,
    /// Deliveries since the last whose lag was sampled.
    unsampled: Cell<u32>,
}

impl Local {
    /// No receiver on any of so many endpoints.
    pub fn new(endpoints: usize, users: Arc<Users>) -> Self {
        Self {
            endpoints: (0..endpoints).map(|_| RefCell::default()).collect(),
            by_user: RefCell::default(),
            users,
            batches: Cell::new(0),
            unsampled: Cell::new(0),
        }
    }

    /// Adds a receiver; the answer is its key.
    pub fn join(&self, member: &Rc<Member>) -> usize {
        if let Some(user) = member.user {
            self.by_user.borrow_mut().join(user, member);
            self.users.join(user);
        }
        self.endpoint(member.endpoint).borrow_mut().insert(Rc::clone(member))
    }

    /// Removes a receiver that has joined under this key.
    pub fn leave(&self, member: &Rc<Member>, key: usize) {
        self.endpoint(member.endpoint).borrow_mut().remove(key);
        if let Some(user) = member.user {
            self.by_user.borrow_mut().leave(user, member);
            self.users.leave(user);
        }
    }

    /// Has everybody left?
    pub fn is_empty(&self) -> bool {
        self.endpoints.iter().all(|members| members.borrow().is_empty())
            && self.by_user.borrow().is_empty()
    }

    /// Writes a batch to all of its receivers; each gets what concerns it in the order of the batch.
    pub async fn fan_out(&self, batch: &[Arc<Delivery>], shard: &FanOut<'_>) {
        self.batches.set(self.batches.get() + 1);
        Sweep::new(self, batch, shard).run().await;
    }

    /// The number of the batch under way.
    pub(super) fn batch(&self) -> u64 {
        self.batches.get()
    }

    pub(super) fn of_user(&self, user: UserKey) -> Option<OfUser> {
        self.by_user.borrow().of(user).cloned()
    }

    /// Of how many of these deliveries the lag is to be measured: one in [`SAMPLED_ONE_IN`].
    pub(super) fn sample(&self, deliveries: usize) -> u32 {
        let unsampled = self.unsampled.get() + deliveries as u32;
        self.unsampled.set(unsampled % SAMPLED_ONE_IN);
        unsampled / SAMPLED_ONE_IN
    }

    fn endpoint(&self, endpoint: EndpointIndex) -> &RefCell<Slab<Rc<Member>>> {
        &self.endpoints[usize::from(endpoint.0)]
    }
}
