//! Connections on a shard of their own, over real sockets: each is closed exactly once, however its
//! task ends, and none sleeps through its turn.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

mod asked;

use super::*;
use crate::bus::{Message, Target};
use crate::config::Config;
use crate::handshake::{Admission, Endpoints, Proxies, examine};
use crate::hub::{Hub, Mail, Mailbox};
use crate::outbound::tests::narrow_pair;
use crate::telemetry::{AllShardGauges, EndpointIndex, ShardGauges, Telemetry, TelemetryOptions};
use crate::wire::{Opcode, SharedFrame};
use bytes::Bytes;

/// One shard of a gateway with two; nobody runs the other.
struct Rig {
    shard: Rc<Shard>,
    telemetry: Telemetry,
    hub: Arc<Hub<Errands>>,
    endpoints: Arc<Endpoints>,
    admission: Admission,
}

impl Rig {
    fn new() -> Self {
        let config = Config::default();
        let endpoints = Arc::new(Endpoints::compile(&config));
        let names = endpoints.names();
        let options = TelemetryOptions { endpoints: names.clone(), ..Default::default() };
        let telemetry = Telemetry::new(&options);
        let gauges = ShardGauges::new();
        telemetry.register(AllShardGauges::new(vec![Arc::clone(&gauges)])).unwrap();
        let hub = Arc::new(Hub::new(2));
        let parts = ShardParts {
            index: 0,
            recorder: telemetry.recorder(),
            gauges,
            hub: Arc::clone(&hub),
            endpoints: names.len(),
            began: Instant::now(),
        };
        let shard = Shard::new(parts, &config);
        Self { shard, telemetry, hub, endpoints, admission: Admission::new(0, 0) }
    }

    /// A connection whose 101 has been written, and the client's socket.
    async fn open(&self, path: &str) -> (ConnectionTask, TcpStream) {
        let (opened, peer) = self.opened(path).await;
        (ConnectionTask::open(&self.shard, opened), peer)
    }

    async fn opened(&self, path: &str) -> (Opened, TcpStream) {
        let (stream, peer) = narrow_pair().await;
        let request = http::Request::get(path)
            .header("Host", "gateway")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        let (request, ()) = request.body(()).unwrap().into_parts();
        let (_, endpoint) = self.endpoints.find(path).unwrap();
        let address = peer.local_addr().unwrap();
        let id = uuid::Uuid::now_v7();
        let ticket = examine(&request, address, endpoint, &Proxies::new(&[]), id);
        let opened = Opened {
            stream,
            ticket: ticket.unwrap(),
            permit: self.admission.admit(address.ip()).unwrap(),
            rules: Rules::of(endpoint),
            handshake: Duration::ZERO,
            user_agent: None,
            leftover: Vec::new(),
            joined_at_seq: self.hub.last_seq(),
        };
        (opened, peer)
    }

    /// Sends a text on its way to an endpoint.
    fn publish(&self, endpoint: EndpointIndex, text: &'static [u8]) {
        let frame = SharedFrame::new(Opcode::Text, Bytes::from_static(text));
        self.hub.publish(Message { to: Target::Endpoint(endpoint), frame }, 0);
    }

    /// The sum over the samples whose line begins with the name and holds the label.
    fn metric(&self, name: &str, label: &str) -> u64 {
        let page = self.telemetry.render().1;
        let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }

    /// One connection was opened and closed, by this cause and no other; nothing is left of it.
    #[track_caller]
    fn check_closed(&self, cause: &str) {
        self.check_all_closed(&[(cause, 1)]);
    }

    /// Connections were opened and each closed once, by these causes and no other; nothing is left
    /// of them.
    #[track_caller]
    fn check_all_closed(&self, causes: &[(&str, u64)]) {
        let all = causes.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(self.metric("gaugeway_connections_opened_total{", ""), all);
        assert_eq!(self.metric("gaugeway_disconnects_total{", ""), all, "each exactly once");
        for (cause, count) in causes {
            let label = format!("cause=\"{cause}\"");
            assert_eq!(self.metric("gaugeway_disconnects_total{", &label), *count, "as {cause}");
        }
        assert_eq!(self.metric("gaugeway_connections{", ""), 0);
        assert_eq!(self.shard.connections(), 0);
        assert!(self.shard.local.is_empty(), "a ghost is left");
        assert_eq!((self.shard.backlogs.count(), self.shard.backlogs.bytes()), (0, 0));
        assert_eq!(self.admission.open(), 0, "its place is free");
    }
}

/// Does with a mailbox what its shard would.
fn drain(mailbox: &Mailbox<Errands>) {
    for mail in mailbox.take() {
        if let Mail::Publication(delivery) = mail {
            mailbox.done(&delivery);
        }
    }
}

fn run(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), test()).await.expect("it ends");
    });
}

/// The code of the Close that the client gets before FIN, if one comes.
async fn close_code(peer: &mut TcpStream) -> Option<u16> {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    let frame = bytes.strip_prefix(b"\x88")?;
    Some(u16::from_be_bytes([frame[1], frame[2]]))
}

/// Yields until something holds.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_task_that_is_cancelled_closes_its_connection_once() {
    run(async || {
        for polled in [false, true] {
            let rig = Rig::new();
            let (task, mut peer) = rig.open("/ws-notifications").await;
            let tasks = LocalSet::new();
            tasks.spawn_local(task);
            if polled {
                tasks.run_until(tokio::task::yield_now()).await;
            }
            drop(tasks);
            rig.check_closed("internal_error");
            assert_eq!(close_code(&mut peer).await, Some(1011));
        }
    });
}

