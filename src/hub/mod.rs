//! Who is connected, and how a publication reaches them all.
//!
//! A publication goes into the mailbox of every shard while it has the bus's turn, so that the order
//! is the same for all receivers. Each shard empties its mailbox and writes to its own connections.

mod delivery;
mod local;
mod mailbox;
mod members;
mod sweep;
#[cfg(test)]
mod tests;
mod users;
mod variant;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::oneshot;

use crate::bus::{Memory, Message, UserKey, UserKeys};

pub use delivery::Delivery;
pub use local::{FanOut, Local};
pub use mailbox::{Mail, Mailbox, Waiting};
pub use members::Member;
pub use users::Users;

/// The way from publishers to the shards of one gateway. `E` is what the shards are asked to do
/// beside it (an errand), in its order among the publications.
pub struct Hub<E> {
    bus: Memory,
    mailboxes: Vec<Arc<Mailbox<E>>>,
    keys: UserKeys,
    users: Arc<Users>,
}

/// A publication that has its number.
#[derive(Debug)]
pub struct Sequenced {
    /// Its number.
    pub seq: u64,
    /// How many connections it was written or queued for, once every shard has done so. An error:
    /// the gateway has ended before.
    pub receivers: oneshot::Receiver<u64>,
}

impl<E> Hub<E> {
    /// A hub of as many shards.
    pub fn new(shards: usize) -> Self {
        let mailboxes = (0..shards).map(|shard| Arc::new(Mailbox::new(shard))).collect();
        Self { bus: Memory::default(), mailboxes, keys: UserKeys::default(), users: Arc::default() }
    }

    /// The mailbox of a shard.
    pub fn mailbox(&self, shard: usize) -> Arc<Mailbox<E>> {
        Arc::clone(&self.mailboxes[shard])
    }

    /// How a user is known to the hub.
    pub fn user_key(&self, name: &str) -> UserKey {
        self.keys.of(name)
    }

    /// Who has connections, over all shards.
    pub fn users(&self) -> &Arc<Users> {
        &self.users
    }

    /// How many users have at least one connection, for the scrape.
    pub fn users_gauge(&self) -> Arc<AtomicU64> {
        self.users.gauge()
    }

    /// Sends one message on its way. `now_us` is the time since the process began.
    pub fn publish(&self, message: Message, now_us: u64) {
        self.bus.sequence([message], now_us, |publication| {
            self.hand_out(&Arc::new(Delivery::new(publication, self.mailboxes.len(), None)));
        });
    }

    /// Sends messages on their way, with nothing between them, and tells how many got them.
    pub fn publish_with_receipts(&self, messages: Vec<Message>, now_us: u64) -> Vec<Sequenced> {
        let mut sequenced = Vec::with_capacity(messages.len());
        self.bus.sequence(messages, now_us, |publication| {
            let (receipt, receivers) = oneshot::channel();
            sequenced.push(Sequenced { seq: publication.seq, receivers });
            let shards = self.mailboxes.len();
            self.hand_out(&Arc::new(Delivery::new(publication, shards, Some(receipt))));
        });
        sequenced
    }

    /// Sends an errand to every shard; each runs it behind what was published before. One for a
    /// shard that has ended is dropped.
    pub fn send(&self, mut errand: impl FnMut() -> E) {
        for mailbox in &self.mailboxes {
            mailbox.push(Mail::Errand(errand()));
        }
    }

    /// The sequence number of the newest publication; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.bus.last_seq()
    }

    /// A mailbox that is too full for more: whoever can wait should ([`Mailbox::wake_when_drained`]).
    pub fn congested(&self) -> Option<&Mailbox<E>> {
        self.mailboxes.iter().find(|mailbox| mailbox.is_congested()).map(AsRef::as_ref)
    }

    fn hand_out(&self, delivery: &Arc<Delivery>) {
        for mailbox in &self.mailboxes {
            mailbox.push(Mail::Publication(Arc::clone(delivery)));
        }
    }
}
