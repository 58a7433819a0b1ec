//! A thread's share of all counts: one writer, merged with the others at scrape.

use crate::state::{Cause, CloseLabel};
use crate::telemetry::cells::{Bounds, Count, Histogram, Merge, SizeHistogram, Together};
use crate::telemetry::labels::{
    AcceptFailure, Direction, EndpointIndex, HttpFailure, Outcome, PongKind, Source,
};
use crate::wire::Opcode;

/// Bounds and, under the second name, the histogram over them.
macro_rules! bounds {
    ($($(#[doc = $doc:literal])+ $bounds:ident / $histogram:ident = $upper:expr;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub(crate) enum $bounds {}
        impl Bounds for $bounds {
            const UPPER: &'static [f64] = &$upper;
        }
        pub(crate) type $histogram = Histogram<$bounds, { <$bounds as Bounds>::UPPER.len() + 1 }>;
    )+};
}

bounds! {
    /// Seconds: 1 s … 1 d.
    LifetimeBounds / LifetimeHistogram =
        [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0];
    /// Seconds, close around the time-outs that proxies and load balancers come with (30, 60, 75,
    /// 90, 100, 120, 300, 350, 600, 3600): a cliff must fall into a bucket of its own. A proxy's
    /// timer fires up to 0.3 s early and a little late, hence bounds on both sides.
    IdleBounds / IdleHistogram =
        [1.0, 5.0, 15.0, 29.0, 31.0, 45.0, 59.0, 61.0, 74.0, 76.0, 89.0, 91.0, 99.0, 101.0, 119.0, 121.0,
         180.0, 299.0, 301.0, 349.0, 351.0, 599.0, 601.0, 1800.0, 3599.0, 3601.0];
    /// Seconds: 0.25 ms … 60 s.
    RttBounds / RttHistogram =
        [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
    /// Seconds: 10 µs (a refusal) … 10 s (the header time-out).
    HandshakeBounds / HandshakeHistogram =
        [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
    /// Seconds: 50 µs (a few receivers) … 10 s.
    FanOutBounds / FanOutHistogram =
        [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    /// Seconds: 50 µs … 60 s (a receiver that hardly reads).
    LagBounds / LagHistogram =
        [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
    /// Seconds that a tick came late: 1 ms (a timer's own grain) … 60 s.
    TickBounds / TickHistogram =
        [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
    /// Payload ÷ compressed bytes; below 1 it grew.
    RatioBounds / RatioHistogram =
        [0.5, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0];
}

/// A struct whose fields all merge: a new field cannot be forgotten at scrape.
macro_rules! merged {
    ($($(#[$attribute:meta])* struct $name:ident { $($(#[doc = $doc:literal])* $field:ident: $type:ty,)+ })+) => {$(
        $(#[$attribute])*
        pub(crate) struct $name { $($(#[doc = $doc])* pub(crate) $field: $type,)+ }

        impl Merge for $name {
            fn merge(&self, from: &Self) {
                $(self.$field.merge(&from.$field);)+
            }
        }
    )+};
}

/// How many opcodes and causes there are.
const OPCODES: usize = Opcode::ALL.len();
pub(crate) const CAUSES: usize = Cause::ALL.len();

// Opcodes index the counts below: their discriminants must be their places in the list, not the
// values of RFC 6455 §5.2.
const _: () = {
    let mut place = 0;
    while place < OPCODES {
        assert!(Opcode::ALL[place] as usize == place);
        place += 1;
    }
};

merged! {
    /// Aligned to a pair of cache lines, because x86 fetches lines in pairs: two threads' blocks
    /// never share one. What each message touches comes first.
    #[derive(Debug)]
    #[repr(align(128))]
    struct Block {
        /// Frames as they cross, by direction.
        wire_bytes: [Count; Direction::COUNT],
        message_size: [SizeHistogram; Direction::COUNT],
        compression_ratio: [RatioHistogram; Direction::COUNT],
        pings_sent: Count,
        pongs_received: [Count; PongKind::COUNT],
        deliveries: Count,
        /// Not delivered: no room in the receiver's queue.
        dropped_queue_overflow: Count,
        /// Not delivered: the receiver's connection was closing.
        dropped_closing: Count,
        publications: [Count; Source::COUNT],
        fanout_duration: FanOutHistogram,
        delivery_lag: LagHistogram,
        tick_lag: TickHistogram,
        accept_failures: [Count; AcceptFailure::COUNT],
        http_failures: [Count; HttpFailure::COUNT],
        endpoints: Box<[EndpointBlock]>,
        /// What belongs to no endpoint.
        unknown: EndpointBlock,
        lifecycle: Together<Lifecycle>,
    }

    #[derive(Debug, Default)]
    #[repr(align(128))]
    struct EndpointBlock {
        messages: [[Count; OPCODES]; Direction::COUNT],
        ping_rtt: RttHistogram,
    }

    /// Openings, refusals and ends. Each changes several of these cells, and the sums that people
    /// draw must hold on every page: accepted = opened, opened − disconnects = connections, and
    /// every handshake and every end is in its histograms.
    #[derive(Debug)]
    struct Lifecycle {
        handshake_duration: HandshakeHistogram,
        /// Publications that were queued when their receiver's connection ended.
        unsent: Count,
        endpoints: Box<[EndpointLifecycle]>,
        /// What belongs to no endpoint.
        unknown: EndpointLifecycle,
    }

    #[derive(Debug, Default)]
    struct EndpointLifecycle {
        connections_opened: Count,
        handshakes: [Count; Outcome::COUNT],
        disconnects: [[Count; CloseLabel::COUNT]; CAUSES],
        connection_duration: LifetimeHistogram,
        /// By `abnormal`: false, true.
        idle_at_close: [IdleHistogram; 2],
    }
}

impl Block {
    /// All zero, for so many endpoints.
    pub(crate) fn new(endpoints: usize) -> Self {
        Self {
            wire_bytes: Default::default(),
            message_size: Default::default(),
            compression_ratio: Default::default(),
            pings_sent: Count::default(),
            pongs_received: Default::default(),
            deliveries: Count::default(),
            dropped_queue_overflow: Count::default(),
            dropped_closing: Count::default(),
            publications: Default::default(),
            fanout_duration: FanOutHistogram::default(),
            delivery_lag: LagHistogram::default(),
            tick_lag: TickHistogram::default(),
            accept_failures: Default::default(),
            http_failures: Default::default(),
            endpoints: (0..endpoints).map(|_| EndpointBlock::default()).collect(),
            unknown: EndpointBlock::default(),
            lifecycle: Together::new(Lifecycle {
                handshake_duration: HandshakeHistogram::default(),
                unsent: Count::default(),
                endpoints: (0..endpoints).map(|_| EndpointLifecycle::default()).collect(),
                unknown: EndpointLifecycle::default(),
            }),
        }
    }

    /// The cells of an endpoint, or of all that is none.
    #[inline]
    pub(crate) fn endpoint(&self, endpoint: EndpointIndex) -> &EndpointBlock {
        self.endpoints.get(usize::from(endpoint.0)).unwrap_or(&self.unknown)
    }
}

impl Lifecycle {
    /// The cells of an endpoint, or of all that is none.
    pub(crate) fn endpoint(&self, endpoint: EndpointIndex) -> &EndpointLifecycle {
        self.endpoints.get(usize::from(endpoint.0)).unwrap_or(&self.unknown)
    }
}

impl EndpointLifecycle {
    /// Connections that have ended, by whatever cause and code.
    pub(crate) fn ended(&self) -> u64 {
        self.disconnects.iter().flatten().map(Count::get).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<B: Bounds>() {
        assert!(B::UPPER.windows(2).all(|pair| pair[0] < pair[1]), "rising: {:?}", B::UPPER);
    }

    #[test]
    fn bounds_rise() {
        check::<LifetimeBounds>();
        check::<IdleBounds>();
        check::<RttBounds>();
        check::<HandshakeBounds>();
        check::<FanOutBounds>();
        check::<LagBounds>();
        check::<TickBounds>();
        check::<RatioBounds>();
    }
}
