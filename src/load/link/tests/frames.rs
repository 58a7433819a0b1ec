//! What a server can send once it is open.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::{SinkExt as _, StreamExt as _};

use super::{Server, ended, run, running};
use crate::load::link::Connector;
use crate::wire::{Deflate, Deflater, Opcode};

#[test]
fn a_server_that_breaks_the_protocol_gets_the_right_code() {
    let check = |bytes: &'static [u8], code: u16, reason: &'static str| {
        run(async move {
            let server = Server::new().await;
            let (link, mut peer) = server.linked().await;
            let end = running(&link);
            peer.write(bytes).await;
            let close = peer.next_close().await.expect("a code");
            assert_eq!(close.0, code, "{bytes:x?}");
            assert!(!close.1.is_empty(), "it says why");
            drop(peer);
            assert_eq!(end.await.unwrap(), ended(1006, false, reason), "{bytes:x?}");
        });
    };
    check(&[0x81, 0x82, 1, 2, 3, 4, 0, 0], 1002, "violation: masked frame");
    check(&[0xa1, 0], 1002, "violation: reserved bit set");
    check(&[0xc1, 0], 1002, "violation: reserved bit set");
    check(&[0x83, 0], 1002, "violation: reserved opcode");
    check(&[0x09, 0], 1002, "violation: fragmented control frame");
    check(&[0x89, 126, 0, 126], 1002, "violation: control frame of more than 125 bytes");
    check(&[0x80, 0], 1002, "violation: continuation without a message");
    check(&[0x01, 0, 0x81, 0], 1002, "violation: new message inside a fragmented one");
    check(&[0x81, 126, 0, 1, b'a'], 1002, "violation: length not in its shortest form");
    check(&[0x81, 127, 128, 0, 0, 0, 0, 0, 0, 0], 1002, "violation: length of 2^63 bytes or more");
    check(&[0x88, 1, 3], 1002, "violation: close body of one byte");
    check(&[0x88, 2, 3, 237], 1002, "violation: close code that may not be sent");
    check(&[0x81, 1, 0xff], 1007, "violation: text is not UTF-8");
    check(&[0x88, 3, 3, 232, 0xff], 1007, "violation: text is not UTF-8");
    // 64 MiB and a byte.
    check(&[0x82, 127, 0, 0, 0, 0, 4, 0, 0, 1], 1009, "violation: message too big");
}

#[test]
fn frames_right_behind_the_answer_are_read_first() {
    run(async {
        let server = Server::new().await;
        let scenario = server.scenario();
        let connector = Connector::new(&scenario, &scenario.url).await.unwrap();
        let serving = async {
            let mut peer = server.accept().await;
            let mut bytes = peer.answer("").into_bytes();
            // A whole message, and the first byte of the next.
            bytes.extend_from_slice(b"\x81\x05first\x82");
            peer.write(&bytes).await;
            peer
        };
        let (opened, mut peer) = tokio::join!(connector.open(0), serving);
        peer.write(b"\x06second\x88\x02\x03\xe8").await;
        let seen = RefCell::new(Vec::new());
        let link = opened.unwrap().link;
        let server_side = async {
            peer.next_close().await.unwrap();
            drop(peer);
        };
        let (end, ()) = tokio::join!(
            link.run(|incoming| {
                seen.borrow_mut().push((incoming.opcode, incoming.payload.to_vec()));
            }),
            server_side,
        );
        assert_eq!(end, ended(1000, false, "closed"));
        let expected = [(Opcode::Text, b"first".to_vec()), (Opcode::Binary, b"second".to_vec())];
        assert_eq!(*seen.borrow(), expected);
    });
}

#[test]
fn every_ping_is_answered_by_its_payload_even_amid_fragments() {
    run(async {
        let server = Server::new().await;
        let (link, mut peer) = server.linked().await;
        let _end = running(&link);
        peer.write(b"\x89\x00\x01\x01a\x89\x03two\x80\x01b\x89\x01c").await;
        for expected in [b"".as_slice(), b"two", b"c"] {
            assert_eq!(peer.next().await, Some((Opcode::Pong, expected.to_vec())));
        }
    });
}

