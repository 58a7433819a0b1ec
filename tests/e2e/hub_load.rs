//! The hub under load: many receivers, some of which never read.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpSocket, TcpStream};

use super::support::swarm::{self, Attempt, Peer};
use super::support::{Gateway, Metrics, Opening, Settings, Site, frame, wait_for};

const PATH: &str = "/ws";
/// Handshakes at a time.
const AT_ONCE: usize = 100;

const CLIENTS: usize = 1_000;
const BROADCASTS: usize = 100;
/// So many of the clients send, all at once.
const SENDERS: usize = 10;

async fn next(peer: &mut Peer) -> String {
    let frame = peer.read_frame().await.expect("a message");
    assert_eq!(frame.opcode(), 1, "{frame:?}");
    String::from_utf8(frame.payload).unwrap()
}

#[test]
fn a_thousand_clients_get_a_hundred_broadcasts_each_once_in_one_order_through_nginx() {
    raise_file_limit();
    let site = Site::start(Settings::new().set("server.shards=2"));
    let received = swarm::run(async {
        let opening = Opening::new(PATH);
        let peers = (0..CLIENTS).map(|_| Peer::open(&opening, site.nginx.plain));
        let mut peers: Vec<_> = stream::iter(peers).buffer_unordered(AT_ONCE).collect().await;
        site.gateway.wait_for_connections(CLIENTS);
        let clients = peers.iter_mut().enumerate().map(|(index, peer)| async move {
            if index < SENDERS {
                for number in 0..BROADCASTS / SENDERS {
                    peer.send_frame(1, format!("{index} {number}").as_bytes()).await;
                }
            }
            let mut got = Vec::with_capacity(BROADCASTS);
            for _ in 0..BROADCASTS {
                got.push(next(peer).await);
            }
            got
        });
        let received = join_all(clients).await;
        // A double would come before the answer to the Close.
        let closing = peers.into_iter().map(|peer| async {
            let mut peer = peer;
            peer.send_frame(8, &1000_u16.to_be_bytes()).await;
            let answer = peer.read_frame().await.expect("a Close");
            assert_eq!(answer.close_code(), Some(1000), "one too many: {answer:?}");
        });
        join_all(closing).await;
        received
    });
    let order = &received[0];
    assert_eq!(order.iter().collect::<HashSet<_>>().len(), BROADCASTS, "each once");
    for sender in 0..SENDERS {
        let own = order.iter().filter(|text| text.starts_with(&format!("{sender} ")));
        let sent = (0..BROADCASTS / SENDERS).map(|number| format!("{sender} {number}"));
        assert!(own.cloned().eq(sent), "what {sender} sent keeps its order");
    }
    assert!(received.iter().all(|got| got == order), "the same order for all");
    let metrics = site.gateway.wait_for_connections(0);
    let deliveries = (CLIENTS * BROADCASTS) as f64;
    assert_eq!(metrics.sum("publications_total", &[("source", "client")]), BROADCASTS as f64);
    assert_eq!(metrics.sum("deliveries_total", &[]), deliveries);
    assert_eq!(metrics.sum("deliveries_dropped_total", &[]), 0.0);
    assert_eq!(
        metrics.sum("messages_total", &[("direction", "out"), ("opcode", "text")]),
        deliveries
    );
    assert_eq!(metrics.sum("fanout_duration_seconds_count", &[]), BROADCASTS as f64);
    // One in 16, of each of the two shards for itself; the last of them are counted with the next tick.
    let sampled = wait_for("the lag of every sixteenth delivery", || {
        let sampled = site.gateway.metrics().sum("delivery_lag_seconds_count", &[]);
        (sampled >= (deliveries / 16.0).floor() - 2.0).then_some(sampled)
    });
    assert!(sampled <= deliveries / 16.0, "{sampled} of {deliveries}");
}

const RECEIVERS: usize = 10_000;
const SLEEPERS: usize = 100;
const HEALTHY: usize = RECEIVERS - SLEEPERS;
const QUEUE_BYTES: usize = 32 << 10;
const PAYLOAD_BYTES: usize = 4_000;
/// Publications after which whoever never reads must have ended: the kernel's buffers and the queue
/// hold less than half of it.
const PUBLICATIONS_MAX: usize = 400;
/// What the gateway's memory may grow by beside the bounded queues: publications under way, the
/// allocator's slack, and what serving for the first time makes it touch.
const ALLOWANCE_BYTES: usize = 24 << 20;

/// A socket from one of many addresses: one address has too few ports for tests that run side by side.
async fn connect(gateway: &Gateway, ordinal: usize, reads: bool) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    if !reads {
        socket.set_recv_buffer_size(4096).unwrap();
        // With the segments of loopback the kernel would take megabytes for it.
        socket2::SockRef::from(&socket).set_tcp_mss(536).unwrap();
    }
    let source = Ipv4Addr::new(127, 0, 1, 1 + (ordinal % 200) as u8);
    socket.bind((source, 0).into()).unwrap();
    let stream = socket.connect(gateway.public).await.unwrap();
    match Peer::over(stream, &Opening::new(PATH), gateway.public).await {
        Attempt::Opened(peer) => peer.stream,
        Attempt::Refused(status) => panic!("refused with {status}"),
        Attempt::Failed(error) => panic!("not opened: {error}"),
    }
}

/// What every receiver must get, byte by byte, and how much all of them together have got.
#[derive(Default)]
struct Expected {
    bytes: RefCell<Vec<u8>>,
    received: Cell<usize>,
}

