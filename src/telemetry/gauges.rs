//! What is read where it is kept: the shards' gauges, each of which writes its own and a scrape adds
//! them up, and the number of users.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::telemetry::families::{self, Family};
use crate::telemetry::scrape::{Scrape, ScrapeSource};

/// One shard's gauges. Only its thread writes; aligned, so that two shards never share a line.
#[derive(Debug)]
#[repr(align(128))]
pub struct ShardGauges {
    connections: AtomicU64,
    backlogged: AtomicU64,
    queue_bytes: AtomicU64,
    queue_max_bytes: AtomicU64,
}

impl ShardGauges {
    /// All zero.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            connections: AtomicU64::new(0),
            backlogged: AtomicU64::new(0),
            queue_bytes: AtomicU64::new(0),
            queue_max_bytes: AtomicU64::new(0),
        })
    }

    /// One more connection.
    pub fn connection_added(&self) {
        self.connections.store(self.connections().saturating_add(1), Relaxed);
    }

    /// One connection fewer.
    pub fn connection_removed(&self) {
        self.connections.store(self.connections().saturating_sub(1), Relaxed);
    }

    /// The shard's connections with something in their queue, the bytes in all of their queues,
    /// and in the longest.
    pub fn set_backlog(&self, connections: u64, bytes: u64, max_bytes: u64) {
        self.backlogged.store(connections, Relaxed);
        self.queue_bytes.store(bytes, Relaxed);
        self.queue_max_bytes.store(max_bytes, Relaxed);
    }

    /// The shard's open connections, for the process to know when none is left. `/metrics` has them
    /// from the counts of openings and ends, so that these add up on every page.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }
}

/// All shards' gauges, for [`Telemetry::register`](super::Telemetry::register).
#[derive(Debug)]
pub struct AllShardGauges {
    shards: Vec<Arc<ShardGauges>>,
}

impl AllShardGauges {
    /// Those of all shards of a gateway.
    pub fn new(shards: Vec<Arc<ShardGauges>>) -> Self {
        Self { shards }
    }

    fn sum(&self, gauge: impl Fn(&ShardGauges) -> &AtomicU64) -> f64 {
        self.shards.iter().map(|shard| gauge(shard).load(Relaxed)).sum::<u64>() as f64
    }
}

impl ScrapeSource for AllShardGauges {
    fn families(&self) -> &'static [&'static Family] {
        families::SHARD_GAUGES
    }

    fn scrape(&self, scrape: &mut Scrape) {
        let backlogged = self.sum(|shard| &shard.backlogged);
        scrape.value(&families::BACKLOGGED_CONNECTIONS, &[], backlogged);
        let bytes = self.sum(|shard| &shard.queue_bytes);
        scrape.value(&families::SEND_QUEUE_BYTES, &[], bytes);
        let longest = self.shards.iter().map(|shard| shard.queue_max_bytes.load(Relaxed));
        let longest = longest.max().unwrap_or(0) as f64;
        scrape.value(&families::SEND_QUEUE_MAX_BYTES, &[], longest);
    }
}

/// The number of users with at least one open connection, kept by who knows the users, for
/// [`Telemetry::register`](super::Telemetry::register).
#[derive(Debug)]
pub struct UsersGauge(Arc<AtomicU64>);

impl UsersGauge {
    /// Shows this number as it is at the moment of a scrape.
    pub fn new(users: Arc<AtomicU64>) -> Self {
        Self(users)
    }
}

impl ScrapeSource for UsersGauge {
    fn families(&self) -> &'static [&'static Family] {
        families::USERS_GAUGE
    }

    fn scrape(&self, scrape: &mut Scrape) {
        scrape.value(&families::USERS, &[], self.0.load(Relaxed) as f64);
    }
}
