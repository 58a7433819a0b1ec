//! Broadcasts to many receivers: none lost, none doubled, the same order for all; who reads slowly
//! harms nobody else.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpSocket;

use super::support::scrapes::while_scraped;
use super::support::swarm::{self, Attempt, Peer};
use super::support::{Frame, Gateway, Metrics, Opening, Settings, masked_frame};

const PATH: &str = "/ws";
/// The last message of a test.
const END: &str = "end";

fn opening(index: usize) -> Opening {
    let opening = Opening::new(PATH);
    if index.is_multiple_of(2) { opening.deflate() } else { opening }
}

/// The text of a frame, inflated if it came so (RFC 7692 §7.2.2).
fn text_of(frame: &Frame) -> String {
    let mut payload = frame.payload.clone();
    if frame.first_byte & 0x40 != 0 {
        let deflated = [&payload[..], &[0, 0, 0xff, 0xff]].concat();
        payload = Vec::with_capacity(4096);
        let mut inflater = flate2::Decompress::new(false);
        let flush = flate2::FlushDecompress::Sync;
        inflater.decompress_vec(&deflated, &mut payload, flush).unwrap();
    }
    String::from_utf8(payload).unwrap()
}

/// The next message; pings are passed over.
async fn next(peer: &mut Peer) -> String {
    loop {
        let frame = peer.read_frame().await.expect("a message");
        match frame.opcode() {
            1 => return text_of(&frame),
            9 => {}
            opcode => panic!("opcode {opcode}: {frame:?}"),
        }
    }
}

/// All messages up to the last, `seen` as they come.
async fn receive(peer: &mut Peer, seen: impl Fn()) -> Vec<String> {
    let mut got = Vec::new();
    loop {
        let text = next(peer).await;
        if text == END {
            return got;
        }
        got.push(text);
        seen();
    }
}

/// Sends its messages, a few ahead of what has come back and not too far ahead of the `late` ones
/// who join on the way; all that it received.
async fn send(peer: &mut Peer, sender: usize, late: &Cell<usize>) -> Vec<String> {
    const AHEAD: usize = 8;
    let (mut got, mut own) = (Vec::new(), 0);
    let prefix = format!("{sender}/");
    for number in 0..EACH {
        until(|| late.get() + 2 >= number * LATE / EACH).await;
        let text = format!("{prefix}{number} {}", "notification ".repeat(12));
        peer.send_frame(1, text.as_bytes()).await;
        while number - own >= AHEAD {
            got.push(next(peer).await);
            own += usize::from(got.last().unwrap().starts_with(&prefix));
        }
    }
    while own < EACH {
        got.push(next(peer).await);
        own += usize::from(got.last().unwrap().starts_with(&prefix));
    }
    got
}

/// Waits for what another client does.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

const RECEIVERS: usize = 200;
const SENDERS: usize = 4;
const EACH: usize = 100;
const LATE: usize = 12;

/// What receivers, senders and those who joined on the way have got.
type Received = [Vec<Vec<String>>; 3];

async fn broadcast(gateway: &Gateway) -> Received {
    let open = |index: usize| async move { Peer::open(&opening(index), gateway.public).await };
    let mut receivers = join_all((0..RECEIVERS).map(open)).await;
    let mut senders = join_all((0..SENDERS).map(open)).await;
    gateway.wait_for_connections(RECEIVERS + SENDERS);
    // What the first receiver has seen paces those who join on the way.
    let (seen, opened) = (Cell::new(0), Cell::new(0));
    let count = |index| {
        let seen = &seen;
        move || seen.set(seen.get() + usize::from(index == 0))
    };
    let receiving = receivers.iter_mut().enumerate();
    let receiving = join_all(receiving.map(|(index, peer)| receive(peer, count(index))));
    let sending = async {
        let sending = senders.iter_mut().enumerate();
        let mut got = join_all(sending.map(|(index, peer)| send(peer, index, &opened))).await;
        until(|| opened.get() == LATE).await;
        gateway.wait_for_connections(RECEIVERS + SENDERS + LATE);
        senders[0].send_frame(1, END.as_bytes()).await;
        let rest = join_all(senders.iter_mut().map(|peer| receive(peer, || {}))).await;
        got.iter_mut().zip(rest).for_each(|(got, rest)| got.extend(rest));
        got
    };
    let joining = join_all((1..=LATE).map(|index| {
        let (seen, opened) = (&seen, &opened);
        async move {
            until(|| seen.get() >= index * SENDERS * EACH / (LATE + 4)).await;
            let mut peer = open(index).await;
            opened.set(opened.get() + 1);
            let got = receive(&mut peer, || {}).await;
            (peer, got)
        }
    }));
    let (received, sent, joined) = tokio::join!(receiving, sending, joining);
    let (late, joined): (Vec<_>, _) = joined.into_iter().unzip();
    for peer in receivers.into_iter().chain(senders).chain(late) {
        assert_eq!(peer.close(1000).await, Some(1000));
    }
    [received, sent, joined]
}

