//! The writing end: what a thread counts with, and the list of all of them.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::state::{Cause, CloseLabel};
use crate::telemetry::block::Block;
use crate::telemetry::cells::Merge;
use crate::telemetry::labels::{
    AcceptFailure, Direction, DropReason, EndpointIndex, HttpFailure, Outcome, PongKind, Source,
    UNKNOWN_ENDPOINT,
};
use crate::wire::Opcode;

/// A thread's way to count. It may move to another thread but not be shared: the counts behind it
/// have one writer. What it counted stays when it is dropped.
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<gaugeway::telemetry::Recorder>();
/// ```
#[derive(Debug)]
pub struct Recorder {
    block: Arc<Block>,
    blocks: Arc<Blocks>,
    one_writer: PhantomData<Cell<()>>,
}

/// Every block of one telemetry value.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// Label values, by [`EndpointIndex`].
    pub(crate) endpoints: Box<[String]>,
    lists: Mutex<Lists>,
}

#[derive(Debug)]
struct Lists {
    live: Vec<Arc<Block>>,
    /// What dropped recorders had counted.
    retired: Block,
}

impl Blocks {
    pub(crate) fn new(endpoints: Vec<String>) -> Self {
        let lists = Lists { live: Vec::new(), retired: Block::new(endpoints.len()) };
        Self { endpoints: endpoints.into(), lists: Mutex::new(lists) }
    }

    pub(crate) fn recorder(self: &Arc<Self>) -> Recorder {
        let block = Arc::new(Block::new(self.endpoints.len()));
        self.lock().live.push(Arc::clone(&block));
        Recorder { block, blocks: Arc::clone(self), one_writer: PhantomData }
    }

    /// Everything counted so far. The lock keeps a recorder that is dropped meanwhile from being
    /// counted twice or not at all.
    pub(crate) fn total(&self) -> Block {
        let total = Block::new(self.endpoints.len());
        let lists = self.lock();
        total.merge(&lists.retired);
        for block in &lists.live {
            total.merge(block);
        }
        total
    }

    /// Connections opened and ended, over all endpoints.
    pub(crate) fn connection_totals(&self) -> (u64, u64) {
        let total = self.total();
        let lifecycle = total.lifecycle.lock();
        let endpoints = lifecycle.endpoints.iter().chain([&lifecycle.unknown]);
        endpoints.fold((0, 0), |(opened, ended), endpoint| {
            (opened + endpoint.connections_opened.get(), ended + endpoint.ended())
        })
    }

    /// A thread that panicked while it held the lock leaves counts behind, nothing half done that
    /// would matter: better a metric off by one block than no metrics.
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let mut lists = self.blocks.lock();
        lists.retired.merge(&self.block);
        lists.live.retain(|block| !Arc::ptr_eq(block, &self.block));
    }
}

/// One method per thing that `events/` counts; nobody else may call them.
impl Recorder {
    /// The value of the label `endpoint`.
    pub(crate) fn endpoint_name(&self, endpoint: EndpointIndex) -> &str {
        self.blocks.endpoints.get(usize::from(endpoint.0)).map_or(UNKNOWN_ENDPOINT, String::as_str)
    }

