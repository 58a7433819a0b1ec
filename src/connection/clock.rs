//! A shard's clock: it knows how long the shard did not run.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::wheel::TICK;
use crate::state::Now;

/// How far attended time goes on without a tick: later ticks than that are a stall.
const UNATTENDED_US_MAX: u64 = 2 * TICK.as_micros() as u64;

/// Time since the process began, with and without the shard's stalls.
///
/// Attended time goes on with the ticks of the shard and never back: what runs after a stall, but
/// before the tick that ends it, takes no deadline from the time that nobody attended.
pub struct Clock {
    began: Instant,
    /// The last tick, in both times.
    ticked: Cell<Now>,
}

impl Clock {
    /// `began` is the same for all shards of a process.
    pub fn new(began: Instant) -> Self {
        let real_us = began.elapsed().as_micros() as u64;
        Self { began, ticked: Cell::new(Now { real_us, attended_us: real_us }) }
    }

    /// The present.
    pub fn now(&self) -> Now {
        let real_us = self.began.elapsed().as_micros() as u64;
        let ticked = self.ticked.get();
        let attended_us = (real_us - ticked.real_us).min(UNATTENDED_US_MAX);
        Now { real_us, attended_us: ticked.attended_us + attended_us }
    }

    /// The shard attends to its deadlines, at least once per [`TICK`] unless it stalls. Returns how
    /// late that is.
    pub fn tick(&self) -> Duration {
        let now = self.now();
        let since = Duration::from_micros(now.real_us - self.ticked.replace(now).real_us);
        since.saturating_sub(TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_costs_two_ticks_before_and_after_the_tick_that_ends_it() {
        let stall = Duration::from_secs(7);
        let clock = Clock::new(Instant::now().checked_sub(stall).unwrap());
        // As if the last tick had come right before the stall.
        clock.ticked.set(Now { real_us: 0, attended_us: 0 });
        let during = clock.now();
        assert_eq!(during.attended_us, UNATTENDED_US_MAX);
        assert!(during.real_us >= 7_000_000);
        assert!(clock.tick() + TICK >= stall);
        assert_eq!(clock.ticked.get().attended_us, UNATTENDED_US_MAX);
        assert!(clock.now().attended_us >= during.attended_us, "never back");
        assert!(clock.tick() < stall, "the stall is over");
    }
}
