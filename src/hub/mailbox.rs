//! What is on its way to one shard.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

use super::Delivery;

/// Above this many waiting bytes or messages, connections that publish stop reading. What was read
/// already is still accepted: the overshoot is one read buffer per connection.
const CONGESTED_BYTES: usize = 16 << 20;
const CONGESTED_MESSAGES: usize = 16_384;

/// The charge of a publication beyond its payload.
const OVERHEAD_BYTES: usize = 128;

/// What a mailbox holds.
pub enum Mail<E> {
    /// For those of the shard's connections that it concerns.
    Publication(Arc<Delivery>),
    /// To be done between the publications before and behind it.
    Errand(E),
}

/// A queue into one shard, filled by all.
pub struct Mailbox<E> {
    shard: u32,
    inner: Mutex<Inner<E>>,
    /// The publications' bytes and number, read without the lock.
    bytes: AtomicUsize,
    messages: AtomicUsize,
    filled: Notify,
}

struct Inner<E> {
    mail: VecDeque<Mail<E>>,
    waiting: Vec<Waker>,
    /// How often `waiting` has been emptied.
    round: u32,
    /// Nobody will ever look into it again.
    closed: bool,
}

/// Where the waker of a task that waits lies: in which mailbox, and for which round of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    shard: u32,
    round: u32,
}

impl<E> Mailbox<E> {
    /// The empty mailbox of a shard.
    pub(super) fn new(shard: usize) -> Self {
        let inner = Inner { mail: VecDeque::new(), waiting: Vec::new(), round: 0, closed: false };
        Self {
            shard: shard as u32,
            inner: Mutex::new(inner),
            bytes: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            filled: Notify::new(),
        }
    }

    /// Adds mail and wakes the shard. In a closed mailbox a publication is over at once, and an
    /// errand is dropped.
    pub(super) fn push(&self, mail: Mail<E>) {
        let mut inner = self.lock();
        if inner.closed {
            drop(inner);
            Self::discard(&mail);
            return;
        }
        if let Mail::Publication(delivery) = &mail {
            self.bytes.fetch_add(charge(delivery), Ordering::Relaxed);
            self.messages.fetch_add(1, Ordering::Relaxed);
        }
        inner.mail.push_back(mail);
        let first = inner.mail.len() == 1;
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
    pub fn take(&self) -> VecDeque<Mail<E>> {
        std::mem::take(&mut self.lock().mail)
    }

    /// A publication has been written or queued for each of the shard's receivers. Has it been so
    /// by the other shards, too?
    pub fn done(&self, delivery: &Delivery) -> bool {
        self.bytes.fetch_sub(charge(delivery), Ordering::Relaxed);
        self.messages.fetch_sub(1, Ordering::Relaxed);
        if !self.is_congested() {
            Self::wake_all(&mut self.lock());
        }
        delivery.finish_shard()
    }

    /// The shard has ended: who waits for it is released, and what comes later is over at once.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let left = std::mem::take(&mut inner.mail);
        self.bytes.store(0, Ordering::Relaxed);
        self.messages.store(0, Ordering::Relaxed);
        Self::wake_all(&mut inner);
        drop(inner);
        left.iter().for_each(Self::discard);
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

    /// Wakers only schedule their task, so that the lock may be held.
    fn wake_all(inner: &mut Inner<E>) {
        inner.round = inner.round.wrapping_add(u32::from(!inner.waiting.is_empty()));
        inner.waiting.drain(..).for_each(Waker::wake);
    }

    fn discard(mail: &Mail<E>) {
        match mail {
            Mail::Publication(delivery) => {
                delivery.finish_shard();
            }
            Mail::Errand(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<E>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn charge(delivery: &Delivery) -> usize {
    delivery.publication.frame.payload_len() + OVERHEAD_BYTES
}
