//! A shard's clock: it knows how long the shard did not run.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::state::Now;

/// Time since the process began, with and without the shard's stalls.
pub struct Clock {
    began: Instant,
    stalled_us: Cell<u64>,
}

impl Clock {
    /// `began` is the same for all shards of a process.
    pub const fn new(began: Instant) -> Self {
        Self { began, stalled_us: Cell::new(0) }
    }

    /// The present.
    pub fn now(&self) -> Now {
        let real_us = self.began.elapsed().as_micros() as u64;
        Now { real_us, attended_us: real_us.saturating_sub(self.stalled_us.get()) }
    }

    /// The shard did not run for this long: attended time stood still.
    pub fn note_stall(&self, stall: Duration) {
        self.stalled_us.set(self.stalled_us.get() + stall.as_micros() as u64);
    }
}
