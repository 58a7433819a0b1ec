//! A link that is open: sending, and asking for its end.

use std::cell::{Cell, RefCell};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

use super::answer::Upgraded;
use super::end::{ABNORMAL, End, reason_of};
use super::scratch;
use super::transport::Transport;
use super::unsent::Unsent;
use crate::wire::{Decoder, DecoderOptions, Encoded, Opcode, Role, close_payload};

/// The longest message that is taken from a server, in bytes, inflated: far above what a server
/// sends in earnest, and still a limit.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// With more than this waiting to be sent, in bytes, no more is taken.
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// How long a server that has said Close may take to end TCP. It is its part to end it (RFC 6455
/// §7.1.1): who ends it first keeps the port for a minute, and a load client needs its ports.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// An open connection, or one that was open. Shared by the task that runs it and whoever sends.
pub struct Link {
    /// `None` once it has ended.
    pub(super) transport: RefCell<Option<Transport>>,
    pub(super) decoder: RefCell<Decoder>,
    pub(super) unsent: RefCell<Unsent>,
    /// Frames that came with the answer to the upgrade request, until they are read.
    pub(super) leftover: Cell<Option<Box<[u8]>>>,
    pub(super) phase: Cell<Phase>,
    /// Writing failed first, and so.
    pub(super) write_failed: Cell<Option<&'static str>>,
    pub(super) deadline: Cell<Option<Instant>>,
    /// The running task's. It is out while the task itself is at work, which needs no waking.
    pub(super) waker: Cell<Option<Waker>>,
    close_wait: Duration,
    /// Our window where permessage-deflate is agreed.
    window_bits: Option<u8>,
    /// TLS holds bytes that the socket has not taken.
    must_flush: Cell<bool>,
}

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Our Close is sent or queued, the server's has not come.
    ClosedByUs,
    /// How it ended is settled; the server's FIN is waited for.
    Lingering(End),
    Ended(End),
}

/// Why a message was not sent. Nothing of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// The connection is closing, or has ended.
    Closing,
    /// More than 1 MiB waits already for a server that does not read.
    Congested,
}

impl Link {
    pub(super) fn new(transport: Transport, upgraded: Upgraded, close_wait: Duration) -> Self {
        let Upgraded { rest, deflate, subprotocol: _ } = upgraded;
        let decoder = Decoder::new(DecoderOptions {
            role: Role::Client,
            max_message_bytes: MESSAGE_BYTES_MAX,
            deflate,
        });
        Self {
            transport: RefCell::new(Some(transport)),
            decoder: RefCell::new(decoder),
            unsent: RefCell::default(),
            leftover: Cell::new((!rest.is_empty()).then(|| rest.into())),
            phase: Cell::new(Phase::Open),
            write_failed: Cell::new(None),
            deadline: Cell::new(None),
            waker: Cell::new(None),
            close_wait,
            window_bits: deflate.map(|deflate| deflate.our_window_bits(Role::Client)),
            must_flush: Cell::new(false),
        }
    }

    /// Sends a message, or a ping or pong of at most 125 bytes. Text must be UTF-8; a Close is
    /// [`Self::close`]'s.
    ///
    /// What the socket takes is written at once (with TLS: by the running task, next), the rest waits
    /// here for [`Self::run`]. A message may be longer than the queue's limit if it is the first
    /// beyond it.
    pub fn send(&self, opcode: Opcode, payload: &[u8]) -> Result<Encoded, NotSent> {
        debug_assert_ne!(opcode, Opcode::Close, "close() keeps the account of it");
        if self.phase.get() != Phase::Open || self.write_failed.get().is_some() {
            return Err(NotSent::Closing);
        }
        if self.queued_bytes() > QUEUE_BYTES_MAX {
            return Err(NotSent::Congested);
        }
        let encoded = self.write_frame(opcode, payload);
        if self.write_failed.get().is_some() { Err(NotSent::Closing) } else { Ok(encoded) }
    }

    /// Bytes of frames that wait for the socket.
    pub fn queued_bytes(&self) -> usize {
        self.unsent.borrow().len()
    }

    /// Starts the closing handshake (RFC 6455 §7.1.1) with a code that may be sent: [`Self::run`] ends
    /// with the server's answer, or without one after the scenario's `close_wait`. What comes before
    /// the answer is still read.
    pub fn close(&self, code: u16) {
        if self.phase.get() != Phase::Open {
            return;
        }
        self.phase.set(Phase::ClosedByUs);
        self.deadline.set(Some(Instant::now() + self.close_wait));
        self.send_close(code, "");
        self.wake();
    }

