//! Publications through the API, and connections that misbehave besides.

use super::*;
use crate::load::{Misbehaviour, Misconduct, Publishing};

fn fan_out(server: &Server, api: String) -> Scenario {
    let publishing = Publishing::Api { url: api, to: "everyone".into(), key: None };
    Scenario {
        warm_up: Duration::from_millis(100),
        work: Work::FanOut { publishing, rate: 100.0 },
        ..scenario(&server.url())
    }
}

#[test]
fn every_connection_gets_what_the_api_publishes() {
    let server = Server::start(Manner::Broadcast);
    let api = server.api(|_| true);
    for processes in [1, 2] {
        let report = shared(fan_out(&server, api.clone()), processes);
        assert_flawless(&report, 12);
        let messages = report.messages;
        assert_eq!((messages.sent, messages.received), (30, 360), "{processes} processes");
        assert_eq!((messages.missing, report.latency.count()), (0, 360));
    }
}

#[test]
fn what_the_api_refuses_is_an_error_and_missing() {
    let server = Server::start(Manner::Broadcast);
    // Ten of the warm-up, then the first and the last but one of the window.
    let api = server.api(|number| number != 11 && number != 39);
    let report = done(fan_out(&server, api));
    let messages = report.messages;
    assert_eq!((messages.sent, messages.unsent, messages.received), (28, 0, 28 * 12));
    // No word of the order: requests that are under way together may overtake one another.
    assert_eq!(messages.missing, 24);
    assert_eq!(report.errors, [("publish: status 503".into(), 2)].into());
}

#[test]
fn those_that_misbehave_are_in_no_figure_of_the_others() {
    let server = Server::start(Manner::Echo);
    let misbehaviour = [Misconduct::BadFrames, Misconduct::Vanishes, Misconduct::SlowHandshake]
        .map(|misconduct| Misbehaviour { misconduct, connections: 3 });
    let scenario = Scenario {
        misbehaviour: misbehaviour.into(),
        work: Work::Echo { rate: 100.0 },
        duration: Duration::from_secs(1),
        ..scenario(&server.url())
    };
    let report = shared(scenario, 2);
    assert_flawless(&report, 12);
    assert_eq!((report.messages.sent, report.messages.received), (100, 100));
    let tried: Vec<_> = report.misbehaved.keys().copied().collect();
    let declared = [Misconduct::Vanishes, Misconduct::SlowHandshake, Misconduct::BadFrames];
    assert_eq!(tried, declared);
    for (misconduct, misbehaved) in &report.misbehaved {
        assert!(misbehaved.tried >= 3, "{misconduct:?} {misbehaved:?}");
        assert_eq!(misbehaved.ended.values().sum::<u64>(), misbehaved.tried, "{misconduct:?}");
    }
    // It was never over when the run was.
    assert_eq!(report.misbehaved[&Misconduct::SlowHandshake].ended, [("stopped".into(), 3)].into());
}
