//! The way out of one socket. Every byte passes here, control frames included, so that nothing
//! follows our Close (RFC 6455 §5.5.1) and the first socket error is known.
//!
//! A write goes straight to the kernel; only what the socket did not take is queued. The queue
//! exists only while it holds something.

mod backlog;
mod socket_error;
#[cfg(test)]
pub(crate) mod tests;
mod writing;

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::io::{self, ErrorKind, Read};
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;

pub use backlog::{Backlogs, LagSample, QueueLimits};
pub use socket_error::{Operation, SocketError, SocketErrorKind};

use crate::state::Now;
use backlog::Backlog;

/// What a frame is to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// An answer to the client's own input, or a control frame. Never refused for lack of room:
    /// the connection stops reading instead.
    Answer,
    /// A publication: bounded, overflowing ends the connection.
    Publication,
}

/// Reasons to poll a connection's task other than its socket.
pub mod signal {
    /// A deadline may have passed.
    pub const TICK: u8 = 1;
    /// Publications overflowed the queue.
    pub const OVERFLOW: u8 = 2;
    /// A write failed.
    pub const WRITE_FAILED: u8 = 4;
    /// The process is ending at once.
    pub const SHUTDOWN: u8 = 8;
    /// The process is ending, and this connection's turn has come.
    pub const DRAIN: u8 = 16;
    /// An operator wants it to end.
    pub const KICK: u8 = 32;
    /// The waits have changed.
    pub const NEW_TIMES: u8 = 64;
}

/// How far the way out has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Our Close is queued or written.
    Closing,
    /// No further byte: the socket failed or was shut down.
    Broken,
}

/// Totals of one connection's way out.
#[derive(Debug, Clone, Copy, Default)]
pub struct SentTotals {
    /// Text and binary messages handed over.
    pub messages: u64,
    /// Their payload before compression.
    pub payload_bytes: u64,
}

/// The way out of one socket, shared between its connection's task and the fan-out of its shard.
pub struct Outbound {
    stream: RefCell<Option<TcpStream>>,
    waker: RefCell<Option<Waker>>,
    backlog: RefCell<Option<Box<Backlog>>>,
    first_error: Cell<Option<SocketError>>,
    totals: Cell<SentTotals>,
    written_bytes: Cell<u64>,
    unsent_bytes: Cell<u64>,
    unsent_publications: Cell<u32>,
    last_written_us: Cell<u64>,
    /// The tick at which the shard's wheel will look at this connection.
    due_tick: Cell<u64>,
    signals: Cell<u8>,
    phase: Cell<Phase>,
    /// A publication found no room: none follows.
    overflowed: Cell<bool>,
}

impl Outbound {
    /// Takes over a socket whose 101 has been written.
    pub fn new(stream: TcpStream, now: Now) -> Rc<Self> {
        Rc::new(Self {
            stream: RefCell::new(Some(stream)),
            waker: RefCell::new(None),
            backlog: RefCell::new(None),
            first_error: Cell::new(None),
            totals: Cell::new(SentTotals::default()),
            written_bytes: Cell::new(0),
            unsent_bytes: Cell::new(0),
            unsent_publications: Cell::new(0),
            last_written_us: Cell::new(now.real_us),
            due_tick: Cell::new(u64::MAX),
            signals: Cell::new(0),
            phase: Cell::new(Phase::Open),
            overflowed: Cell::new(false),
        })
    }

    /// Sends whole frames that lie behind one another in `frames`. They are never refused for
    /// lack of room. After our Close, or on a broken socket, nothing is sent.
    pub fn send(self: &Rc<Self>, frames: &[u8], now: Now, shard: &Backlogs) {
        if self.phase.get() != Phase::Open {
            return;
        }
        let written = if self.has_backlog() { 0 } else { self.write_all(frames, now) };
        if written < frames.len() && self.phase.get() != Phase::Broken {
            let rest = Bytes::copy_from_slice(&frames[written..]);
            self.enqueue(rest, (Class::Answer, None), written > 0, now, shard);
        }
    }

    /// Sends shared frames, in order, each of them one publication. Returns how many were
    /// accepted: written or queued. The rest found the queue full, or the connection closing. With
    /// `sample` the lag of the first one is measured.
    pub fn deliver(
        self: &Rc<Self>,
        frames: &[Bytes],
        sample: Option<LagSample>,
        now: Now,
        shard: &Backlogs,
    ) -> usize {
        if self.phase.get() != Phase::Open || self.overflowed.get() {
            return 0;
        }
        let (first, mut offset) =
            if self.has_backlog() { (0, 0) } else { self.write_frames(frames, now) };
        if let (Some(sample), true) = (sample, first > 0) {
            shard.note_lag(sample, now);
        }
        if self.phase.get() == Phase::Broken {
            return first;
        }
        for (index, frame) in frames.iter().enumerate().skip(first) {
            // A frame that has begun must end: it counts, but it is never refused.
            if offset == 0 && !self.has_room_for(frame.len(), shard.limits()) {
                self.overflowed.set(true);
                self.signal(signal::OVERFLOW);
                return index;
            }
            let kind = (Class::Publication, sample.filter(|_| index == 0));
            self.enqueue(frame.slice(offset..), kind, offset > 0, now, shard);
            offset = 0;
        }
        frames.len()
    }

    /// Has the processor fetch what [`Self::deliver`] will look at, without waiting for it.
    pub fn fetch(&self) {
        let stream = self.stream.try_borrow();
        if let Some(stream) = stream.as_ref().ok().and_then(|stream| stream.as_ref()) {
            // Looks only at what the runtime knows of the socket.
            let _ = black_box(stream.try_io(Interest::WRITABLE, || Ok(())));
        }
        black_box((self.phase.get(), self.written_bytes.get(), self.totals.get().messages));
    }

