//! `/metrics` as Prometheus reads it: all of it from the start, nothing new with traffic, nothing
//! that promtool would frown at, and the round trips of real clients.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::support::scrapes::check_sums;
use super::support::{Client, Gateway, Opening, Raw, Route, Settings, Site, part};

/// Every metric of the parts there are, without prefix `gaugeway_`.
const NAMES: &[&str] = &[
    "accept_failures_total",
    "auth_api_denied_total",
    "backlogged_connections",
    "build_info",
    "bus_idempotent_replays_total",
    "compression_ratio_count",
    "config_reloads_total",
    "connection_duration_seconds_count",
    "connections",
    "connections_opened_total",
    "deliveries_dropped_total",
    "deliveries_total",
    "delivery_lag_seconds_count",
    "disconnects_total",
    "fanout_duration_seconds_count",
    "handshake_duration_seconds_count",
    "handshakes_total",
    "http_connection_errors_total",
    "http_request_duration_seconds_count",
    "http_requests_total",
    "idle_at_close_seconds_count",
    "late_pongs_total",
    "log_lines_dropped_total",
    "message_size_bytes_count",
    "messages_compressed_total",
    "messages_total",
    "panics_total",
    "payload_bytes_total",
    "ping_rtt_seconds_count",
    "pings_sent_total",
    "pongs_received_total",
    "publications_total",
    "send_queue_bytes",
    "send_queue_max_bytes",
    "tick_lag_seconds_count",
    "timeout_seconds",
    "tokio_alive_tasks",
    "tokio_workers",
    "users",
    "wire_bytes_total",
];

