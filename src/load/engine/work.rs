//! What open connections do between `go` and the end of the window.

use std::io;
use std::rc::Rc;

use super::super::{Phase, Work};
use super::asked::Question;
use super::crew::Crew;
use super::moment::Moment;
use super::pacer::{Pacer, Schedule};
use super::waves;

/// After so many messages without a pause those who receive have their turn.
const BATCH: u64 = 64;

/// Warms up, then measures: to the end of the window.
pub async fn run(crew: &Rc<Crew>, pacer: &Pacer) -> io::Result<()> {
    let start = Moment::now();
    let window = start.after(crew.scenario.warm_up);
    let end = window.after(crew.scenario.duration);
    crew.tally.borrow_mut().window = window..end;
    tokio::select! {
        biased;
        done = send(crew, pacer, start, window, end) => done,
        () = waves::run(crew, start) => Ok(()),
    }
}

async fn send(
    crew: &Rc<Crew>,
    pacer: &Pacer,
    start: Moment,
    window: Moment,
    end: Moment,
) -> io::Result<()> {
    let mut messages = Messages::new(crew, start);
    crew.enter(Phase::WarmingUp);
    tokio::task::yield_now().await;
    if let Work::EchoClosed { in_flight } = crew.scenario.work {
        crew.seats.iter().for_each(|seat| crew.ask_up_to(seat, in_flight as usize));
    }
    messages.send_until(window, pacer).await?;
    crew.enter(Phase::Measuring);
    tokio::task::yield_now().await;
    messages.send_until(end, pacer).await
}

/// The messages of this process that are due at fixed moments.
struct Messages<'c> {
    crew: &'c Rc<Crew>,
    /// `None` if nothing is sent, or nothing at fixed moments.
    schedule: Option<Schedule>,
    /// The number of the next, among those of all processes.
    next: u64,
    /// From one of this process to its next.
    step: u64,
    /// Whose turn it is.
    turn: usize,
}

impl<'c> Messages<'c> {
    fn new(crew: &'c Rc<Crew>, start: Moment) -> Self {
        let share = crew.share;
        // A process without a connection sends nothing, and the others do not leave its part out.
        let senders = u64::from(share.processes).min(u64::from(crew.scenario.connections)).max(1);
        let (rate, step) = match &crew.scenario.work {
            Work::Hold | Work::EchoClosed { .. } => (None, 1),
            Work::Echo { rate } => ((!crew.seats.is_empty()).then_some(*rate), senders),
            Work::FanOut { publishing: _, rate } => (crew.outlet.as_ref().map(|_| *rate), 1),
        };
        let schedule = rate.map(|rate| Schedule::new(start, rate));
        Self { crew, schedule, next: u64::from(share.process), step, turn: 0 }
    }

    /// Sends what is due before `end`, each at its moment, or at once if that has passed; waits for
    /// `end`.
    async fn send_until(&mut self, end: Moment, pacer: &Pacer) -> io::Result<()> {
        let mut sent = 0_u64;
        while let Some(schedule) = self.schedule {
            let due = schedule.due(self.next);
            if due >= end {
                break;
            }
            pacer.until(due).await?;
            self.send(due);
            self.next += self.step;
            sent += 1;
            if sent.is_multiple_of(BATCH) {
                tokio::task::yield_now().await;
            }
        }
        pacer.until(end).await
    }

    fn send(&mut self, due: Moment) {
        let crew = self.crew;
        if crew.outlet.is_some() {
            crew.publish(self.next, due);
        } else {
            crew.ask(&crew.seats[self.turn], Question { number: self.next, due });
            self.turn = (self.turn + 1) % crew.seats.len();
        }
    }
}