#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "the task's own borrow is to panic")]
fn a_task_that_panics_closes_its_connection_once() {
    run(async || {
        let rig = Rig::new();
        let (task, mut peer) = rig.open("/ws-notifications").await;
        let tasks = LocalSet::new();
        let borrowed = rig.shard.buffers.borrow_mut();
        let joined = tasks.run_until(tasks.spawn_local(task)).await;
        assert!(joined.unwrap_err().is_panic());
        drop(borrowed);
        rig.check_closed("internal_error");
        assert_eq!(close_code(&mut peer).await, Some(1011));
        // The shard goes on.
        let (task, mut peer) = rig.open("/ws-notifications").await;
        let closing = async {
            peer.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
            close_code(&mut peer).await
        };
        let ((), code) = tokio::join!(task, closing);
        assert_eq!(code, Some(1000));
    });
}

#[test]
fn a_task_that_is_cancelled_while_the_gateway_ends_was_shut_down() {
    run(async || {
        let rig = Rig::new();
        let (task, mut peer) = rig.open("/ws-notifications").await;
        rig.shard.shut_down().await;
        drop(task);
        rig.check_closed("shutdown");
        assert_eq!(close_code(&mut peer).await, Some(1001));
    });
}

#[test]
fn a_connection_that_ended_by_itself_keeps_its_cause_when_its_task_is_dropped() {
    run(async || {
        let rig = Rig::new();
        let (task, mut peer) = rig.open("/ws-notifications").await;
        peer.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
        rig.shard.shut_down().await;
        // The gateway gave it up first: the client's Close counts as the answer.
        task.await;
        rig.check_closed("shutdown");
        assert_eq!(rig.metric("gaugeway_disconnects_total{", "code=\"1001\""), 1);
        let rig = Rig::new();
        let (task, mut peer) = rig.open("/ws-notifications").await;
        peer.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
        task.await;
        rig.shard.shut_down().await;
        rig.check_closed("client_close");
    });
}

#[test]
fn a_connection_that_opens_while_the_gateway_ends_is_told_so() {
    run(async || {
        let rig = Rig::new();
        rig.shard.shut_down().await;
        let (task, mut peer) = rig.open("/ws-notifications").await;
        let answering = async {
            let mut close = [0; 4];
            peer.read_exact(&mut close).await.unwrap();
            assert_eq!(close[..4], *b"\x88\x1a\x03\xe9", "Close 1001");
            peer.write_all(b"\x88\x82\0\0\0\0\x03\xe9").await.unwrap();
        };
        tokio::join!(task, answering);
        rig.check_closed("shutdown");
    });
}

#[test]
fn a_publisher_that_waits_for_one_shard_after_the_other_is_woken_by_both() {
    run(async || {
        let rig = Rig::new();
        let endpoint = rig.endpoints.find("/ws").unwrap().0;
        let (task, mut peer) = rig.open("/ws").await;
        while !rig.hub.mailbox(0).is_congested() || !rig.hub.mailbox(1).is_congested() {
            rig.publish(endpoint, b"x");
        }
        let before = rig.hub.last_seq();
        let tasks = LocalSet::new();
        tasks.spawn_local(task);
        peer.write_all(b"\x81\x81\0\0\0\0y").await.unwrap();
        tasks
            .run_until(async {
                for shard in [0, 1] {
                    // It has been polled, and waits.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    assert_eq!(rig.hub.last_seq(), before, "shard {shard} is behind");
                    let mailbox = rig.hub.mailbox(shard);
                    drain(&mailbox);
                }
                until(|| rig.hub.last_seq() > before).await;
            })
            .await;
    });
}

#[test]
fn a_publisher_waits_again_when_the_same_shard_falls_behind_again() {
    run(async || {
        let rig = Rig::new();
        let endpoint = rig.endpoints.find("/ws").unwrap().0;
        let (task, mut peer) = rig.open("/ws").await;
        let mailbox = rig.hub.mailbox(0);
        let other = rig.hub.mailbox(1);
        let tasks = LocalSet::new();
        tasks.spawn_local(task);
        tasks
            .run_until(async {
                for round in 0..3 {
                    // Drained and full again before the task has had its turn.
                    while !mailbox.is_congested() {
                        rig.publish(endpoint, b"x");
                    }
                    drain(&other);
                    if round == 0 {
                        peer.write_all(b"\x81\x81\0\0\0\0y").await.unwrap();
                    }
                    let before = rig.hub.last_seq();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    assert_eq!(rig.hub.last_seq(), before, "it waits");
                    drain(&mailbox);
                }
                let before = rig.hub.last_seq();
                until(|| rig.hub.last_seq() > before).await;
            })
            .await;
    });
}

#[test]
fn what_is_published_once_the_client_has_its_101_is_for_it() {
    run(async || {
        let rig = Rig::new();
        let endpoint = rig.endpoints.find("/ws").unwrap().0;
        rig.publish(endpoint, b"before");
        let (opened, mut peer) = rig.opened("/ws").await;
        rig.publish(endpoint, b"after");
        let tasks = LocalSet::new();
        tasks.spawn_local(ConnectionTask::open(&rig.shard, opened));
        tasks.spawn_local(Rc::clone(&rig.shard).run_fan_out());
        let mut frame = [0; 7];
        tasks.run_until(peer.read_exact(&mut frame)).await.unwrap();
        assert_eq!(frame, *b"\x81\x05after");
    });
}
