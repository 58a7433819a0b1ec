//! Echo: server CPU per message, throughput in a closed loop, latency at a fixed rate.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Meter, Schedule, Server};
use crate::args::Args;
use crate::fleet::{Event, Fleet, PATIENCE, refuse_after};
use crate::frame;
use crate::latency::Latencies;
use crate::payload::notification;

/// Messages sent and not yet answered, per connection: when each was due.
struct Echoes {
    fleet: Fleet,
    frame: Vec<u8>,
    due: Vec<VecDeque<Instant>>,
    latencies: Latencies,
    /// Only messages due from here on are recorded.
    record_from: Instant,
    outstanding: u64,
    events: Vec<Event>,
}

/// Sends on all connections, in a closed loop (one message under way on each) or at a fixed rate.
pub fn run(server: &Server, mut args: Args) -> Result<Value, Box<dyn Error>> {
    let connections = args.or("connections", 200)?;
    let size: usize = args.or("size", 128)?;
    let rate: f64 = args.or("rate", 0.0)?;
    let exactly: Option<u64> = args.optional("messages")?;
    let warm_up = Duration::from_secs_f64(args.or("warm-up", 1.0)?);
    let length = Duration::from_secs_f64(args.or("seconds", 5.0)?);
    args.finish()?;

    let mut fleet = Fleet::new(server.target.clone())?;
    fleet.open(connections)?;
    let mut echoes = Echoes {
        fleet,
        frame: frame::text(&notification(size, 0)),
        due: vec![VecDeque::new(); connections],
        latencies: Latencies::default(),
        record_from: Instant::now(),
        outstanding: 0,
        events: Vec::new(),
    };
    let window = if let Some(messages) = exactly {
        let meter = Meter::start(server.process)?;
        echoes.send_exactly(messages)?;
        meter.stop(messages)?
    } else {
        let start = Instant::now() + warm_up;
        let schedule = (rate > 0.0).then(|| Schedule { start: Instant::now(), rate });
        let mut next = echoes.begin(schedule.as_ref())?;
        echoes.run_until(start, schedule.as_ref(), &mut next)?;
        echoes.record_from = start;
        let before = echoes.fleet.totals.messages_received;
        let meter = Meter::start(server.process)?;
        echoes.run_until(start + length, schedule.as_ref(), &mut next)?;
        meter.stop(echoes.fleet.totals.messages_received - before)?
    };
    echoes.drain()?;
    echoes.fleet.close_all()?;
    Ok(json!({
        "connections": connections,
        "size_bytes": size,
        "rate": rate,
        "window": window,
        "latency": echoes.latencies.summary(),
        "totals": echoes.fleet.totals.to_json(),
    }))
}

impl Echoes {
    /// In a closed loop, sends the first message on each connection. Gives the next scheduled number.
    fn begin(&mut self, schedule: Option<&Schedule>) -> io::Result<u64> {
        if schedule.is_none() {
            for number in 0..self.due.len() {
                self.send(number, Instant::now())?;
            }
        }
        Ok(0)
    }

    fn run_until(
        &mut self,
        end: Instant,
        schedule: Option<&Schedule>,
        next: &mut u64,
    ) -> io::Result<()> {
        while Instant::now() < end {
            let mut wake = end;
            if let Some(schedule) = schedule {
                let now = Instant::now();
                while schedule.due(*next) <= now {
                    let due = schedule.due(*next);
                    self.send((*next % self.due.len() as u64) as usize, due)?;
                    *next += 1;
                }
                wake = end.min(schedule.due(*next));
            }
            self.receive(wake, schedule.is_none())?;
        }
        Ok(())
    }

    /// A closed loop over all connections until `messages` were sent and answered.
    fn send_exactly(&mut self, messages: u64) -> io::Result<()> {
        let deadline = Instant::now() + 10 * PATIENCE;
        let first = messages.min(self.due.len() as u64);
        for number in 0..first {
            self.send(number as usize, Instant::now())?;
        }
        while self.outstanding > 0 {
            let more = self.fleet.totals.messages_sent < messages;
            self.receive_up_to(deadline, more, messages)?;
            refuse_after(deadline, "get every echo")?;
        }
        Ok(())
    }

    fn send(&mut self, number: usize, due: Instant) -> io::Result<()> {
        self.due[number].push_back(due);
        self.outstanding += 1;
        self.fleet.send(number, &self.frame)
    }

    fn receive(&mut self, wake: Instant, answer: bool) -> io::Result<()> {
        self.receive_up_to(wake, answer, u64::MAX)
    }

    fn receive_up_to(&mut self, wake: Instant, answer: bool, messages_max: u64) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        self.fleet.poll(wake, &mut events)?;
        for event in &events {
            match *event {
                Event::Messages { connection, count, at } => {
                    for _ in 0..count {
                        self.record(connection, at)?;
                        if answer && self.fleet.totals.messages_sent < messages_max {
                            self.send(connection, Instant::now())?;
                        }
                    }
                }
                Event::Ended(number) => {
                    self.outstanding -= self.due[number].len() as u64;
                    self.due[number].clear();
                }
                Event::Opened(_) => {}
            }
        }
        self.events = events;
        Ok(())
    }

    fn record(&mut self, connection: usize, at: Instant) -> io::Result<()> {
        let due = self.due[connection]
            .pop_front()
            .ok_or_else(|| io::Error::other("the server sent a message that answers none"))?;
        self.outstanding -= 1;
        if due >= self.record_from {
            self.latencies.record(at.saturating_duration_since(due));
        }
        Ok(())
    }

    /// Waits for the answers still under way, so that the sums can be compared with the server's.
    fn drain(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.outstanding > 0 {
            self.receive(deadline, false)?;
            refuse_after(deadline, "get the last echoes")?;
        }
        Ok(())
    }
}
