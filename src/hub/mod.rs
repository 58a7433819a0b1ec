//! Who is connected, and how one message reaches them all.
//!
//! A publication gets its sequence number once and goes into the mailbox of every shard under the
//! same lock, so that the order is the same for all receivers. Each shard empties its mailbox and
//! writes to its own connections.

mod local;
mod mailbox;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::telemetry::EndpointIndex;
use crate::wire::{Opcode, SharedFrame};
use bytes::Bytes;

pub use local::{FanOut, Local, Member};
pub use mailbox::{Mailbox, Waiting};

/// A message on its way to everybody on an endpoint.
pub struct Publication {
    /// Its place among all publications of this gateway, from 1.
    pub seq: u64,
    /// Whose connections get it.
    pub endpoint: EndpointIndex,
    /// The frame, encoded once for all receivers.
    pub frame: SharedFrame,
}

/// The sequencer of one gateway.
pub struct Hub {
    /// Held while a publication is numbered and handed to the mailboxes.
    sequencing: Mutex<()>,
    last_seq: AtomicU64,
    mailboxes: Vec<Arc<Mailbox>>,
}

impl Hub {
    /// A hub of as many shards.
    pub fn new(shards: usize) -> Self {
        let mailboxes = (0..shards).map(|shard| Arc::new(Mailbox::new(shard))).collect();
        Self { sequencing: Mutex::new(()), last_seq: AtomicU64::new(0), mailboxes }
    }

    /// The mailbox of a shard.
    pub fn mailbox(&self, shard: usize) -> Arc<Mailbox> {
        Arc::clone(&self.mailboxes[shard])
    }

    /// Sends a message to everybody on an endpoint; returns its sequence number.
    pub fn publish(&self, endpoint: EndpointIndex, opcode: Opcode, payload: &[u8]) -> u64 {
        let frame = SharedFrame::new(opcode, Bytes::copy_from_slice(payload));
        let _turn = self.sequencing.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = self.last_seq.load(Ordering::Relaxed) + 1;
        self.last_seq.store(seq, Ordering::Relaxed);
        let publication = Arc::new(Publication { seq, endpoint, frame });
        for mailbox in &self.mailboxes {
            mailbox.push(Arc::clone(&publication));
        }
        seq
    }

    /// The sequence number of the newest publication; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Relaxed)
    }

    /// A mailbox that is too full for more: whoever can wait should ([`Mailbox::wake_when_drained`]).
    pub fn congested(&self) -> Option<&Mailbox> {
        self.mailboxes.iter().find(|mailbox| mailbox.is_congested()).map(AsRef::as_ref)
    }
}
