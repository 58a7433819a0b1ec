//! What is counted while a share is done.

use std::ops::Range;
use std::time::Duration;

use super::super::{Histogram, Phase, Progress, Report};
use super::moment::Moment;
use crate::wire::Incoming;

/// A report in the making, and the figures that a progress shows besides.
///
/// Whether a message belongs to the window is decided by the moment at which it was due, and its
/// answer goes with it, however late it comes: so sums add up.
#[derive(Debug)]
pub struct Tally {
    /// What has come together so far.
    pub report: Report,
    /// Which moments are measured.
    pub window: Range<Moment>,
    /// Connections that are open.
    open: u64,
    /// Messages sent, warm-up included.
    sent: u64,
    /// Messages received, warm-up included.
    received: u64,
    /// Latencies since the last progress.
    recent: Histogram,
}

impl Tally {
    /// Nothing yet; the window is not known.
    pub fn new(url: &str) -> Self {
        Self {
            report: Report::new(url),
            window: Moment::NEVER..Moment::NEVER,
            open: 0,
            sent: 0,
            received: 0,
            recent: Histogram::default(),
        }
    }

    /// A handshake has led to a connection.
    pub fn opened(&mut self, took: Duration) {
        self.open += 1;
        self.report.handshake.record(took);
        let connections = &mut self.report.connections;
        connections.opened += 1;
        connections.open_max = connections.open_max.max(self.open);
    }

    /// A connection has ended with this code.
    pub fn ended(&mut self, code: u16) {
        self.open -= 1;
        *self.report.closes.entry(code).or_default() += 1;
    }

    /// A message that was due then has been handed to the socket.
    #[inline]
    pub fn sent(&mut self, due: Moment, bytes: usize) {
        self.sent += 1;
        if self.window.contains(&due) {
            self.report.messages.sent += 1;
            self.report.messages.sent_bytes += bytes as u64;
        }
    }

    /// A message that was due then could not be sent.
    pub fn unsent(&mut self, due: Moment) {
        if self.window.contains(&due) {
            self.report.messages.unsent += 1;
        }
    }

    /// The answer to a message that was due then will not come.
    pub fn missing(&mut self, due: Moment) {
        if self.window.contains(&due) {
            self.report.messages.missing += 1;
        }
    }

    /// A message came. It belongs to the window if what it answers does, or, answering nothing, if
    /// it comes in the window.
    #[inline]
    pub fn received(&mut self, is_measured: bool, message: &Incoming<'_>) {
        self.received += 1;
        if is_measured {
            let messages = &mut self.report.messages;
            messages.received += 1;
            messages.received_bytes += message.payload.len() as u64;
            messages.received_wire_bytes += message.wire_bytes;
        }
    }

    /// What it took from the moment a message was due.
    #[inline]
    pub fn latency(&mut self, is_measured: bool, latency: Duration) {
        self.recent.record(latency);
        if is_measured {
            self.report.latency.record(latency);
        }
    }

    /// The window ends now, unless it has ended.
    pub fn end_window(&mut self, now: Moment) {
        self.window.end = self.window.end.min(now);
        let begun = self.window.start.min(self.window.end);
        self.report.window = self.window.end.since(begun);
    }

    /// The figures so far; begins a new stretch of latencies.
    pub fn progress(&mut self, phase: Phase, in_phase: Duration) -> Progress {
        let p99 = self.recent.quantile(0.99);
        if p99.is_some() {
            self.recent = Histogram::default();
        }
        Progress {
            phase,
            in_phase,
            open: self.open,
            opened: self.report.connections.opened,
            sent: self.sent,
            received: self.received,
            errors: self.report.errors_total(),
            p99,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Opcode;

    const MESSAGE: Incoming<'_> =
        Incoming { opcode: Opcode::Text, payload: b"12345", wire_bytes: 7, compressed_bytes: None };

    #[test]
    fn only_what_was_due_in_the_window_is_measured() {
        let mut tally = Tally::new("ws://here");
        tally.sent(Moment(5), 100);
        tally.window = Moment(10)..Moment(20);
        for due in [9, 10, 19, 20] {
            tally.sent(Moment(due), 100);
            tally.unsent(Moment(due));
            tally.missing(Moment(due));
        }
        let messages = tally.report.messages;
        let counted = (messages.sent, messages.sent_bytes, messages.unsent, messages.missing);
        assert_eq!(counted, (2, 200, 2, 2));
        assert_eq!(tally.progress(Phase::Measuring, Duration::ZERO).sent, 5);
    }

    #[test]
    fn what_is_not_measured_shows_in_the_progress_alone() {
        let mut tally = Tally::new("ws://here");
        for is_measured in [false, true] {
            tally.received(is_measured, &MESSAGE);
            tally.latency(is_measured, Duration::from_millis(1));
        }
        let messages = tally.report.messages;
        let counted = (messages.received, messages.received_bytes, messages.received_wire_bytes);
        assert_eq!((counted, tally.report.latency.count()), ((1, 5, 7), 1));
        let progress = tally.progress(Phase::Measuring, Duration::ZERO);
        assert_eq!((progress.received, progress.p99.is_some()), (2, true));
        assert_eq!(tally.progress(Phase::Measuring, Duration::ZERO).p99, None);
    }

    #[test]
    fn a_window_that_is_cut_short_is_as_long_as_it_was() {
        for (window, now, expected) in [
            (10..20, 30, 10),
            (10..20, 15, 5),
            (10..20, 10, 0),
            (10..20, 5, 0),
            (u64::MAX..u64::MAX, 5, 0),
        ] {
            let mut tally = Tally::new("ws://here");
            tally.window = Moment(window.start)..Moment(window.end);
            tally.end_window(Moment(now));
            assert_eq!(tally.report.window, Duration::from_nanos(expected), "{window:?} at {now}");
        }
    }

    #[test]
    fn open_connections_are_those_that_have_not_ended() {
        let mut tally = Tally::new("ws://here");
        tally.opened(Duration::from_millis(1));
        tally.opened(Duration::from_millis(1));
        tally.ended(1000);
        tally.opened(Duration::from_millis(1));
        tally.ended(1006);
        tally.ended(1006);
        assert_eq!(tally.progress(Phase::Opening, Duration::ZERO).open, 0);
        let connections = tally.report.connections;
        assert_eq!((connections.opened, connections.open_max), (3, 2));
        assert_eq!(tally.report.closes, [(1000, 1), (1006, 2)].into());
    }
}
