//! What all tasks of one process share: the scenario, its connections, the tally, and how far it is.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::super::link::{Connector, Link};
use super::super::{Misbehaved, Misconduct, Phase, Progress, Scenario, Share, Work};
use super::asked::Asked;
use super::deliveries::Deliveries;
use super::moment::Moment;
use super::payload::Payloads;
use super::publishing::Outlet;
use super::random::Random;
use super::stint::Stint;
use super::tally::Tally;
use crate::wire::Incoming;

/// All of it belongs to one thread; what is borrowed is given back before anything is waited for.
pub struct Crew {
    pub scenario: Rc<Scenario>,
    pub share: Share,
    pub connector: Connector,
    pub payloads: Payloads,
    /// This process' connections, in the order of their numbers.
    pub seats: Vec<Seat>,
    /// Of a fan-out.
    pub deliveries: Deliveries,
    /// How this process publishes, if it does.
    pub outlet: Option<Outlet>,
    pub tally: RefCell<Tally>,
    /// Where a message is put together before it is sent.
    pub scratch: RefCell<Vec<u8>>,
    /// Handshakes that may begin. Closed when nothing is to be opened any more.
    pub opening: Semaphore,
    pub random: RefCell<Random>,
    /// The number of the next message of a closed loop.
    pub next_number: Cell<u64>,
    /// Echoes that are waited for, on all connections.
    pub owed: Cell<u64>,
    /// When opening began.
    pub begun: Moment,
    /// Whether the run was ended before its time.
    pub stopped: Cell<bool>,
    /// First tries that are not over.
    untried: Cell<usize>,
    /// Closed when what is opened has to close at once.
    closing: Cell<bool>,
    phase: Cell<Phase>,
    phase_since: Cell<Moment>,
    /// Wakes whoever waits for all to be tried.
    all_tried: Notify,
    /// Wakes whoever waits for the end: nearly every task, so for nothing else.
    over: Notify,
}

/// One connection that behaves, whether it is open or not.
#[derive(Default)]
pub struct Seat {
    /// Among those of all processes.
    pub number: u32,
    /// While it is open.
    pub link: RefCell<Option<Rc<Link>>>,
    /// Of an echo.
    pub asked: RefCell<Asked>,
    /// Of a fan-out.
    pub stint: Cell<Stint>,
    /// Messages that came since the work began, of a fan-out from files.
    pub heard: Cell<u64>,
    /// A wave has sent it away, to come back then.
    pub back: Cell<Option<Moment>>,
}

impl Crew {
    /// Looks up, reads and checks everything that can be wrong before anything is opened.
    pub async fn new(scenario: Rc<Scenario>, share: Share) -> Result<Self, String> {
        let payloads = Payloads::load(&scenario.payload)?;
        let connector = Connector::new(&scenario, &scenario.url).await?;
        let outlet = Outlet::new(&scenario, share).await?;
        let seats: Vec<_> = share
            .numbers(scenario.connections)
            .map(|number| Seat { number, ..Seat::default() })
            .collect();
        let places = scenario.opening.div_ceil(u32::from(share.processes.max(1))).max(1);
        let first_tries = seats.len() + usize::from(outlet.as_ref().is_some_and(Outlet::connects));
        Ok(Self {
            connector,
            payloads,
            seats,
            deliveries: Deliveries::new(&scenario, share.run, outlet.is_some()),
            outlet,
            tally: RefCell::new(Tally::new(&scenario.url)),
            scratch: RefCell::default(),
            opening: Semaphore::new(places as usize),
            random: RefCell::new(Random::unseeded()),
            next_number: Cell::new(u64::from(share.process)),
            owed: Cell::new(0),
            begun: Moment::now(),
            stopped: Cell::new(false),
            untried: Cell::new(first_tries),
            closing: Cell::new(false),
            phase: Cell::new(Phase::Opening),
            phase_since: Cell::new(Moment::now()),
            all_tried: Notify::new(),
            over: Notify::new(),
            scenario,
            share,
        })
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Goes on to another phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.phase_since.set(Moment::now());
        if phase == Phase::Finishing {
            self.over.notify_waiters();
        }
    }

    /// Its figures so far.
    pub fn progress(&self) -> Progress {
        let in_phase = Moment::now().since(self.phase_since.get());
        self.tally.borrow_mut().progress(self.phase.get(), in_phase)
    }

    /// Whether messages are sent.
    pub fn works(&self) -> bool {
        matches!(self.phase.get(), Phase::WarmingUp | Phase::Measuring)
    }

    /// Whether nothing is opened any more.
    pub fn is_over(&self) -> bool {
        self.phase.get() == Phase::Finishing
    }

    /// Whether what is open has to close.
    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// From now on, what opens has to close.
    pub fn close_all_that_opens(&self) {
        self.closing.set(true);
    }

    /// A connection has been tried for the first time, whatever came of it.
    pub fn tried(&self) {
        self.untried.set(self.untried.get() - 1);
        if self.untried.get() == 0 {
            self.all_tried.notify_waiters();
        }
    }

    /// Waits until each has been tried.
    pub async fn all_tried(&self) {
        until(&self.all_tried, || self.untried.get() == 0).await;
    }

    /// Waits for the end of the run.
    pub async fn over(&self) {
        until(&self.over, || self.is_over()).await;
    }

    /// Waits for a moment (to a millisecond or two) or for the end of the run.
    pub async fn pause_until(&self, moment: Moment) {
        if moment > Moment::now() {
            tokio::select! {
                () = moment.reached() => {}
                () = self.over() => {}
            }
        }
    }

    /// Waits for a future, or, once the run is over, for `close_wait` more.
    pub async fn not_long_after_the_end<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let late = async {
            self.over().await;
            tokio::time::sleep(self.scenario.close_wait).await;
        };
        tokio::select! {
            done = work => Some(done),
            () = late => None,
        }
    }

    /// How many publications the window has had, as far as this process knows.
    pub fn total(&self) -> u64 {
        self.deliveries.total(self.stopped.get())
    }

    /// A duration between two, drawn.
    pub fn drawn(&self, min: Duration, max: Duration) -> Duration {
        self.random.borrow_mut().duration(min, max)
    }

    /// A message came on a connection that behaves.
    #[inline]
    pub fn receive(&self, seat: &Seat, message: &Incoming<'_>) {
        match self.scenario.work {
            Work::Hold => self.receive_unasked(Moment::now(), message),
            Work::Echo { rate: _ } => self.receive_echo(seat, message),
            Work::EchoClosed { in_flight } => {
                self.receive_echo(seat, message);
                self.ask_up_to(seat, in_flight as usize);
            }
            Work::FanOut { publishing: _, rate: _ } => self.receive_publication(seat, message),
        }
    }

    /// A message came that answers nothing: it counts if it comes in the window.
    pub fn receive_unasked(&self, now: Moment, message: &Incoming<'_>) {
        let mut tally = self.tally.borrow_mut();
        let is_measured = tally.window.contains(&now);
        tally.received(is_measured, message);
    }

    /// Counts something of those that misbehave.
    pub fn count_misbehaviour(&self, misconduct: Misconduct, count: impl FnOnce(&mut Misbehaved)) {
        count(self.tally.borrow_mut().report.misbehaved.entry(misconduct).or_default());
    }
}

async fn until(news: &Notify, is_so: impl Fn() -> bool) {
    while !is_so() {
        // Nothing comes between the look and the wait: all of it is one thread's.
        news.notified().await;
    }
}