    /// Sends our Close: the last frame. With `drop_unstarted` the queued frames of which no byte
    /// is out are thrown away first.
    pub fn close(self: &Rc<Self>, frame: &[u8], drop_unstarted: bool, now: Now, shard: &Backlogs) {
        if drop_unstarted {
            self.drop_unstarted(shard);
        }
        self.send(frame, now, shard);
        if self.phase.get() == Phase::Open {
            self.phase.set(Phase::Closing);
        }
    }

    /// Our Close and everything before it has been handed to the kernel.
    pub fn close_is_written(&self) -> bool {
        self.phase.get() == Phase::Closing && !self.has_backlog()
    }

    /// Writes what is queued. Ready when nothing is left or the socket broke.
    pub fn poll_flush(&self, cx: &mut Context<'_>, now: Now, shard: &Backlogs) -> Poll<()> {
        while self.has_backlog() {
            match self.flush_once(now, shard) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let stream = self.stream.borrow();
                    let Some(stream) = stream.as_ref() else { return Poll::Ready(()) };
                    match stream.poll_write_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Err(error) => {
                    self.break_with(Operation::Write, &error);
                    self.forget_backlog(shard);
                }
            }
        }
        Poll::Ready(())
    }

    /// Reads; an error is remembered if it is the socket's first. Never pending on a socket that
    /// has failed.
    pub fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = stream.as_mut() else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        if self.first_error.get().is_some() {
            return Poll::Ready(read_at_once(stream, buffer));
        }
        let polled = std::pin::Pin::new(stream).poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = &polled {
            self.break_with(Operation::Read, error);
        }
        polled
    }

    /// Ends the socket: FIN behind the last byte, or RST if `abort`.
    pub fn end(&self, abort: bool, shard: &Backlogs) {
        self.forget_backlog(shard);
        self.phase.set(Phase::Broken);
        let Some(stream) = self.stream.borrow_mut().take() else { return };
        if abort {
            // Fails only on a socket that is dead already; it is closed below in any case.
            let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
        } else {
            discard_unread(&stream);
        }
    }

    /// Sets a reason to poll the connection's task and wakes it.
    pub fn signal(&self, reason: u8) {
        self.signals.set(self.signals.get() | reason);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Takes all reasons.
    pub fn take_signals(&self) -> u8 {
        self.signals.take()
    }

    /// The task that [`Self::signal`] wakes.
    pub fn set_waker(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Counts messages that were handed over.
    pub fn count_messages(&self, messages: u64, payload_bytes: u64) {
        let totals = self.totals.get();
        self.totals.set(SentTotals {
            messages: totals.messages + messages,
            payload_bytes: totals.payload_bytes + payload_bytes,
        });
    }

    /// Messages handed over so far.
    pub fn totals(&self) -> SentTotals {
        self.totals.get()
    }

    /// Bytes that the kernel has taken.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes.get()
    }

    /// Bytes that were queued and thrown away: dropped before our Close, or left at the socket's end.
    pub fn unsent_bytes(&self) -> u64 {
        self.unsent_bytes.get()
    }

    /// Publications that were queued and thrown away.
    pub fn unsent_publications(&self) -> u32 {
        self.unsent_publications.get()
    }

    /// Has a publication found no room?
    pub fn has_overflowed(&self) -> bool {
        self.overflowed.get()
    }

    /// When the kernel last took a byte (real time).
    pub fn last_written_us(&self) -> u64 {
        self.last_written_us.get()
    }

    /// The socket's first error: later ones are its consequences.
    pub fn first_error(&self) -> Option<SocketError> {
        self.first_error.get()
    }

    /// Bytes that wait for the socket.
    pub fn queued_bytes(&self) -> usize {
        self.backlog.borrow().as_ref().map_or(0, |backlog| backlog.bytes())
    }

    /// Bytes of answers that wait for the socket: those that pause reading.
    pub fn queued_answer_bytes(&self) -> usize {
        self.backlog.borrow().as_ref().map_or(0, |backlog| backlog.answer_bytes())
    }

    /// Since when the head of the queue waits (attended time).
    pub fn head_since_us(&self) -> Option<u64> {
        self.backlog.borrow().as_ref().map(|backlog| backlog.head_since_us())
    }

    /// Is anything queued?
    pub fn has_backlog(&self) -> bool {
        self.backlog.borrow().is_some()
    }

    /// The tick at which the shard's wheel will look at this connection.
    pub fn due_tick(&self) -> u64 {
        self.due_tick.get()
    }

    /// See [`Self::due_tick`].
    pub fn set_due_tick(&self, tick: u64) {
        self.due_tick.set(tick);
    }
}

/// Reads without asking the runtime, which may not have heard of what came before the error: a
/// write fails as soon as an RST is there, readiness is learnt only when the shard next waits.
fn read_at_once(stream: &TcpStream, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
    let count = (&*SockRef::from(stream)).read(buffer.initialize_unfilled())?;
    buffer.advance(count);
    Ok(())
}

/// Reads what has arrived, within a bound: closing a socket with unread bytes makes the kernel send
/// RST, which can cost the peer our last frame.
fn discard_unread(stream: &TcpStream) {
    // Asked of the kernel itself: tokio knows only of what came before it last looked.
    let socket = SockRef::from(stream);
    let mut buffer = [MaybeUninit::uninit(); 4096];
    for _ in 0..64 {
        match socket.recv(&mut buffer) {
            Ok(count) if count > 0 => {}
            Ok(_) | Err(_) => break,
        }
    }
}
