//! Publications on their way to one shard.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

use super::Publication;

/// Above this many waiting bytes or messages, connections that publish stop reading. What was read
/// already is still accepted: the overshoot is one read buffer per connection.
const CONGESTED_BYTES: usize = 16 << 20;
const CONGESTED_MESSAGES: usize = 16_384;

/// The charge of a publication beyond its payload.
const OVERHEAD_BYTES: usize = 128;

/// A queue into one shard, filled by all.
pub struct Mailbox {
    shard: u32,
    inner: Mutex<Inner>,
    /// A copy of `inner.bytes` that is read without the lock.
    bytes: AtomicUsize,
    messages: AtomicUsize,
    filled: Notify,
}

#[derive(Default)]
struct Inner {
    publications: VecDeque<Arc<Publication>>,
    waiting: Vec<Waker>,
    /// How often `waiting` has been emptied.
    round: u32,
}

/// Where the waker of a task that waits lies: in which mailbox, and for which round of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    shard: u32,
    round: u32,
}

impl Mailbox {
    /// The empty mailbox of a shard.
    pub(super) fn new(shard: usize) -> Self {
        Self {
            shard: shard as u32,
            inner: Mutex::default(),
            bytes: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            filled: Notify::new(),
        }
    }

    /// Adds a publication and wakes the shard.
    pub(super) fn push(&self, publication: Arc<Publication>) {
        self.bytes.fetch_add(charge(&publication), Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.lock();
        inner.publications.push_back(publication);
        let first = inner.publications.len() == 1;
        drop(inner);
        if first {
            self.filled.notify_one();
        }
    }

    /// Waits until something is there. One waiter only: the shard.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes everything out.
    pub fn take(&self) -> VecDeque<Arc<Publication>> {
        std::mem::take(&mut self.lock().publications)
    }

    /// A publication has been written or queued for each of the shard's receivers.
    pub fn done(&self, publication: &Publication) {
        self.bytes.fetch_sub(charge(publication), Ordering::Relaxed);
        self.messages.fetch_sub(1, Ordering::Relaxed);
        if !self.is_congested() {
            let mut inner = self.lock();
            let waiting = std::mem::take(&mut inner.waiting);
            inner.round = inner.round.wrapping_add(u32::from(!waiting.is_empty()));
            drop(inner);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Is it too full for more?
    pub fn is_congested(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > CONGESTED_BYTES
            || self.messages.load(Ordering::Relaxed) > CONGESTED_MESSAGES
    }

    /// Wakes a task when there is room again; at once if there is already. `before` is what the
    /// task's last call gave: a waker that still lies here is not put here twice.
    pub fn wake_when_drained(&self, waker: &Waker, before: Option<Waiting>) -> Option<Waiting> {
        let mut inner = self.lock();
        if !self.is_congested() {
            drop(inner);
            waker.wake_by_ref();
            return None;
        }
        let waiting = Some(Waiting { shard: self.shard, round: inner.round });
        if waiting != before {
            inner.waiting.push(waker.clone());
        }
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn charge(publication: &Publication) -> usize {
    publication.frame.payload_len() + OVERHEAD_BYTES
}
