//! Publications as the connections get them: which came, in which order, how late, and which did not.
//!
//! Publications that were made here carry a marker (`marker.rs`), so that every process judges its own
//! connections without asking the publisher. Those from files carry none: then the n-th message of a
//! connection is taken for the n-th publication, which is right only where nobody else publishes, and
//! only the process that publishes knows when each was due.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use super::super::{Phase, Scenario, Work};
use super::crew::{Crew, Seat};
use super::marker::{Marker, Part};
use super::moment::Moment;
use super::pacer::due_before;
use super::stint::Stint;
use crate::wire::Incoming;

/// So many publications back, the moments at which those from files were due are known.
const REMEMBERED: usize = 65_536;

/// A connection that opens in the warm-up owes the first publication of the window if it opens this
/// much before it: processes do not begin at the very same moment, and a server may answer an upgrade
/// before its hub knows the connection.
const SETTLING: Duration = Duration::from_millis(250);

/// What a process knows of the publications.
#[derive(Debug)]
pub struct Deliveries {
    /// Which publications are ours.
    run: u32,
    /// Publications of the warm-up, and of the window, if each that is due is sent.
    planned: [u64; 2],
    /// The same, as they were sent. The publisher's alone.
    sent: [Cell<u64>; 2],
    publishes: bool,
    /// How many the window has had, from the marker of the last.
    last: Cell<Option<u64>>,
    /// The highest sequence number that any connection has seen in the window.
    highest: Cell<u64>,
    /// When the newest publications from files were due, and the number of the oldest of them.
    dues: RefCell<(u64, VecDeque<Moment>)>,
}

impl Deliveries {
    /// Nothing published yet.
    pub fn new(scenario: &Scenario, run: u32, publishes: bool) -> Self {
        let planned = match scenario.work {
            Work::FanOut { publishing: _, rate } => {
                let before = due_before(scenario.warm_up, rate);
                [before, due_before(scenario.warm_up + scenario.duration, rate) - before]
            }
            Work::Hold | Work::Echo { .. } | Work::EchoClosed { .. } => [0, 0],
        };
        Self {
            run,
            planned,
            sent: Default::default(),
            publishes,
            last: Cell::new(None),
            highest: Cell::new(0),
            dues: RefCell::default(),
        }
    }

    /// How the next publication, due then, is marked. Of those that are due, the one with `number`.
    pub fn mark(&self, number: u64, due: Moment) -> Marker {
        let [before, measured] = self.planned;
        let part = if number < before {
            Part::WarmUp
        } else if number + 1 == before + measured {
            Part::Last
        } else {
            Part::Measured
        };
        let sequence = self.sent[index(part)].get() + 1;
        Marker { run: self.run, sequence, due, part }
    }

    /// The publication with this marker has been sent.
    pub fn published(&self, marker: &Marker, is_marked: bool) {
        self.sent[index(marker.part)].set(marker.sequence);
        if !is_marked {
            let (oldest, dues) = &mut *self.dues.borrow_mut();
            dues.push_back(marker.due);
            if dues.len() > REMEMBERED {
                dues.pop_front();
                *oldest += 1;
            }
        }
    }

    /// How many publications the window has had, as far as this process can know: exactly if it
    /// published them or saw the last. Otherwise what was planned, or, of a run that was `stopped`,
    /// as many as any of its connections saw.
    pub fn total(&self, stopped: bool) -> u64 {
        if self.publishes {
            return self.sent[1].get();
        }
        let guess = if stopped { self.highest.get() } else { self.planned[1] };
        self.last.get().unwrap_or(guess)
    }

    /// Whether this publication is one of this run. The numbers are a server's, and it may lie.
    fn is_ours(&self, marker: &Marker) -> bool {
        marker.run == self.run && marker.sequence <= self.planned[index(marker.part)]
    }

    fn saw(&self, marker: &Marker) {
        match marker.part {
            Part::WarmUp => {}
            Part::Measured => self.highest.set(self.highest.get().max(marker.sequence)),
            Part::Last => self.last.set(Some(marker.sequence)),
        }
    }

    /// When the publication from a file with this number, from 1, was due.
    fn due(&self, number: u64) -> Option<Moment> {
        let (oldest, dues) = &*self.dues.borrow();
        dues.get((number - 1).checked_sub(*oldest)? as usize).copied()
    }

    fn warm_ups(&self) -> u64 {
        if self.publishes { self.sent[0].get() } else { self.planned[0] }
    }
}

const fn index(part: Part) -> usize {
    match part {
        Part::WarmUp => 0,
        Part::Measured | Part::Last => 1,
    }
}

/// What a delivery is of.
struct Publication {
    is_measured: bool,
    sequence: u64,
    /// `None` if this process cannot know.
    due: Option<Moment>,
}

impl Crew {
    /// A message came on a connection of a fan-out.
    #[inline]
    pub fn receive_publication(&self, seat: &Seat, message: &Incoming<'_>) {
        let now = Moment::now();
        let publication = if self.payloads.marked() {
            self.by_marker(message.payload)
        } else {
            self.by_count(seat)
        };
        let Some(Publication { is_measured, sequence, due }) = publication else {
            return self.receive_unasked(now, message);
        };
        let mut tally = self.tally.borrow_mut();
        tally.received(is_measured, message);
        if let Some(due) = due {
            tally.latency(is_measured, now.since(due));
        }
        if is_measured {
            let mut stint = seat.stint.get();
            if !stint.take(sequence) {
                tally.report.messages.out_of_order += 1;
            }
            seat.stint.set(stint);
        }
    }

    /// What a connection that opens now will owe.
    pub fn new_stint(&self) -> Stint {
        let is_before_all = self.phase() <= Phase::Ready;
        let window = self.tally.borrow().window.start;
        let is_in_time = self.payloads.marked() && Moment::now().after(SETTLING) < window;
        Stint::new(is_before_all || is_in_time)
    }

    /// A connection has ended, or will get nothing more: counts what it should have got. `total` if
    /// it was open to the end.
    pub fn give_up_deliveries(&self, seat: &Seat, total: Option<u64>) {
        let stint = seat.stint.take();
        self.tally.borrow_mut().report.messages.missing += stint.missing(total);
    }

    #[inline]
    fn by_marker(&self, payload: &[u8]) -> Option<Publication> {
        // Before all are open, nothing of this run is published: such a marker is another run's.
        let marker = Marker::find(payload)
            .filter(|marker| self.phase() != Phase::Opening && self.deliveries.is_ours(marker))?;
        self.deliveries.saw(&marker);
        let Marker { run: _, sequence, due, part } = marker;
        Some(Publication { is_measured: part != Part::WarmUp, sequence, due: Some(due) })
    }

    fn by_count(&self, seat: &Seat) -> Option<Publication> {
        if self.phase() == Phase::Opening || !seat.stint.get().from_start {
            return None;
        }
        let number = seat.heard.get() + 1;
        seat.heard.set(number);
        let due = self.deliveries.due(number);
        match number.checked_sub(self.deliveries.warm_ups()) {
            None | Some(0) => Some(Publication { is_measured: false, sequence: number, due }),
            // More than were to come: somebody else publishes, too.
            Some(sequence) if sequence > self.deliveries.planned[1] => None,
            Some(sequence) => {
                let highest = &self.deliveries.highest;
                highest.set(highest.get().max(sequence));
                Some(Publication { is_measured: true, sequence, due })
            }
        }
    }
}

#[cfg(test)]
mod tests;
