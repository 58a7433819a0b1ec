//! Many connections on one thread and one epoll.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use serde_json::{Value, json};

use crate::connection::{Connection, Progress, Target};

/// Handshakes under way at once: below every server's listen backlog (511 in Node).
const OPENING_MAX: usize = 256;

/// Longest wait for a phase that needs the server (opening, closing, draining).
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Events taken from the kernel at once.
const BATCH: usize = 512;

/// What happened to a connection, by its number.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// The upgrade is complete.
    Opened(usize),
    /// Whole messages that arrived, and when they were read.
    Messages { connection: usize, count: u64, at: Instant },
    /// The connection is over and forgotten.
    Ended(usize),
}

/// Counts over the whole run, which the driver compares with the server's own.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Upgrades completed.
    pub opened: u64,
    /// Text messages sent, first messages included.
    pub messages_sent: u64,
    /// Text and binary messages received, answers to first messages included.
    pub messages_received: u64,
    /// Bytes received after the upgrade, frame headers included.
    pub bytes_received: u64,
    /// Connections that the server ended, by the code of its Close frame; 1006 when it sent none.
    pub lost: BTreeMap<u16, u64>,
}

impl Totals {
    /// The totals as JSON, field by field.
    pub fn to_json(&self) -> Value {
        json!({
            "opened": self.opened,
            "messages_sent": self.messages_sent,
            "messages_received": self.messages_received,
            "bytes_received": self.bytes_received,
            "lost_by_code": self.lost,
        })
    }
}

/// All connections, addressed by the order in which they were started.
pub struct Fleet {
    target: Rc<Target>,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    opening: usize,
    alive: usize,
    buffer: Vec<u8>,
    kernel_events: Vec<epoll::Event>,
    /// Counts since the fleet began.
    pub totals: Totals,
}

impl Fleet {
    /// An empty fleet for one server and path.
    pub fn new(target: Target) -> io::Result<Self> {
        Ok(Self {
            target: Rc::new(target),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::new(),
            opening: 0,
            alive: 0,
            buffer: vec![0; 256 * 1024],
            kernel_events: Vec::with_capacity(BATCH),
            totals: Totals::default(),
        })
    }

    /// Connections that exist, in any phase.
    pub fn alive(&self) -> usize {
        self.alive
    }

    /// Starts one connection and gives its number.
    pub fn start(&mut self) -> io::Result<usize> {
        self.start_to(&Rc::clone(&self.target))
    }

    fn start_to(&mut self, target: &Rc<Target>) -> io::Result<usize> {
        let number = self.connections.len();
        let connection = Connection::start(target, number)?;
        let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        epoll::add(
            &self.epoll,
            connection.stream(),
            epoll::EventData::new_u64(number as u64),
            interest,
        )?;
        self.connections.push(Some(connection));
        self.opening += 1;
        self.alive += 1;
        Ok(number)
    }

    /// Opens `count` connections, at most 256 at a time, and gives their numbers. An upgrade that is
    /// refused, or 60 s without finishing, is an error.
    pub fn open(&mut self, count: usize) -> io::Result<Vec<usize>> {
        let (mut numbers, mut events) = (Vec::with_capacity(count), Vec::new());
        let deadline = Instant::now() + PATIENCE;
        while numbers.len() < count || self.opening > 0 {
            while numbers.len() < count && self.opening < OPENING_MAX {
                numbers.push(self.start()?);
            }
            self.poll(deadline, &mut events)?;
            refuse_after(deadline, "open connections")?;
        }
        Ok(numbers)
    }

    /// Opens one connection to another target and gives its number.
    pub fn open_one(&mut self, target: Target) -> io::Result<usize> {
        let number = self.start_to(&Rc::new(target))?;
        let (deadline, mut events) = (Instant::now() + PATIENCE, Vec::new());
        while self.opening > 0 {
            self.poll(deadline, &mut events)?;
            refuse_after(deadline, "open a connection")?;
        }
        Ok(number)
    }

    /// Closes every connection with code 1000 and waits until all have ended.
    pub fn close_all(&mut self) -> io::Result<()> {
        let (deadline, mut events) = (Instant::now() + PATIENCE, Vec::new());
        for number in 0..self.connections.len() {
            self.close(number)?;
        }
        while self.alive > 0 {
            self.poll(deadline, &mut events)?;
            refuse_after(deadline, "close connections")?;
        }
        self.connections.clear();
        Ok(())
    }

