//! Publications: each reaches every connection, and what does not is found.

use super::*;
use crate::load::Publishing;
use crate::load::engine::MARKER_BYTES;

fn fan_out(server: &Server, rate: f64) -> Scenario {
    let base = scenario(&server.url());
    Scenario {
        warm_up: Duration::from_millis(100),
        work: Work::FanOut { publishing: Publishing::Connection { url: None }, rate },
        payload: Payload { sizes: Sizes::Range(MARKER_BYTES as u32, 300), ..base.payload },
        ..base
    }
}

#[test]
fn every_connection_gets_every_publication() {
    let server = Server::start(Manner::Broadcast);
    for processes in [1, 3] {
        let before = server.received();
        let report = shared(fan_out(&server, 100.0), processes);
        assert_flawless(&report, 12);
        let messages = report.messages;
        assert_eq!((messages.sent, messages.received), (30, 360), "{processes} processes");
        assert_eq!((messages.missing, messages.out_of_order), (0, 0), "{processes} processes");
        assert_eq!((report.latency.count(), server.received() - before), (360, 40));
        assert_eq!(messages.received_bytes, 12 * messages.sent_bytes);
    }
}

#[test]
fn what_a_server_loses_is_missing_and_what_it_repeats_is_out_of_order() {
    let server = Server::start(Manner::Lossy);
    let close_wait = Duration::from_millis(500);
    for processes in [1, 2] {
        let report = shared(
            Scenario { warm_up: Duration::ZERO, close_wait, ..fan_out(&server, 100.0) },
            processes,
        );
        let messages = report.messages;
        // Of 30: number 10, 20 and 30 go to nobody, 5, 15 and 25 twice. Nobody sees the last.
        assert_eq!((messages.sent, messages.received, messages.missing), (30, 360, 36));
        assert_eq!((messages.out_of_order, report.errors.len()), (36, 0));
    }
}

#[test]
fn publications_from_files_are_known_by_their_order() {
    let server = Server::start(Manner::Broadcast);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "the same each time").unwrap();
    for processes in [1, 2] {
        let base = fan_out(&server, 100.0);
        let payload = Payload { files: vec![file.path().to_owned()], ..base.payload.clone() };
        let report = shared(Scenario { payload, ..base }, processes);
        assert_flawless(&report, 12);
        let messages = report.messages;
        assert_eq!((messages.sent, messages.received, messages.missing), (30, 360, 0));
        // Only the first process knows when they were due.
        assert_eq!(report.latency.count(), 360 / u64::from(processes));
    }
}

#[test]
fn what_could_not_be_published_is_missed_by_nobody() {
    let [server, refusing] = [Manner::Broadcast, Manner::Refuses].map(Server::start);
    let publishing = Publishing::Connection { url: Some(refusing.url()) };
    let report = done(Scenario {
        work: Work::FanOut { publishing, rate: 100.0 },
        ..fan_out(&server, 100.0)
    });
    let messages = report.messages;
    assert_eq!((messages.sent, messages.unsent, messages.received), (0, 30, 0));
    assert_eq!(messages.missing, 0);
    assert!(report.errors["publishing connection: upgrade: status 503"] > 0);
    // The connection that publishes is in no figure of the others.
    assert_eq!((report.connections.opened, report.closes), (12, [(1000, 12)].into()));
}

#[test]
fn connections_that_come_and_go_owe_what_came_while_they_were_open() {
    let server = Server::start(Manner::Broadcast);
    let storm = crate::load::Storm {
        every: Duration::from_millis(60),
        fraction: 0.5,
        spread: Duration::from_millis(20),
        abrupt: false,
    };
    let report = shared(Scenario { storm: Some(storm), ..fan_out(&server, 200.0) }, 2);
    let messages = report.messages;
    assert_eq!((messages.sent, messages.out_of_order, messages.missing), (60, 0, 0));
    // Those that stay get all; nobody gets more.
    assert!((60..720).contains(&messages.received), "{messages:?}");
    assert_eq!((report.connections.lost, report.errors.len()), (0, 0));
}