    /// The hot one: `times` messages or control frames of the same size. Four adds, and a fifth and
    /// sixth when it was compressed.
    #[inline]
    pub(crate) fn message(
        &self,
        endpoint: EndpointIndex,
        direction: Direction,
        opcode: Opcode,
        bytes: MessageBytes,
        times: u64,
    ) {
        let MessageBytes { payload, wire, compressed } = bytes;
        let towards = direction as usize;
        self.block.endpoint(endpoint).messages[towards][opcode as usize].add(times);
        self.block.wire_bytes[towards].add(wire.wrapping_mul(times));
        match opcode {
            Opcode::Text | Opcode::Binary => {
                self.block.message_size[towards].observe_times(payload, times);
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
        if let Some(compressed) = compressed {
            self.compressed(towards, payload, compressed, times);
        }
    }

    #[inline(never)]
    fn compressed(&self, towards: usize, payload: u64, compressed: u64, times: u64) {
        // An empty message may cross as zero bytes (RFC 7692 §7.2.3.6 strips all of its block).
        let ratio = payload as f64 / compressed.max(1) as f64;
        self.block.compression_ratio[towards].observe_times(ratio, times);
    }

    /// A handshake was accepted and a connection opened: two counts, one moment.
    pub(crate) fn connection_opened(&self, endpoint: EndpointIndex, handshake: Duration) {
        let lifecycle = self.block.lifecycle.lock();
        let counts = lifecycle.endpoint(endpoint);
        counts.handshakes[Outcome::Accepted as usize].add(1);
        counts.connections_opened.add(1);
        lifecycle.handshake_duration.observe(handshake.as_secs_f64());
    }

    pub(crate) fn connection_closed(&self, endpoint: EndpointIndex, end: End) {
        let End { cause, code, abnormal, lifetime, idle, unsent_publications } = end;
        let lifecycle = self.block.lifecycle.lock();
        lifecycle.unsent.add(unsent_publications);
        let counts = lifecycle.endpoint(endpoint);
        counts.disconnects[cause as usize][code.index()].add(1);
        counts.connection_duration.observe(lifetime.as_secs_f64());
        counts.idle_at_close[usize::from(abnormal)].observe(idle.as_secs_f64());
    }

    pub(crate) fn handshake_refused(
        &self,
        endpoint: EndpointIndex,
        outcome: Outcome,
        duration: Duration,
    ) {
        let lifecycle = self.block.lifecycle.lock();
        lifecycle.endpoint(endpoint).handshakes[outcome as usize].add(1);
        lifecycle.handshake_duration.observe(duration.as_secs_f64());
    }

    pub(crate) fn publication_sequenced(&self, source: Source) {
        self.block.publications[source as usize].add(1);
    }

    #[inline]
    pub(crate) fn publication_delivered(&self, receivers: u64) {
        self.block.deliveries.add(receivers);
    }

    pub(crate) fn deliveries_dropped(&self, reason: DropReason, count: u64) {
        match reason {
            DropReason::QueueOverflow => self.block.dropped_queue_overflow.add(count),
            DropReason::Closing => self.block.dropped_closing.add(count),
            DropReason::Unsent => self.block.lifecycle.lock().unsent.add(count),
        }
    }

    pub(crate) fn fan_out_finished(&self, duration: Duration) {
        self.block.fanout_duration.observe(duration.as_secs_f64());
    }

    /// `times` deliveries of one publication that took equally long.
    #[inline]
    pub(crate) fn delivery_sampled(&self, lag: Duration, times: u64) {
        self.block.delivery_lag.observe_times(lag.as_secs_f64(), times);
    }

    pub(crate) fn ping_sent(&self) {
        self.block.pings_sent.add(1);
    }

    pub(crate) fn pong_received(&self, kind: PongKind) {
        self.block.pongs_received[kind as usize].add(1);
    }

    pub(crate) fn ping_rtt(&self, endpoint: EndpointIndex, rtt: Duration) {
        self.block.endpoint(endpoint).ping_rtt.observe(rtt.as_secs_f64());
    }

    pub(crate) fn tick_lag(&self, lag: Duration) {
        self.block.tick_lag.observe(lag.as_secs_f64());
    }

    pub(crate) fn accept_failed(&self, reason: AcceptFailure) {
        self.block.accept_failures[reason as usize].add(1);
    }

    pub(crate) fn http_connection_failed(&self, reason: HttpFailure) {
        self.block.http_failures[reason as usize].add(1);
    }
}

/// What is counted of a connection's end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) cause: Cause,
    pub(crate) code: CloseLabel,
    /// Without a Close handshake.
    pub(crate) abnormal: bool,
    pub(crate) lifetime: Duration,
    pub(crate) idle: Duration,
    /// Publications that were queued for it and never left.
    pub(crate) unsent_publications: u64,
}

/// The three sizes of a message, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageBytes {
    pub(crate) payload: u64,
    pub(crate) wire: u64,
    pub(crate) compressed: Option<u64>,
}
