//! A drain while everybody is busy.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join_all;

use super::super::support::swarm::{self, Peer};
use super::super::support::{Opening, Settings};
use super::{BROADCAST, check_stopped, count};

const CLIENTS: usize = 500;

/// What a client is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Prompt,
    Slow,
    Silent,
    Leaving,
}

/// How a client saw its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Close(u16),
    /// It closed by itself first.
    Own,
}

fn manner(index: usize) -> Manner {
    match index % 10 {
        0 => Manner::Silent,
        1 => Manner::Leaving,
        2..=5 => Manner::Prompt,
        _ => Manner::Slow,
    }
}

/// Reads until its end, speaking now and then.
async fn live(mut peer: Peer, index: usize, heard: &Cell<usize>) -> Seen {
    let manner = manner(index);
    let mut messages = 0;
    let code = loop {
        let frame = peer.read_frame().await.expect("a Close comes before the end");
        match frame.opcode() {
            1 => messages += 1,
            8 => break frame.close_code().unwrap(),
            9 => {}
            other => panic!("opcode {other}"),
        }
        heard.set(heard.get() + 1);
        if manner == Manner::Leaving && messages == 40 {
            let code = peer.close(4001).await.expect("its Close is answered, or crosses ours");
            return if code == 4001 { Seen::Own } else { Seen::Close(code) };
        }
    };
    match manner {
        Manner::Prompt | Manner::Leaving => {}
        Manner::Slow => tokio::time::sleep(Duration::from_millis(index as u64 % 100)).await,
        Manner::Silent => {
            assert!(peer.read_frame().await.is_none(), "nothing follows a Close");
            return Seen::Close(code);
        }
    }
    peer.answer_close(code).await;
    Seen::Close(code)
}

/// Publishes for as long as it is listened to.
async fn speak(mut peer: Peer) -> Seen {
    loop {
        peer.send_frame(1, b"a notification, and another one").await;
        loop {
            let frame = peer.read_frame().await.expect("a Close comes before the end");
            match frame.opcode() {
                1 => break,
                8 => {
                    let code = frame.close_code().unwrap();
                    peer.answer_close(code).await;
                    return Seen::Close(code);
                }
                _ => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn under_load_everybody_sees_an_end_and_every_end_is_counted() {
    let mut gateway =
        Settings::new().set("server.drain_timeout=3s").set("limits.close_wait=1s").start();
    let heard = Cell::new(0);
    let seen: Vec<_> = swarm::run(async {
        let opening = Opening::new(BROADCAST);
        let mut peers = Vec::new();
        for _ in 0..CLIENTS {
            peers.push(Peer::open(&opening, gateway.public).await);
        }
        let speakers = peers.split_off(CLIENTS - 5);
        let living =
            join_all(peers.into_iter().enumerate().map(|(index, peer)| live(peer, index, &heard)));
        let speaking = join_all(speakers.into_iter().map(speak));
        let ending = async {
            while heard.get() < 10 * CLIENTS {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            gateway.signal("TERM");
        };
        let (mut seen, others, ()) = tokio::join!(living, speaking, ending);
        seen.extend(others);
        seen
    });
    let lines = check_stopped_with(&mut gateway);
    let saw = |wanted: Seen| seen.iter().filter(|seen| **seen == wanted).count();
    let drained = count(&lines, "draining", "1012") + count(&lines, "draining", "1006");
    let cut = count(&lines, "shutdown", "1001") + count(&lines, "shutdown", "1006");
    let own = count(&lines, "client_close", "4xxx") + count(&lines, "client_close", "4001");
    assert_eq!(drained + cut + own, CLIENTS, "there is no other end");
    assert_eq!((drained, cut), (saw(Seen::Close(1012)), saw(Seen::Close(1001))));
    assert_eq!(own, saw(Seen::Own));
    assert!(drained > CLIENTS / 2, "{drained} drained, {cut} cut, {own} by themselves");
}

/// How many were cut off is the clients' matter here.
#[track_caller]
fn check_stopped_with(gateway: &mut super::Gateway) -> Vec<serde_json::Value> {
    assert_eq!(gateway.wait_for_exit(), Some(0));
    let stopped = super::wait_for("its last word", || gateway.log("stopped").pop());
    let left = stopped["connections_left"].as_u64().unwrap() as usize;
    check_stopped(gateway, CLIENTS, left)
}
