//! What is counted adds up, whoever counted it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use super::*;
use crate::telemetry::labels::{Method, PongKind, Route, TaskKind};

#[test]
fn messages_add_up() {
    let telemetry = telemetry();
    let recorder = telemetry.recorder();
    message(&recorder, 128, 136, None);
    message(&recorder, 1000, 258, Some(250));
    let bytes = MessageBytes { payload: 16, wire: 18, compressed: None };
    recorder.message(IM, Direction::Out, Opcode::Binary, bytes, 3);
    recorder.message(IM, Direction::Out, Opcode::Ping, bytes, 1);

    let all = series(&telemetry);
    let check = |key: &str, expected: f64| assert_eq!(all.get(key), Some(&expected), "{key}");
    check(r#"gaugeway_messages_total{endpoint="/ws",direction="in",opcode="text"}"#, 2.0);
    check(r#"gaugeway_messages_total{endpoint="/im",direction="out",opcode="binary"}"#, 3.0);
    check(r#"gaugeway_messages_total{endpoint="/im",direction="out",opcode="ping"}"#, 1.0);
    check(r#"gaugeway_message_size_bytes_bucket{direction="in",le="64"}"#, 0.0);
    check(r#"gaugeway_message_size_bytes_bucket{direction="in",le="128"}"#, 1.0);
    check(r#"gaugeway_message_size_bytes_bucket{direction="in",le="1024"}"#, 2.0);
    check(r#"gaugeway_message_size_bytes_sum{direction="in"}"#, 1128.0);
    check(r#"gaugeway_message_size_bytes_count{direction="in"}"#, 2.0);
    check(r#"gaugeway_message_size_bytes_count{direction="out"}"#, 3.0);
    check(r#"gaugeway_payload_bytes_total{direction="in"}"#, 1128.0);
    check(r#"gaugeway_payload_bytes_total{direction="out"}"#, 48.0);
    check(r#"gaugeway_wire_bytes_total{direction="in"}"#, 394.0);
    check(r#"gaugeway_wire_bytes_total{direction="out"}"#, 72.0);
    check(r#"gaugeway_messages_compressed_total{direction="in"}"#, 1.0);
    check(r#"gaugeway_compression_ratio_sum{direction="in"}"#, 4.0);
    check(r#"gaugeway_compression_ratio_bucket{direction="in",le="3"}"#, 0.0);
    check(r#"gaugeway_compression_ratio_bucket{direction="in",le="4"}"#, 1.0);
}

#[test]
fn two_telemetries_share_nothing() {
    let (counting, quiet) = (telemetry(), telemetry());
    let recorder = counting.recorder();
    message(&recorder, 10, 16, None);
    recorder.ping_sent();
    counting.control_plane().panicked(TaskKind::Shard);
    check(&counting, r#"gaugeway_wire_bytes_total{direction="in"}"#, 16.0);
    check(&counting, r#"gaugeway_panics_total{task="shard"}"#, 1.0);
    check(&quiet, r#"gaugeway_wire_bytes_total{direction="in"}"#, 0.0);
    check(&quiet, "gaugeway_pings_sent_total", 0.0);
    check(&quiet, r#"gaugeway_panics_total{task="shard"}"#, 0.0);
}

#[test]
fn what_a_dead_thread_counted_stays() {
    let telemetry = telemetry();
    for _ in 0..3 {
        let recorder = telemetry.recorder();
        thread::spawn(move || {
            recorder.pong_received(PongKind::Late);
            recorder.tick_lag(Duration::from_millis(250));
            message(&recorder, 1, 7, None);
        })
        .join()
        .unwrap();
    }
    check(&telemetry, "gaugeway_late_pongs_total", 3.0);
    check(&telemetry, r#"gaugeway_pongs_received_total{kind="late"}"#, 3.0);
    check(&telemetry, "gaugeway_tick_lag_seconds_sum", 0.75);
    check(&telemetry, r#"gaugeway_message_size_bytes_sum{direction="in"}"#, 3.0);
}

#[test]
fn gauges_are_summed_over_the_shards_and_the_maximum_is_the_maximum() {
    let telemetry = telemetry();
    let (one, two) = (ShardGauges::new(), ShardGauges::new());
    let shards = vec![Arc::clone(&one), Arc::clone(&two)];
    let gauges = || AllShardGauges::new(shards.clone());
    telemetry.register(gauges()).unwrap();
    assert!(
        telemetry.register(gauges()).is_err(),
        "a second source of the same families is refused"
    );
    one.connection_added();
    one.connection_added();
    one.connection_removed();
    assert_eq!([one.connections(), two.connections()], [1, 0]);
    one.set_backlog(1, 1000, 1000);
    two.set_backlog(2, 500, 300);
    check(&telemetry, "gaugeway_backlogged_connections", 3.0);
    check(&telemetry, "gaugeway_send_queue_bytes", 1500.0);
    check(&telemetry, "gaugeway_send_queue_max_bytes", 1000.0);
}

#[test]
fn scrapes_beside_writers_never_run_backwards_and_end_exact() {
    const WRITERS: u64 = 4;
    const RECORDERS_EACH: u64 = 20;
    const MESSAGES_EACH: u64 = 5_000;
    let telemetry = telemetry();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..RECORDERS_EACH {
                        let recorder = telemetry.recorder();
                        for _ in 0..MESSAGES_EACH {
                            message(&recorder, 100, 106, None);
                        }
                    }
                })
            })
            .collect();
        let scraper = scope.spawn(|| {
            let mut last = 0.0;
            while !done.load(Relaxed) {
                let wire = telemetry.blocks.total().wire_bytes[0].get() as f64;
                assert!(wire >= last, "{wire} after {last}");
                last = wire;
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Relaxed);
        scraper.join().unwrap();
    });
    let messages = (WRITERS * RECORDERS_EACH * MESSAGES_EACH) as f64;
    check(
        &telemetry,
        r#"gaugeway_messages_total{endpoint="/ws",direction="in",opcode="text"}"#,
        messages,
    );
    check(&telemetry, r#"gaugeway_wire_bytes_total{direction="in"}"#, messages * 106.0);
    check(&telemetry, r#"gaugeway_message_size_bytes_count{direction="in"}"#, messages);
}

#[test]
fn cpu_seconds_have_fractions() {
    let telemetry = telemetry();
    let cpu = series(&telemetry)["process_cpu_seconds_total"];
    assert!(cpu > 0.0 && cpu.fract() != 0.0, "{cpu}");
}

#[test]
fn upkeep_keeps_the_control_planes_counts() {
    let telemetry = telemetry();
    for _ in 0..1000 {
        let took = Duration::from_millis(2);
        telemetry.control_plane().http_request(Route::HealthLive, Method::Get, 200, took);
        telemetry.run_upkeep();
    }
    let key = r#"gaugeway_http_request_duration_seconds_bucket{route="/health/live",le="0.0025"}"#;
    check(&telemetry, key, 1000.0);
}
