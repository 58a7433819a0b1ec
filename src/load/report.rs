//! What came of a run. Reports add up: those of processes to a run's, those of runs to a whole.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Histogram;
use super::scenario::Misconduct;

/// The form of the JSON; another number is another form.
pub const FORMAT: u32 = 1;

/// What came of a run, or of one process' share of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Where it went.
    pub url: String,
    /// The length of the measured window; of several, the longest.
    pub window: Duration,
    /// Connections that behave. Over the whole run, not only the window.
    pub connections: Connections,
    /// In the window.
    pub messages: Messages,
    /// From the moment a message was due (closed loop: was sent) to its arrival. In the window.
    pub latency: Histogram,
    /// From the first byte of TCP to the end of the upgrade, without the look-up.
    pub handshake: Histogram,
    /// How connections that behave ended, by the code that a browser would report, our own closes
    /// at the end included: 1006 without a Close frame, 1005 for one without a code.
    pub closes: BTreeMap<u16, u64>,
    /// What went wrong, by a short reason such as `connect: connection refused`, `upgrade: status
    /// 503`, `closed: 1011`. Over the whole run.
    pub errors: BTreeMap<String, u64>,
    /// What became of those that do not behave. Nothing of it is in the other figures.
    pub misbehaved: BTreeMap<Misconduct, Misbehaved>,
}

/// Connections in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// Handshakes begun, reconnects included: those that opened, and an error `connect: …`, `tls: …`,
    /// `upgrade: …` or `handshake: …` for each other one.
    pub attempted: u64,
    /// Handshakes that led to a connection.
    pub opened: u64,
    /// The most that were open at once; of several processes, the sum of theirs.
    pub open_max: u64,
    /// Ends that the client did not ask for.
    pub lost: u64,
}

/// Data messages in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Messages {
    /// Messages that were due and handed to the socket: echo's, or publications.
    pub sent: u64,
    /// Due, but the connection they were for was not open, or still owed too much.
    pub unsent: u64,
    /// Messages that came, whatever they were.
    pub received: u64,
    /// Answers or deliveries that should have come and had not when the run ended.
    pub missing: u64,
    /// Deliveries that had come before, or behind a later one. Publications through the API may
    /// overtake one another on their way there, which is not the server's doing.
    pub out_of_order: u64,
    /// Payload sent, in bytes.
    pub sent_bytes: u64,
    /// Payload received, in bytes, inflated.
    pub received_bytes: u64,
    /// Frames received, in bytes, headers included.
    pub received_wire_bytes: u64,
}

/// What became of clients that do one thing wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misbehaved {
    /// How often it was done.
    pub tried: u64,
    /// How it ended, by a short reason such as `closed: 1008` or `reset`.
    pub ended: BTreeMap<String, u64>,
}

impl Report {
    /// A report of nothing yet.
    pub fn new(url: &str) -> Self {
        Self {
            format: FORMAT,
            url: url.to_owned(),
            window: Duration::ZERO,
            connections: Connections::default(),
            messages: Messages::default(),
            latency: Histogram::default(),
            handshake: Histogram::default(),
            closes: BTreeMap::new(),
            errors: BTreeMap::new(),
            misbehaved: BTreeMap::new(),
        }
    }

    /// Counts something that went wrong.
    pub fn count_error(&mut self, reason: &str) {
        count(&mut self.errors, reason, 1);
    }

    /// Everything that went wrong, in one number: errors, and answers that never came.
    pub fn errors_total(&self) -> u64 {
        let Messages { missing, unsent, .. } = self.messages;
        self.errors.values().chain([&missing, &unsent]).fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Adds the report of another process or machine that did its work at the same time.
    pub fn merge(&mut self, other: &Self) {
        if self.url != other.url && !self.url.split(' ').any(|url| url == other.url) {
            self.url = format!("{} {}", self.url, other.url);
        }
        self.window = self.window.max(other.window);
        self.connections.add(other.connections);
        self.messages.add(other.messages);
        self.latency.merge(&other.latency);
        self.handshake.merge(&other.handshake);
        for (code, times) in &other.closes {
            add(self.closes.entry(*code).or_default(), *times);
        }
        other.errors.iter().for_each(|(reason, times)| count(&mut self.errors, reason, *times));
        for (misconduct, theirs) in &other.misbehaved {
            let ours = self.misbehaved.entry(*misconduct).or_default();
            add(&mut ours.tried, theirs.tried);
            theirs.ended.iter().for_each(|(how, times)| count(&mut ours.ended, how, *times));
        }
    }
}

impl Misbehaved {
    /// Counts one that has come to its end.
    pub fn count_end(&mut self, how: &str) {
        count(&mut self.ended, how, 1);
    }
}

impl Connections {
    fn add(&mut self, other: Self) {
        add(&mut self.attempted, other.attempted);
        add(&mut self.opened, other.opened);
        add(&mut self.open_max, other.open_max);
        add(&mut self.lost, other.lost);
    }
}

impl Messages {
    fn add(&mut self, other: Self) {
        add(&mut self.sent, other.sent);
        add(&mut self.unsent, other.unsent);
        add(&mut self.received, other.received);
        add(&mut self.missing, other.missing);
        add(&mut self.out_of_order, other.out_of_order);
        add(&mut self.sent_bytes, other.sent_bytes);
        add(&mut self.received_bytes, other.received_bytes);
        add(&mut self.received_wire_bytes, other.received_wire_bytes);
    }
}

fn count(counts: &mut BTreeMap<String, u64>, reason: &str, times: u64) {
    if let Some(count) = counts.get_mut(reason) {
        add(count, times);
    } else {
        counts.insert(reason.to_owned(), times);
    }
}

/// Files that are merged may hold any number.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}
