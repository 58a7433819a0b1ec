//! Each misconduct ends as the gateway's cause says, as often as the gateway says, and disturbs
//! nobody else.

use std::collections::BTreeMap;

use gaugeway::load::{Misbehaved, Misconduct};

use super::super::support::{Gateway, Metrics, Route, Settings, Site};
use super::{BROADCAST, ECHO, load};

/// A gateway that does not wait long for those who answer no Close.
fn brisk() -> Settings {
    Settings::new().set("limits.close_wait=200ms").set("server.handshake_timeout=1s")
}

/// One that soon loses patience; clients that behave have a second for a pong.
fn impatient() -> Settings {
    brisk().set("heartbeat.ping_interval=200ms").set("heartbeat.pong_wait=1s")
}

fn settings_for(misconduct: Misconduct) -> Settings {
    match misconduct {
        Misconduct::NeverReads | Misconduct::NoPong => impatient(),
        Misconduct::Vanishes
        | Misconduct::Resets
        | Misconduct::SlowHandshake
        | Misconduct::Oversize
        | Misconduct::BadFrames => brisk(),
    }
}

const BEHAVING: u64 = 2;
const HOLD: &str = "--hold --duration 3s";
/// More than any buffer between the two holds, within a second.
const PUBLISH: &str = "--fan-out --rate 100 --size 60000 --duration 4s";

/// A metric of the gateway and its labels, and what the clients say that it counts.
type Counted = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

/// Lets clients misbehave beside two that do not, and compares what both sides say of them.
#[track_caller]
fn check(misconduct: Misconduct, clients: u32, gateway: &Gateway, url: &str, run: &Run) {
    let what = format!("{}={clients}", misconduct.as_str());
    let flags = format!("-n {BEHAVING} --misbehave {what} {}", run.flags);
    let report = load(url, &flags).undisturbed(BEHAVING);
    assert_eq!(report.closes, BTreeMap::from([(1000, BEHAVING)]), "{what}: {report:?}");
    let metrics = gateway.wait_for_connections(0);
    let misbehaved = &report.misbehaved[&misconduct];
    assert_eq!(report.misbehaved.len(), 1, "{report:?}");
    assert_eq!(misbehaved.ended.values().sum::<u64>(), misbehaved.tried, "{what}: {misbehaved:?}");
    compare(&what, misbehaved, &metrics, run.counted);
}

struct Run {
    flags: &'static str,
    counted: &'static [Counted],
}

#[track_caller]
fn compare(what: &str, misbehaved: &Misbehaved, metrics: &Metrics, counted: &[Counted]) {
    let named: Vec<_> = counted.iter().flat_map(|(_, _, reasons)| *reasons).collect();
    let unnamed =
        misbehaved.ended.keys().find(|how| *how != "stopped" && !named.contains(&&&***how));
    assert_eq!(unnamed, None, "{what}: {misbehaved:?}: {:?}", metrics.nonzero("disconnects_total"));
    let times = |how: &str| misbehaved.ended.get(how).copied().unwrap_or(0);
    for (metric, labels, reasons) in counted {
        let reported: u64 = reasons.iter().map(|how| times(how)).sum();
        assert!(reported > 0, "{what}: {reasons:?}: {misbehaved:?}");
        // Of one that the end of the run came upon, the gateway may have taken its leave already.
        let counted = metrics.sum(metric, labels) as u64;
        let possible = reported..=reported + times("stopped");
        assert!(possible.contains(&counted), "{what}: {labels:?} {counted}: {misbehaved:?}");
    }
}

const ENDS: &str = "disconnects_total";

#[test]
fn who_never_reads_ends_by_the_limit_that_is_passed_first() {
    let unlimited = "limits.send_queue_bytes=1000000000";
    let case = |settings: Settings, counted| {
        let gateway = settings.start();
        let url = format!("ws://{}{BROADCAST}", gateway.public);
        check(Misconduct::NeverReads, 3, &gateway, &url, &Run { flags: PUBLISH, counted });
    };
    let overflow = brisk().set(unlimited).set("limits.send_queue_messages=150");
    case(overflow, &[(ENDS, &[("cause", "queue_overflow")], &["reset"])]);
    let slow =
        brisk().set(unlimited).set("limits.send_queue_messages=100000").set("limits.write_wait=1s");
    case(slow, &[(ENDS, &[("cause", "write_timeout")], &["reset"])]);
}

/// How the gateway ends who does this, as both sides say it.
fn ends(misconduct: Misconduct) -> &'static [Counted] {
    match misconduct {
        Misconduct::NeverReads | Misconduct::NoPong => {
            &[(ENDS, &[("cause", "pong_timeout")], &["closed: 1011"])]
        }
        Misconduct::Vanishes => &[(ENDS, &[("cause", "peer_eof")], &["left"])],
        Misconduct::Resets => &[(ENDS, &[("cause", "peer_reset")], &["left"])],
        // A byte that comes after the end makes a reset of it.
        Misconduct::SlowHandshake => {
            &[("handshakes_total", &[("outcome", "header_timeout")], &["eof", "reset"])]
        }
        Misconduct::Oversize => &[(ENDS, &[("cause", "message_too_big")], &["closed: 1009"])],
        Misconduct::BadFrames => &[
            (ENDS, &[("cause", "protocol_error")], &["closed: 1002"]),
            (ENDS, &[("cause", "invalid_utf8")], &["closed: 1007"]),
        ],
    }
}

/// A gateway and a run for each, all at once: they mostly wait.
fn side_by_side(misconducts: &[Misconduct], check: impl Fn(Misconduct) + Sync) {
    std::thread::scope(|scope| {
        for misconduct in misconducts {
            scope.spawn(|| check(*misconduct));
        }
    });
}

#[test]
fn each_misconduct_ends_as_the_gateway_says() {
    side_by_side(&Misconduct::ALL, |misconduct| {
        let gateway = settings_for(misconduct).start();
        let url = format!("ws://{}{ECHO}", gateway.public);
        let run = Run { flags: HOLD, counted: ends(misconduct) };
        check(misconduct, 10, &gateway, &url, &run);
    });
}

#[test]
fn over_tls_through_nginx_they_do_the_same() {
    let reach_the_gateway =
        [Misconduct::Vanishes, Misconduct::NoPong, Misconduct::Oversize, Misconduct::BadFrames];
    side_by_side(&reach_the_gateway, |misconduct| {
        let site = Site::start(settings_for(misconduct));
        let run = Run { flags: "-k --hold --duration 3s", counted: ends(misconduct) };
        check(misconduct, 10, &site.gateway, &site.url(Route::Tls, ECHO), &run);
    });
}
