//! One event owns each counter.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::*;
use crate::telemetry::labels::{
    AcceptFailure, DropReason, HttpFailure, Method, Route, Source, TaskKind,
};
use crate::telemetry::tests::{series, telemetry};
use crate::telemetry::{Recorder, Telemetry};

type Emit = fn(&Telemetry, &Recorder);

/// Each event that counts, in every way in which it can.
const COUNTING: &[(&str, &[Emit])] = &[
    ("ConnectionOpened", &[|_, r| opened().emit(r)]),
    (
        "ConnectionClosed",
        &[
            |_, r| closed(Cause::PeerEof, 1006).emit(r),
            |_, r| {
                let traffic = Traffic { unsent_publications: 1, ..Traffic::default() };
                ConnectionClosed { traffic, ..closed(Cause::ClientClose, 1000) }.emit(r);
            },
        ],
    ),
    ("HandshakeRefused", &[|_, r| refused(Outcome::OriginRefused).emit(r)]),
    (
        "MessageReceived",
        &[
            |_, r| received(Opcode::Text, Some(5)).emit(r),
            |_, r| received(Opcode::Ping, None).emit(r),
        ],
    ),
    (
        "MessageSent",
        &[|_, r| sent(Opcode::Binary, Some(5)).emit(r), |_, r| sent(Opcode::Close, None).emit(r)],
    ),
    (
        "PublicationSequenced",
        &[
            |_, r| PublicationSequenced { source: Source::Client }.emit(r),
            |_, r| PublicationSequenced { source: Source::Api }.emit(r),
        ],
    ),
    ("PublicationDelivered", &[|_, r| PublicationDelivered { receivers: 3 }.emit(r)]),
    (
        "DeliveriesDropped",
        &[
            |_, r| DeliveriesDropped { reason: DropReason::QueueOverflow, count: 2 }.emit(r),
            |_, r| DeliveriesDropped { reason: DropReason::Closing, count: 2 }.emit(r),
        ],
    ),
    ("FanOutFinished", &[|_, r| FanOutFinished { duration: SECOND }.emit(r)]),
    ("DeliverySampled", &[|_, r| DeliverySampled { lag: SECOND, times: 2 }.emit(r)]),
    ("PingSent", &[|_, r| PingSent.emit(r)]),
    (
        "PongReceived",
        &[
            |_, r| pong(PongKind::Matched, Some(SECOND)).emit(r),
            |_, r| pong(PongKind::Late, Some(SECOND)).emit(r),
            |_, r| pong(PongKind::Unsolicited, None).emit(r),
        ],
    ),
    (
        "TickLagged",
        &[|_, r| {
            TickLagged { shard: 0, lag: Duration::ZERO }.emit(r);
        }],
    ),
    (
        "AcceptFailed",
        &[|_, r| {
            let error = &io::Error::other("made up");
            AcceptFailed { reason: AcceptFailure::of(error), error, pause: SECOND }.emit(r);
        }],
    ),
    (
        "HttpConnectionFailed",
        &[|_, r| {
            let (reason, why) = (HttpFailure::Io, "reset");
            HttpConnectionFailed { reason, why, peer: REMOTE }.emit(r);
        }],
    ),
    (
        "AdminRequestServed",
        &[|t, _| {
            let (route, method) = (Route::Metrics, Method::Get);
            AdminRequestServed { route, method, status: 200, duration: SECOND }.emit(t);
        }],
    ),
    (
        "TaskPanicked",
        &[|t, _| {
            TaskPanicked { task: TaskKind::Shard, message: "boom" }.emit(t);
        }],
    ),
    (
        "ConfigReloaded",
        &[|t, _| {
            ConfigReloaded { applied: &[], needs_restart: &[] }.emit(t);
        }],
    ),
    ("ConfigReloadFailed", &[|t, _| ConfigReloadFailed { why: "a typing error" }.emit(t)]),
    (
        "ApiRequestDenied",
        &[|t, _| ApiRequestDenied { why: "no key", peer: REMOTE, unlogged: Some(0) }.emit(t)],
    ),
    ("PublishReplayed", &[|t, _| PublishReplayed.emit(t)]),
];

/// What an event owns of a metric: all of it, or one direction, or one label's value: of the
/// handshakes what was accepted, of the reloads what failed, of the drops what was never sent.
fn share(series: &str) -> String {
    let family = series.split('{').next().unwrap_or_default();
    let suffixes = ["_bucket", "_sum", "_count"];
    let family = suffixes.iter().find_map(|suffix| family.strip_suffix(suffix)).unwrap_or(family);
    let parts = [
        "direction=\"in\"",
        "direction=\"out\"",
        "outcome=\"accepted\"",
        "outcome=\"failed\"",
        "reason=\"unsent\"",
    ];
    let part = parts.iter().find(|part| series.contains(*part));
    format!("{family} {}", part.unwrap_or(&""))
}

#[test]
fn each_metric_is_counted_by_one_event() {
    // With two owners: every handshake has a duration, accepted or not, and a gauge goes both ways.
    const SHARED: [&str; 2] = ["gaugeway_handshake_duration_seconds ", "gaugeway_connections "];
    let mut owners = BTreeMap::<String, BTreeSet<&str>>::new();
    for (event, ways) in COUNTING {
        for emit in *ways {
            let telemetry = telemetry();
            let recorder = telemetry.recorder();
            let before = series(&telemetry);
            emit(&telemetry, &recorder);
            let moved = series(&telemetry).into_iter().filter(|(key, value)| {
                !key.starts_with("process_") && before.get(key) != Some(value)
            });
            for (key, _) in moved {
                owners.entry(share(&key)).or_default().insert(event);
            }
        }
    }
    for (share, owners) in &owners {
        assert!(owners.len() == 1 || SHARED.contains(&share.as_str()), "{share}: {owners:?}");
    }
    // And none has no owner.
    let constants = ["process_", "gaugeway_build_info", "gaugeway_timeout_seconds"];
    for key in series(&telemetry()).into_keys() {
        let owned = owners.contains_key(&share(&key));
        assert!(
            owned || constants.iter().any(|constant| key.starts_with(constant)),
            "{key} is counted by no event"
        );
    }
}

#[test]
fn only_a_matched_pong_gives_an_rtt() {
    let telemetry = telemetry();
    let recorder = telemetry.recorder();
    pong(PongKind::Late, Some(SECOND)).emit(&recorder);
    pong(PongKind::Unsolicited, None).emit(&recorder);
    pong(PongKind::Matched, Some(SECOND)).emit(&recorder);
    let all = series(&telemetry);
    assert_eq!(all.get(r#"gaugeway_ping_rtt_seconds_count{endpoint="/ws"}"#), Some(&(1.0)));
}

#[test]
fn a_fan_out_counts_as_many_messages() {
    let telemetry = telemetry();
    let recorder = telemetry.recorder();
    sent(Opcode::Text, Some(5)).emit_times(&recorder, 256);
    let all = series(&telemetry);
    let key = r#"gaugeway_messages_total{endpoint="/ws",direction="out",opcode="text"}"#;
    assert_eq!(all.get(key), Some(&(256.0)));
    assert_eq!(all.get(r#"gaugeway_wire_bytes_total{direction="out"}"#), Some(&(256.0 * 12.0)));
    assert_eq!(all.get(r#"gaugeway_compression_ratio_sum{direction="out"}"#), Some(&(512.0)));
}
