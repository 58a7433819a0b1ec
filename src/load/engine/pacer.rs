//! When messages are due, and a timer exact enough to send them then.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::moment::Moment;

/// Moments at a fixed rate. Each is computed, not summed up: who is late catches up, and nothing
/// drifts.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start: Moment,
    rate: f64,
}

impl Schedule {
    /// `rate` per second, the first at `start`.
    pub fn new(start: Moment, rate: f64) -> Self {
        Self { start, rate }
    }

    /// When the message with this number, from 0, is due.
    #[inline]
    pub fn due(&self, number: u64) -> Moment {
        Moment(self.start.0.saturating_add(offset_nanos(number, self.rate)))
    }
}

/// How many messages of this rate are due before `offset`, the start excluded from nothing: the
/// number of the first that is due at `offset` or later.
pub fn due_before(offset: Duration, rate: f64) -> u64 {
    let nanos = u64::try_from(offset.as_nanos()).unwrap_or(u64::MAX);
    let mut number = (offset.as_secs_f64() * rate) as u64;
    // The product is rounded; the comparison with the moments themselves is not.
    while number > 0 && offset_nanos(number - 1, rate) >= nanos {
        number -= 1;
    }
    while offset_nanos(number, rate) < nanos {
        number += 1;
    }
    number
}

#[inline]
fn offset_nanos(number: u64, rate: f64) -> u64 {
    (number as f64 * 1e9 / rate) as u64
}

/// Waits for moments, to some ten microseconds: a `timerfd`, since tokio's timers have steps of a
/// millisecond, which would be counted as the server's latency.
#[derive(Debug)]
pub struct Pacer {
    timer: AsyncFd<OwnedFd>,
}

impl Pacer {
    /// A timer of its own. Fails where no more files can be opened.
    #[expect(
        deprecated,
        reason = "its successor is unsafe because of types whose descriptor may change or close; an \
                  OwnedFd's cannot, and unsafe code is denied here"
    )]
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer: AsyncFd::with_interest(timer, Interest::READABLE)? })
    }

    /// Waits for `moment`; returns at once if it has passed.
    pub async fn until(&self, moment: Moment) -> io::Result<()> {
        while Moment::now() < moment {
            self.arm(moment)?;
            // Nothing has to be read: to arm the timer again takes its count back to zero.
            self.timer.readable().await?.clear_ready();
        }
        Ok(())
    }

    fn arm(&self, moment: Moment) -> io::Result<()> {
        let it_value = Timespec {
            tv_sec: (moment.0 / 1_000_000_000) as i64,
            tv_nsec: (moment.0 % 1_000_000_000) as _,
        };
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_evenly_spaced_and_do_not_drift() {
        let schedule = Schedule::new(Moment(1_000), 3.0);
        let dues: Vec<_> = [0, 1, 2, 3, 3_000_000].map(|k| schedule.due(k).0).into();
        assert_eq!(dues, [1_000, 333_334_333, 666_667_666, 1_000_001_000, 1_000_000_000_001_000]);
    }

    #[test]
    fn as_many_are_due_as_the_rate_says() {
        for (seconds, rate, expected) in [
            (0.0, 10.0, 0),
            (1.0, 10.0, 10),
            (10.0, 1_000.0, 10_000),
            (0.05, 10.0, 1),
            (0.1, 10.0, 1),
            (0.100_000_001, 10.0, 2),
            (3_600.0, 20_000.0, 72_000_000),
            (10.0, 0.3, 3),
            (10.0, 0.25, 3),
            (1.0, 0.1, 1),
        ] {
            let offset = Duration::from_secs_f64(seconds);
            let count = due_before(offset, rate);
            assert_eq!(count, expected, "{seconds} s at {rate}/s");
            let schedule = Schedule::new(Moment(0), rate);
            let end = Moment(0).after(offset);
            assert!(schedule.due(count) >= end, "{seconds} s at {rate}/s");
            assert!(count == 0 || schedule.due(count - 1) < end, "{seconds} s at {rate}/s");
        }
    }

    #[tokio::test]
    async fn the_timer_never_comes_early_and_takes_what_has_passed() {
        let pacer = Pacer::new().unwrap();
        let start = Moment::now();
        for step in [0_u64, 30, 60, 60, 1_000, 100, 2_500] {
            let moment = start.after(Duration::from_micros(step));
            pacer.until(moment).await.unwrap();
            assert!(Moment::now() >= moment, "{step}");
        }
        pacer.until(Moment(0)).await.unwrap();
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_does_not_end_the_next_one_early() {
        let pacer = Pacer::new().unwrap();
        let near = Moment::now().after(Duration::from_millis(2));
        let far = Moment::now().after(Duration::from_millis(20));
        tokio::select! {
            biased;
            done = pacer.until(near) => panic!("{done:?}"),
            () = std::future::ready(()) => {}
        }
        pacer.until(far).await.unwrap();
        assert!(Moment::now() >= far);
    }
}