    /// Begins the Close handshake of one connection; does nothing when it is gone.
    pub fn close(&mut self, number: usize) -> io::Result<()> {
        self.write(number, Connection::close)
    }

    /// Sends a prepared text frame; does nothing when the connection is gone.
    pub fn send(&mut self, number: usize, frame: &[u8]) -> io::Result<()> {
        self.totals.messages_sent += 1;
        self.write(number, |connection| connection.send(frame))
    }

    /// Waits until `until` or until something happens; fills `events` with what happened.
    pub fn poll(&mut self, until: Instant, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        let left = until.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut kernel_events = std::mem::take(&mut self.kernel_events);
        kernel_events.clear();
        let spare = rustix::buffer::spare_capacity(&mut kernel_events);
        match epoll::wait(&self.epoll, spare, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &kernel_events {
            self.dispatch(event.data.u64() as usize, event.flags, events)?;
        }
        self.kernel_events = kernel_events;
        Ok(())
    }

    /// Polls and drops what arrives until `until`, so that pings are answered in a quiet phase.
    pub fn idle_until(&mut self, until: Instant) -> io::Result<()> {
        let mut events = Vec::new();
        while Instant::now() < until {
            self.poll(until, &mut events)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        number: usize,
        act: impl FnOnce(&mut Connection) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(number).and_then(Option::as_mut) else {
            return Ok(());
        };
        let wanted = connection.wants_to_write();
        act(connection)?;
        let wants = connection.wants_to_write();
        if wants == wanted { Ok(()) } else { self.watch(number, wants) }
    }

    fn watch(&self, number: usize, for_writing: bool) -> io::Result<()> {
        let Some(connection) = self.connections[number].as_ref() else {
            return Ok(());
        };
        let mut interest = epoll::EventFlags::IN;
        interest.set(epoll::EventFlags::OUT, for_writing);
        epoll::modify(
            &self.epoll,
            connection.stream(),
            epoll::EventData::new_u64(number as u64),
            interest,
        )?;
        Ok(())
    }

    fn dispatch(
        &mut self,
        number: usize,
        flags: epoll::EventFlags,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        if flags.contains(epoll::EventFlags::OUT) {
            self.write(number, Connection::on_writable)?;
        }
        let readable = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        let Some(connection) =
            self.connections[number].as_mut().filter(|_| flags.intersects(readable))
        else {
            return Ok(());
        };
        let wanted = connection.wants_to_write();
        let (progress, bytes) = connection.on_readable(&mut self.buffer)?;
        let wants = connection.wants_to_write();
        let greeted = u64::from(connection.has_hello());
        if wants != wanted {
            self.watch(number, wants)?;
        }
        match progress {
            Progress::Nothing => self.totals.bytes_received += bytes as u64,
            Progress::Opened => {
                self.opening -= 1;
                self.totals.opened += 1;
                self.totals.messages_sent += greeted;
                self.totals.messages_received += greeted;
                events.push(Event::Opened(number));
            }
            Progress::Messages(count) => {
                self.totals.bytes_received += bytes as u64;
                self.totals.messages_received += count;
                events.push(Event::Messages { connection: number, count, at: Instant::now() });
            }
            Progress::Ended(code) => {
                self.forget(number, code)?;
                events.push(Event::Ended(number));
            }
        }
        Ok(())
    }

    fn forget(&mut self, number: usize, code: Option<u16>) -> io::Result<()> {
        let Some(connection) = self.connections[number].take() else {
            return Ok(());
        };
        epoll::delete(&self.epoll, connection.stream())?;
        self.alive -= 1;
        if connection.is_closed_by_us() {
            return Ok(());
        }
        if !connection.is_open() {
            return Err(io::Error::other("the server closed the connection before it was open"));
        }
        *self.totals.lost.entry(code.unwrap_or(1006)).or_default() += 1;
        Ok(())
    }
}

/// An error that names the phase once its deadline has passed.
pub fn refuse_after(deadline: Instant, phase: &str) -> io::Result<()> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("gave up to {phase} after {PATIENCE:?}")))
}
