//! How a link ends, and what both sides learn of it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Server, ended, run, running};
use crate::load::link::NotSent;
use crate::wire::Opcode;

#[test]
fn a_close_of_the_server_is_answered_with_its_code() {
    let check = |payload: &'static [u8], answer: Option<u16>, code| {
        run(async move {
            let server = Server::new().await;
            let (link, mut peer) = server.linked().await;
            let end = running(&link);
            peer.send(Opcode::Close, payload, None).await;
            assert_eq!(peer.next_close().await.map(|(code, _)| code), answer);
            assert_eq!(link.send(Opcode::Text, b"late"), Err(NotSent::Closing));
            drop(peer);
            assert_eq!(end.await.unwrap(), ended(code, false, "closed"));
        });
    };
    check(b"\x03\xe8", Some(1000), 1000);
    check(b"\x03\xe9going", Some(1001), 1001);
    check(b"\x0f\xa1", Some(4001), 4001);
    check(b"", None, 1005);
}

#[test]
fn a_close_of_ours_ends_with_the_servers_answer() {
    run(async {
        let server = Server::new().await;
        let (link, mut peer) = server.linked().await;
        let end = running(&link);
        link.close(4000);
        link.close(4002);
        assert_eq!(link.send(Opcode::Text, b"late"), Err(NotSent::Closing));
        assert_eq!(peer.next_close().await, Some((4000, String::new())));
        // Still on its way when the Close came, and of use all the same.
        peer.write(b"\x89\x01p\x81\x01a").await;
        peer.send(Opcode::Close, b"\x0f\xa0", None).await;
        assert!(!end.is_finished());
        // Nothing follows a Close, no pong either, and TCP is the server's to end.
        peer.stream.shutdown().await.unwrap();
        assert_eq!(peer.next().await, None);
        assert_eq!(end.await.unwrap(), ended(4000, true, "closed"));
    });
}

#[test]
fn a_server_that_does_not_answer_a_close_is_left() {
    run(async {
        let server = Server::new().await;
        let mut scenario = server.scenario();
        scenario.close_wait = Duration::from_millis(20);
        let (link, mut peer) = server.opened(&scenario, "").await;
        let link = link.unwrap();
        let end = running(&link);
        link.close(1000);
        assert_eq!(end.await.unwrap(), ended(1006, true, "timed out"));
        assert_eq!(peer.next_close().await, Some((1000, String::new())));
        assert_eq!(peer.next().await, None, "the socket is closed though the link lives");
        assert_eq!(link.send(Opcode::Text, b"late"), Err(NotSent::Closing));
        assert_eq!(link.run(|_| {}).await.reason, "timed out", "an end stays what it was");
    });
}

#[test]
fn a_server_that_does_not_end_tcp_is_left() {
    run(async {
        let server = Server::new().await;
        let mut scenario = server.scenario();
        scenario.close_wait = Duration::from_millis(20);
        let (link, mut peer) = server.opened(&scenario, "").await;
        let end = running(&link.unwrap());
        peer.send(Opcode::Close, b"\x03\xe8", None).await;
        assert_eq!(end.await.unwrap(), ended(1000, false, "closed"));
    });
}

#[test]
fn an_end_without_close_tells_fin_from_reset() {
    run(async {
        let server = Server::new().await;
        for by_us in [false, true] {
            for (resets, reason) in [(false, "eof"), (true, "reset")] {
                let (link, peer) = server.linked().await;
                let end = running(&link);
                if by_us {
                    link.close(1000);
                }
                if resets {
                    peer.reset();
                } else {
                    let mut peer = peer;
                    // Unread bytes would turn the FIN into a reset.
                    if by_us {
                        peer.next_close().await.unwrap();
                    }
                    drop(peer);
                }
                assert_eq!(end.await.unwrap(), ended(1006, by_us, reason));
            }
        }
    });
}

#[test]
fn a_close_that_came_before_the_reset_counts() {
    run(async {
        let server = Server::new().await;
        let (link, mut peer) = server.linked().await;
        peer.send(Opcode::Close, b"\x03\xf1", None).await;
        peer.reset();
        // The first write after the reset finds it, and reading goes on to the Close.
        assert_eq!(link.send(Opcode::Text, b"a"), Err(NotSent::Closing));
        let end = link.run(|_| {}).await;
        assert_eq!(end, ended(1009, false, "closed"));
    });
}

#[test]
fn a_dropped_link_ends_with_a_fin_and_a_reset_one_with_a_reset() {
    run(async {
        let server = Server::new().await;
        let (link, mut peer) = server.linked().await;
        let end = running(&link);
        link.send(Opcode::Text, b"last").unwrap();
        link.drop_without_close();
        assert_eq!(end.await.unwrap(), ended(1006, true, "eof"));
        assert_eq!(peer.next().await, Some((Opcode::Text, b"last".to_vec())));
        assert_eq!(peer.next().await, None);

        let (link, mut peer) = server.linked().await;
        let end = running(&link);
        link.reset();
        link.drop_without_close();
        assert_eq!(end.await.unwrap(), ended(1006, true, "reset"));
        let error = peer.stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_link_may_be_ended_from_inside_its_own_callback() {
    run(async {
        let server = Server::new().await;
        for (how, reason) in [(0, "closed"), (1, "eof"), (2, "reset")] {
            let (link, mut peer) = server.linked().await;
            peer.write(b"\x81\x01a\x81\x01b").await;
            let mut seen = 0;
            let serving = async {
                if how == 0 {
                    assert_eq!(peer.next_close().await, Some((3000, String::new())));
                    peer.send(Opcode::Close, b"\x0b\xb8", None).await;
                    drop(peer);
                }
            };
            let running = link.run(|_| {
                seen += 1;
                match how {
                    0 => link.close(3000),
                    1 => link.drop_without_close(),
                    _ => link.reset(),
                }
            });
            let (end, ()) = tokio::join!(running, serving);
            let code = if how == 0 { 3000 } else { 1006 };
            assert_eq!(end, ended(code, true, reason));
            // After our Close more may come and is taken; after an end of the socket nothing is.
            assert_eq!(seen, if how == 0 { 2 } else { 1 });
        }
    });
}
