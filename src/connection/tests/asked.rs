//! Connections that are asked to end from beside, and visitors that meet them while they do.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::pin::pin;

use uuid::Uuid;

use super::*;
use crate::outbound::tests::Random;
use crate::state::Now;

/// Kicks whom it is told to; all that it has met.
#[derive(Default)]
struct Usher {
    /// Those of its visits, counted from 1, at which it kicks; and at which it goes home.
    kicks: HashSet<usize>,
    goes_home_at: Option<usize>,
    met: Vec<Uuid>,
    kicked: usize,
}

impl Visitor for Usher {
    fn visit(&mut self, peer: &Peer, _: Now) -> ControlFlow<()> {
        self.met.push(peer.identity.id);
        if self.kicks.contains(&self.met.len()) && peer.kick(4001, "go away") {
            self.kicked += 1;
        }
        if self.goes_home_at == Some(self.met.len()) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl Rig {
    /// A shard whose neighbour has ended, with tasks that serve it.
    fn alone() -> (Self, LocalSet) {
        let rig = Self::new();
        rig.hub.mailbox(1).close();
        let tasks = LocalSet::new();
        tasks.spawn_local(Rc::clone(&rig.shard).run_fan_out());
        (rig, tasks)
    }

    /// The one visitor that comes back.
    async fn visit(&self, mut usher: impl FnMut() -> Usher) -> Usher {
        let mut ushers = visit_all(&self.hub, &mut usher).await;
        assert_eq!(ushers.len(), 1, "a shard that has ended gives none back");
        ushers.pop().unwrap()
    }
}

/// One frame with a short payload; the payload.
async fn read_frame(peer: &mut TcpStream, first_byte: u8) -> Vec<u8> {
    let mut header = [0; 2];
    peer.read_exact(&mut header).await.unwrap();
    assert_eq!(header[0], first_byte);
    let mut payload = vec![0; usize::from(header[1])];
    peer.read_exact(&mut payload).await.unwrap();
    payload
}

/// The client answers a Close with its own code, and sees FIN.
async fn answer(peer: &mut TcpStream, code: u16) {
    let [high, low] = code.to_be_bytes();
    peer.write_all(&[0x88, 0x82, 0, 0, 0, 0, high, low]).await.unwrap();
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "FIN, and nothing before it");
}

#[test]
fn who_is_kicked_gets_what_was_published_before_then_the_code_and_the_reason() {
    run(async || {
        let (rig, tasks) = Rig::alone();
        let endpoint = rig.endpoints.find("/ws").unwrap().0;
        let (task, mut peer) = rig.open("/ws").await;
        let connection = tasks.spawn_local(task);
        let client = async {
            rig.publish(endpoint, b"before");
            let kick = || Usher { kicks: HashSet::from([1]), ..Usher::default() };
            let first = rig.visit(kick).await;
            let second = rig.visit(kick).await;
            rig.publish(endpoint, b"after");
            assert_eq!((first.kicked, second.kicked), (1, 0), "once is enough");
            assert_eq!(read_frame(&mut peer, 0x81).await, b"before");
            assert_eq!(read_frame(&mut peer, 0x88).await, b"\x0f\xa1go away");
            answer(&mut peer, 4001).await;
            connection.await.unwrap();
        };
        tasks.run_until(client).await;
        rig.check_closed("kicked");
        assert_eq!(rig.metric("gaugeway_disconnects_total{", "code=\"4001\""), 1);
    });
}

#[test]
fn a_visitor_that_has_seen_enough_sees_no_more() {
    run(async || {
        for (goes_home_at, expected) in
            [(Some(1), 1), (Some(256), 256), (Some(257), 257), (None, 300)]
        {
            let (rig, tasks) = Rig::alone();
            let mut peers = Vec::new();
            for _ in 0..300 {
                let (task, peer) = rig.open("/ws").await;
                tasks.spawn_local(task);
                peers.push(peer);
            }
            let visit = rig.visit(|| Usher { goes_home_at, ..Usher::default() });
            let usher = tasks.run_until(visit).await;
            let met: HashSet<_> = usher.met.iter().collect();
            assert_eq!((met.len(), usher.met.len()), (expected, expected), "each once");
        }
    });
}

#[test]
fn a_visitor_is_given_back_although_nobody_is_there() {
    run(async || {
        let (rig, tasks) = Rig::alone();
        let usher = tasks.run_until(rig.visit(Usher::default)).await;
        assert!(usher.met.is_empty());
    });
}

#[test]
fn a_drain_sends_1012_to_one_after_the_other_and_a_shutdown_1001_to_the_rest() {
    run(async || {
        let (rig, tasks) = Rig::alone();
        let mut peers = Vec::new();
        for _ in 0..5 {
            let (task, peer) = rig.open("/ws").await;
            tasks.spawn_local(task);
            peers.push(peer);
        }
        let ending = async {
            // The first has its turn at once, the others not before a very long time.
            let pace = Pace::new(5, Duration::from_hours(1000));
            let mut draining = pin!(rig.shard.drain(&pace));
            let close = read_frame(&mut peers[0], 0x88);
            let told = tokio::select! {
                told = close => told,
                () = &mut draining => panic!("it has told everybody already"),
            };
            assert!(told.starts_with(b"\x03\xf4restarting; reconnect_after_ms="), "{told:?}");
            answer(&mut peers[0], 1012).await;
            // Who comes now is told at once.
            let (task, mut late) = rig.open("/ws").await;
            tokio::task::spawn_local(task);
            assert!(read_frame(&mut late, 0x88).await.starts_with(b"\x03\xf4"));
            answer(&mut late, 1012).await;
            assert_eq!(rig.shard.connections(), 4);
            rig.shard.shut_down().await;
            for peer in &mut peers[1..] {
                assert!(read_frame(peer, 0x88).await.starts_with(b"\x03\xe9"));
                answer(peer, 1001).await;
            }
            until(|| rig.shard.connections() == 0).await;
        };
        tasks.run_until(ending).await;
        rig.check_all_closed(&[("draining", 2), ("shutdown", 4)]);
    });
}

/// A client that answers whatever Close comes, or closes by itself, or vanishes; how it ended.
async fn live(mut peer: TcpStream, act: usize) {
    match act {
        0 => peer.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap(),
        1 => peer.set_zero_linger().unwrap(),
        _ => {}
    }
    if act == 1 {
        return;
    }
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match peer.read(&mut buffer).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            Ok(0) | Err(_) => return,
        }
        // Every payload here is shorter than 126 bytes and no text holds 0x88.
        if let Some(at) = bytes.iter().position(|byte| *byte == 0x88)
            && let Some(code) = bytes.get(at + 2..at + 4)
            && act != 0
        {
            let _ = peer.write_all(&[0x88, 0x82, 0, 0, 0, 0, code[0], code[1]]).await;
        }
    }
}

