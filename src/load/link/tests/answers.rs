//! What a server can answer to an upgrade request.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::{Peer, Server, run};
use crate::load::Scenario;
use crate::load::link::{Connector, OpenError};

/// What the server does behind its answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    Stay,
    Fin,
    Reset,
}

/// Opens a link at a server that answers with these bytes; the error's reason.
async fn refused(
    scenario: &Scenario,
    server: &Server,
    answer: impl Fn(&Peer<tokio::net::TcpStream>) -> String,
    then: Then,
) -> Option<String> {
    let connector = Connector::new(scenario, &scenario.url).await.unwrap();
    let opening = connector.open(0);
    let serving = async {
        let mut peer = server.accept().await;
        let answer = answer(&peer);
        // The client may leave before it has all of it.
        let _ = peer.stream.write_all(answer.as_bytes()).await;
        match then {
            Then::Stay => Some(peer),
            Then::Fin => None,
            Then::Reset => {
                peer.reset();
                None
            }
        }
    };
    let (opened, _peer) = tokio::join!(opening, serving);
    opened.err().map(|error: OpenError| error.reason)
}

#[test]
fn an_answer_that_is_no_upgrade_is_refused_with_its_reason() {
    const OK: &str = "HTTP/1.1 101 Switching Protocols";
    const UPGRADE: &str = "Upgrade: websocket";
    const CONNECTION: &str = "Connection: Upgrade";
    const ACCEPT: &str = "Sec-WebSocket-Accept: ACCEPT";
    let check = |lines: &'static [&'static str], expected: &'static str| {
        run(async move {
            let server = Server::new().await;
            let mut scenario = server.scenario();
            scenario.subprotocols = vec!["chat".to_owned()];
            let answer = |peer: &Peer<_>| {
                let head = lines.join("\r\n").replace("ACCEPT", &peer.accept_key());
                head + "\r\n\r\n"
            };
            let reason = refused(&scenario, &server, answer, Then::Stay).await;
            assert_eq!(reason.as_deref().unwrap_or("opened"), expected, "{lines:?}");
        });
    };
    check(&[OK, UPGRADE, CONNECTION, ACCEPT], "opened");
    check(
        &[OK, UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Protocol: Chat"],
        "upgrade: subprotocol not offered",
    );
    check(
        &[OK, UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Extensions: permessage-deflate"],
        "upgrade: extension not offered",
    );
    check(
        &[OK, UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Extensions: ;;"],
        "upgrade: extension malformed",
    );
}

#[test]
fn an_extension_must_fit_what_was_offered() {
    let check = |extension: &'static str, expected: Option<&'static str>| {
        run(async move {
            let server = Server::new().await;
            let mut scenario = server.scenario();
            scenario.compression = true;
            let headers = format!("Sec-WebSocket-Extensions: {extension}\r\n");
            let answer = |peer: &Peer<_>| peer.answer(&headers);
            let reason = refused(&scenario, &server, answer, Then::Stay).await;
            assert_eq!(reason.as_deref(), expected, "{extension}");
        });
    };
    check("permessage-deflate", None);
    check("permessage-deflate; client_max_window_bits=9", None);
    check("bbf-usp-protocol", Some("upgrade: extension not offered"));
    check("permessage-deflate, permessage-deflate", Some("upgrade: extension not offered"));
    check(
        "permessage-deflate; client_max_window_bits=16",
        Some("upgrade: extension parameters do not fit"),
    );
}

#[test]
fn an_answer_without_end_is_not_read_to_it() {
    let check = |headers: String| {
        run(async move {
            let server = Server::new().await;
            let answer = |peer: &Peer<_>| peer.answer(&headers);
            let reason = refused(&server.scenario(), &server, answer, Then::Stay).await;
            assert_eq!(reason.as_deref(), Some("upgrade: answer too long"), "{}", headers.len());
        });
    };
    check(format!("X-Long: {}\r\n", "a".repeat(64 << 10)));
    check("X-Many: a\r\n".repeat(6_000));
    check("X-Many: a\r\n".repeat(70));
}

#[test]
fn an_answer_that_breaks_off_tells_how() {
    let check = |then, length: usize, expected: &'static str| {
        run(async move {
            let server = Server::new().await;
            let answer = |peer: &Peer<_>| peer.answer("")[..length].to_owned();
            let reason = refused(&server.scenario(), &server, answer, then).await;
            assert_eq!(reason.as_deref(), Some(expected), "{then:?} after {length} bytes");
        });
    };
    check(Then::Fin, 0, "upgrade: closed");
    check(Then::Fin, 40, "upgrade: closed");
    check(Then::Reset, 0, "upgrade: reset");
    check(Then::Reset, 40, "upgrade: reset");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    run(async {
        let server = Server::new().await;
        let mut scenario = server.scenario();
        scenario.handshake_timeout = Duration::from_millis(50);
        let answer = |peer: &Peer<_>| peer.answer("")[..40].to_owned();
        let reason = refused(&scenario, &server, answer, Then::Stay).await;
        assert_eq!(reason.as_deref(), Some("upgrade: timed out"));
    });
}

#[test]
fn a_port_that_nobody_listens_on_refuses() {
    run(async {
        let server = Server::new().await;
        let scenario = server.scenario();
        let connector = Connector::new(&scenario, &scenario.url).await.unwrap();
        drop(server);
        let error = connector.open(0).await.err().unwrap();
        assert_eq!(error.reason, "connect: connection refused");
    });
}

#[test]
fn an_answer_may_come_byte_by_byte() {
    run(async {
        let server = Server::new().await;
        let scenario = server.scenario();
        let connector = Connector::new(&scenario, &scenario.url).await.unwrap();
        let serving = async {
            let mut peer = server.accept().await;
            for byte in peer.answer("").into_bytes() {
                peer.write(&[byte]).await;
                tokio::task::yield_now().await;
            }
        };
        let (opened, ()) = tokio::join!(connector.open(0), serving);
        assert!(opened.is_ok());
    });
}
