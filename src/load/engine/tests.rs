//! Shares done against servers in this process, which count for themselves.

mod ends;
mod fan_out;
mod others;
mod reconnects;
mod server;

use std::cell::RefCell;
use std::future::{pending, ready};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::super::{
    Kind, Lifetime, Payload, Phase, Progress, Report, Scenario, Share, Sizes, Work,
};
use super::run;
use server::{Manner, Server};

const ALONE: Share = Share { process: 0, processes: 1, run: 7 };

/// Twelve connections that hold, a short window, no warm-up.
fn scenario(url: &str) -> Scenario {
    Scenario {
        connections: 12,
        opening: 4,
        duration: Duration::from_millis(300),
        handshake_timeout: Duration::from_secs(10),
        close_wait: Duration::from_secs(10),
        payload: Payload { kind: Kind::Text, sizes: Sizes::Range(40, 200), files: vec![] },
        ..Scenario::holding(url)
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, work)
}

/// Does it whole, alone.
fn done(scenario: Scenario) -> Report {
    stopped_when(scenario, |_| false)
}

/// Does it alone, until what is observed is enough.
fn stopped_when(scenario: Scenario, enough: impl Fn(&Progress) -> bool) -> Report {
    let stop = Notify::new();
    let observe = |progress: Progress| {
        if enough(&progress) {
            stop.notify_one();
        }
    };
    let share = run(Rc::new(scenario), ALONE, ready(()), stop.notified(), observe);
    block_on(share).unwrap()
}

/// Does all shares at once in this one process; each waits until all are ready.
fn shared(scenario: Scenario, processes: u16) -> Report {
    let scenario = Rc::new(Scenario { processes, ..scenario });
    let barrier = tokio::sync::Barrier::new(usize::from(processes));
    let shares = Share::of(processes).map(|share| {
        let go = async {
            barrier.wait().await;
        };
        run(Rc::clone(&scenario), share, go, pending(), |_| {})
    });
    let reports = block_on(futures_util::future::join_all(shares));
    let mut sum = Report::new(&scenario.url);
    for report in reports {
        sum.merge(&report.unwrap());
    }
    sum
}

/// Nothing went wrong with any of `connections`, and each was closed by us.
#[track_caller]
fn assert_flawless(report: &Report, connections: u64) {
    assert_eq!(report.errors_total(), 0, "{report:?}");
    assert_eq!(report.closes, [(1000, connections)].into(), "{report:?}");
    assert_eq!(report.handshake.count(), connections);
    let counts = report.connections;
    let seen = (counts.attempted, counts.opened, counts.open_max, counts.lost);
    assert_eq!(seen, (connections, connections, connections, 0));
}

#[test]
fn each_message_of_an_echo_comes_back_once_and_is_measured() {
    let server = Server::start(Manner::Echo);
    let scenario = Scenario {
        warm_up: Duration::from_millis(100),
        work: Work::Echo { rate: 2_000.0 },
        ..scenario(&server.url())
    };
    let report = done(scenario);
    assert_flawless(&report, 12);
    let messages = report.messages;
    assert_eq!((messages.sent, messages.received, messages.out_of_order), (600, 600, 0));
    assert_eq!((report.latency.count(), server.received(), server.sent()), (600, 800, 800));
    assert_eq!(messages.sent_bytes, messages.received_bytes);
    assert!((600 * 40..=600 * 200).contains(&messages.sent_bytes), "{messages:?}");
    let headers = messages.received_wire_bytes - messages.received_bytes;
    assert!((2 * 600..=4 * 600).contains(&headers), "{messages:?}");
    assert_eq!(report.window, Duration::from_millis(300));
}

#[test]
fn the_shares_of_all_processes_are_the_whole_rate() {
    let server = Server::start(Manner::Echo);
    // The third of the five processes has one connection, the last two have none.
    for (processes, connections) in [(2, 12), (5, 3), (3, 7)] {
        let before = server.received();
        let scenario =
            Scenario { connections, work: Work::Echo { rate: 1_000.0 }, ..scenario(&server.url()) };
        let report = shared(scenario, processes);
        assert_flawless(&report, u64::from(connections));
        assert_eq!((report.messages.sent, report.messages.received), (300, 300));
        assert_eq!(server.received() - before, 300);
    }
}

#[test]
fn a_closed_loop_asks_again_when_it_was_answered() {
    let server = Server::start(Manner::Echo);
    for (in_flight, kind) in [(1, Kind::Text), (7, Kind::Binary)] {
        let before = server.received();
        let base = scenario(&server.url());
        let report = done(Scenario {
            work: Work::EchoClosed { in_flight },
            payload: Payload { kind, ..base.payload },
            ..base
        });
        assert_flawless(&report, 12);
        let messages = report.messages;
        assert_eq!(messages.sent, messages.received);
        assert_eq!(
            (report.latency.count(), server.received() - before),
            (messages.sent, messages.sent)
        );
        // More than was sent at the start: answers led to questions.
        assert!(messages.sent > u64::from(12 * in_flight), "{messages:?}");
    }
}