#[test]
fn visitors_kicks_drains_and_ends_race_and_each_connection_is_closed_once() {
    const OPEN: usize = 400;
    for seed in 1..=8 {
        run(async || {
            let (rig, tasks) = Rig::alone();
            let endpoint = rig.endpoints.find("/ws").unwrap().0;
            let random = RefCell::new(Random(seed * 0x9e37_79b9));
            let below = |limit| random.borrow_mut().below(limit);
            let racing = async {
                let mut ushers = Vec::new();
                for round in 0..OPEN {
                    let (task, peer) = rig.open("/ws").await;
                    tokio::task::spawn_local(task);
                    tokio::task::spawn_local(live(peer, below(4)));
                    if below(4) == 0 {
                        rig.publish(endpoint, b"to all who are there");
                    }
                    if round % 40 == 39 {
                        let kicks = (0..5).map(|_| 1 + below(OPEN)).collect();
                        let usher = RefCell::new(Some(Usher { kicks, ..Usher::default() }));
                        ushers.push(rig.visit(|| usher.take().unwrap_or_default()).await);
                    }
                }
                rig.shard.drain(&Pace::new(OPEN as u64, Duration::ZERO)).await;
                until(|| rig.shard.connections() == 0).await;
                ushers
            };
            let ushers = tasks.run_until(racing).await;
            for usher in &ushers {
                let met: HashSet<_> = usher.met.iter().collect();
                assert_eq!(met.len(), usher.met.len(), "nobody twice");
            }
            let kicked = rig.metric("gaugeway_disconnects_total{", "cause=\"kicked\"");
            let asked: usize = ushers.iter().map(|usher| usher.kicked).sum();
            assert!(kicked <= asked as u64, "seed {seed}: {kicked} of {asked}");
            let opened = rig.metric("gaugeway_connections_opened_total{", "");
            let ended = rig.metric("gaugeway_disconnects_total{", "");
            assert_eq!((opened, ended), (OPEN as u64, OPEN as u64), "seed {seed}");
            let by_defect = rig.metric("gaugeway_disconnects_total{", "cause=\"internal_error\"");
            assert_eq!(by_defect, 0, "seed {seed}");
            assert!(rig.shard.local.is_empty() && rig.hub.users().count() == 0);
            assert_eq!((rig.shard.backlogs.count(), rig.shard.backlogs.bytes()), (0, 0));
            assert_eq!(rig.admission.open(), 0);
        });
    }
}
