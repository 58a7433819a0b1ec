//! The shards' gauges: each shard writes its own, a scrape adds them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::telemetry::families::{self, Family};
use crate::telemetry::labels::EndpointIndex;
use crate::telemetry::scrape::{Scrape, ScrapeSource};

/// One shard's gauges. Only its thread writes; aligned, so that two shards never share a line.
#[derive(Debug)]
#[repr(align(128))]
pub struct ShardGauges {
    connections: Box<[AtomicU64]>,
    backlogged: AtomicU64,
    queue_bytes: AtomicU64,
    queue_max_bytes: AtomicU64,
}

impl ShardGauges {
    /// All zero, for so many endpoints.
    pub fn new(endpoints: usize) -> Arc<Self> {
        Arc::new(Self {
            connections: (0..endpoints).map(|_| AtomicU64::new(0)).collect(),
            backlogged: AtomicU64::new(0),
            queue_bytes: AtomicU64::new(0),
            queue_max_bytes: AtomicU64::new(0),
        })
    }

    /// One more connection on the endpoint. An unknown endpoint has no connections: ignored.
    pub fn connection_added(&self, endpoint: EndpointIndex) {
        if let Some(connections) = self.connections.get(usize::from(endpoint.0)) {
            connections.store(connections.load(Relaxed).saturating_add(1), Relaxed);
        }
    }

    /// One connection fewer on the endpoint.
    pub fn connection_removed(&self, endpoint: EndpointIndex) {
        if let Some(connections) = self.connections.get(usize::from(endpoint.0)) {
            connections.store(connections.load(Relaxed).saturating_sub(1), Relaxed);
        }
    }

    /// The shard's connections with something in their queue, the bytes in all of their queues,
    /// and in the longest.
    pub fn set_backlog(&self, connections: u64, bytes: u64, max_bytes: u64) {
        self.backlogged.store(connections, Relaxed);
        self.queue_bytes.store(bytes, Relaxed);
        self.queue_max_bytes.store(max_bytes, Relaxed);
    }

    /// The shard's open connections, all endpoints together.
    pub fn connections(&self) -> u64 {
        let each = self.connections.iter();
        each.map(|connections| connections.load(Relaxed)).sum()
    }
}

/// All shards' gauges, for [`Telemetry::register`](super::Telemetry::register).
#[derive(Debug)]
pub struct AllShardGauges {
    endpoints: Vec<String>,
    shards: Vec<Arc<ShardGauges>>,
}

impl AllShardGauges {
    /// `endpoints` as in `TelemetryOptions`.
    pub fn new(endpoints: Vec<String>, shards: Vec<Arc<ShardGauges>>) -> Self {
        Self { endpoints, shards }
    }

    fn sum(&self, gauge: impl Fn(&ShardGauges) -> Option<&AtomicU64>) -> f64 {
        let each = self.shards.iter().filter_map(|shard| gauge(shard));
        each.map(|gauge| gauge.load(Relaxed)).sum::<u64>() as f64
    }
}

impl ScrapeSource for AllShardGauges {
    fn families(&self) -> &'static [&'static Family] {
        families::SHARD_GAUGES
    }

    fn scrape(&self, scrape: &mut Scrape) {
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let open = self.sum(|shard| shard.connections.get(index));
            scrape.value(&families::CONNECTIONS, &[endpoint], open);
        }
        let backlogged = self.sum(|shard| Some(&shard.backlogged));
        scrape.value(&families::BACKLOGGED_CONNECTIONS, &[], backlogged);
        let bytes = self.sum(|shard| Some(&shard.queue_bytes));
        scrape.value(&families::SEND_QUEUE_BYTES, &[], bytes);
        let longest = self.shards.iter().map(|shard| shard.queue_max_bytes.load(Relaxed));
        let longest = longest.max().unwrap_or(0) as f64;
        scrape.value(&families::SEND_QUEUE_MAX_BYTES, &[], longest);
    }
}
