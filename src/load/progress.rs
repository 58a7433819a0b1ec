//! How far a run is: what a process tells about four times a second while it works.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where a process stands, and its figures so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// For how long it has been doing it.
    pub in_phase: Duration,
    /// Connections that are open now; misbehaving ones are not counted.
    pub open: u64,
    /// Handshakes that succeeded so far.
    pub opened: u64,
    /// Messages sent so far, warm-up included.
    pub sent: u64,
    /// Messages received so far, warm-up included.
    pub received: u64,
    /// What has gone wrong so far, as [`super::Report::errors_total`] counts it.
    pub errors: u64,
    /// The 99th percentile of the latencies since the last [`Progress`].
    pub p99: Option<Duration>,
}

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connections are being opened.
    Opening,
    /// All have been tried; it waits for the other processes.
    Ready,
    /// Work that is not measured.
    WarmingUp,
    /// The window.
    Measuring,
    /// Answers that are under way are waited for, then connections are closed.
    Finishing,
}