impl Expected {
    /// Reads until it is dropped; every byte must be the next one.
    async fn read(&self, stream: TcpStream) {
        let (mut at, mut buffer) = (0, vec![0; 2 * PAYLOAD_BYTES]);
        loop {
            stream.readable().await.unwrap();
            match stream.try_read(&mut buffer) {
                Ok(0) => panic!("a healthy receiver has been ended"),
                Ok(count) => {
                    let expected = self.bytes.borrow();
                    let next =
                        expected.get(at..at + count).expect("nothing that was not published");
                    assert!(
                        buffer[..count] == *next,
                        "something else than byte {at} and following"
                    );
                    at += count;
                    self.received.set(self.received.get() + count);
                }
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    }

    async fn until_all_have_it(&self, receivers: usize) {
        let all = receivers * self.bytes.borrow().len();
        while self.received.get() < all {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Publishes until those who do not read have ended; the greatest queue and memory that were seen.
async fn publish_until_they_have_ended(
    gateway: &Gateway,
    publisher: &mut Peer,
    expected: &Expected,
) -> [f64; 2] {
    let mut greatest = [0.0_f64; 2];
    for number in 0..PUBLICATIONS_MAX {
        let payload = format!("{number} {}", "n".repeat(PAYLOAD_BYTES));
        expected.bytes.borrow_mut().extend(frame(0x81, &payload.as_bytes()[..PAYLOAD_BYTES]));
        publisher.send_frame(1, &payload.as_bytes()[..PAYLOAD_BYTES]).await;
        let own = publisher.read_frame().await.expect("its own message");
        assert_eq!(own.opcode(), 1);
        expected.until_all_have_it(HEALTHY).await;
        let metrics = gateway.metrics();
        for (greatest, name) in
            greatest.iter_mut().zip(["send_queue_bytes", "process_resident_memory_bytes"])
        {
            *greatest = greatest.max(metrics.sum(name, &[]));
        }
        if metrics.sum("disconnects_total", &[]) >= SLEEPERS as f64 {
            return greatest;
        }
    }
    panic!("after {PUBLICATIONS_MAX} publications some of those who do not read are still served");
}

#[test]
fn a_hundred_of_ten_thousand_that_never_read_are_ended_and_the_others_get_everything() {
    raise_file_limit();
    let gateway = Settings::new()
        .set("server.shards=2")
        .set(&format!("limits.send_queue_bytes={QUEUE_BYTES}"))
        .set("limits.close_wait=200ms")
        .start();
    swarm::run(async {
        let connecting =
            (0..RECEIVERS).map(|ordinal| connect(&gateway, ordinal, ordinal >= SLEEPERS));
        let mut sleepers: Vec<_> = stream::iter(connecting).buffered(AT_ONCE).collect().await;
        let healthy = sleepers.split_off(SLEEPERS);
        let mut publisher = Peer::open(&Opening::new(PATH), gateway.public).await;
        let before = gateway.wait_for_connections(RECEIVERS + 1);
        let expected = Expected::default();
        let publishing = async {
            let greatest = publish_until_they_have_ended(&gateway, &mut publisher, &expected).await;
            check_bounds(&before, greatest);
            check_ends(&gateway.wait_for_connections(HEALTHY + 1));
            // The others have lost nothing, and go on.
            expected.bytes.borrow_mut().extend(frame(0x81, b"after all"));
            publisher.send_frame(1, b"after all").await;
            expected.until_all_have_it(HEALTHY).await;
        };
        // They read until the publishing is over; what one finds wrong ends the test at once.
        tokio::select! {
            () = publishing => {}
            _ = join_all(healthy.into_iter().map(|stream| expected.read(stream))) => {}
        }
        drop(sleepers);
    });
    check_quiet(&gateway);
}

/// The queues stayed within their bounds, and memory within these.
#[track_caller]
fn check_bounds(before: &Metrics, [queue_bytes, resident_bytes]: [f64; 2]) {
    let bound = (SLEEPERS * QUEUE_BYTES) as f64;
    assert!(queue_bytes > 0.0, "nothing was queued for those who do not read");
    assert!(queue_bytes <= bound, "{queue_bytes} queued, at most {bound} may be");
    let grown = resident_bytes - before.sum("process_resident_memory_bytes", &[]);
    let allowed = bound + ALLOWANCE_BYTES as f64;
    assert!(grown <= allowed, "grown by {grown}, at most {allowed} is allowed");
}

/// Those who do not read have ended, each once, by one of two causes; nobody else has.
#[track_caller]
fn check_ends(metrics: &Metrics) {
    let by = |cause| metrics.sum("disconnects_total", &[("cause", cause)]);
    let seen = metrics.nonzero("disconnects_total");
    assert_eq!(metrics.sum("disconnects_total", &[]), SLEEPERS as f64, "{seen:?}");
    assert_eq!(by("queue_overflow") + by("write_timeout"), SLEEPERS as f64, "{seen:?}");
    assert!(by("queue_overflow") > 0.0, "{seen:?}");
}

#[track_caller]
fn check_quiet(gateway: &Gateway) {
    let metrics = gateway.wait_for_connections(0);
    assert_eq!(metrics.sum("panics_total", &[]), 0.0);
    for gauge in ["backlogged_connections", "send_queue_bytes", "send_queue_max_bytes", "users"] {
        gateway.wait_for_metric(gauge, &[], 0.0);
    }
    let lines = wait_for("all lines `connection closed`", || {
        Some(gateway.log("connection closed")).filter(|lines| lines.len() > RECEIVERS)
    });
    assert_eq!(lines.len(), RECEIVERS + 1, "each once");
    assert_eq!(gateway.stderr(), "");
}

/// As many files as this process may have: its clients are sockets.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
