//! The sums that people draw hold on every page, also while connections come and go.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use super::*;
use crate::state::{Cause, CloseLabel};
use crate::telemetry::labels::{DropReason, Outcome, Source};

/// Pages on which something had changed since the one before.
const PAGES: usize = 300;

fn end(unsent_publications: u64) -> End {
    End {
        cause: Cause::PeerEof,
        code: CloseLabel::of(1006),
        abnormal: true,
        lifetime: Duration::from_secs(1),
        idle: Duration::from_millis(1),
        unsent_publications,
    }
}

/// Connections that come, stay a little and go, and refusals between them, on both endpoints, until
/// told; then all that are open go.
fn come_and_go(recorder: &Recorder, enough: &AtomicBool) {
    while !enough.load(Relaxed) {
        for endpoint in [WS, IM, WS] {
            recorder.connection_opened(endpoint, Duration::from_micros(40));
            recorder.handshake_refused(endpoint, Outcome::BadKey, Duration::from_micros(20));
        }
        for endpoint in [IM, WS, WS] {
            recorder.connection_closed(endpoint, end(1));
        }
    }
}

/// The sum of all series of this name with this label; they are counts.
fn sum(all: &BTreeMap<String, f64>, name: &str, label: &str) -> i64 {
    let wanted = all.iter().filter(|(key, _)| {
        key.strip_prefix(name).is_some_and(|labels| labels.starts_with('{') || labels.is_empty())
            && key.contains(label)
    });
    wanted.map(|(_, value)| *value as i64).sum()
}

/// Checks a page; how many connections it has seen opened.
fn check_sums(all: &BTreeMap<String, f64>) -> i64 {
    for endpoint in [r#"endpoint="/ws""#, r#"endpoint="/im""#] {
        let accepted = format!(r#"{endpoint},outcome="accepted""#);
        let accepted = sum(all, "gaugeway_handshakes_total", &accepted);
        let opened = sum(all, "gaugeway_connections_opened_total", endpoint);
        let ended = sum(all, "gaugeway_disconnects_total", endpoint);
        let open = sum(all, "gaugeway_connections", endpoint);
        assert_eq!(accepted, opened, "accepted = opened, {endpoint}");
        assert_eq!(opened - ended, open, "opened - ended = open, {endpoint}");
        assert!((0..=4).contains(&open), "at most two of each writer are open: {open}");
        for histogram in ["gaugeway_connection_duration_seconds", "gaugeway_idle_at_close_seconds"]
        {
            let count = sum(all, &format!("{histogram}_count"), endpoint);
            assert_eq!(count, ended, "{histogram}, {endpoint}");
        }
    }
    let handshakes = sum(all, "gaugeway_handshakes_total", "");
    let durations = sum(all, "gaugeway_handshake_duration_seconds_count", "");
    assert_eq!(durations, handshakes, "each handshake has a duration");
    let unsent = sum(all, "gaugeway_deliveries_dropped_total", r#"reason="unsent""#);
    assert_eq!(unsent, sum(all, "gaugeway_disconnects_total", ""), "one of each end");
    sum(all, "gaugeway_connections_opened_total", "")
}

#[test]
fn every_page_adds_up_while_connections_come_and_go() {
    let telemetry = telemetry();
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            let recorder = telemetry.recorder();
            let enough = &enough;
            scope.spawn(move || come_and_go(&recorder, enough));
        }
        // Ends the writers when a page does not add up, too.
        let _end = SetOnDrop(&enough);
        let (mut pages, mut last) = (0, 0);
        while pages < PAGES {
            let opened = check_sums(&series(&telemetry));
            pages += usize::from(opened > last);
            last = opened;
        }
    });
    check_sums(&series(&telemetry));
    for endpoint in ["/ws", "/im"] {
        check(&telemetry, &format!(r#"gaugeway_connections{{endpoint="{endpoint}"}}"#), 0.0);
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn a_thread_that_has_ended_leaves_its_open_connections_in_the_sum() {
    let telemetry = telemetry();
    let recorder = telemetry.recorder();
    recorder.connection_opened(WS, Duration::ZERO);
    recorder.connection_opened(WS, Duration::ZERO);
    recorder.connection_closed(WS, end(0));
    drop(recorder);
    check(&telemetry, r#"gaugeway_connections{endpoint="/ws"}"#, 1.0);
    // Another thread may count the end: the sum is over all of them.
    telemetry.recorder().connection_closed(WS, end(0));
    check(&telemetry, r#"gaugeway_connections{endpoint="/ws"}"#, 0.0);
}

#[test]
fn publications_and_their_deliveries_add_up() {
    let telemetry = telemetry();
    let (one, two) = (telemetry.recorder(), telemetry.recorder());
    // Two publications with 300 and 200 receivers, of whom 5 were full and 3 closing.
    one.publication_sequenced(Source::Api);
    one.publication_sequenced(Source::Client);
    one.publication_delivered(295);
    two.publication_delivered(197);
    one.deliveries_dropped(DropReason::QueueOverflow, 5);
    two.deliveries_dropped(DropReason::Closing, 3);
    two.connection_opened(WS, Duration::ZERO);
    two.connection_closed(WS, end(7));
    one.fan_out_finished(Duration::from_micros(300));
    two.delivery_sampled(Duration::from_micros(70), 12);
    two.delivery_sampled(Duration::from_secs(90), 1);

    let all = series(&telemetry);
    let check = |key: &str, expected: f64| assert_eq!(all.get(key), Some(&expected), "{key}");
    check(r#"gaugeway_publications_total{source="api"}"#, 1.0);
    check(r#"gaugeway_publications_total{source="client"}"#, 1.0);
    check("gaugeway_deliveries_total", 492.0);
    check(r#"gaugeway_deliveries_dropped_total{reason="queue_overflow"}"#, 5.0);
    check(r#"gaugeway_deliveries_dropped_total{reason="closing"}"#, 3.0);
    check(r#"gaugeway_deliveries_dropped_total{reason="unsent"}"#, 7.0);
    check(r#"gaugeway_fanout_duration_seconds_bucket{le="0.00025"}"#, 0.0);
    check(r#"gaugeway_fanout_duration_seconds_bucket{le="0.0005"}"#, 1.0);
    check(r#"gaugeway_delivery_lag_seconds_bucket{le="0.00005"}"#, 0.0);
    check(r#"gaugeway_delivery_lag_seconds_bucket{le="0.0001"}"#, 12.0);
    check(r#"gaugeway_delivery_lag_seconds_bucket{le="60"}"#, 12.0);
    check("gaugeway_delivery_lag_seconds_count", 13.0);
}

#[test]
fn the_number_of_users_is_read_at_the_scrape() {
    let telemetry = telemetry();
    let users = Arc::<std::sync::atomic::AtomicU64>::default();
    telemetry.register(UsersGauge::new(Arc::clone(&users))).unwrap();
    check(&telemetry, "gaugeway_users", 0.0);
    users.store(7, Relaxed);
    check(&telemetry, "gaugeway_users", 7.0);
}
