//! Connections that end before the run does: lost, closed on purpose, refused.

use std::cell::Cell;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

use super::*;
use crate::load::Storm;

#[test]
fn refused_handshakes_are_counted_and_tried_again() {
    let server = Server::start(Manner::Refuses);
    let scenario = Scenario {
        work: Work::Echo { rate: 100.0 },
        duration: Duration::from_mins(1),
        ..scenario(&server.url())
    };
    let report = stopped_when(scenario, |progress| progress.errors > 200);
    let connections = report.connections;
    assert!(connections.attempted > 12, "{report:?}");
    assert_eq!((connections.opened, connections.lost, report.messages.sent), (0, 0, 0));
    assert!(report.messages.unsent > 0);
    assert_eq!(report.errors, [("upgrade: status 503".into(), connections.attempted)].into());
    assert_eq!(server.tcp_connections(), connections.attempted);
}

/// A port that nobody else gets, where nobody listens.
fn hold(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

#[test]
fn nobody_there_is_an_error_of_every_try() {
    let nobody = hold("127.0.0.1:0".parse().unwrap());
    let address = nobody.local_addr().unwrap().as_socket().unwrap();
    let report = done(scenario(&format!("ws://{address}/")));
    assert!(report.connections.attempted >= 12);
    let expected = [("connect: connection refused".into(), report.connections.attempted)];
    assert_eq!(report.errors, expected.into());
    assert!(report.closes.is_empty());
}

#[test]
fn a_server_that_closes_is_come_back_to() {
    let server = Server::start(Manner::Closes(1013));
    let scenario = Scenario {
        work: Work::EchoClosed { in_flight: 1 },
        duration: Duration::from_mins(1),
        ..scenario(&server.url())
    };
    let report = stopped_when(scenario, |progress| progress.opened > 30);
    let lost = report.connections.lost;
    assert!(lost > 12, "{report:?}");
    assert_eq!(report.errors, [("closed: 1013".into(), lost)].into());
    assert_eq!(report.closes[&1013] + report.closes.get(&1000).unwrap_or(&0), server.opened());
    assert_eq!(report.connections.opened, server.opened());
    assert_eq!(report.messages.missing, report.messages.sent);
}

#[test]
fn a_server_that_dies_and_returns_gets_its_connections_back() {
    let server = RefCell::new(Some(Server::start(Manner::Echo)));
    let address = server.borrow().as_ref().unwrap().address;
    let scenario = Scenario {
        work: Work::Echo { rate: 200.0 },
        duration: Duration::from_mins(2),
        ..scenario(&format!("ws://{address}/"))
    };
    // Its port, while it is dead.
    let held = RefCell::new(None);
    let has_died = Cell::new(false);
    let report = stopped_when(scenario, |progress| {
        let mut server = server.borrow_mut();
        if !has_died.get() && progress.received > 20 {
            *server = None;
            *held.borrow_mut() = Some(hold(address));
            has_died.set(true);
        } else if server.is_none() && progress.open == 0 && progress.errors > 100 {
            *held.borrow_mut() = None;
            *server = Some(Server::start_at(Manner::Echo, address));
        }
        progress.opened > 12 && progress.open == 12
    });
    let connections = report.connections;
    assert_eq!((connections.opened, connections.open_max, connections.lost), (24, 12, 12));
    assert_eq!((report.closes[&1006], report.closes[&1000]), (12, 12));
    assert!(report.errors["connect: connection refused"] > 0, "{:?}", report.errors);
    let messages = report.messages;
    assert!(messages.unsent > 0);
    assert_eq!(messages.sent, messages.received + messages.missing);
}

#[test]
fn churn_opens_again_what_it_has_closed() {
    let server = Server::start(Manner::Echo);
    let at_once = Lifetime { min: Duration::ZERO, max: Duration::ZERO };
    let scenario = Scenario {
        lifetime: Some(at_once),
        duration: Duration::from_mins(1),
        ..scenario(&server.url())
    };
    let report = stopped_when(scenario, |progress| progress.opened > 100);
    let connections = report.connections;
    assert!(connections.opened > 100);
    assert_eq!((connections.opened, connections.attempted), (server.opened(), server.opened()));
    assert_eq!(report.closes, [(1000, connections.opened)].into());
    assert_eq!((connections.lost, report.errors_total()), (0, 0));
}

#[test]
fn those_of_a_wave_leave_and_come_back() {
    for (abrupt, code) in [(false, 1000), (true, 1006)] {
        let server = Server::start(Manner::Echo);
        let storm = Storm {
            every: Duration::from_millis(400),
            fraction: 0.25,
            spread: Duration::from_millis(100),
            abrupt,
        };
        let scenario = Scenario {
            storm: Some(storm),
            duration: Duration::from_mins(1),
            ..scenario(&server.url())
        };
        let report = stopped_when(scenario, |progress| progress.opened >= 12 + 3 * 3);
        let connections = report.connections;
        assert!(connections.opened >= 21, "{report:?}");
        assert_eq!((connections.opened, connections.lost), (server.opened(), 0));
        assert_eq!((connections.attempted, connections.open_max), (connections.opened, 12));
        assert_eq!((report.closes.values().sum(), report.errors.len()), (connections.opened, 0));
        // Nine have left; what is open at the end is closed properly.
        let left = if abrupt { report.closes[&code] } else { connections.opened - 12 };
        assert!(left >= 9 && connections.opened - left <= 12, "{report:?}");
        assert_eq!(report.closes.len(), if abrupt { 2 } else { 1 });
    }
}
