//! The sequence, the mailboxes and the fan-out, with receivers on real sockets.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::*;
use crate::bus::Target;
use crate::outbound::tests::{Random, narrow_pair};
use crate::outbound::{Backlogs, Outbound, QueueLimits};
use crate::state::Now;
use crate::telemetry::{EndpointIndex, Recorder, Telemetry, TelemetryOptions};
use crate::wire::{Deflater, Opcode, SharedFrame};
use bytes::Bytes;

const NOW: Now = Now { real_us: 1, attended_us: 1 };
const ROOMY: QueueLimits = QueueLimits { bytes: 1 << 30, messages: 1 << 20 };
const A: EndpointIndex = EndpointIndex(0);
const B: EndpointIndex = EndpointIndex(1);

/// A hub whose shards have no errands.
type TestHub = Hub<()>;

impl TestHub {
    /// Sends a message on its way; returns its number.
    fn send_to(&self, to: Target, opcode: Opcode, payload: &[u8]) -> u64 {
        let frame = SharedFrame::new(opcode, Bytes::copy_from_slice(payload));
        self.publish(Message { to, frame }, NOW.real_us);
        self.last_seq()
    }
}

/// One shard's part of a hub.
struct Shard {
    hub: Arc<TestHub>,
    index: usize,
    telemetry: Telemetry,
    recorder: Recorder,
    backlogs: Backlogs,
    deflater: RefCell<Deflater>,
    local: Local,
}

/// A receiver and the client behind it.
struct Receiver {
    member: Rc<Member>,
    key: usize,
    peer: TcpStream,
}

impl Shard {
    fn new(hub: &Arc<TestHub>, index: usize, limits: QueueLimits) -> Self {
        let endpoints = vec!["/a".to_owned(), "/b".to_owned()];
        let telemetry = Telemetry::new(&TelemetryOptions { endpoints, ..Default::default() });
        Self {
            hub: Arc::clone(hub),
            index,
            recorder: telemetry.recorder(),
            telemetry,
            backlogs: Backlogs::new(limits),
            deflater: RefCell::new(Deflater::new(1, 15)),
            local: Local::new(2, Arc::clone(hub.users())),
        }
    }

    async fn join(&self, endpoint: EndpointIndex, takes_deflated: bool) -> Receiver {
        self.join_as(None, endpoint, takes_deflated).await
    }

    async fn join_as(
        &self,
        user: Option<&str>,
        endpoint: EndpointIndex,
        takes_deflated: bool,
    ) -> Receiver {
        let (ours, peer) = narrow_pair().await;
        let user = user.map(|name| self.hub.user_key(name));
        let outbound = Outbound::new(ours, NOW);
        let joined_at_seq = self.hub.last_seq();
        let member = Member::new(outbound, endpoint, user, takes_deflated, joined_at_seq);
        let key = self.local.join(&member);
        Receiver { member, key, peer }
    }

    async fn fan_out(&self) {
        let fan_out = FanOut {
            recorder: &self.recorder,
            backlogs: &self.backlogs,
            deflater: &self.deflater,
            deflate_min_bytes: 128,
            now: &|| NOW,
        };
        let mailbox = self.hub.mailbox(self.index);
        let batch = waiting_in(&mailbox);
        self.local.fan_out(&batch, &fan_out).await;
        for delivery in &batch {
            mailbox.done(delivery);
        }
    }

    /// The receiver leaves; all bytes that its client got.
    async fn leave(&self, receiver: Receiver) -> Vec<u8> {
        let Receiver { member, key, mut peer } = receiver;
        self.local.leave(&member, key);
        let mut bytes = Vec::new();
        let flushing = async {
            let outbound = &member.outbound;
            std::future::poll_fn(|cx| outbound.poll_flush(cx, NOW, &self.backlogs)).await;
            outbound.end(false, &self.backlogs);
        };
        let (read, ()) = tokio::join!(peer.read_to_end(&mut bytes), flushing);
        read.unwrap();
        bytes
    }

    fn count(&self, sample: &str) -> usize {
        let page = self.telemetry.render().1;
        let line = page.lines().find_map(|line| line.strip_prefix(sample)).unwrap();
        line.trim().parse().unwrap()
    }
}

