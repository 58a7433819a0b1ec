//! The life of one connection that behaves: opened, lost, opened again, until the run is over.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use super::super::link::{End, Opened};
use super::super::{Lifetime, Work};
use super::crew::{Crew, Seat};
use super::moment::Moment;
use super::random::Random;

/// The first wait after a failure is drawn from zero to this; each later one to twice as much.
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);

/// No wait is longer. A connection that lived as long as this starts anew with the first.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// A handshake that was under way when the run ended, and had not ended `close_wait` later.
const CUT_OFF: &str = "handshake: cut off by the end of the run";

/// RFC 6455 §7.4.1.
pub const NORMAL_CLOSURE: u16 = 1000;

/// Opens a connection when its turn comes, and again whenever it ends, until the run is over.
pub async fn live(crew: Rc<Crew>, at: usize) {
    let seat = &crew.seats[at];
    crew.pause_until(crew.first_due(seat.number)).await;
    let mut back_off = BackOff::default();
    let mut opened = crew.open(seat).await;
    crew.tried();
    while let Some(result) = opened {
        let back = match result {
            Err(()) => Moment::now().after(back_off.next(&mut crew.random.borrow_mut())),
            Ok(opened) => {
                let since = Moment::now();
                let back = crew.stay(seat, opened).await;
                back_off.lived(Moment::now().since(since));
                back.unwrap_or_else(|| {
                    Moment::now().after(back_off.next(&mut crew.random.borrow_mut()))
                })
            }
        };
        crew.pause_until(back).await;
        opened = crew.open(seat).await;
    }
}

/// How long to wait before the next try: full jitter, so that those who failed together do not come
/// back together.
#[derive(Debug)]
pub struct BackOff {
    most: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { most: BACK_OFF_FIRST }
    }
}

impl BackOff {
    /// The wait after one more failure.
    pub fn next(&mut self, random: &mut Random) -> Duration {
        let wait = random.duration(Duration::ZERO, self.most);
        self.most = (2 * self.most).min(BACK_OFF_MAX);
        wait
    }

    /// A connection lasted this long. One that a server takes and ends at once is a failure, too.
    pub fn lived(&mut self, lifetime: Duration) {
        if lifetime >= BACK_OFF_MAX {
            *self = Self::default();
        }
    }
}

impl Crew {
    /// When a connection is opened first: all of them evenly over the ramp.
    fn first_due(&self, number: u32) -> Moment {
        let part = f64::from(number) / f64::from(self.scenario.connections.max(1));
        self.begun.after(self.scenario.ramp.mul_f64(part))
    }

    /// One handshake, when there is a place for it; a failure is counted. `None` if the run is over.
    async fn open(&self, seat: &Seat) -> Option<Result<Opened, ()>> {
        let _place = self.opening.acquire().await.ok()?;
        self.tally.borrow_mut().report.connections.attempted += 1;
        let opened = self.not_long_after_the_end(self.connector.open(seat.number)).await;
        let count_error = |reason: &str| self.tally.borrow_mut().report.count_error(reason);
        if opened.is_none() {
            // Or the handshakes that were begun would be more than those that opened and failed.
            count_error(CUT_OFF);
        }
        Some(opened?.map_err(|error| count_error(&error.reason)))
    }

    /// From the upgrade to the end. When it is to come back, if it left because we wanted it to.
    async fn stay(&self, seat: &Seat, opened: Opened) -> Option<Moment> {
        let Opened { link, took } = opened;
        self.tally.borrow_mut().opened(took);
        *seat.link.borrow_mut() = Some(Rc::clone(&link));
        seat.stint.set(self.new_stint());
        seat.heard.set(0);
        if let Work::EchoClosed { in_flight } = self.scenario.work {
            self.ask_up_to(seat, in_flight as usize);
        }
        if self.is_closing() {
            link.close(NORMAL_CLOSURE);
        }
        let mut left = None;
        let mut run = pin!(link.run(|message| self.receive(seat, message)));
        let end = match self.scenario.lifetime {
            None => run.await,
            Some(Lifetime { min, max }) => tokio::select! {
                end = &mut run => end,
                () = tokio::time::sleep(self.drawn(min, max)) => {
                    link.close(NORMAL_CLOSURE);
                    left = Some(Moment::now());
                    run.await
                }
            },
        };
        let back = seat.back.take().or(left).filter(|_| end.by_us);
        // One that has left does not owe what is published afterwards, though the run may end before
        // its closing handshake.
        self.count_end(seat, end, end.by_us && back.is_none() && self.is_over());
        back
    }

    fn count_end(&self, seat: &Seat, end: End, to_the_end: bool) {
        *seat.link.borrow_mut() = None;
        self.give_up_echoes(seat);
        self.give_up_deliveries(seat, to_the_end.then(|| self.total()));
        let mut tally = self.tally.borrow_mut();
        tally.ended(end.code);
        if !end.by_us {
            tally.report.connections.lost += 1;
        }
        if let Some(reason) = reason_of(end) {
            tally.report.count_error(&reason);
        }
    }
}

/// What went wrong when a connection ended so, if anything did. An answer to our Close that never
/// came shows in the codes alone.
pub fn reason_of(end: End) -> Option<String> {
    match end.reason {
        "closed" if end.by_us => None,
        "closed" => Some(format!("closed: {}", end.code)),
        reason if reason.starts_with("violation") || !end.by_us => Some(reason.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_start_anew_after_a_long_life() {
        let mut random = Random::seeded(3);
        let mut back_off = BackOff::default();
        for limit_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let limit = Duration::from_millis(limit_ms);
            let most = back_off.most;
            let waits = (0..2_000).map(|_| BackOff { most }.next(&mut random));
            let longest = waits.max().unwrap();
            assert!(longest <= limit && longest > limit.mul_f64(0.95), "{longest:?} of {limit:?}");
            back_off.next(&mut random);
        }
        back_off.lived(Duration::from_secs(4));
        assert_eq!(back_off.most, BACK_OFF_MAX);
        back_off.lived(BACK_OFF_MAX);
        assert_eq!(back_off.most, BACK_OFF_FIRST);
    }

    #[test]
    fn an_end_that_we_wanted_is_no_error_and_any_other_is() {
        for (code, by_us, reason, expected) in [
            (1000, true, "closed", None),
            (1006, true, "timed out", None),
            (1006, true, "reset", None),
            (1006, true, "violation: masked frame", Some("violation: masked frame")),
            (1013, false, "closed", Some("closed: 1013")),
            (1000, false, "closed", Some("closed: 1000")),
            (1006, false, "eof", Some("eof")),
            (1006, false, "violation: masked frame", Some("violation: masked frame")),
        ] {
            let end = End { code, by_us, reason };
            assert_eq!(reason_of(end).as_deref(), expected, "{end:?}");
        }
    }
}
