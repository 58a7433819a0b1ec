//! The whole page, as Prometheus reads it.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::state::{Cause, CloseLabel};
use crate::telemetry::labels::{DropReason, Method, Outcome, ReloadOutcome, Route, Source};

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let telemetry = telemetry();
    let _logging = register_everything(&telemetry);
    let recorder = telemetry.recorder();
    message(&recorder, 100, 50, Some(44));
    telemetry.control_plane().http_request(
        Route::Metrics,
        Method::Get,
        200,
        Duration::from_millis(1),
    );
    let (_, page) = telemetry.render();
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("promtool is not installed: its check is left out");
        return;
    };
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).unwrap();
    drop(stdin);
    let answer = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&answer.stderr).into_owned()
        + &String::from_utf8_lossy(&answer.stdout);
    assert!(answer.status.success(), "{complaints}");
    assert_eq!(complaints, "");
}

#[test]
fn every_family_has_a_help_and_a_type_and_a_valid_name() {
    let telemetry = telemetry();
    let _logging = register_everything(&telemetry);
    let (_, page) = telemetry.render();
    let lists = [
        families::COUNTED,
        families::SHARD_GAUGES,
        families::USERS_GAUGE,
        families::CONSTANTS,
        families::PROCESS,
        families::TOKIO,
        families::LOG,
    ];
    let mut names = BTreeSet::new();
    for family in lists.into_iter().flatten() {
        let Family { name, help, kind, .. } = family;
        assert!(names.insert(*name), "{name} is there twice");
        assert!(help.ends_with('.'), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert!(page.contains(&format!("# HELP {name} {help}\n")), "{name}");
        let kind = format!("{kind:?}").to_lowercase();
        assert!(page.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
    }
    for name in control_plane::NAMES {
        assert!(names.insert(name), "{name} is in both halves of the page");
        assert_eq!(page.matches(&format!("# HELP {name} ")).count(), 1, "{name}");
    }
    let shown = page.matches("# TYPE ").count();
    assert_eq!(shown, names.len(), "no family comes from elsewhere");
}

#[test]
fn every_reachable_combination_is_there_from_the_start() {
    let telemetry = telemetry();
    let all = series(&telemetry);
    let zero = |key: String| assert_eq!(all.get(&key), Some(&0.0), "{key}");
    for endpoint in ["/ws", "/im"] {
        for cause in Cause::ALL {
            let (initiator, cause_label) = (cause.initiator().as_str(), cause.as_str());
            for code in CloseLabel::all().filter(|code| export::is_reachable(*cause, *code)) {
                zero(format!(
                    r#"gaugeway_disconnects_total{{endpoint="{endpoint}",initiator="{initiator}",cause="{cause_label}",code="{code}"}}"#
                ));
            }
        }
        for outcome in Outcome::ALL.iter().filter(|outcome| outcome.is_of_an_endpoint()) {
            let outcome = outcome.as_str();
            zero(format!(
                r#"gaugeway_handshakes_total{{endpoint="{endpoint}",outcome="{outcome}"}}"#
            ));
        }
        for direction in Direction::ALL {
            for opcode in Opcode::ALL {
                let (direction, opcode) = (direction.as_str(), opcode.as_str());
                zero(format!(
                    r#"gaugeway_messages_total{{endpoint="{endpoint}",direction="{direction}",opcode="{opcode}"}}"#
                ));
            }
        }
        for abnormal in ["false", "true"] {
            zero(format!(
                r#"gaugeway_idle_at_close_seconds_count{{endpoint="{endpoint}",abnormal="{abnormal}"}}"#
            ));
        }
    }
    for endpoint in ["/ws", "/im"] {
        zero(format!(r#"gaugeway_connections{{endpoint="{endpoint}"}}"#));
    }
    for source in Source::ALL {
        zero(format!(r#"gaugeway_publications_total{{source="{}"}}"#, source.as_str()));
    }
    for reason in DropReason::ALL {
        zero(format!(r#"gaugeway_deliveries_dropped_total{{reason="{}"}}"#, reason.as_str()));
    }
    for outcome in ReloadOutcome::ALL {
        zero(format!(r#"gaugeway_config_reloads_total{{outcome="{}"}}"#, outcome.as_str()));
    }
    for route in Route::ALL {
        let route = route.as_str();
        zero(format!(r#"gaugeway_http_request_duration_seconds_count{{route="{route}"}}"#));
    }
    for (route, method, status) in [
        ("/metrics", "GET", 200),
        ("/api/v1/publish", "POST", 422),
        ("/api/v1/connections", "GET", 400),
        ("/api/v1/connections/{id}", "GET", 404),
        ("/api/v1/connections/{id}", "DELETE", 404),
        ("/api/v1/users/{user}/connections", "DELETE", 200),
        ("/api/v1/stats", "GET", 401),
        ("/api/v1/openapi.json", "GET", 200),
    ] {
        zero(format!(
            r#"gaugeway_http_requests_total{{route="{route}",method="{method}",status="{status}"}}"#
        ));
    }
    for name in [
        "gaugeway_deliveries_total",
        "gaugeway_fanout_duration_seconds_count",
        "gaugeway_delivery_lag_seconds_count",
        "gaugeway_auth_api_denied_total",
        "gaugeway_bus_idempotent_replays_total",
        r#"gaugeway_handshakes_total{endpoint="unknown",outcome="not_found"}"#,
    ] {
        zero(name.to_owned());
    }
    assert!(!all.keys().any(|key| key.contains(r#"_opened_total{endpoint="unknown""#)));
    assert!(!all.keys().any(|key| key.contains(r#"cause="client_close",code="1006""#)));
}

#[test]
fn the_unreachable_is_shown_when_it_happens_all_the_same() {
    let telemetry = telemetry();
    let recorder = telemetry.recorder();
    let (second, code) = (Duration::from_secs(1), CloseLabel::of(1000));
    recorder.connection_opened(WS, second);
    let end = End {
        cause: Cause::PeerEof,
        code,
        abnormal: false,
        lifetime: second,
        idle: second,
        unsent_publications: 0,
    };
    recorder.connection_closed(WS, end);
    recorder.connection_opened(EndpointIndex::UNKNOWN, second);
    recorder.handshake_refused(EndpointIndex(7), Outcome::BadKey, second);
    check(
        &telemetry,
        r#"gaugeway_disconnects_total{endpoint="/ws",initiator="peer",cause="peer_eof",code="1000"}"#,
        1.0,
    );
    check(&telemetry, r#"gaugeway_connections_opened_total{endpoint="unknown"}"#, 1.0);
    check(&telemetry, r#"gaugeway_handshakes_total{endpoint="unknown",outcome="bad_key"}"#, 1.0);
}

#[test]
fn the_page_of_three_endpoints_stays_small() {
    // 150 kB; the rest is for the parts that register sources of their own.
    const BYTES_MAX: usize = 140_000;
    let endpoints = ["/ws-notifications", "/ws", "/im"];
    let telemetry = Telemetry::new(&TelemetryOptions {
        endpoints: endpoints.map(str::to_owned).to_vec(),
        ..TelemetryOptions::default()
    });
    let _logging = register_everything(&telemetry);
    let bytes = telemetry.render().1.len();
    eprintln!("{bytes} bytes");
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
}

#[test]
fn a_hostile_path_is_exported_safely() {
    let telemetry = Telemetry::new(&TelemetryOptions {
        endpoints: vec!["/a\"b\\c\nd} 1\n# TYPE x counter".to_owned()],
        ..TelemetryOptions::default()
    });
    let recorder = telemetry.recorder();
    recorder.connection_opened(WS, Duration::ZERO);
    check(
        &telemetry,
        r#"gaugeway_connections_opened_total{endpoint="/a\"b\\c\nd} 1\n# TYPE x counter"}"#,
        1.0,
    );
    let (_, page) = telemetry.render();
    assert!(!page.lines().any(|line| line.starts_with("# TYPE x")));
}
