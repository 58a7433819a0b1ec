//! `gaugeway_tokio_*`: how busy the runtimes are.

use tokio::runtime::RuntimeMetrics;

use crate::telemetry::families::{self, Family};
use crate::telemetry::labels::RuntimeKind;
use crate::telemetry::scrape::{Scrape, ScrapeSource};

/// The runtimes of this gateway, for [`Telemetry::register`](super::Telemetry::register). Those of
/// one kind are added up.
#[derive(Debug, Default)]
pub struct Runtimes {
    runtimes: Vec<(RuntimeKind, RuntimeMetrics)>,
}

impl Runtimes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a runtime.
    #[must_use]
    pub fn with(mut self, kind: RuntimeKind, metrics: RuntimeMetrics) -> Self {
        self.runtimes.push((kind, metrics));
        self
    }
}

/// What is read of each runtime.
#[derive(Default)]
struct Reading {
    workers: usize,
    alive_tasks: usize,
    queue_depth: usize,
    busy_seconds: f64,
    parks: u64,
}

impl Reading {
    fn add(&mut self, metrics: &RuntimeMetrics) {
        let workers = metrics.num_workers();
        self.workers += workers;
        self.alive_tasks += metrics.num_alive_tasks();
        self.queue_depth += metrics.global_queue_depth();
        for worker in 0..workers {
            self.busy_seconds += metrics.worker_total_busy_duration(worker).as_secs_f64();
            self.parks += metrics.worker_park_count(worker);
        }
    }
}

impl ScrapeSource for Runtimes {
    fn families(&self) -> &'static [&'static Family] {
        families::TOKIO
    }

    fn scrape(&self, scrape: &mut Scrape) {
        for kind in RuntimeKind::ALL {
            let mut reading = Reading::default();
            for (_, metrics) in self.runtimes.iter().filter(|(of, _)| of == kind) {
                reading.add(metrics);
            }
            let labels = &[kind.as_str()];
            scrape.value(&families::TOKIO_WORKERS, labels, reading.workers as f64);
            let (tasks, depth) = (reading.alive_tasks as f64, reading.queue_depth as f64);
            scrape.value(&families::TOKIO_ALIVE_TASKS, labels, tasks);
            scrape.value(&families::TOKIO_GLOBAL_QUEUE_DEPTH, labels, depth);
            scrape.value(&families::TOKIO_BUSY, labels, reading.busy_seconds);
            scrape.value(&families::TOKIO_PARKS, labels, reading.parks as f64);
        }
    }
}
