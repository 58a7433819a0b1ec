//! Moments on the clock that all processes of a machine share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment of `CLOCK_MONOTONIC`, in nanoseconds: the same for all processes of one machine, and
/// meaningless on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Behind every other one.
    pub const NEVER: Self = Self(u64::MAX);

    /// This one.
    #[inline]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        Self(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// The one this much later.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time since an earlier one; zero if that one is later.
    #[inline]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Waits for it, to a millisecond or two; [`super::pacer::Pacer`] is more exact.
    pub async fn reached(self) {
        let remaining = self.since(Self::now());
        if !remaining.is_zero() {
            tokio::time::sleep(remaining).await;
        }
    }
}
