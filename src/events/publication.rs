//! Publications: sequenced, fanned out, delivered or dropped. Counted, never logged: one publication
//! concerns thousands of receivers.
//!
//! Publications × receivers = delivered + dropped for `queue_overflow` + dropped for `closing`. What
//! was queued and then lost with its connection is counted by
//! [`ConnectionClosed`](super::ConnectionClosed) as dropped for `unsent`; it stays among the
//! delivered, so written = delivered − dropped for `unsent`.

use std::time::Duration;

use crate::telemetry::labels::{DropReason, Source};
use crate::telemetry::{OFF, Recorder};

/// A publication got its sequence number.
#[derive(Debug, Clone, Copy)]
pub struct PublicationSequenced {
    /// Where it came from.
    pub source: Source,
}

impl PublicationSequenced {
    /// Counts it.
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { source } = self;
        recorder.publication_sequenced(source);
    }
}

/// A publication was handed to receivers: written, or queued for them. (Its frames are
/// [`MessageSent`](super::MessageSent) besides.)
#[derive(Debug, Clone, Copy)]
pub struct PublicationDelivered {
    /// How many of a shard.
    pub receivers: u64,
}

impl PublicationDelivered {
    /// Counts it once per receiver.
    #[inline]
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { receivers } = self;
        recorder.publication_delivered(receivers);
    }
}

/// Receivers did not get a publication that was for them.
#[derive(Debug, Clone, Copy)]
pub struct DeliveriesDropped {
    /// `QueueOverflow` or `Closing`; `Unsent` belongs to [`ConnectionClosed`](super::ConnectionClosed).
    pub reason: DropReason,
    /// How many receivers; zero does nothing.
    pub count: u64,
}

impl DeliveriesDropped {
    /// Counts it once per receiver. Out of the way of a delivery, which would be swollen by it.
    #[cold]
    #[inline(never)]
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { reason, count } = self;
        debug_assert_ne!(reason, DropReason::Unsent, "that is ConnectionClosed");
        if count > 0 {
            recorder.deliveries_dropped(reason, count);
        }
    }
}

/// The last shard has handed a publication to its last receiver.
#[derive(Debug, Clone, Copy)]
pub struct FanOutFinished {
    /// Since its sequence number.
    pub duration: Duration,
}

impl FanOutFinished {
    /// Counts it.
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { duration } = self;
        recorder.fan_out_finished(duration);
    }
}

/// How long a delivery took, of one in 16.
#[derive(Debug, Clone, Copy)]
pub struct DeliverySampled {
    /// From the publication's sequence number to its frame's last byte handed to the kernel.
    pub lag: Duration,
    /// How many sampled deliveries took so long; zero does nothing.
    pub times: u64,
}

impl DeliverySampled {
    /// Counts it `times` times.
    #[inline]
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { lag, times } = self;
        if times > 0 {
            recorder.delivery_sampled(lag, times);
        }
    }
}