    /// Ends it with a FIN now, without a Close frame. What waited to be sent is not, and where input
    /// waits unread the kernel sends RST behind the FIN, as for a browser that is gone.
    pub fn drop_without_close(&self) {
        if let Some(transport) = self.transport.borrow().as_ref() {
            // It fails where there is no connection any more.
            let _ = SockRef::from(transport.tcp()).shutdown(Shutdown::Write);
        }
        self.end_by_us("eof");
    }

    /// Resets the TCP connection now.
    pub fn reset(&self) {
        if let Some(transport) = self.transport.borrow().as_ref() {
            // Closing a socket that lingers for no time sends RST.
            let _ = transport.tcp().set_zero_linger();
        }
        self.end_by_us("reset");
    }

    /// The server has said its last word, or spoilt it: what is left is its FIN.
    pub(super) fn settle(&self, end: End) {
        self.phase.set(Phase::Lingering(end));
        let linger = self.close_wait.min(LINGER_MAX);
        self.deadline.set(Some(Instant::now() + linger));
    }

    /// It is over; the socket is closed.
    pub(super) fn finish(&self, end: End) {
        self.phase.set(Phase::Ended(end));
        self.deadline.set(None);
        self.unsent.borrow_mut().clear();
        *self.transport.borrow_mut() = None;
    }

    fn end_by_us(&self, reason: &'static str) {
        match self.phase.get() {
            Phase::Ended(_) => return,
            Phase::Lingering(end) => self.finish(end),
            Phase::Open | Phase::ClosedByUs => {
                self.finish(End { code: ABNORMAL, by_us: true, reason });
            }
        }
        self.wake();
    }

    pub(super) fn send_close(&self, code: u16, reason: &str) {
        let mut payload = Vec::new();
        close_payload(code, reason, &mut payload);
        self.write_frame(Opcode::Close, &payload);
    }

    /// The answer to a ping. Of those that pile up at a server that does not read, some are left out
    /// (RFC 6455 §5.5.3 asks for the newest alone), so that its pings cannot fill our memory.
    pub(super) fn send_pong(&self, payload: &[u8]) {
        if self.phase.get() == Phase::Open && self.queued_bytes() <= QUEUE_BYTES_MAX {
            self.write_frame(Opcode::Pong, payload);
        }
    }

    pub(super) fn write_frame(&self, opcode: Opcode, payload: &[u8]) -> Encoded {
        scratch::frame(opcode, payload, self.window_bits, |frame, encoded| {
            self.write(frame);
            encoded
        })
    }

    /// Writes what the socket takes, keeps the rest.
    fn write(&self, mut bytes: &[u8]) {
        let mut unsent = self.unsent.borrow_mut();
        if let Some(Transport::Plain(tcp)) = self.transport.borrow().as_ref()
            && unsent.is_empty()
        {
            while !bytes.is_empty() {
                match tcp.try_write(bytes) {
                    Ok(count) => bytes = &bytes[count..],
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        self.note_write_error(&error);
                        break;
                    }
                }
            }
        }
        if !bytes.is_empty() && self.write_failed.get().is_none() {
            unsent.push(bytes);
        }
        drop(unsent);
        if !bytes.is_empty() {
            self.wake();
        }
    }

    /// Writes what waits; `Pending` if some of it still does.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut transport = self.transport.borrow_mut();
        let Some(transport) = transport.as_mut() else { return Poll::Ready(()) };
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() {
            match ready!(Pin::new(&mut *transport).poll_write(cx, unsent.rest())) {
                Ok(count) => unsent.advance(count),
                Err(error) => {
                    unsent.clear();
                    self.note_write_error(&error);
                }
            }
            self.must_flush.set(true);
        }
        if self.must_flush.get() && self.write_failed.get().is_none() {
            if let Err(error) = ready!(Pin::new(&mut *transport).poll_flush(cx)) {
                self.note_write_error(&error);
            }
            self.must_flush.set(false);
        }
        Poll::Ready(())
    }

    /// Writing is over, but a Close may still lie in what was received: reading goes on to its end,
    /// which is near.
    fn note_write_error(&self, error: &std::io::Error) {
        if self.write_failed.get().is_none() {
            self.write_failed.set(Some(reason_of(error)));
        }
        if self.deadline.get().is_none() {
            self.deadline.set(Some(Instant::now() + LINGER_MAX));
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
