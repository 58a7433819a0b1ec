//! Connections that go and come back: each is counted once on either side.

use gaugeway::load::Report;

use super::super::support::{Gateway, Metrics};
use super::{ECHO, load};

const CONNECTIONS: u64 = 20;

#[track_caller]
fn check(flags: &str) -> (Report, Metrics) {
    let gateway = Gateway::start();
    let flags = format!("-n {CONNECTIONS} --duration 1s {flags}");
    let report = load(&format!("ws://{}{ECHO}", gateway.public), &flags).smooth();
    let metrics = gateway.wait_for_connections(0);
    let opened = metrics.sum("connections_opened_total", &[]);
    assert_eq!(report.connections.opened as f64, opened, "{flags}: {report:?}");
    assert!(report.connections.opened > CONNECTIONS, "nobody came back: {report:?}");
    assert!(report.connections.open_max <= CONNECTIONS, "{flags}: {report:?}");
    for (code, count) in &report.closes {
        let counted = metrics.sum("disconnects_total", &[("code", &code.to_string())]);
        assert_eq!(counted, *count as f64, "{flags}: {code}");
    }
    (report, metrics)
}

#[test]
fn a_storm_is_counted_connection_by_connection() {
    for spread in ["0s", "100ms"] {
        let flags = format!("--storm 300ms --storm-fraction 0.5 --storm-spread {spread}");
        let (report, _) = check(&flags);
        assert_eq!(report.closes.keys().collect::<Vec<_>>(), [&1000], "{report:?}");
    }
}

#[test]
fn an_abrupt_storm_leaves_without_a_close_frame() {
    let (report, metrics) = check("--storm 300ms --storm-fraction 0.25 --storm-abrupt");
    let abrupt = report.closes[&1006];
    assert_eq!(abrupt % (CONNECTIONS / 4), 0, "whole waves: {report:?}");
    assert_eq!(metrics.sum("disconnects_total", &[("cause", "peer_eof")]), abrupt as f64);
}

#[test]
fn short_lives_follow_each_other() {
    let (report, metrics) = check("--lifetime 50ms..150ms");
    let closed = [("cause", "client_close"), ("code", "1000")];
    assert_eq!(metrics.sum("disconnects_total", &closed), report.connections.opened as f64);
}
