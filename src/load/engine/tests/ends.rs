//! Runs that end early, and servers that do not let go.

use super::*;

#[test]
fn it_can_be_stopped_in_every_phase() {
    let server = Server::start(Manner::Echo);
    for (phase, ramp) in [
        (Phase::Opening, Duration::from_mins(2)),
        (Phase::WarmingUp, Duration::ZERO),
        (Phase::Measuring, Duration::ZERO),
    ] {
        let before = (server.opened(), server.received());
        let scenario = Scenario {
            ramp,
            warm_up: Duration::from_millis(if phase == Phase::WarmingUp { 120_000 } else { 1 }),
            duration: Duration::from_mins(2),
            work: Work::Echo { rate: 200.0 },
            ..scenario(&server.url())
        };
        let enough = |progress: &Progress| progress.phase == phase && progress.open > 0;
        let report = stopped_when(scenario, enough);
        let opened = server.opened() - before.0;
        assert_eq!((report.connections.opened, report.errors_total()), (opened, 0), "{phase:?}");
        assert_eq!(report.closes, [(1000, opened)].into(), "{phase:?}");
        assert_eq!(report.messages.sent, report.messages.received, "{phase:?}");
        assert!(report.window < Duration::from_mins(2), "{phase:?}");
        assert_eq!(report.window > Duration::ZERO, phase == Phase::Measuring, "{phase:?}");
        assert!(server.received() - before.1 >= report.messages.sent, "{phase:?}");
    }
}

#[test]
fn it_can_be_stopped_while_it_waits_for_the_others() {
    let server = Server::start(Manner::Echo);
    let stop = Notify::new();
    let observe = |progress: Progress| {
        if progress.phase == Phase::Ready {
            stop.notify_one();
        }
    };
    let share = run(Rc::new(scenario(&server.url())), ALONE, pending(), stop.notified(), observe);
    let report = block_on(share).unwrap();
    assert_flawless(&report, 12);
    assert_eq!(report.window, Duration::ZERO);
}

#[test]
fn a_stop_before_the_start_opens_nothing() {
    let server = Server::start(Manner::Echo);
    let scenario = Scenario { ramp: Duration::from_mins(2), ..scenario(&server.url()) };
    let share = run(Rc::new(scenario), ALONE, pending(), ready(()), |_| {});
    let report = block_on(share).unwrap();
    assert_eq!((report.connections.attempted, report.errors_total()), (0, 0));
    assert_eq!(server.tcp_connections(), 0);
}

#[test]
fn a_stop_does_not_wait_for_handshakes_that_hang() {
    let server = Server::start(Manner::Hangs);
    let scenario = Scenario {
        handshake_timeout: Duration::from_hours(1),
        close_wait: Duration::from_millis(100),
        ..scenario(&server.url())
    };
    let share = async {
        let stop = async {
            while server.tcp_connections() < 4 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        run(Rc::new(scenario), ALONE, pending(), stop, |_| {}).await.unwrap()
    };
    let report = block_on(share);
    // As many as may be under way at once.
    assert_eq!((report.connections.attempted, report.connections.opened), (4, 0));
    assert_eq!(report.errors, [("handshake: cut off by the end of the run".to_owned(), 4)].into());
    assert_eq!(server.tcp_connections(), 4);
}

#[test]
fn a_server_that_does_not_answer_a_close_is_left_without() {
    let server = Server::start(Manner::Freezes);
    let report = done(Scenario {
        work: Work::Echo { rate: 100.0 },
        close_wait: Duration::from_millis(200),
        ..scenario(&server.url())
    });
    assert_eq!(report.closes, [(1006, 12)].into());
    assert_eq!((report.connections.lost, report.errors.len()), (0, 0));
    assert_eq!((report.messages.sent, report.messages.missing), (30, 30));
}

#[test]
fn connections_are_opened_over_the_ramp_and_no_more_at_once_than_allowed() {
    let server = Server::start(Manner::Echo);
    let ramp = Duration::from_millis(400);
    let opened = RefCell::new(Vec::new());
    let observe = |progress: Progress| {
        if progress.phase == Phase::Opening {
            opened.borrow_mut().push((progress.in_phase, progress.opened));
        }
    };
    let scenario = Scenario { ramp, ..scenario(&server.url()) };
    block_on(run(Rc::new(scenario), ALONE, ready(()), pending(), observe)).unwrap();
    // Never ahead of the ramp: at any moment at most those that are due, the first at once.
    for (at, opened) in opened.into_inner() {
        let due = (at.as_secs_f64() / ramp.as_secs_f64() * 12.0) as u64 + 1;
        assert!(opened <= due, "{opened} after {at:?}");
    }
    assert_eq!(server.opened(), 12);
}
