//! What others of its shard may know of a connection, and ask of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::handshake::Identity;
use crate::outbound::{Outbound, signal};
use crate::state::Now;
use crate::wire::Deflate;

/// What came in so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReceivedTotals {
    /// Text and binary messages.
    pub messages: u64,
    /// Their payload after decompression.
    pub payload_bytes: u64,
    /// Everything that was read from the socket.
    pub wire_bytes: u64,
}

/// One connection, seen from beside.
pub struct Peer {
    /// Who it is.
    pub identity: Identity,
    /// Its way out.
    pub outbound: Rc<Outbound>,
    /// permessage-deflate as agreed on.
    pub deflate: Option<Deflate>,
    pub(super) received: Cell<ReceivedTotals>,
    pub(super) opened_us: u64,
    pub(super) last_received_us: Cell<u64>,
    pub(super) last_rtt_us: Cell<Option<u32>>,
    pub(super) is_closing: Cell<bool>,
    kick: RefCell<Option<Box<Kick>>>,
}

/// An operator wants the connection to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kick {
    pub(super) code: u16,
    pub(super) reason: Box<str>,
}

/// A connection at one moment.
#[derive(Debug, Clone, Copy)]
pub struct PeerState {
    /// Since its 101.
    pub age: Duration,
    /// Since the last byte either way.
    pub idle: Duration,
    /// The round-trip time of its last answered ping.
    pub last_rtt: Option<Duration>,
    /// A Close has gone or come.
    pub is_closing: bool,
    /// What it sent.
    pub received: ReceivedTotals,
    /// Text and binary messages handed over to it.
    pub messages_sent: u64,
    /// Their payload before compression.
    pub payload_bytes_sent: u64,
    /// Everything that the kernel took for it.
    pub wire_bytes_sent: u64,
    /// Bytes that wait for its socket.
    pub queued_bytes: usize,
}

impl Peer {
    pub(super) fn new(
        identity: Identity,
        outbound: Rc<Outbound>,
        deflate: Option<Deflate>,
        now: Now,
    ) -> Rc<Self> {
        Rc::new(Self {
            identity,
            outbound,
            deflate,
            received: Cell::default(),
            opened_us: now.real_us,
            last_received_us: Cell::new(now.real_us),
            last_rtt_us: Cell::new(None),
            is_closing: Cell::new(false),
            kick: RefCell::new(None),
        })
    }

    /// How it is now.
    pub fn state(&self, now: Now) -> PeerState {
        let sent = self.outbound.totals();
        let since = |us: u64| Duration::from_micros(now.real_us.saturating_sub(us));
        PeerState {
            age: since(self.opened_us),
            idle: since(self.last_byte_us()),
            last_rtt: self.last_rtt_us.get().map(|us| Duration::from_micros(us.into())),
            is_closing: self.is_closing.get(),
            received: self.received.get(),
            messages_sent: sent.messages,
            payload_bytes_sent: sent.payload_bytes,
            wire_bytes_sent: self.outbound.written_bytes(),
            queued_bytes: self.outbound.queued_bytes(),
        }
    }

    /// Asks it to end with a Close of this code and reason, which must be fit for one (RFC 6455
    /// §5.5.1, §7.4). False if it is ending already, or was asked before.
    pub fn kick(&self, code: u16, reason: &str) -> bool {
        let mut kick = self.kick.borrow_mut();
        if self.is_closing.get() || kick.is_some() {
            return false;
        }
        *kick = Some(Box::new(Kick { code, reason: reason.into() }));
        self.outbound.signal(signal::KICK);
        true
    }

    pub(super) fn take_kick(&self) -> Option<Box<Kick>> {
        self.kick.borrow_mut().take()
    }

    pub(super) fn last_byte_us(&self) -> u64 {
        self.last_received_us.get().max(self.outbound.last_written_us())
    }
}
