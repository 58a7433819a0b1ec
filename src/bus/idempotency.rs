//! What was answered to whom, so that a request that is sent again does nothing twice.
//!
//! The first request with a key gets a [`Ticket`] and does the work; one that comes meanwhile waits
//! for its answer; a later one gets the answer again. Only successes are kept: a ticket that is
//! dropped leaves no trace, and whoever waited does the work instead.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// So many answers are kept; the oldest leaves first.
pub const ANSWERS_MAX: usize = 10_000;
/// An answer is kept so long.
pub const ANSWER_AGE_MAX: Duration = Duration::from_mins(10);
/// The weights of all kept answers together; the oldest leaves first.
pub const WEIGHT_MAX: usize = 1 << 20;

/// A SHA-256.
pub type Digest = [u8; 32];

/// The answers of one gateway. A key costs the same whatever its length: digests are kept.
pub struct Idempotency<A> {
    inner: Mutex<Inner<A>>,
}

struct Inner<A> {
    slots: HashMap<Digest, Slot<A>>,
    /// The answered keys, oldest first.
    answered: VecDeque<Answered>,
    /// The sum over `answered`.
    weight: usize,
}

struct Answered {
    key: Digest,
    at: Instant,
    weight: usize,
}

struct Slot<A> {
    fingerprint: Digest,
    state: State<A>,
}

enum State<A> {
    UnderWay(watch::Receiver<Option<Arc<A>>>),
    Done(Arc<A>),
}

/// What a request with a key has to do.
pub enum Claim<A> {
    /// The work: it is the first one.
    First(Ticket<A>),
    /// Nothing but to give this answer again.
    Replay(Arc<A>),
    /// To wait for the first one's answer, or to claim again where there is none.
    UnderWay(Pending<A>),
    /// The key stands for another request.
    Mismatch,
}

/// The right to do the work of a key.
pub struct Ticket<A> {
    store: Arc<Idempotency<A>>,
    key: Digest,
    answer: Option<watch::Sender<Option<Arc<A>>>>,
}

/// The work of somebody else.
pub struct Pending<A>(watch::Receiver<Option<Arc<A>>>);

impl<A> Default for Idempotency<A> {
    fn default() -> Self {
        let inner = Inner { slots: HashMap::new(), answered: VecDeque::new(), weight: 0 };
        Self { inner: Mutex::new(inner) }
    }
}

