//! Broadcast: one connection publishes, every connection receives: the publisher, too, unless it is one
//! more that the server wants to be told apart.

use std::error::Error;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Meter, Schedule, Server};
use crate::args::Args;
use crate::connection::Target;
use crate::fleet::{Event, Fleet, PATIENCE, refuse_after};
use crate::frame;
use crate::latency::Latencies;
use crate::payload::notification;

/// Attempts to reach every connection before the run gives up, and how long each may take.
const PROBES_MAX: usize = 10;
const PROBE_TIME: Duration = Duration::from_secs(2);

/// The receiver that publishes where nobody else does.
const FIRST: usize = 0;

/// A stream of publications and who has received how many.
///
/// Each connection receives publications in order, so its n-th message is the n-th publication: the
/// client knows which one arrived without looking into it.
struct Publications {
    fleet: Fleet,
    publisher: usize,
    /// What stands before and behind the payload in each message that publishes.
    wrapping: (String, String),
    size: usize,
    /// When each publication was due.
    due: Vec<Instant>,
    received: Vec<u64>,
    /// For each publication, how many living connections have not received it yet.
    missing: Vec<u32>,
    /// The oldest publication that some connection has not received yet.
    oldest: usize,
    latencies: Latencies,
    record_from: Instant,
    /// Deliveries so far: messages received, without what answers the publisher.
    delivered: u64,
    events: Vec<Event>,
}

/// Publishes at a fixed rate; or, with rate 0, as fast as the slowest connection receives: at most
/// `window` publications are under way, and when that many are, half of them must arrive everywhere
/// before the next ones go out, together. This saturates a server, lets it batch as a burst would, and
/// does not overflow the queues that it bounds.
pub fn run(server: &Server, mut args: Args) -> Result<Value, Box<dyn Error>> {
    let connections = args.or("connections", 2_000)?;
    let size: usize = args.or("size", 256)?;
    let rate: f64 = args.or("rate", 0.0)?;
    let window_max: usize = args.or("window", 128)?;
    let exactly: Option<usize> = args.optional("publications")?;
    let warm_up = Duration::from_secs_f64(args.or("warm-up", 1.0)?);
    let length = Duration::from_secs_f64(args.or("seconds", 5.0)?);
    let publishing = Publishing::from(&mut args, &server.target)?;
    args.finish()?;

    let mut fleet = Fleet::new(server.target.clone())?;
    fleet.open(connections)?;
    let mut publications = Publications {
        publisher: publishing.target.map_or(Ok(FIRST), |target| fleet.open_one(target))?,
        wrapping: publishing.wrapping,
        fleet,
        size,
        due: Vec::new(),
        received: vec![0; connections],
        missing: Vec::new(),
        oldest: 0,
        latencies: Latencies::default(),
        record_from: Instant::now(),
        delivered: 0,
        events: Vec::new(),
    };
    publications.synchronise()?;
    let schedule = (rate > 0.0).then(|| Schedule { start: Instant::now(), rate });
    let start = Instant::now() + warm_up;
    let pace = Pace { schedule, window_max };
    let window = if let Some(count) = exactly {
        let before = publications.delivered;
        let meter = Meter::start(server.process)?;
        publications.run_until(start + 10 * PATIENCE, &pace, count)?;
        publications.drain()?;
        meter.stop(publications.delivered - before)?
    } else {
        publications.run_until(start, &pace, usize::MAX)?;
        publications.record_from = start;
        let before = publications.delivered;
        let meter = Meter::start(server.process)?;
        publications.run_until(start + length, &pace, usize::MAX)?;
        meter.stop(publications.delivered - before)?
    };
    publications.drain()?;
    let totals = publications.fleet.totals.clone();
    publications.fleet.close_all()?;
    Ok(json!({
        "connections": connections,
        "size_bytes": size,
        "rate": rate,
        "publications": publications.due.len(),
        "wire_bytes_per_delivery": totals.bytes_received as f64 / totals.messages_received.max(1) as f64,
        "window": window,
        "latency": publications.latencies.summary(),
        "totals": totals.to_json(),
    }))
}

/// Who publishes, and how.
struct Publishing {
    /// Where one more connection publishes; `None`: the first receiver does.
    target: Option<Target>,
    wrapping: (String, String),
}

impl Publishing {
    fn from(args: &mut Args, receivers: &Target) -> Result<Self, String> {
        let path: Option<String> = args.optional("publisher-path")?;
        let hello: Option<String> = args.optional("publisher-hello")?;
        let frame = args.or("publisher-frame", "{}".to_owned())?;
        if hello.is_some() && path.is_none() {
            return Err("--publisher-hello needs --publisher-path".to_owned());
        }
        let (before, behind) = frame
            .split_once("{}")
            .ok_or("--publisher-frame needs {} where the payload is to stand")?;
        Ok(Self {
            target: path.map(|path| Target { path, hello, ..receivers.clone() }),
            wrapping: (before.to_owned(), behind.to_owned()),
        })
    }
}