/// Everything that waits in a mailbox.
fn waiting_in(mailbox: &Mailbox<()>) -> Vec<Arc<Delivery>> {
    let of = |mail| match mail {
        Mail::Publication(delivery) => Some(delivery),
        Mail::Errand(()) => None,
    };
    mailbox.take().into_iter().filter_map(of).collect()
}

fn run(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limit = std::time::Duration::from_secs(20);
        tokio::time::timeout(limit, test()).await.expect("it ends");
    });
}

/// A short text frame.
fn text(payload: &str) -> Vec<u8> {
    [&[0x81, payload.len() as u8], payload.as_bytes()].concat()
}

#[test]
fn receivers_get_what_came_after_they_joined_on_their_endpoint_until_they_leave() {
    run(async || {
        let hub = Arc::new(TestHub::new(2));
        let shards = [0, 1].map(|index| Shard::new(&hub, index, ROOMY));
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        // Who receives, and what each must have received by now.
        let mut receivers: [Vec<(Receiver, Vec<u8>)>; 2] = Default::default();
        for step in 0..600 {
            let here = random.below(2);
            match random.below(10) {
                0 | 1 => {
                    let endpoint = EndpointIndex(random.below(2) as u16);
                    let receiver = shards[here].join(endpoint, false).await;
                    receivers[here].push((receiver, Vec::new()));
                }
                2 if !receivers[here].is_empty() => {
                    // What is still in the mailbox when it leaves is not for it any more.
                    shards[here].fan_out().await;
                    let at = random.below(receivers[here].len());
                    let (receiver, expected) = receivers[here].swap_remove(at);
                    assert!(shards[here].leave(receiver).await == expected, "step {step}");
                }
                3 => shards[here].fan_out().await,
                _ => {
                    let endpoint = EndpointIndex(random.below(2) as u16);
                    let payload = format!("message {step}");
                    let seq =
                        hub.send_to(Target::Endpoint(endpoint), Opcode::Text, payload.as_bytes());
                    assert_eq!(seq, hub.last_seq());
                    for (receiver, expected) in receivers.iter_mut().flatten() {
                        if receiver.member.endpoint == endpoint {
                            expected.extend(text(&payload));
                        }
                    }
                }
            }
        }
        for (shard, receivers) in shards.iter().zip(receivers) {
            shard.fan_out().await;
            for (receiver, expected) in receivers {
                assert!(shard.leave(receiver).await == expected);
            }
            assert_eq!((shard.backlogs.count(), shard.backlogs.bytes()), (0, 0));
        }
        assert!(hub.last_seq() > 200);
    });
}

#[test]
fn each_receiver_gets_the_variant_it_can_read_and_all_are_counted() {
    run(async || {
        let hub = Arc::new(TestHub::new(1));
        let shard = Shard::new(&hub, 0, ROOMY);
        let plain = shard.join(A, false).await;
        let deflated = [shard.join(A, true).await, shard.join(A, true).await];
        let elsewhere = shard.join(B, true).await;
        let long = "notification ".repeat(40);
        hub.send_to(Target::Endpoint(A), Opcode::Text, b"short");
        hub.send_to(Target::Endpoint(A), Opcode::Text, long.as_bytes());
        shard.fan_out().await;
        assert!(!plain.member.context_lost.get() && !elsewhere.member.context_lost.get());
        assert!(deflated.iter().all(|receiver| receiver.member.context_lost.get()));
        let totals = deflated[0].member.outbound.totals();
        assert_eq!((totals.messages, totals.payload_bytes), (2, 525));
        let received = shard.leave(plain).await;
        assert!(received.starts_with(&text("short")) && received.ends_with(long.as_bytes()));
        assert_eq!(received[7..11], [0x81, 126, 2, 8]);
        let plain_bytes = received.len();
        let [first, second] = deflated;
        let received = shard.leave(first).await;
        assert_eq!(received, shard.leave(second).await, "one encoding for both");
        assert_eq!(received[..7], text("short"), "not worth compressing");
        assert_eq!(received[7], 0xc1, "text, FIN, RSV1");
        assert!(received.len() < 100);
        assert_eq!(shard.leave(elsewhere).await, b"");
        let towards = r#"{direction="out"}"#;
        let wire_bytes = plain_bytes + 2 * received.len();
        assert_eq!(shard.count(&format!("gaugeway_wire_bytes_total{towards}")), wire_bytes);
        assert_eq!(shard.count(&format!("gaugeway_messages_compressed_total{towards}")), 2);
        let messages = r#"gaugeway_messages_total{endpoint="/a",direction="out",opcode="text"}"#;
        assert_eq!(shard.count(messages), 6);
    });
}

