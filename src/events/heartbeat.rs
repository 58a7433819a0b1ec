//! Pings, pongs, and how late the clock of a shard ticks.

use std::time::Duration;

use tracing::Level;

use crate::telemetry::labels::PongKind;
use crate::telemetry::{EndpointIndex, OFF, Recorder};

/// From here on a late tick is worth a line: clients notice it.
const TICK_LAG_WARNED: Duration = Duration::from_secs(1);

/// The heartbeat sent a ping. (Its frame is a [`MessageSent`](super::MessageSent) besides.)
#[derive(Debug, Clone, Copy)]
pub struct PingSent;

impl PingSent {
    /// Counts it.
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        recorder.ping_sent();
    }
}

/// A pong came. (Its frame is a [`MessageReceived`](super::MessageReceived) besides.)
#[derive(Debug, Clone, Copy)]
pub struct PongReceived {
    /// Whose connection.
    pub endpoint: EndpointIndex,
    /// Whether it answers a ping of ours.
    pub kind: PongKind,
    /// Since the ping that it answers; only that of a matched pong is an RTT.
    pub rtt: Option<Duration>,
}

impl PongReceived {
    /// Counts it.
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { endpoint, kind, rtt } = self;
        recorder.pong_received(kind);
        match (kind, rtt) {
            (PongKind::Matched, Some(rtt)) => recorder.ping_rtt(endpoint, rtt),
            (PongKind::Matched, None) | (PongKind::Late | PongKind::Unsolicited, _) => {}
        }
    }
}

/// A shard's tick came, so late. Every tick is emitted, punctual ones too: the histogram needs both.
#[derive(Debug, Clone, Copy)]
pub struct TickLagged {
    /// The shard's number.
    pub shard: usize,
    /// How late.
    pub lag: Duration,
}

impl TickLagged {
    /// Counts it; a second or more is logged.
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { shard, lag } = self;
        recorder.tick_lag(lag);
        if lag >= TICK_LAG_WARNED {
            tracing::event!(
                Level::WARN,
                shard,
                lag_seconds = lag.as_secs_f64(),
                "the gateway stalled"
            );
        }
    }
}