#[test]
fn every_receiver_gets_every_message_once_and_in_the_same_order() {
    let gateway = Settings::new().set("server.shards=2").start();
    let mut received = Received::default();
    while_scraped(&gateway, || received = swarm::run(broadcast(&gateway)));
    let [receivers, senders, late] = received;
    let order = &receivers[0];
    assert_eq!(order.len(), SENDERS * EACH);
    for sender in 0..SENDERS {
        let own = order.iter().filter(|text| text.starts_with(&format!("{sender}/")));
        let numbers: Vec<usize> =
            own.map(|text| text[2..].split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..EACH).collect::<Vec<_>>(), "a sender's messages keep their order");
    }
    assert!(receivers.iter().chain(&senders).all(|got| got == order));
    let within = late.iter().filter(|got| !got.is_empty() && got.len() < order.len());
    assert!(within.count() > LATE / 2, "they joined on the way");
    assert!(late.iter().all(|got| order.ends_with(got)), "a suffix without a hole");

    let metrics = gateway.wait_for_connections(0);
    let everybody = receivers.iter().chain(&senders).chain(&late);
    let delivered: usize = everybody.map(|got| got.len() + 1).sum();
    let out = [("endpoint", PATH), ("direction", "out"), ("opcode", "text")];
    assert_eq!(metrics.sum("messages_total", &out), delivered as f64);
    assert_eq!(ends(&metrics, "client_close"), (RECEIVERS + SENDERS + LATE) as f64);
    assert_eq!(metrics.sum("messages_compressed_total", &[("direction", "in")]), 0.0);
    assert!(metrics.sum("messages_compressed_total", &[("direction", "out")]) > 0.0);
}

fn ends(metrics: &Metrics, cause: &str) -> f64 {
    metrics.sum("disconnects_total", &[("cause", cause)])
}

/// A client whose socket takes a few kilobytes.
async fn narrow(gateway: &Gateway) -> Peer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(gateway.public).await.unwrap();
    match Peer::over(stream, &Opening::new(PATH), gateway.public).await {
        Attempt::Opened(peer) => peer,
        Attempt::Refused(_) | Attempt::Failed(_) => panic!("not opened"),
    }
}

const SLOW: usize = 6;
const QUICK: usize = 20;

/// A message of 60,000 bytes that no other looks like.
fn large(number: usize) -> String {
    format!("{number} {:0>1$}", "", 60_000)
}