/// Names with labels, without values.
fn series(gateway: &Gateway) -> BTreeSet<String> {
    let text = gateway.admin_get("/metrics").1;
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// A bit of everything: messages both ways, compressed and plain, refusals, and ends of many kinds.
fn traffic(gateway: &Gateway) {
    for path in ["/ws-notifications", "/ws", "/im?user_id=a"] {
        let mut clean = Opening::new(path).deflate().open(gateway.public);
        for opcode in [1, 2] {
            clean.send_frame(opcode, &[b'a'; 1000]);
            clean.read_frame().unwrap();
        }
        clean.send_frame(9, b"");
        clean.read_frame().unwrap();
        clean.send_close(4321);
        clean.read_close().unwrap();
        let mut wrong = Raw::open(gateway.public, path);
        wrong.send(b"\xff\xff");
        wrong.read_close().unwrap();
        wrong.send_close(1002);
        Raw::open(gateway.public, path).reset();
        drop(Raw::open(gateway.public, path));
    }
    for path in ["/im", "/nothing/here?x=\"{}\\"] {
        let mut refused = Raw::connect(gateway.public);
        refused.send(&Opening::new(path).bytes(gateway.public));
        assert!(refused.read_head().starts_with("HTTP/1.1 40"));
    }
    let mut unreadable = Raw::connect(gateway.public);
    unreadable.send(b"\x16\x03\x01 is no HTTP\r\n\r\n");
    unreadable.reads_fin();
    gateway.admin_get("/nothing");
    gateway.wait_for_metric("disconnects_total", &[], 12.0);
}

#[test]
fn every_metric_is_there_from_the_start_with_zero() {
    let gateway = Gateway::start();
    let metrics = gateway.metrics();
    for name in NAMES {
        // Panics if it is not there.
        metrics.sum(name, &[]);
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
        "process_threads",
    ] {
        assert!(metrics.sum(name, &[]) > 0.0, "{name}");
    }
    for name in [
        "auth_api_denied_total",
        "bus_idempotent_replays_total",
        "config_reloads_total",
        "connections",
        "connections_opened_total",
        "deliveries_dropped_total",
        "deliveries_total",
        "disconnects_total",
        "handshakes_total",
        "publications_total",
    ] {
        assert_eq!(metrics.nonzero(name), [""; 0], "{name}");
    }
    let timer = |timer| metrics.sum("timeout_seconds", &[("timer", timer)]);
    assert_eq!(
        [timer("ping_interval"), timer("pong_wait"), timer("write_wait")],
        [30.0, 60.0, 15.0]
    );
}

#[test]
fn traffic_makes_no_new_series() {
    let gateway = Gateway::start();
    let before = series(&gateway);
    traffic(&gateway);
    let new: Vec<_> = series(&gateway).difference(&before).cloned().collect();
    assert_eq!(
        new, [""; 0],
        "a rate over a series that was not there before misses its first count"
    );
    check_sums(&gateway.admin_get("/metrics").1);
}

#[test]
fn the_page_is_small_however_much_has_happened() {
    // As much as a scraper may be asked to take every few seconds.
    const BYTES_MAX: usize = 150_000;
    let gateway = Gateway::start();
    traffic(&gateway);
    let bytes = gateway.admin_get("/metrics").1.len();
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
}

#[test]
fn an_open_connection_is_counted_on_its_endpoint_alone() {
    let gateway = Gateway::start();
    let client = Raw::open(gateway.public, "/ws");
    let open = |endpoint| gateway.metrics().sum("connections", &[("endpoint", endpoint)]);
    gateway.wait_for_metric("connections", &[("endpoint", "/ws")], 1.0);
    assert_eq!([open("/ws-notifications"), open("/im")], [0.0, 0.0]);
    check_sums(&gateway.admin_get("/metrics").1);
    drop(client);
    gateway.wait_for_metric("connections", &[("endpoint", "/ws")], 0.0);
    check_sums(&gateway.admin_get("/metrics").1);
}

#[test]
#[should_panic(expected = "opened − ended = open on /a")]
fn a_page_that_adds_up_in_total_but_not_on_each_endpoint_is_noticed() {
    let each = |name: &str, a: u32, b: u32| {
        format!(
            "gaugeway_{name}{{endpoint=\"/a\",outcome=\"accepted\"}} {a}\ngaugeway_{name}{{endpoint=\"/b\",outcome=\"accepted\"}} {b}\n"
        )
    };
    let page = [
        each("handshakes_total", 1, 1),
        each("connections_opened_total", 1, 1),
        each("disconnects_total", 1, 0),
        each("connections", 1, 0),
        "gaugeway_handshake_duration_seconds_count 2\n".to_owned(),
    ];
    check_sums(&page.concat());
}

#[test]
fn promtool_finds_nothing_to_say() {
    let gateway = Gateway::start();
    traffic(&gateway);
    let mut promtool = Command::new(part("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = gateway.admin_get("/metrics").1;
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_round_trip_of_each_kind_of_client_is_seen() {
    for client in Client::ALL {
        let site = Site::start(Settings::new().set("heartbeat.ping_interval=50ms"));
        let mut scenario =
            site.scenario(Route::Tls, "/ws-notifications", &json!([{ "wait_stdin": true }]));
        scenario["insecure"] = (client == Client::Chromium).into();
        let mut child = client.command(&scenario).spawn().unwrap();
        let endpoint = [("endpoint", "/ws-notifications")];
        super::support::wait_for("three round trips", || {
            let metrics = site.gateway.metrics();
            (metrics.sum("ping_rtt_seconds_count", &endpoint) >= 3.0).then_some(())
        });
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        child.wait_with_output().unwrap();
        let line = site.gateway.closed_line();
        let metrics = site.gateway.metrics();
        let matched = metrics.sum("pongs_received_total", &[("kind", "matched")]);
        assert_eq!(metrics.sum("ping_rtt_seconds_count", &endpoint), matched, "{client:?}");
        assert_eq!(metrics.sum("pongs_received_total", &[]), matched, "{client:?}");
        assert!(metrics.sum("ping_rtt_seconds_sum", &endpoint) > 0.0, "{client:?}");
        assert_eq!(line["pongs_received"], matched, "{client:?}: {line}");
        assert!(line["last_rtt_seconds"].as_f64().unwrap() > 0.0, "{client:?}: {line}");
        assert_eq!(line["pings_sent"], metrics.sum("pings_sent_total", &[]), "{client:?}");
    }
}
