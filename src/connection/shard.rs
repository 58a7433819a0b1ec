//! What the connections of one thread share. A connection never leaves its shard.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::clock::Clock;
use super::ending::Ending;
use super::errand::Errands;
use super::peer::Peer;
use super::settings::Settings;
use super::wheel::{TICK, Wheel};
use crate::config::Config;
use crate::events::{DeliverySampled, FanOutFinished, TickLagged};
use crate::hub::{Delivery, FanOut, Hub, Local, Mail, Mailbox};
use crate::outbound::{Backlogs, Outbound, signal};
use crate::state::{Now, Times};
use crate::telemetry::{Recorder, ShardGauges};
use crate::wire::{Deflate, Deflater, Inflater, Role};

/// Bytes read from a socket at once, into the one buffer of the shard.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Connections looked at in one go when their time has come.
pub(super) const DUE_BATCH: usize = 256;

/// The smallest window that zlib can write (RFC 7692 §7.1.2.1 permits 8, zlib does not).
const WINDOW_BITS_MIN: u8 = 9;

/// One thread's connections and what they share.
pub struct Shard {
    index: usize,
    /// Counts what happens on this thread.
    pub recorder: Recorder,
    /// Everybody's messages.
    pub hub: Arc<Hub<Errands>>,
    /// This shard's receivers.
    pub local: Local,
    /// This shard's queues.
    pub backlogs: Backlogs,
    pub(super) clock: Clock,
    pub(super) buffers: RefCell<Buffers>,
    deflaters: Deflaters,
    seeds: RandomState,
    gauges: Arc<ShardGauges>,
    mailbox: Arc<Mailbox<Errands>>,
    connections: RefCell<Slab<Rc<Peer>>>,
    wheel: RefCell<Wheel>,
    /// What a reload changes.
    pub(super) settings: Cell<Settings>,
    ending: Cell<Ending>,
}

/// Scratch space that one poll uses after the other.
pub(super) struct Buffers {
    pub(super) read: Box<[u8]>,
    pub(super) answers: Vec<u8>,
    pub(super) inflater: Inflater,
}

/// Compressors without context, one for each window size that a client asked for.
struct Deflaters {
    level: u8,
    by_window_bits: [RefCell<Option<Deflater>>; 16 - WINDOW_BITS_MIN as usize],
    shared: RefCell<Deflater>,
}

/// The parts of a shard that come from outside its thread.
pub struct ShardParts {
    /// Its number, from 0.
    pub index: usize,
    /// See [`Shard::recorder`].
    pub recorder: Recorder,
    /// Where the shard says what is read at scrape.
    pub gauges: Arc<ShardGauges>,
    /// See [`Shard::hub`].
    pub hub: Arc<Hub<Errands>>,
    /// How many endpoints there are.
    pub endpoints: usize,
    /// The beginning of the process.
    pub began: Instant,
}

impl Shard {
    /// A shard without connections.
    pub fn new(parts: ShardParts, config: &Config) -> Rc<Self> {
        let ShardParts { index, recorder, gauges, hub, endpoints, began } = parts;
        let clock = Clock::new(began);
        let level = config.compression.level as u8;
        let settings = Settings::of(config);
        Rc::new(Self {
            index,
            local: Local::new(endpoints, Arc::clone(hub.users())),
            backlogs: Backlogs::new(settings.queue),
            settings: Cell::new(settings),
            buffers: RefCell::new(Buffers {
                read: vec![0; READ_BUFFER_BYTES].into(),
                answers: Vec::new(),
                inflater: Inflater::new(),
            }),
            deflaters: Deflaters {
                level,
                by_window_bits: Default::default(),
                shared: RefCell::new(Deflater::new(level, 15)),
            },
            mailbox: hub.mailbox(index),
            seeds: RandomState::new(),
            wheel: RefCell::new(Wheel::new(clock.now().attended_us)),
            clock,
            connections: RefCell::default(),
            ending: Cell::new(Ending::Serving),
            recorder,
            gauges,
            hub,
        })
    }

    /// The present, by the shard's clock.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// The seed of a connection's ping tokens. Whoever knows the id cannot tell it: the hash has a
    /// random key.
    pub(super) fn ping_seed(&self, id: Uuid) -> u64 {
        self.seeds.hash_one(id)
    }

    /// The waits of every connection.
    pub fn times(&self) -> Times {
        self.settings.get().times
    }

    /// Smaller payloads are sent plain.
    pub fn deflate_min_bytes(&self) -> usize {
        self.settings.get().deflate_min_bytes
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.connections.borrow().len()
    }

    /// The heartbeat: finds whose time has come, and measures how late the shard itself is.
    pub async fn run_wheel(self: Rc<Self>) {
        let mut ticks = interval(TICK);
        // After a stall the missed ticks are not made up for: time goes on from here.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Vec::new();
        loop {
            ticks.tick().await;
            let lag = self.clock.tick();
            TickLagged { shard: self.index, lag }.emit(&self.recorder);
            let now_us = self.clock.now().attended_us;
            self.wheel.borrow_mut().advance(now_us, |tick, key| due.push((tick, key)));
            for batch in due.chunks(DUE_BATCH) {
                self.wake_due(batch);
                tokio::task::yield_now().await;
            }
            due.clear();
            due.shrink_to(DUE_BATCH);
            self.count_lags();
            self.publish_gauges();
        }
    }

