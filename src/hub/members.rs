//! One receiver, and the receivers of each user.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use smallvec::SmallVec;

use crate::bus::UserKey;
use crate::outbound::Outbound;
use crate::telemetry::EndpointIndex;

/// One receiver.
pub struct Member {
    /// Its way out.
    pub outbound: Rc<Outbound>,
    /// Where it is connected.
    pub endpoint: EndpointIndex,
    /// Who it belongs to, if it said so.
    pub user: Option<UserKey>,
    /// It can read a frame that was deflated for everybody (window of 15 bits).
    pub takes_deflated: bool,
    /// The last publication before it joined: it gets the later ones.
    pub joined_at_seq: u64,
    /// A frame deflated for everybody was sent to it: its own compressor no longer shares the
    /// peer's window.
    pub context_lost: Cell<bool>,
    /// Its place among its user's receivers.
    slot: Cell<u32>,
    /// The last batch that it got apart from the others of its endpoint.
    served_apart: Cell<u64>,
}

impl Member {
    /// A receiver that has joined nothing yet.
    pub fn new(
        outbound: Rc<Outbound>,
        endpoint: EndpointIndex,
        user: Option<UserKey>,
        takes_deflated: bool,
        joined_at_seq: u64,
    ) -> Rc<Self> {
        Rc::new(Self {
            outbound,
            endpoint,
            user,
            takes_deflated,
            joined_at_seq,
            context_lost: Cell::new(false),
            slot: Cell::new(0),
            served_apart: Cell::new(0),
        })
    }

    /// It gets all that this batch owes it by itself.
    pub(super) fn serve_apart(&self, batch: u64) {
        self.served_apart.set(batch);
    }

    /// Has it got what this batch owes it?
    pub(super) fn is_served(&self, batch: u64) -> bool {
        self.served_apart.get() == batch
    }
}

/// The receivers of one user; most users have one.
pub(super) type OfUser = SmallVec<[Rc<Member>; 1]>;

/// A shard's receivers by user.
#[derive(Default)]
pub(super) struct ByUser(HashMap<UserKey, OfUser>);

impl ByUser {
    pub(super) fn join(&mut self, user: UserKey, member: &Rc<Member>) {
        let members = self.0.entry(user).or_default();
        member.slot.set(members.len() as u32);
        members.push(Rc::clone(member));
    }

    pub(super) fn leave(&mut self, user: UserKey, member: &Rc<Member>) {
        let Entry::Occupied(mut known) = self.0.entry(user) else { return };
        let (members, slot) = (known.get_mut(), member.slot.get() as usize);
        if !members.get(slot).is_some_and(|found| Rc::ptr_eq(found, member)) {
            return;
        }
        members.swap_remove(slot);
        if let Some(moved) = members.get(slot) {
            moved.slot.set(slot as u32);
        }
        if members.is_empty() {
            known.remove();
        }
        // What a crowd needed is given back when it has gone.
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to_fit();
        }
    }

    pub(super) fn of(&self, user: UserKey) -> Option<&OfUser> {
        self.0.get(&user)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
