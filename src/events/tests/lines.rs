//! What is logged is one safe line.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::config::LogFormat;
use crate::telemetry::labels::TaskKind;
use crate::telemetry::tests::telemetry;
use crate::telemetry::{Recorder, Telemetry, logging};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, emit: impl FnOnce(&Telemetry, &Recorder)) -> String {
    let out = Memory::default();
    let (subscriber, logging) = logging::subscriber("debug", format, out.clone()).unwrap();
    let telemetry = telemetry();
    tracing::subscriber::with_default(subscriber, || emit(&telemetry, &telemetry.recorder()));
    // Dropping it writes out what is queued.
    drop(logging);
    let bytes = out.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn an_end_is_one_json_line_with_flat_fields() {
    let error = io::Error::from_raw_os_error(104);
    let line = logged(LogFormat::Json, |_, recorder| {
        ConnectionClosed {
            socket_error: Some(SocketError { operation: "read", error: &error }),
            tcp: Some(TcpFacts {
                rtt: Duration::from_micros(50),
                unacknowledged: 1,
                retransmits: 2,
                last_ack_received: SECOND,
            }),
            traffic: Traffic { unsent_publications: 3, ..Traffic::default() },
            ..closed(Cause::PeerReset, 1006)
        }
        .emit(recorder);
    });
    assert_eq!(line.lines().count(), 1, "{line}");
    let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
    let check = |name: &str, expected: serde_json::Value| {
        assert_eq!(fields[name], expected, "{name} in {line}");
    };
    check("message", "connection closed".into());
    check("level", "INFO".into());
    check("connection_id", Uuid::from_u128(7).to_string().into());
    check("endpoint", "/ws".into());
    check("remote", "192.0.2.1".into());
    check("cause", "peer_reset".into());
    check("code", "1006".into());
    check("abnormal", true.into());
    check("idle_seconds", 1.0.into());
    check("nginx_pid", 42.into());
    check("tcp_retransmits", 2.into());
    check("unsent_publications", 3.into());
    check("received_code", serde_json::Value::Null);
    assert!(fields["socket_error"].as_str().unwrap().contains("reset"));
    let time = fields["timestamp"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-01-01T00:00:00.000000Z".len());
}

#[test]
fn what_a_client_chose_cannot_forge_a_line_or_reach_the_terminal() {
    let hostile = "a\nb\r\x1b[2J\u{9b}31m\u{7f}\u{202e}\"} {\"level\":\"ERROR\"}".repeat(100);
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let line = logged(format, |_, recorder| {
            let connection = ConnectionFacts {
                user: Some(&hostile),
                request_id: Some(&hostile),
                ..connection()
            };
            ConnectionClosed {
                connection,
                received_reason: Some(&hostile),
                detail: Some(&hostile),
                ..closed(Cause::ClientClose, 4000)
            }
            .emit(recorder);
        });
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let text = line.trim_end_matches('\n');
        assert!(!text.chars().any(char::is_control), "{line:?}");
        assert!(!text.contains('\u{202e}'), "{line:?}");
        assert!(line.len() < 8 * 1024, "{} bytes", line.len());
        if format == LogFormat::Json {
            let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert!(fields["user"].as_str().unwrap().starts_with("a\nb\r\x1b[2J"));
        }
    }
}

#[test]
fn what_operators_do_is_logged_with_its_facts() {
    let of = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let lines = logged(LogFormat::Json, |telemetry, _| {
        let (applied, needs_restart) = (of(&["telemetry.log", "api.keys"]), of(&["server.listen"]));
        ConfigReloaded { applied: &applied, needs_restart: &[] }.emit(telemetry);
        ConfigReloaded { applied: &applied, needs_restart: &needs_restart }.emit(telemetry);
        ConfigReloaded { applied: &[], needs_restart: &[] }.emit(telemetry);
        ConfigReloadFailed { why: "limits.write_wait: not a duration" }.emit(telemetry);
        ApiRequestDenied { why: "unknown key", peer: REMOTE, unlogged: Some(0) }.emit(telemetry);
        ApiRequestDenied { why: "no line for it", peer: REMOTE, unlogged: None }.emit(telemetry);
        PublishReplayed.emit(telemetry);
        ConnectionsKicked { by: "backend", user: Some("ann"), count: 2, code: 4000 }.emit();
        GatewayDraining { why: "SIGTERM", connections: 3, over: SECOND }.emit();
    });
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [
        json!({ "level": "INFO", "message": "configuration reloaded", "outcome": "applied",
            "applied": "telemetry.log, api.keys", "needs_restart": "" }),
        json!({ "level": "WARN", "message": "configuration reloaded", "outcome": "partial",
            "applied": "telemetry.log, api.keys", "needs_restart": "server.listen" }),
        json!({ "level": "INFO", "message": "configuration reloaded", "outcome": "unchanged",
            "applied": "", "needs_restart": "" }),
        json!({ "level": "ERROR", "message": "configuration not reloaded", "outcome": "failed",
            "why": "limits.write_wait: not a duration" }),
        json!({ "level": "WARN", "message": "API request denied", "why": "unknown key",
            "peer": "192.0.2.1" }),
        json!({ "level": "INFO", "message": "connections kicked", "by": "backend", "user": "ann",
            "count": 2, "code": 4000 }),
        json!({ "level": "INFO", "message": "draining", "why": "SIGTERM", "connections": 3,
            "over_seconds": 1.0 }),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, expected) in lines.iter().zip(&expected) {
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&line[name], value, "{name} in {line}");
        }
    }
}

#[test]
fn every_other_event_logs_what_it_says() {
    let lines = logged(LogFormat::Json, |telemetry, recorder| {
        opened().emit(recorder);
        refused(Outcome::OriginRefused).emit(recorder);
        TickLagged { shard: 1, lag: SECOND }.emit(recorder);
        GatewayStarted {
            public: ([127, 0, 0, 1], 8080).into(),
            admin: ([127, 0, 0, 1], 8081).into(),
            auth: "none",
            bus: "memory",
            version: "0.1.0",
            shards: 2,
            max_connections: 900,
        }
        .emit();
        ConfigWarned { field: "heartbeat.pong_wait", why: "short" }.emit();
        GatewayStopping { why: "SIGTERM", connections: 3 }.emit();
        GatewayStopped { duration: SECOND, connections_left: 0, opened: 1, ended: 1 }.emit();
        let (task, message) = (TaskKind::Connection, "index out of bounds");
        TaskPanicked { task, message }.emit(telemetry);
        PingSent.emit(recorder);
    });
    let messages: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["message"].clone())
        .collect();
    let expected = [
        "connection opened",
        "handshake refused",
        "the gateway stalled",
        "listening",
        "configuration",
        "stopping",
        "stopped",
        "panicked",
    ];
    assert_eq!(messages, expected);
    assert!(!lines.contains("unsent_publications"), "only when there are some: {lines}");
    assert!(lines.contains(r#""public":"127.0.0.1:8080","admin":"127.0.0.1:8081""#), "{lines}");
}
