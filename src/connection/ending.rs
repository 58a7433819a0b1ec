//! How a shard's connections are told that the process ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::shard::{DUE_BATCH, Shard};
use crate::outbound::signal;

/// How far a shard is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Serving,
    Draining,
    Stopping,
}

/// The turns of one drain, taken by all shards from one place: so the whole gateway closes evenly,
/// however its connections lie, and no two shards close in step.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    over: Duration,
    turns: u64,
    taken: AtomicU64,
}

impl Pace {
    /// So many connections, over so much time from now on. The first turn is at once; there is one
    /// every `over / connections`.
    pub fn new(connections: u64, over: Duration) -> Self {
        Self { began: Instant::now(), over, turns: connections, taken: AtomicU64::new(0) }
    }

    /// When the next turn is. Turns beyond the last are at the end of the time.
    fn next(&self) -> Instant {
        let turn = self.taken.fetch_add(1, Ordering::Relaxed).min(self.turns);
        self.began + self.over.mul_f64(turn as f64 / self.turns.max(1) as f64)
    }
}

impl Shard {
    /// The shard ends gently: its connections get Close 1012 one after the other, at this pace. One
    /// that opens meanwhile gets it at once. Done when everybody has been told.
    pub async fn drain(&self, pace: &Pace) {
        self.set_ending(Ending::Draining);
        let mut keys = self.keys().into_iter().peekable();
        for told in 1_usize.. {
            // No turn is taken for those who went by themselves, nor without anybody to tell.
            while keys.next_if(|key| !self.is_open(*key)).is_some() {}
            if keys.peek().is_none() {
                return;
            }
            let turn = pace.next();
            if turn > Instant::now() {
                tokio::time::sleep_until(turn.into()).await;
            } else if told.is_multiple_of(DUE_BATCH) {
                tokio::task::yield_now().await;
            }
            // Who had this turn may have gone while it was waited for: it is the next one's.
            if let Some(key) = keys.find(|key| self.is_open(*key)) {
                self.signal(key, signal::DRAIN);
            }
        }
    }

    /// The shard ends at once: every connection gets Close 1001.
    pub async fn shut_down(&self) {
        self.set_ending(Ending::Stopping);
        self.signal_all(signal::SHUTDOWN).await;
    }

    /// Has [`Self::drain`] or [`Self::shut_down`] been called?
    pub fn is_stopping(&self) -> bool {
        self.ending() != Ending::Serving
    }

    /// Gives all present connections a reason to be polled, with a turn of the others in between.
    pub(super) async fn signal_all(&self, reason: u8) {
        for batch in self.keys().chunks(DUE_BATCH) {
            batch.iter().for_each(|key| self.signal(*key, reason));
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the turns are, in milliseconds from the first.
    #[track_caller]
    fn check(connections: u64, over_ms: u64, expected_ms: &[u64]) {
        let pace = Pace::new(connections, Duration::from_millis(over_ms));
        let turns = expected_ms.iter().map(|_| (pace.next() - pace.began).as_millis() as u64);
        assert_eq!(turns.collect::<Vec<_>>(), expected_ms);
    }

    #[test]
    fn turns_are_even_and_the_first_is_at_once() {
        check(4, 1_000, &[0, 250, 500, 750]);
        check(1, 1_000, &[0]);
        check(1_000_000, 27_000, &[0, 0, 0]);
        check(3, 0, &[0, 0, 0]);
    }

    #[test]
    fn who_comes_after_the_last_turn_goes_at_the_end_and_where_none_was_meant_at_once() {
        check(2, 1_000, &[0, 500, 1_000, 1_000]);
        check(0, 1_000, &[0, 0]);
    }
}