/// What allows the next publication.
struct Pace {
    schedule: Option<Schedule>,
    window_max: usize,
}

impl Publications {
    /// Publishes probes until one has reached every connection, then counts from zero. A server may
    /// answer an upgrade before its hub knows the connection (gorilla's does): what is published in
    /// between would be missing for ever, and every later message be taken for an earlier one.
    fn synchronise(&mut self) -> io::Result<()> {
        for _ in 0..PROBES_MAX {
            self.forget();
            self.publish(Instant::now())?;
            let deadline = Instant::now() + PROBE_TIME;
            while self.oldest == 0 && Instant::now() < deadline {
                self.receive(deadline)?;
            }
            if self.oldest == 1 {
                self.forget();
                return Ok(());
            }
        }
        Err(io::Error::other("no probe reached every connection"))
    }

    fn forget(&mut self) {
        self.due.clear();
        self.missing.clear();
        self.received.fill(0);
        self.oldest = 0;
        self.latencies = Latencies::default();
    }

    /// Publishes and receives until `end` or until `count` publications are out.
    fn run_until(&mut self, end: Instant, pace: &Pace, count: usize) -> io::Result<()> {
        while Instant::now() < end && self.due.len() < count {
            let mut wake = end;
            if let Some(schedule) = &pace.schedule {
                let now = Instant::now();
                while schedule.due(self.due.len() as u64) <= now && self.due.len() < count {
                    self.publish(schedule.due(self.due.len() as u64))?;
                }
                wake = end.min(schedule.due(self.due.len() as u64));
            } else {
                let is_half_drained = self.due.len() - self.oldest <= pace.window_max / 2;
                while is_half_drained
                    && self.due.len() - self.oldest < pace.window_max
                    && self.due.len() < count
                {
                    self.publish(Instant::now())?;
                }
            }
            self.receive(wake)?;
            if self.receivers() == 0 {
                return Err(io::Error::other("the server has ended every connection"));
            }
        }
        Ok(())
    }

    fn publish(&mut self, due: Instant) -> io::Result<()> {
        let (before, behind) = &self.wrapping;
        let payload = notification(self.size, self.due.len() as u64);
        let message = [before.as_bytes(), &payload, behind.as_bytes()].concat();
        self.due.push(due);
        self.missing.push(self.receivers() as u32);
        self.fleet.send(self.publisher, &frame::text(&message))
    }

    fn receive(&mut self, wake: Instant) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        self.fleet.poll(wake, &mut events)?;
        for event in &events {
            match *event {
                // One that does not receive gets answers to its publications. They are no deliveries,
                // and several may share a message.
                Event::Messages { connection, count, .. } if connection >= self.received.len() => {
                    self.fleet.totals.messages_received -= count;
                }
                Event::Messages { connection, count, at } => self.record(connection, count, at)?,
                Event::Ended(number) if number == self.publisher => {
                    return Err(io::Error::other("the server has ended the publishing connection"));
                }
                Event::Ended(number) => {
                    let (first, end) = (self.received[number] as usize, self.due.len());
                    self.settle(first..end);
                }
                Event::Opened(_) => {}
            }
        }
        self.events = events;
        Ok(())
    }

    fn record(&mut self, connection: usize, count: u64, at: Instant) -> io::Result<()> {
        let first = self.received[connection] as usize;
        let delivered = self
            .due
            .get(first..first + count as usize)
            .ok_or_else(|| io::Error::other("a connection received more than was published"))?;
        for due in delivered.iter().filter(|due| **due >= self.record_from) {
            self.latencies.record(at.saturating_duration_since(*due));
        }
        self.received[connection] += count;
        self.delivered += count;
        self.settle(first..first + count as usize);
        Ok(())
    }

    /// One connection will not be waited for any more with these publications.
    fn settle(&mut self, publications: Range<usize>) {
        for missing in &mut self.missing[publications] {
            *missing -= 1;
        }
        while self.missing.get(self.oldest) == Some(&0) {
            self.oldest += 1;
        }
    }

    /// Who waits for what, for the message of a run that hangs.
    fn state(&self) -> String {
        let published = self.due.len() as u64;
        let behind = self.received.iter().filter(|received| **received < published).count();
        let lowest = self.received.iter().min().copied().unwrap_or_default();
        format!(
            "{behind} connections miss some of {published} publications, the worst has {lowest}"
        )
    }

    /// Receivers that are still there. Without the publisher the run is over.
    fn receivers(&self) -> usize {
        self.fleet.alive() - usize::from(self.publisher >= self.received.len())
    }

    /// Waits for the deliveries still under way, so that the sums can be compared with the server's.
    fn drain(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.oldest < self.due.len() {
            self.receive(deadline)?;
            refuse_after(deadline, &format!("get the last deliveries ({})", self.state()))?;
        }
        Ok(())
    }
}
