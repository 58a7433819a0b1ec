//! What of the configuration the open connections of a shard obey, and a reload changes.

use std::time::Duration;

use super::shard::Shard;
use crate::config::Config;
use crate::outbound::{QueueLimits, signal};
use crate::state::Times;

/// The settings that hold for open connections as for new ones. The others are in the
/// [`Rules`](super::Rules) that a connection keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The waits.
    pub times: Times,
    /// The bounds on what waits for one socket.
    pub queue: QueueLimits,
    /// Smaller payloads are sent plain.
    pub deflate_min_bytes: usize,
}

impl Settings {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let us = |duration: Duration| duration.as_micros() as u64;
        Self {
            times: Times {
                ping_interval_us: us(config.heartbeat.ping_interval),
                pong_wait_us: us(config.heartbeat.pong_wait),
                write_wait_us: us(config.limits.write_wait),
                close_wait_us: us(config.limits.close_wait),
            },
            queue: QueueLimits {
                bytes: config.limits.send_queue_bytes,
                messages: config.limits.send_queue_messages,
            },
            deflate_min_bytes: config.compression.min_bytes,
        }
    }
}

impl Shard {
    /// Puts other settings in force. A queue that is longer than its new bound stays as it is and
    /// takes nothing more; a Close that was sent keeps its deadline.
    pub async fn adopt(&self, settings: Settings) {
        let before = self.settings.replace(settings);
        self.backlogs.set_limits(settings.queue);
        if settings.times != before.times {
            // Each sleeps until a deadline that may have moved.
            self.signal_all(signal::NEW_TIMES).await;
        }
    }
}
