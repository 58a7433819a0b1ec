//! One publication on its way through all shards.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::bus::Publication;

/// A publication, and how far its fan-out has come.
pub struct Delivery {
    /// What is delivered.
    pub publication: Publication,
    /// Shards that have not served their receivers yet.
    shards_left: AtomicUsize,
    receivers: AtomicU64,
    receipt: Mutex<Option<oneshot::Sender<u64>>>,
}

impl Delivery {
    /// On its way to so many shards; the receipt gets the number of receivers.
    pub(super) fn new(
        publication: Publication,
        shards: usize,
        receipt: Option<oneshot::Sender<u64>>,
    ) -> Self {
        Self {
            publication,
            shards_left: AtomicUsize::new(shards),
            receivers: AtomicU64::new(0),
            receipt: Mutex::new(receipt),
        }
    }

    /// It was written or queued for so many receivers.
    pub(super) fn count_receivers(&self, receivers: u64) {
        self.receivers.fetch_add(receivers, Ordering::Relaxed);
    }

    /// One shard has served all of its receivers. Was it the last one?
    pub(super) fn finish_shard(&self) -> bool {
        // Whoever is last must see what the others have counted.
        let last = self.shards_left.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            let receipt = self.receipt.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(receipt) = receipt {
                // Whoever asked may have gone.
                let _ = receipt.send(self.receivers.load(Ordering::Relaxed));
            }
        }
        last
    }
}
