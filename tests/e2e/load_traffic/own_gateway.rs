//! Echo against the gateway, straight and through nginx: both count the same.

use super::super::support::{Gateway, Metrics, Route, Settings, Site};
use super::{ECHO, load};

const CONNECTIONS: u64 = 20;

/// A rate of 400/s for a second by 20 connections, and who counted what of it.
#[track_caller]
fn check_echo(gateway: &Gateway, url: &str, flags: &str) -> Metrics {
    let flags = format!("-n {CONNECTIONS} --echo --rate 400 --duration 1s {flags}");
    let report = load(url, &flags).undisturbed(CONNECTIONS);
    let messages = &report.messages;
    assert_eq!((messages.sent, messages.received), (400, 400), "{flags}: {report:?}");
    assert_eq!(report.latency.count(), 400, "each has its latency");
    assert_eq!(report.closes.get(&1000), Some(&CONNECTIONS), "{report:?}");

    let metrics = gateway.wait_for_connections(0);
    assert_eq!(metrics.sum("connections_opened_total", &[]), CONNECTIONS as f64);
    let closed = [("cause", "client_close"), ("code", "1000")];
    assert_eq!(metrics.sum("disconnects_total", &closed), CONNECTIONS as f64);
    let opcode = if flags.contains("--binary") { "binary" } else { "text" };
    for (direction, count, bytes) in [
        ("in", messages.sent, messages.sent_bytes),
        ("out", messages.received, messages.received_bytes),
    ] {
        let data = [("direction", direction), ("opcode", opcode)];
        assert_eq!(metrics.sum("messages_total", &data), count as f64, "{flags}: {direction}");
        let counted = metrics.sum("message_size_bytes_sum", &[("direction", direction)]);
        assert_eq!(counted, bytes as f64, "{flags}: {direction}");
    }
    // What the gateway sent beside: an answer to each Close, of 2 bytes and its header.
    let wire_bytes = metrics.sum("wire_bytes_total", &[("direction", "out")]);
    assert_eq!(wire_bytes - 4.0 * CONNECTIONS as f64, messages.received_wire_bytes as f64);
    metrics
}

#[test]
fn an_echo_at_a_rate_is_counted_alike_on_both_sides() {
    for flags in ["", "--processes 3", "--size 0..300 --binary", "--ramp 300ms"] {
        let gateway = Gateway::start();
        let url = format!("ws://{}{ECHO}", gateway.public);
        let metrics = check_echo(&gateway, &url, flags);
        assert_eq!(metrics.sum("messages_compressed_total", &[]), 0.0);
    }
}

#[test]
fn through_nginx_with_tls_and_compression_the_counts_stay_the_same() {
    let site = Site::start(Settings::new());
    let url = site.url(Route::Tls, ECHO);
    let metrics = check_echo(&site.gateway, &url, "-k --compression --size 600 --processes 2");
    for direction in ["in", "out"] {
        let compressed = metrics.sum("messages_compressed_total", &[("direction", direction)]);
        assert_eq!(compressed, 400.0, "{direction}");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_an_error_of_its_own() {
    let site = Site::start(Settings::new());
    let refused = load(&site.url(Route::Tls, ECHO), "-n 3 --hold --duration 100ms");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let reasons: Vec<_> = refused.report.errors.keys().collect();
    assert!(reasons.len() == 1 && reasons[0].starts_with("tls: "), "{reasons:?}");
    assert_eq!(refused.report.connections.opened, 0);
}

#[test]
fn a_closed_loop_sends_as_much_as_it_gets_back() {
    let gateway = Gateway::start();
    let url = format!("ws://{}{ECHO}", gateway.public);
    let flags = "-n 5 --echo --in-flight 2 --duration 500ms";
    let report = load(&url, flags).undisturbed(5);
    assert!(report.messages.sent >= 10, "{report:?}");
    assert_eq!(report.messages.sent, report.messages.received, "{report:?}");
    let metrics = gateway.wait_for_connections(0);
    let counted = metrics.sum("messages_total", &[("direction", "in"), ("opcode", "text")]);
    assert_eq!(counted, report.messages.sent as f64);
}