impl<A> Idempotency<A> {
    /// Asks what to do for a key. `fingerprint` is of everything that makes the request what it is.
    pub fn claim(self: &Arc<Self>, key: Digest, fingerprint: Digest, now: Instant) -> Claim<A> {
        let mut inner = self.lock();
        inner.forget_old(now);
        match inner.slots.entry(key) {
            Entry::Occupied(slot) if slot.get().fingerprint != fingerprint => Claim::Mismatch,
            Entry::Occupied(slot) => match &slot.get().state {
                State::Done(answer) => Claim::Replay(Arc::clone(answer)),
                State::UnderWay(answer) => Claim::UnderWay(Pending(answer.clone())),
            },
            Entry::Vacant(slot) => {
                let (sender, answer) = watch::channel(None);
                slot.insert(Slot { fingerprint, state: State::UnderWay(answer) });
                Claim::First(Ticket { store: Arc::clone(self), key, answer: Some(sender) })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<A>> {
        // Nothing that can panic stands between two changes that belong together.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> Inner<A> {
    fn forget_old(&mut self, now: Instant) {
        while let Some(oldest) = self.answered.front() {
            let is_old = now.saturating_duration_since(oldest.at) >= ANSWER_AGE_MAX;
            if !is_old && self.answered.len() <= ANSWERS_MAX && self.weight <= WEIGHT_MAX {
                break;
            }
            self.slots.remove(&oldest.key);
            self.weight -= oldest.weight;
            self.answered.pop_front();
        }
    }
}

impl<A> Ticket<A> {
    /// The work has succeeded. `weight` is what the answer costs beside its key, at most
    /// [`WEIGHT_MAX`].
    pub fn finish(mut self, answer: &Arc<A>, weight: usize, now: Instant) {
        let Some(sender) = self.answer.take() else { return };
        let mut inner = self.store.lock();
        if let Some(slot) = inner.slots.get_mut(&self.key) {
            slot.state = State::Done(Arc::clone(answer));
            inner.answered.push_back(Answered { key: self.key, at: now, weight });
            inner.weight += weight;
            inner.forget_old(now);
        }
        drop(inner);
        sender.send_replace(Some(Arc::clone(answer)));
    }
}

impl<A> Drop for Ticket<A> {
    fn drop(&mut self) {
        if self.answer.is_some() {
            self.store.lock().slots.remove(&self.key);
        }
    }
}

impl<A> Pending<A> {
    /// The answer; `None` if the work was given up.
    pub async fn answer(mut self) -> Option<Arc<A>> {
        let answer = self.0.wait_for(Option::is_some).await.ok()?;
        answer.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: Digest = [7; 32];

    fn store() -> Arc<Idempotency<u32>> {
        Arc::default()
    }

    fn key(number: usize) -> Digest {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[track_caller]
    fn first(store: &Arc<Idempotency<u32>>, number: usize, now: Instant) -> Ticket<u32> {
        match store.claim(key(number), FINGERPRINT, now) {
            Claim::First(ticket) => ticket,
            Claim::Replay(_) | Claim::UnderWay(_) | Claim::Mismatch => panic!("not the first"),
        }
    }

    fn replay(store: &Arc<Idempotency<u32>>, number: usize, now: Instant) -> Option<u32> {
        match store.claim(key(number), FINGERPRINT, now) {
            Claim::Replay(answer) => Some(*answer),
            Claim::First(_) => None,
            Claim::UnderWay(_) | Claim::Mismatch => panic!("neither answered nor free"),
        }
    }

    #[test]
    fn an_answer_is_given_again_to_the_same_request_only() {
        let (store, now) = (store(), Instant::now());
        first(&store, 1, now).finish(&Arc::new(42), 1, now);
        assert_eq!(replay(&store, 1, now), Some(42));
        assert!(matches!(store.claim(key(1), [8; 32], now), Claim::Mismatch));
        assert_eq!(replay(&store, 2, now), None);
    }

    #[tokio::test]
    async fn who_comes_meanwhile_gets_the_firsts_answer() {
        let (store, now) = (store(), Instant::now());
        let ticket = first(&store, 1, now);
        assert!(matches!(store.claim(key(1), [8; 32], now), Claim::Mismatch));
        let Claim::UnderWay(pending) = store.claim(key(1), FINGERPRINT, now) else {
            panic!("it is under way");
        };
        ticket.finish(&Arc::new(42), 1, now);
        assert_eq!(pending.answer().await.as_deref(), Some(&42));
    }

    #[tokio::test]
    async fn work_that_was_given_up_leaves_nothing() {
        let (store, now) = (store(), Instant::now());
        let ticket = first(&store, 1, now);
        let Claim::UnderWay(pending) = store.claim(key(1), FINGERPRINT, now) else {
            panic!("it is under way");
        };
        drop(ticket);
        assert_eq!(pending.answer().await, None);
        drop(first(&store, 1, now));
        assert!(store.lock().slots.is_empty());
    }

    #[test]
    fn the_oldest_answers_leave() {
        let (store, now) = (store(), Instant::now());
        let answer = |number, weight, now| {
            first(&store, number, now).finish(&Arc::new(0), weight, now);
        };
        let under_way = first(&store, usize::MAX, now);
        for number in 0..=ANSWERS_MAX {
            answer(number, 1, now);
        }
        assert_eq!(replay(&store, 0, now), None, "one too many");
        assert_eq!(replay(&store, 1, now), Some(0));
        let later = now + ANSWER_AGE_MAX / 2;
        answer(0, WEIGHT_MAX - 1, later);
        assert_eq!(replay(&store, ANSWERS_MAX - 1, later), None, "too heavy together");
        assert_eq!(replay(&store, ANSWERS_MAX, later), Some(0));
        let too_old = now + ANSWER_AGE_MAX;
        assert_eq!(replay(&store, ANSWERS_MAX, too_old), None);
        assert_eq!(replay(&store, 0, too_old), Some(0));
        assert_eq!(replay(&store, 0, later + ANSWER_AGE_MAX), None);
        under_way.finish(&Arc::new(1), 1, later + ANSWER_AGE_MAX);
        assert_eq!(replay(&store, usize::MAX, later + ANSWER_AGE_MAX), Some(1), "work is not old");
        let inner = store.lock();
        assert_eq!((inner.slots.len(), inner.answered.len(), inner.weight), (1, 1, 1));
    }
}