#[test]
fn a_receiver_that_overflows_harms_no_other() {
    run(async || {
        let hub = Arc::new(TestHub::new(1));
        let shard = Shard::new(&hub, 0, QueueLimits { bytes: 4096, messages: 4 });
        let slow = shard.join(A, false).await;
        let payload = vec![b'x'; 1000];
        let mut published = 0;
        while slow.member.outbound.take_signals() & crate::outbound::signal::OVERFLOW == 0 {
            hub.send_to(Target::Endpoint(A), Opcode::Binary, &payload);
            shard.fan_out().await;
            published += 1;
        }
        let counted = r#"gaugeway_messages_total{endpoint="/a",direction="out",opcode="binary"}"#;
        assert_eq!(shard.count(counted), published - 1, "the refused one is not sent");
        let quick = shard.join(A, false).await;
        hub.send_to(Target::Endpoint(A), Opcode::Text, b"to whom it may concern");
        shard.fan_out().await;
        assert_eq!(shard.leave(quick).await, text("to whom it may concern"));
        assert_eq!(shard.leave(slow).await.len(), (published - 1) * 1004);
    });
}

#[test]
fn more_receivers_than_one_chunk_are_all_served() {
    run(async || {
        let hub = Arc::new(TestHub::new(1));
        let shard = Shard::new(&hub, 0, ROOMY);
        let mut receivers = Vec::new();
        for _ in 0..600 {
            receivers.push(shard.join(A, false).await);
        }
        hub.send_to(Target::Endpoint(A), Opcode::Text, b"all");
        shard.fan_out().await;
        for receiver in receivers {
            assert_eq!(shard.leave(receiver).await, text("all"));
        }
    });
}

/// Counts its calls.
#[derive(Default)]
struct Called(AtomicUsize);

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Publishes so many payloads, which must just make the mailbox congested.
fn check_congestion(payload: &[u8], publications: usize) {
    let hub = TestHub::new(1);
    let mailbox = hub.mailbox(0);
    let called = Arc::new(Called::default());
    let waker = Waker::from(Arc::clone(&called));
    let mut waiting = None;
    for round in 1..=2 {
        for _ in 1..publications {
            hub.send_to(Target::Endpoint(A), Opcode::Binary, payload);
        }
        assert!(hub.congested().is_none());
        hub.send_to(Target::Endpoint(A), Opcode::Binary, payload);
        assert!(hub.congested().is_some(), "{publications} are too many");
        for _ in 0..3 {
            waiting = mailbox.wake_when_drained(&waker, waiting);
            assert!(waiting.is_some());
        }
        assert_eq!(called.0.load(Ordering::Relaxed), round - 1, "not yet");
        for delivery in waiting_in(&mailbox) {
            mailbox.done(&delivery);
        }
        assert_eq!(called.0.load(Ordering::Relaxed), round, "once, for three calls");
    }
    // Who comes too late is woken at once.
    assert_eq!(mailbox.wake_when_drained(&waker, waiting), None);
    assert_eq!(called.0.load(Ordering::Relaxed), 3);
}

#[test]
fn a_mailbox_that_is_behind_says_so_and_wakes_who_waits() {
    check_congestion(b"", 16_385);
    check_congestion(&vec![0; 1 << 20], 16);
}

#[test]
fn publishers_on_many_threads_give_every_shard_the_same_order() {
    let hub = Arc::new(TestHub::new(3));
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..500 {
                    hub.send_to(Target::Endpoint(A), Opcode::Text, b"x");
                }
            });
        }
    });
    for shard in 0..3 {
        let seqs: Vec<_> =
            waiting_in(&hub.mailbox(shard)).iter().map(|one| one.publication.seq).collect();
        assert_eq!(seqs, (1..=2000).collect::<Vec<u64>>());
    }
}