#[test]
fn a_wrong_answer_is_an_error_and_still_an_answer() {
    let server = Server::start(Manner::Wrong);
    let report = done(Scenario { work: Work::Echo { rate: 500.0 }, ..scenario(&server.url()) });
    let messages = report.messages;
    assert_eq!((messages.sent, messages.received, messages.missing), (150, 150, 0));
    assert_eq!(report.errors, [("echo: answer differs".to_owned(), 150)].into());
    assert_eq!(report.latency.count(), 0);
}

#[test]
fn what_is_never_answered_is_missing() {
    let server = Server::start(Manner::Mute);
    let report = done(Scenario {
        work: Work::Echo { rate: 500.0 },
        close_wait: Duration::from_millis(300),
        ..scenario(&server.url())
    });
    let messages = report.messages;
    assert_eq!((messages.sent, messages.received, messages.missing), (150, 0, 150));
    assert_eq!((report.errors_total(), server.received()), (150, 150));
    assert_eq!(report.closes, [(1000, 12)].into());
}

#[test]
fn what_comes_unasked_counts_if_it_comes_in_the_window() {
    let server = Server::start(Manner::Greets);
    let long = Duration::from_mins(2);
    let before = Scenario { warm_up: long, ..scenario(&server.url()) };
    let report = stopped_when(before, |progress| progress.received == 36);
    assert_flawless(&report, 12);
    assert_eq!(report.messages.received, 0);
    // Those that come again in the window are greeted there.
    let lifetime = Lifetime { min: Duration::from_millis(50), max: Duration::from_millis(100) };
    let within = Scenario { duration: long, lifetime: Some(lifetime), ..scenario(&server.url()) };
    let report = stopped_when(within, |progress| progress.received > 72);
    assert!((36..=server.sent()).contains(&report.messages.received), "{report:?}");
    assert_eq!(report.errors_total(), 0);
}

#[test]
fn what_comes_unasked_is_an_error_of_an_echo() {
    let server = Server::start(Manner::Greets);
    let scenario = Scenario {
        duration: Duration::from_mins(2),
        close_wait: Duration::from_millis(300),
        work: Work::EchoClosed { in_flight: 1 },
        ..scenario(&server.url())
    };
    let report = stopped_when(scenario, |progress| progress.received == 36);
    // Before a question is asked, or in place of its answer.
    assert_eq!(report.errors.values().sum::<u64>(), 36, "{report:?}");
    let answered = report.errors.get("echo: answer differs").unwrap_or(&0);
    assert_eq!(report.messages.missing + answered, report.messages.sent);
}

#[test]
fn the_phases_follow_each_other_and_figures_only_grow() {
    let server = Server::start(Manner::Echo);
    let seen = RefCell::new(Vec::<Progress>::new());
    let scenario = Scenario {
        warm_up: Duration::from_millis(300),
        duration: Duration::from_millis(600),
        work: Work::Echo { rate: 100.0 },
        ..scenario(&server.url())
    };
    let observe = |progress| seen.borrow_mut().push(progress);
    block_on(run(Rc::new(scenario), ALONE, ready(()), pending(), observe)).unwrap();
    let seen = seen.into_inner();
    let mut phases: Vec<_> = seen.iter().map(|progress| progress.phase).collect();
    phases.dedup();
    let all = [Phase::Opening, Phase::Ready, Phase::WarmingUp, Phase::Measuring, Phase::Finishing];
    assert_eq!(phases, all);
    assert!(seen.is_sorted_by_key(|progress| (progress.opened, progress.sent, progress.received)));
    let last = seen.last().unwrap();
    assert_eq!((last.opened, last.sent, last.errors), (12, 90, 0));
    let ready = seen.iter().find(|progress| progress.phase == Phase::Ready).unwrap();
    assert_eq!((ready.open, ready.opened, ready.sent), (12, 12, 0));
    assert!(seen.iter().any(|it| it.phase == Phase::Measuring && it.p99.is_some()), "{seen:?}");
}

#[test]
fn what_is_given_wrongly_is_said_before_anything_is_opened() {
    let server = Server::start(Manner::Echo);
    let base = scenario(&server.url());
    let no_file = Payload { files: vec!["/no/such/file".into()], ..base.payload.clone() };
    for (scenario, what) in [
        (Scenario { payload: no_file, ..base.clone() }, "/no/such/file"),
        (Scenario { url: "http://127.0.0.1/".into(), ..base }, "http"),
    ] {
        let share = run(Rc::new(scenario), ALONE, ready(()), pending(), |_| {});
        let error = block_on(share).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    assert_eq!(server.tcp_connections(), 0);
}
