//! The end of a run: what is under way is waited for, every connection is closed, what is missing is
//! counted. Each wait has its limit.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::{Phase, Work};
use super::crew::{Crew, Seat};
use super::member::NORMAL_CLOSURE;
use super::moment::Moment;
use super::publishing::Outlet;

/// How often it is looked whether all has come. Not part of any figure.
const LOOK: Duration = Duration::from_millis(20);

/// A closing handshake ends by itself after `close_wait`, and TCP two seconds later.
const GRACE: Duration = Duration::from_secs(3);

/// So many connections are closed at once before others have their turn.
const BATCH: usize = 256;

/// Ends it all. `members` are the tasks of the connections.
pub async fn run(crew: &Rc<Crew>, mut members: JoinSet<()>) {
    crew.tally.borrow_mut().end_window(Moment::now());
    crew.opening.close();
    crew.enter(Phase::Finishing);
    let close_wait = crew.scenario.close_wait;
    // What has not come by then is missing.
    let _ = timeout(close_wait, async {
        while !crew.is_settled() {
            sleep(LOOK).await;
        }
    })
    .await;
    crew.close_all_that_opens();
    crew.close_outlet();
    for seats in crew.seats.chunks(BATCH) {
        for seat in seats {
            if let Some(link) = seat.link.borrow().as_ref() {
                link.close(NORMAL_CLOSURE);
            }
        }
        tokio::task::yield_now().await;
    }
    let all_ended = async {
        while let Some(member) = members.join_next().await {
            // A defect of ours, which must not look like a smaller number.
            member.expect("a connection's task does not panic");
        }
    };
    if timeout(close_wait + GRACE, all_ended).await.is_err() {
        members.shutdown().await;
        crew.give_up_all();
    }
}

impl Crew {
    /// Whether everything that was to come has come.
    fn is_settled(&self) -> bool {
        match self.scenario.work {
            Work::Hold => true,
            Work::Echo { .. } | Work::EchoClosed { .. } => self.owed.get() == 0,
            Work::FanOut { .. } if self.outlet.as_ref().is_some_and(Outlet::is_unsure) => false,
            Work::FanOut { .. } => {
                let total = self.total();
                let waits =
                    |seat: &Seat| seat.link.borrow().is_some() && seat.stint.get().waits_for(total);
                !self.seats.iter().any(waits)
            }
        }
    }

    /// Counts connections whose task had to be ended as closed without an answer.
    fn give_up_all(&self) {
        for seat in &self.seats {
            if seat.link.borrow_mut().take().is_some() {
                self.give_up_echoes(seat);
                self.give_up_deliveries(seat, Some(self.total()));
                self.tally.borrow_mut().ended(1006);
            }
        }
    }
}
