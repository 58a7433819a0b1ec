//! One process' share of a scenario: connections, their work, and the report.
//!
//! [`run`] goes through the phases. Each connection has a task (`member.rs`) that opens it, reads from
//! it, and opens it again when it has ended; messages that are due at a moment are sent by [`run`]
//! itself (`work.rs`, `pacer.rs`), directly on the link of the connection whose turn it is. What comes
//! is judged where it is read (`echo.rs`, `deliveries.rs`). All of it shares a `Crew` and runs on one
//! thread; nothing is allocated, logged or looked up by name for a message.
//!
//! Invariants: a message that is due is sent then or counted as unsent, never later in silence; what
//! was due in the window is measured, with its answer, whenever that comes; every wait of the end has a
//! limit.

mod asked;
mod crew;
mod deliveries;
mod echo;
mod finish;
mod marker;
mod member;
mod misbehaving;
mod moment;
mod pacer;
mod payload;
mod publishing;
mod random;
mod stint;
mod tally;
#[cfg(test)]
mod tests;
mod waves;
mod work;

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

pub use marker::MARKER_BYTES;

use super::{Phase, Progress, Report, Scenario, Share};
use crew::Crew;
use pacer::Pacer;

/// How often figures are told.
const TELL: Duration = Duration::from_millis(250);

/// Does one share in this process, inside a [`tokio::task::LocalSet`] on a current-thread runtime.
///
/// `observe` gets the figures about four times a second, and at each change of phase. When every
/// connection has been tried once ([`Phase::Ready`]) it waits for `go`: the other processes. When
/// `stop` resolves it finishes at once, and reports what has been measured until then.
///
/// What is counted: a message due in the window, and its answer, however late; of messages that answer
/// nothing, those that come in the window; connections and errors over the whole run. A connection owes
/// a fan-out what was published while it was open, from the first to the last delivery that it must have
/// seen: what falls into its opening or its loss is nobody's. Latencies of a fan-out are right on the
/// publisher's machine only; those of files are known to the first process alone, and their deliveries
/// are told apart by their order, which is right only while nobody else publishes. A publication that the
/// API refuses is an error, and missing on every connection. Several requests to the API may overtake each
/// other, which counts as out of order.
///
/// The error is one sentence about what was given wrongly, before anything was opened. What fails later is
/// in the report.
pub async fn run(
    scenario: Rc<Scenario>,
    share: Share,
    go: impl Future<Output = ()>,
    stop: impl Future<Output = ()>,
    mut observe: impl FnMut(Progress),
) -> Result<Report, String> {
    let mut stop = pin!(stop);
    let url = scenario.url.clone();
    let crew = tokio::select! {
        biased;
        crew = Crew::new(scenario, share) => Rc::new(crew?),
        () = &mut stop => return Ok(Report::new(&url)),
    };
    let pacer = Pacer::new().map_err(|error| format!("no timer can be had: {error}"))?;
    observe(crew.progress());
    let mut members = JoinSet::new();
    for at in 0..crew.seats.len() {
        members.spawn_local(member::live(Rc::clone(&crew), at));
    }
    members.spawn_local(publishing::live(Rc::clone(&crew)));
    misbehaving::spawn_all(&crew, &mut members);

    let work = async {
        crew.all_tried().await;
        crew.enter(Phase::Ready);
        tokio::task::yield_now().await;
        go.await;
        work::run(&crew, &pacer).await
    };
    match attend(&crew, work, Some(stop), &mut observe).await {
        None => crew.stopped.set(true),
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(format!("the timer failed: {error}")),
    }
    attend(
        &crew,
        finish::run(&crew, members),
        None::<Pin<&mut std::future::Pending<()>>>,
        &mut observe,
    )
    .await;
    let report = crew.tally.borrow().report.clone();
    Ok(report)
}

/// Does `work` and tells how it goes; `None` if `stop` came first.
async fn attend<T>(
    crew: &Crew,
    work: impl Future<Output = T>,
    mut stop: Option<Pin<&mut impl Future<Output = ()>>>,
    observe: &mut impl FnMut(Progress),
) -> Option<T> {
    let mut work = pin!(work);
    let mut tick = interval(TELL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.reset();
    let mut phase = crew.phase();
    std::future::poll_fn(|cx| {
        if let Some(stop) = &mut stop
            && stop.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(None);
        }
        let done = work.as_mut().poll(cx);
        let is_time = tick.poll_tick(cx).is_ready();
        if is_time || phase != crew.phase() {
            phase = crew.phase();
            observe(crew.progress());
            // A tick that is ready has asked for no other.
            while tick.poll_tick(cx).is_ready() {}
        }
        done.map(Some)
    })
    .await
}