/// One sends, many read, some do not, until `enough`; then the slow ones do `afterwards`.
#[track_caller]
fn check_slow(
    settings: Settings,
    enough: impl Fn(&Metrics) -> bool,
    afterwards: impl AsyncFn(Peer),
    [cause, code]: [&str; 2],
) {
    let gateway = settings.set("server.shards=2").start();
    let scrapes = while_scraped(&gateway, || {
        swarm::run(async {
            let opening = Opening::new(PATH);
            let quick = (0..QUICK).map(|_| Peer::open(&opening, gateway.public));
            let mut quick = join_all(quick).await;
            let slow = join_all((0..SLOW).map(|_| narrow(&gateway))).await;
            let mut sent = 0;
            while !enough(&gateway.metrics()) {
                // Each has read the message before the next is sent: only the slow ones are behind.
                for _ in 0..10 {
                    quick[0].send_frame(1, large(sent).as_bytes()).await;
                    for got in join_all(quick.iter_mut().map(next)).await {
                        assert!(got == large(sent), "message {sent} is not the next");
                    }
                    sent += 1;
                }
            }
            let ending = join_all(slow.into_iter().map(|peer| afterwards(peer)));
            let ended = async {
                while gateway.metrics().sum("disconnects_total", &[]) < SLOW as f64 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::join!(ending, ended);
            // Nobody else.
            let metrics = gateway.wait_for_connections(QUICK);
            let as_expected = metrics.sum("disconnects_total", &[("cause", cause), ("code", code)]);
            assert_eq!(as_expected, SLOW as f64, "{:?}", metrics.nonzero("disconnects_total"));
            // The others go on.
            quick[0].send_frame(1, b"after all").await;
            for got in join_all(quick.iter_mut().map(next)).await {
                assert_eq!(got, "after all");
            }
        });
    });
    assert!(scrapes > 0);
    gateway.wait_for_connections(0);
    for gauge in ["backlogged_connections", "send_queue_bytes", "send_queue_max_bytes"] {
        gateway.wait_for_metric(gauge, &[], 0.0);
    }
}

fn all_slow_ones_got_a_close(metrics: &Metrics) -> bool {
    metrics.sum("messages_total", &[("direction", "out"), ("opcode", "close")]) == SLOW as f64
}

/// Reads nothing until the gateway has gone.
async fn sleep_on(peer: Peer) {
    let _ = peer.stream.ready(tokio::io::Interest::ERROR).await;
}

/// Reads what was sent: messages from the first on without a hole, then the Close, last.
async fn catch_up(mut peer: Peer) {
    for number in 0.. {
        let frame = peer.read_frame().await.expect("a Close");
        if frame.opcode() == 8 {
            assert_eq!(frame.close_code(), Some(1008));
            break;
        }
        assert!(text_of(&frame) == large(number), "message {number} is not the next");
    }
    peer.answer_close(1008).await;
}

#[test]
fn a_receiver_that_never_reads_overflows_and_is_cut_off() {
    let settings =
        Settings::new().set("limits.send_queue_bytes=131072").set("limits.close_wait=200ms");
    let ends = ["queue_overflow", "1006"];
    check_slow(settings, all_slow_ones_got_a_close, sleep_on, ends);
}

#[test]
fn a_receiver_that_overflows_and_then_reads_gets_its_close() {
    let settings = Settings::new().set("limits.send_queue_messages=3").set("limits.close_wait=60s");
    let ends = ["queue_overflow", "1008"];
    check_slow(settings, all_slow_ones_got_a_close, catch_up, ends);
}

#[test]
fn a_receiver_that_never_reads_but_does_not_overflow_times_out() {
    let settings = Settings::new()
        .set("limits.send_queue_bytes=1073741824")
        .set("limits.send_queue_messages=1000000")
        .set("limits.write_wait=300ms");
    let timed_out = |metrics: &Metrics| ends(metrics, "write_timeout") == SLOW as f64;
    check_slow(settings, timed_out, sleep_on, ["write_timeout", "1006"]);
}

#[test]
fn floods_of_tiny_messages_are_slowed_down_and_lose_nothing() {
    const FLOOD: usize = 30_000;
    let gateway = Settings::new()
        .set("server.shards=2")
        .set("limits.send_queue_messages=1000000")
        .set("limits.send_queue_bytes=1073741824")
        .start();
    let got = swarm::run(async {
        let mut peers = Vec::new();
        for _ in 0..3 {
            peers.push(Peer::open(&Opening::new(PATH), gateway.public).await);
        }
        gateway.wait_for_connections(3);
        let flooding = peers.iter_mut().enumerate().map(|(index, peer)| async move {
            let payload = [b'a' + index as u8];
            let bytes = masked_frame(0x81, &payload).repeat(FLOOD);
            peer.send_while_reading(&bytes, 3 * FLOOD).await
        });
        join_all(flooding).await
    });
    assert_eq!(got[0].len(), 3 * FLOOD);
    for letter in *b"abc" {
        assert_eq!(got[0].iter().filter(|frame| frame.payload == [letter]).count(), FLOOD);
    }
    assert!(got.iter().all(|frames| *frames == got[0]), "the same order for all");
    gateway.wait_for_connections(0);
}
