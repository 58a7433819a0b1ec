//! From the threads' blocks to Prometheus: which combinations of labels exist, and their values.

use std::sync::Arc;

use crate::state::{Cause, CloseLabel, Initiator};
use crate::telemetry::block::{Block, EndpointBlock, EndpointLifecycle, Lifecycle};
use crate::telemetry::cells::{Distribution, SizeHistogram};
use crate::telemetry::families::{self, Family};
use crate::telemetry::labels::{
    AcceptFailure, Direction, DropReason, HttpFailure, Outcome, PongKind, Source, UNKNOWN_ENDPOINT,
};
use crate::telemetry::recorder::Blocks;
use crate::telemetry::scrape::{Scrape, ScrapeSource};
use crate::wire::Opcode;

/// The counts of all threads, added up.
pub(crate) struct Counted(pub(crate) Arc<Blocks>);

impl ScrapeSource for Counted {
    fn families(&self) -> &'static [&'static Family] {
        families::COUNTED
    }

    fn scrape(&self, scrape: &mut Scrape) {
        let total = self.0.total();
        // The total is this thread's own: nobody waits for its lock.
        let lifecycle = total.lifecycle.lock();
        whole_gateway(scrape, &total);
        scrape.histogram(&families::HANDSHAKE_DURATION, &[], &lifecycle.handshake_duration);
        publications(scrape, &total, &lifecycle);
        for direction in Direction::ALL {
            messages_towards(scrape, *direction, &total);
        }
        let cells = total.endpoints.iter().zip(&lifecycle.endpoints);
        for (name, (messages, life)) in self.0.endpoints.iter().zip(cells) {
            endpoint(scrape, name, messages, life, Served::Endpoint);
        }
        let (messages, life) = (&total.unknown, &lifecycle.unknown);
        endpoint(scrape, UNKNOWN_ENDPOINT, messages, life, Served::Refusals);
    }
}

fn whole_gateway(scrape: &mut Scrape, total: &Block) {
    scrape.histogram(&families::TICK_LAG, &[], &total.tick_lag);
    scrape.value(&families::PINGS_SENT, &[], total.pings_sent.get() as f64);
    for kind in PongKind::ALL {
        let pongs = total.pongs_received[*kind as usize].get() as f64;
        scrape.value(&families::PONGS_RECEIVED, &[kind.as_str()], pongs);
        if *kind == PongKind::Late {
            scrape.value(&families::LATE_PONGS, &[], pongs);
        }
    }
    for reason in AcceptFailure::ALL {
        let failures = total.accept_failures[*reason as usize].get() as f64;
        scrape.value(&families::ACCEPT_FAILURES, &[reason.as_str()], failures);
    }
    for reason in HttpFailure::ALL {
        let failures = total.http_failures[*reason as usize].get() as f64;
        scrape.value(&families::HTTP_CONNECTION_ERRORS, &[reason.as_str()], failures);
    }
}

fn publications(scrape: &mut Scrape, total: &Block, lifecycle: &Lifecycle) {
    for source in Source::ALL {
        let count = total.publications[*source as usize].get() as f64;
        scrape.value(&families::PUBLICATIONS, &[source.as_str()], count);
    }
    scrape.value(&families::DELIVERIES, &[], total.deliveries.get() as f64);
    for reason in DropReason::ALL {
        let dropped = match reason {
            DropReason::QueueOverflow => &total.dropped_queue_overflow,
            DropReason::Closing => &total.dropped_closing,
            DropReason::Unsent => &lifecycle.unsent,
        };
        let labels = &[reason.as_str()];
        scrape.value(&families::DELIVERIES_DROPPED, labels, dropped.get() as f64);
    }
    scrape.histogram(&families::FANOUT_DURATION, &[], &total.fanout_duration);
    scrape.histogram(&families::DELIVERY_LAG, &[], &total.delivery_lag);
}

fn messages_towards(scrape: &mut Scrape, direction: Direction, total: &Block) {
    let labels = &[direction.as_str()];
    let sizes: &SizeHistogram = &total.message_size[direction as usize];
    let ratios = &total.compression_ratio[direction as usize];
    let wire_bytes = total.wire_bytes[direction as usize].get() as f64;
    scrape.histogram(&families::MESSAGE_SIZE, labels, sizes);
    scrape.value(&families::PAYLOAD_BYTES, labels, sizes.bytes() as f64);
    scrape.value(&families::WIRE_BYTES, labels, wire_bytes);
    scrape.histogram(&families::COMPRESSION_RATIO, labels, ratios);
    let compressed = ratios.counts().iter().sum::<u64>() as f64;
    scrape.value(&families::MESSAGES_COMPRESSED, labels, compressed);
}

/// What a value of the label `endpoint` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    /// A configured endpoint: everything can happen.
    Endpoint,
    /// None: only refusals can. The rest shows up if a defect makes it happen.
    Refusals,
}

fn endpoint(
    scrape: &mut Scrape,
    name: &str,
    messages: &EndpointBlock,
    life: &EndpointLifecycle,
    served: Served,
) {
    for outcome in Outcome::ALL {
        let reachable = match served {
            Served::Endpoint => outcome.is_of_an_endpoint(),
            Served::Refusals => outcome.is_of_no_endpoint(),
        };
        let count = life.handshakes[*outcome as usize].get();
        if reachable || count > 0 {
            let labels = &[name, outcome.as_str()];
            scrape.value(&families::HANDSHAKES, labels, count as f64);
        }
    }
    let (opened, ended) = (life.connections_opened.get(), life.ended());
    if served == Served::Refusals && opened == 0 && ended == 0 {
        return;
    }
    scrape.value(&families::CONNECTIONS_OPENED, &[name], opened as f64);
    // Below zero only by a defect, which must show.
    scrape.value(&families::CONNECTIONS, &[name], opened as f64 - ended as f64);
    for direction in Direction::ALL {
        for opcode in Opcode::ALL {
            let count = messages.messages[*direction as usize][*opcode as usize].get();
            let labels = &[name, direction.as_str(), opcode.as_str()];
            scrape.value(&families::MESSAGES, labels, count as f64);
        }
    }
    scrape.histogram(&families::PING_RTT, &[name], &messages.ping_rtt);
    ends(scrape, name, life);
}

fn ends(scrape: &mut Scrape, name: &str, counts: &EndpointLifecycle) {
    scrape.histogram(&families::CONNECTION_DURATION, &[name], &counts.connection_duration);
    for (abnormal, idle) in ["false", "true"].iter().zip(&counts.idle_at_close) {
        scrape.histogram(&families::IDLE_AT_CLOSE, &[name, abnormal], idle);
    }
    for cause in Cause::ALL {
        for code in CloseLabel::all() {
            let count = counts.disconnects[*cause as usize][code.index()].get();
            if is_reachable(*cause, code) || count > 0 {
                let initiator = cause.initiator().as_str();
                let labels = &[name, initiator, cause.as_str(), code.as_str()];
                scrape.value(&families::DISCONNECTS, labels, count as f64);
            }
        }
    }
}

/// Whether a connection can end by `cause` with `code`, the first Close code received, or sent and
/// answered, else 1006.
pub(crate) fn is_reachable(cause: Cause, code: CloseLabel) -> bool {
    let no_close = code == CloseLabel::of(1006);
    match cause.initiator() {
        // A Close frame came: with any valid code, or with none (1005).
        Initiator::Client => !no_close,
        // No Close frame came.
        Initiator::Peer => no_close,
        // Ours was answered, or not.
        Initiator::Gateway => no_close || code == CloseLabel::of(cause.close_code()),
    }
}