    /// Brings publications to the receivers of this shard.
    pub async fn run_fan_out(self: Rc<Self>) {
        loop {
            self.mailbox.filled().await;
            let mut batch = Vec::new();
            for mail in self.mailbox.take() {
                match mail {
                    Mail::Publication(delivery) => batch.push(delivery),
                    Mail::Errand(errand) => {
                        self.deliver(std::mem::take(&mut batch)).await;
                        self.run_errand(errand).await;
                    }
                }
            }
            self.deliver(batch).await;
        }
    }

    async fn deliver(&self, batch: Vec<Arc<Delivery>>) {
        let fan_out = FanOut {
            recorder: &self.recorder,
            backlogs: &self.backlogs,
            deflater: &self.deflaters.shared,
            deflate_min_bytes: self.deflate_min_bytes(),
            now: &|| self.clock.now(),
        };
        self.local.fan_out(&batch, &fan_out).await;
        for delivery in batch {
            if self.mailbox.done(&delivery) {
                let since_us = delivery.publication.sequenced_us;
                let duration = self.clock.now().real_us.saturating_sub(since_us);
                let duration = Duration::from_micros(duration);
                FanOutFinished { duration }.emit(&self.recorder);
            }
        }
    }

    async fn run_errand(&self, mut errand: Errands) {
        let mut start = 0;
        loop {
            let slots = self.connections.borrow().capacity();
            let now = self.now();
            for key in start..slots.min(start + DUE_BATCH) {
                let Some(peer) = self.connections.borrow().get(key).map(Rc::clone) else {
                    continue;
                };
                if errand.visit(&peer, now).is_break() {
                    return errand.finish();
                }
            }
            start += DUE_BATCH;
            if start >= slots {
                return errand.finish();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Nothing that is sent to this shard will be looked at any more.
    pub fn close_mailbox(&self) {
        self.mailbox.close();
    }

    pub(super) fn count_opened(&self) {
        self.gauges.connection_added();
    }

    pub(super) fn count_closed(&self) {
        self.gauges.connection_removed();
    }

    pub(super) fn add(&self, peer: &Rc<Peer>) -> u32 {
        let key = self.connections.borrow_mut().insert(Rc::clone(peer));
        // Its request was accepted before the others were told.
        match self.ending.get() {
            Ending::Serving => {}
            Ending::Draining => peer.outbound.signal(signal::DRAIN),
            Ending::Stopping => peer.outbound.signal(signal::SHUTDOWN),
        }
        u32::try_from(key).expect("a process cannot open 2^32 sockets")
    }

    pub(super) fn remove(&self, key: u32) {
        let peer = self.connections.borrow_mut().remove(key as usize);
        self.wheel.borrow_mut().remove(key, peer.outbound.due_tick());
    }

    /// Sees to it that the connection is looked at when this moment has come.
    pub(super) fn wake_at(&self, key: u32, outbound: &Outbound, due_us: u64) {
        let mut wheel = self.wheel.borrow_mut();
        let tick = wheel.tick_for(due_us);
        if tick < outbound.due_tick() {
            wheel.remove(key, outbound.due_tick());
            outbound.set_due_tick(tick);
            wheel.insert(key, tick);
        }
    }

    /// Lends the compressor for a connection without context takeover.
    pub(super) fn with_deflater<T>(
        &self,
        deflate: Deflate,
        work: impl FnOnce(&mut Deflater) -> T,
    ) -> T {
        let bits = deflate.our_window_bits(Role::Server);
        let slot = usize::from(bits.clamp(WINDOW_BITS_MIN, 15) - WINDOW_BITS_MIN);
        let mut slot = self.deflaters.by_window_bits[slot].borrow_mut();
        work(slot.get_or_insert_with(|| Deflater::new(self.deflaters.level, bits)))
    }

    /// A compressor that keeps its window from message to message, for one connection.
    pub(super) fn own_deflater(&self, deflate: Deflate) -> Option<Box<Deflater>> {
        deflate.we_keep_context(Role::Server).then(|| {
            let bits = deflate.our_window_bits(Role::Server);
            Box::new(Deflater::with_takeover(self.deflaters.level, bits))
        })
    }

    fn wake_due(&self, batch: &[(u64, u32)]) {
        let connections = self.connections.borrow();
        for (tick, key) in batch {
            // The key may be another connection's by now, or due later.
            if let Some(Peer { outbound, .. }) = connections.get(*key as usize).map(AsRef::as_ref)
                && outbound.due_tick() <= *tick
            {
                outbound.set_due_tick(u64::MAX);
                outbound.signal(signal::TICK);
            }
        }
    }

    /// The keys of the present connections.
    pub(super) fn keys(&self) -> Vec<usize> {
        self.connections.borrow().iter().map(|(key, _)| key).collect()
    }

    /// Is there a connection under this key, of which no Close has gone or come?
    pub(super) fn is_open(&self, key: usize) -> bool {
        self.connections.borrow().get(key).is_some_and(|peer| !peer.is_closing.get())
    }

    pub(super) fn ending(&self) -> Ending {
        self.ending.get()
    }

    pub(super) fn set_ending(&self, ending: Ending) {
        self.ending.set(ending);
    }

    pub(super) fn signal(&self, key: usize, reason: u8) {
        if let Some(peer) = self.connections.borrow().get(key) {
            peer.outbound.signal(reason);
        }
    }

    fn count_lags(&self) {
        self.backlogs.take_lags(|lag, times| {
            DeliverySampled { lag, times: times.into() }.emit(&self.recorder);
        });
    }

    fn publish_gauges(&self) {
        self.gauges.set_backlog(
            self.backlogs.count() as u64,
            self.backlogs.bytes() as u64,
            self.backlogs.max_bytes() as u64,
        );
    }
}
