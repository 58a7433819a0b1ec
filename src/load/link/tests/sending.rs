//! Sending to a server that does not read.

use std::cell::Cell;
use std::rc::Rc;

use super::{Server, run};
use crate::load::link::NotSent;
use crate::wire::Opcode;

const CHUNK: usize = 64 << 10;

#[test]
fn a_server_that_does_not_read_costs_bounded_memory_and_is_still_read() {
    run(async {
        let server = Server::new().await;
        let (link, mut peer) = server.linked().await;
        let received = Rc::new(Cell::new(0));
        let (task, count) = (Rc::clone(&link), Rc::clone(&received));
        let end =
            tokio::task::spawn_local(async move { task.run(|_| count.set(count.get() + 1)).await });

        let payload = vec![7; CHUNK];
        let mut sent = 0;
        // The kernel may take more after a while: congested is what stays so.
        let mut refusals = 0;
        while refusals < 50 {
            match link.send(Opcode::Binary, &payload) {
                Ok(_) => (sent, refusals) = (sent + 1, 0),
                Err(refused) => {
                    assert_eq!(refused, NotSent::Congested);
                    refusals += 1;
                    tokio::task::yield_now().await;
                }
            }
            assert!(link.queued_bytes() <= (1 << 20) + CHUNK + 14, "{}", link.queued_bytes());
        }
        assert!(sent > 16, "{sent}");

        // Pings must not grow the queue, and what the server sends is read.
        let queued = link.queued_bytes();
        for _ in 0..100 {
            peer.send(Opcode::Ping, &[1; 125], None).await;
            peer.send(Opcode::Text, b"still there?", None).await;
        }
        while received.get() < 100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(link.queued_bytes(), queued);

        // Then it reads: every frame is whole, and no frame that was refused is among them.
        for _ in 0..sent {
            let (opcode, message) = peer.next().await.unwrap();
            assert!(opcode == Opcode::Binary && message == payload);
        }
        link.send(Opcode::Text, b"flows again").unwrap();
        assert_eq!(peer.next().await, Some((Opcode::Text, b"flows again".to_vec())));
        assert_eq!(link.queued_bytes(), 0);
        link.reset();
        assert_eq!(end.await.unwrap().reason, "reset");
    });
}

#[test]
fn a_message_longer_than_the_queue_goes_out_whole() {
    run(async {
        let server = Server::new().await;
        let (link, mut peer) = server.linked().await;
        let _end = super::running(&link);
        let payload = vec![1; 20 << 20];
        link.send(Opcode::Binary, &payload).unwrap();
        assert_eq!(link.send(Opcode::Text, b"behind"), Err(NotSent::Congested));
        assert!(peer.next().await == Some((Opcode::Binary, payload)));
    });
}

#[test]
fn masking_keys_differ_from_frame_to_frame() {
    use tokio::io::AsyncReadExt as _;
    run(async {
        let server = Server::new().await;
        let (link, mut peer) = server.linked().await;
        let mut keys = std::collections::BTreeSet::new();
        for _ in 0..50 {
            link.send(Opcode::Ping, b"").unwrap();
            let mut frame = [0; 6];
            peer.stream.read_exact(&mut frame).await.unwrap();
            assert_eq!(frame[..2], [0x89, 0x80]);
            keys.insert(frame[2..].to_vec());
        }
        // Of 50 out of 2^32, two alike are one run in four million.
        assert_eq!(keys.len(), 50);
    });
}