#[test]
fn a_stock_server_echoes_every_length() {
    run(async {
        let server = Server::new().await;
        let echo = async {
            let stream = server.listener.accept().await.unwrap().0;
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.unwrap();
                }
            }
        };
        let lengths = [0, 1, 125, 126, 65_535, 65_536, 3 << 20];
        let client = async {
            let scenario = server.scenario();
            let connector = Connector::new(&scenario, &scenario.url).await.unwrap();
            let link = connector.open(0).await.unwrap().link;
            // One at a time, the next from inside the callback: that is how a closed loop sends.
            let next = RefCell::new(lengths.into_iter());
            let sent = RefCell::new(Vec::new());
            let send_next = || match next.borrow_mut().next() {
                Some(length) => {
                    let payload: Vec<u8> = (0..length).map(|at: usize| (at % 251) as u8).collect();
                    let encoded = link.send(Opcode::Binary, &payload).unwrap();
                    assert!(encoded.wire_bytes >= length as u64 + 6);
                    *sent.borrow_mut() = payload;
                }
                None => link.close(1000),
            };
            send_next();
            let received = RefCell::new(0);
            let end = link
                .run(|incoming| {
                    assert_eq!(incoming.payload, *sent.borrow());
                    *received.borrow_mut() += 1;
                    send_next();
                })
                .await;
            assert_eq!(end, ended(1000, true, "closed"));
            assert_eq!(*received.borrow(), lengths.len());
        };
        tokio::join!(echo, client);
    });
}

#[test]
fn messages_are_compressed_both_ways_as_agreed() {
    let check = |deflate: Deflate| {
        run(async move {
            let server = Server::new().await;
            let mut scenario = server.scenario();
            scenario.compression = true;
            let headers = format!("Sec-WebSocket-Extensions: {deflate}\r\n");
            let (link, peer) = server.opened(&scenario, &headers).await;
            let (link, mut peer) = (link.unwrap(), peer.with_deflate(deflate));
            let mut deflater = if deflate.server_no_context_takeover {
                Deflater::new(1, deflate.server_max_window_bits)
            } else {
                Deflater::with_takeover(1, deflate.server_max_window_bits)
            };

            let payload = "all work and no play makes a dull load ".repeat(1_000);
            let (seen, text) = (Rc::new(RefCell::new(Vec::new())), payload.clone());
            let (task, into) = (Rc::clone(&link), Rc::clone(&seen));
            let end = tokio::task::spawn_local(async move {
                let count = |incoming: &crate::wire::Incoming<'_>| {
                    assert_eq!(incoming.text(), text);
                    into.borrow_mut().push(incoming.compressed_bytes.unwrap());
                };
                task.run(count).await
            });
            for _ in 0..3 {
                let encoded = link.send(Opcode::Text, payload.as_bytes()).unwrap();
                assert!(
                    encoded.compressed_bytes.unwrap() < payload.len() as u64 / 4,
                    "{encoded:?}"
                );
                let expected = (Opcode::Text, payload.clone().into_bytes());
                assert_eq!(peer.next().await, Some(expected));
                peer.send(Opcode::Text, payload.as_bytes(), Some(&mut deflater)).await;
            }
            // Too short to be worth it.
            assert_eq!(link.send(Opcode::Text, b"short").unwrap().compressed_bytes, None);
            assert_eq!(peer.next().await, Some((Opcode::Text, b"short".to_vec())));
            link.close(1000);
            peer.send(Opcode::Close, &[0x03, 0xe8], None).await;
            drop(peer);
            assert_eq!(end.await.unwrap(), ended(1000, true, "closed"));
            assert_eq!(seen.borrow().len(), 3, "{deflate}");
        });
    };
    let none = Deflate {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..Deflate::default()
    };
    check(none);
    check(Deflate { client_max_window_bits: 9, ..none });
    check(Deflate { server_max_window_bits: 9, ..none });
    // Not what was asked for, but understood.
    check(Deflate { server_no_context_takeover: false, ..none });
}
