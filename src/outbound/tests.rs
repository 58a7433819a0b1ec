//! The way out over real sockets: what the peer reads is what was accepted, in that order.

mod lag;

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const ROOMY: QueueLimits = QueueLimits { bytes: 1 << 20, messages: 1_000 };
const CLOSE: &[u8] = b"\x88\x02\x03\xe8";
const NOW: Now = Now { real_us: 7, attended_us: 5 };

/// Both ends of a TCP connection whose buffers hold a few kilobytes, ours ready to be written.
pub(crate) async fn narrow_pair() -> (TcpStream, TcpStream) {
    let listener = tokio::net::TcpSocket::new_v4().unwrap();
    listener.set_recv_buffer_size(4096).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(1).unwrap();
    let ours = tokio::net::TcpSocket::new_v4().unwrap();
    ours.set_send_buffer_size(4096).unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(ours.connect(address), listener.accept());
    let (ours, (theirs, _)) = (ours.unwrap(), theirs.unwrap());
    ours.set_nodelay(true).unwrap();
    ours.writable().await.unwrap();
    (ours, theirs)
}

struct Rig {
    outbound: Rc<Outbound>,
    shard: Backlogs,
    peer: TcpStream,
}

impl Rig {
    async fn new(limits: QueueLimits) -> Self {
        let (ours, peer) = narrow_pair().await;
        Self { outbound: Outbound::new(ours, NOW), shard: Backlogs::new(limits), peer }
    }

    fn send(&self, frames: &[u8]) {
        self.outbound.send(frames, NOW, &self.shard);
    }

    fn deliver(&self, frames: &[Bytes]) -> usize {
        self.outbound.deliver(frames, None, NOW, &self.shard)
    }

    fn close(&self, drop_unstarted: bool) -> u32 {
        let before = self.outbound.unsent_publications();
        self.outbound.close(CLOSE, drop_unstarted, NOW, &self.shard);
        self.outbound.unsent_publications() - before
    }

    /// Delivers kilobyte frames until the socket takes no more and some are queued; all of them.
    fn fill(&self) -> Vec<Bytes> {
        let mut sent = Vec::new();
        while self.shard.bytes() < 8192 {
            let frame = Bytes::from(vec![sent.len() as u8; 1000]);
            assert_eq!(self.deliver(std::slice::from_ref(&frame)), 1);
            sent.push(frame);
        }
        sent
    }

    async fn flush(&self) {
        poll_fn(|cx| self.outbound.poll_flush(cx, NOW, &self.shard)).await;
    }

    /// Flushes while the peer reads, then sends FIN; what the peer got.
    async fn finish(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        let Self { outbound, shard, peer } = self;
        let writing = async {
            poll_fn(|cx| outbound.poll_flush(cx, NOW, shard)).await;
            outbound.end(false, shard);
        };
        let (read, ()) = tokio::join!(peer.read_to_end(&mut received), writing);
        read.unwrap();
        self.check_empty();
        received
    }

    fn check_empty(&self) {
        let Self { outbound, shard, .. } = self;
        assert_eq!((shard.count(), shard.bytes(), shard.max_bytes()), (0, 0, 0));
        assert_eq!((outbound.queued_bytes(), outbound.queued_answer_bytes()), (0, 0));
        assert_eq!(outbound.head_since_us(), None);
    }
}

fn check(limits: QueueLimits, test: impl AsyncFnOnce(Rig)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let test = async { test(Rig::new(limits).await).await };
        tokio::time::timeout(Duration::from_secs(20), test).await.expect("it ends");
    });
}

#[test]
fn what_the_socket_does_not_take_is_queued_and_follows_in_order() {
    check(ROOMY, async |mut rig| {
        let mut sent = rig.fill().concat();
        assert_eq!((rig.shard.count(), rig.outbound.head_since_us()), (1, Some(NOW.attended_us)));
        assert_eq!(rig.shard.max_bytes(), rig.outbound.queued_bytes());
        assert_eq!(rig.outbound.queued_answer_bytes(), 0);
        rig.send(b"an answer");
        sent.extend(b"an answer");
        assert_eq!(rig.outbound.queued_answer_bytes(), 9);
        // More frames than one system call takes.
        let small: Vec<_> = (0..200_u8).map(|n| Bytes::from(vec![n; 3])).collect();
        assert_eq!(rig.deliver(&small), 200);
        sent.extend(small.concat());
        assert!(rig.finish().await == sent);
        assert_eq!(rig.outbound.written_bytes(), sent.len() as u64);
        assert_eq!(rig.outbound.first_error(), None);
    });
}

#[test]
fn a_batch_that_fits_leaves_no_queue() {
    check(ROOMY, async |mut rig| {
        let small: Vec<_> = (0..200_u8).map(|n| Bytes::from(vec![n; 3])).collect();
        assert_eq!(rig.deliver(&small), 200);
        rig.check_empty();
        assert!(rig.finish().await == small.concat());
    });
}

/// Fills the socket, then offers publications until one is refused: `accepted` more of them.
#[track_caller]
fn check_overflow(bytes: usize, messages: usize) {
    check(QueueLimits { bytes, messages }, async |mut rig| {
        let mut sent = Vec::new();
        let frame = Bytes::from(vec![1; 100]);
        let batch = vec![frame; 64];
        loop {
            let accepted = rig.deliver(&batch);
            sent.extend(batch[..accepted].concat());
            let (queued, signals) = (rig.outbound.queued_bytes(), rig.outbound.take_signals());
            // The rest of a frame that has begun is taken in any case.
            assert!(queued <= bytes + 100 && queued <= messages * 100, "{queued}");
            assert_eq!(accepted < 64, signals & signal::OVERFLOW != 0);
            if accepted < 64 {
                break;
            }
        }
        assert_eq!(rig.deliver(&batch), 0, "nothing after what was lost");
        assert_eq!(rig.outbound.take_signals() & signal::OVERFLOW, 0, "said once");
        rig.send(b"an answer");
        sent.extend(b"an answer");
        assert!(rig.finish().await == sent);
    });
}

#[test]
fn a_full_queue_refuses_publications_but_no_answers() {
    check_overflow(1024, 1_000);
    check_overflow(1 << 20, 7);
    check_overflow(1 << 20, 1);
}

#[test]
fn a_frame_larger_than_the_whole_queue_is_refused_unless_it_has_begun() {
    let frame = Bytes::from(vec![1; 4 << 20]);
    check(QueueLimits { bytes: 1024, messages: 10 }, async |mut rig| {
        // Into an empty socket: it begins, so it must end.
        assert_eq!(rig.deliver(std::slice::from_ref(&frame)), 1);
        assert_eq!(rig.deliver(&[Bytes::from_static(b"x")]), 0);
        assert!(rig.finish().await.len() == frame.len());
    });
}

#[test]
fn dropping_keeps_the_frame_that_has_begun() {
    check(QueueLimits { bytes: 8 << 20, messages: 10 }, async |mut rig| {
        let whole = Bytes::from_static(b"whole");
        // More than the buffers of both sockets: some of it goes out, and not all.
        let begun = Bytes::from(vec![1; 4 << 20]);
        let waiting = Bytes::from_static(b"waiting");
        assert_eq!(rig.deliver(&[whole.clone(), begun.clone()]), 2);
        assert_eq!(rig.deliver(&[waiting.clone(), waiting]), 2);
        rig.send(b"an answer that was not begun");
        let written = rig.outbound.written_bytes() as usize;
        let rest = whole.len() + begun.len() - written;
        assert!(written > whole.len() && rest > 0);
        assert_eq!(rig.close(true), 2);
        assert_eq!(rig.shard.bytes(), rest + CLOSE.len());
        assert!(rig.finish().await == [&whole, &begun, CLOSE].concat());
    });
}

#[test]
fn nothing_follows_our_close() {
    check(ROOMY, async |mut rig| {
        let mut sent = rig.fill().concat();
        assert_eq!(rig.close(false), 0);
        assert!(!rig.outbound.close_is_written());
        sent.extend(CLOSE);
        assert_eq!(rig.deliver(&[Bytes::from_static(b"late")]), 0);
        rig.send(b"late");
        let mut received = vec![0; sent.len()];
        let Rig { outbound, shard, peer } = &mut rig;
        let flushing = poll_fn(|cx| outbound.poll_flush(cx, NOW, shard));
        let (read, ()) = tokio::join!(peer.read_exact(&mut received), flushing);
        read.unwrap();
        assert!(outbound.close_is_written());
        rig.send(b"late");
        assert!(received == sent);
        assert_eq!(rig.finish().await, b"");
    });
}

#[test]
fn the_first_error_stays() {
    check(ROOMY, async |rig| {
        let Rig { outbound, shard, mut peer } = rig;
        peer.write_all(b"unread").await.unwrap();
        peer.set_zero_linger().unwrap();
        drop(peer);
        // The RST has arrived when the socket is readable and its read fails.
        let error = loop {
            let mut space = [0; 64];
            let mut buffer = ReadBuf::new(&mut space);
            match poll_fn(|cx| outbound.poll_read(cx, &mut buffer)).await {
                Ok(()) => assert!(!buffer.filled().is_empty(), "an RST is no EOF"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let first = outbound.first_error();
        assert_eq!(
            first.map(|error| (error.kind, error.operation)),
            Some((SocketErrorKind::Reset, Operation::Read))
        );
        assert_ne!(outbound.take_signals() & signal::WRITE_FAILED, 0);
        outbound.break_with(Operation::Write, &ErrorKind::BrokenPipe.into());
        outbound.send(b"x", NOW, &shard);
        assert_eq!(outbound.deliver(&[Bytes::from_static(b"x")], None, NOW, &shard), 0);
        assert_eq!(outbound.first_error(), first);
    });
}

#[test]
fn a_reset_with_a_queue_empties_it() {
    check(ROOMY, async |rig| {
        let Rig { outbound, shard, peer } = rig;
        let rig = Rig { outbound, shard, peer: narrow_pair().await.1 };
        rig.fill();
        peer.set_zero_linger().unwrap();
        drop(peer);
        rig.flush().await;
        rig.check_empty();
        assert_eq!(
            rig.outbound.first_error().map(|error| (error.kind, error.operation)),
            Some((SocketErrorKind::Reset, Operation::Write))
        );
        assert!(!rig.outbound.close_is_written());
    });
}

#[test]
fn an_abort_is_a_reset_and_an_end_is_a_fin() {
    check(ROOMY, async |mut rig| {
        rig.fill();
        rig.outbound.end(true, &rig.shard);
        rig.check_empty();
        let read = rig.peer.read_to_end(&mut Vec::new()).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
    check(ROOMY, async |mut rig| {
        rig.peer.write_all(&[0; 9000]).await.unwrap();
        rig.send(b"last word");
        rig.outbound.end(false, &rig.shard);
        let mut received = Vec::new();
        rig.peer.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last word");
    });
}

/// Random sends, deliveries, reads and flushes; then the peer must have read the accepted frames
/// in their order, whole, less those that the end threw away before they had begun.
async fn check_model(seed: u64) {
    let mut random = Random(seed | 1);
    let limits = QueueLimits { bytes: 2000 + random.below(6000), messages: 2 + random.below(40) };
    let mut rig = Rig::new(limits).await;
    let (mut accepted, mut received) = (Vec::<Bytes>::new(), Vec::new());
    for number in 0..random.below(200) as u32 {
        match random.below(4) {
            0 => {
                let frame = numbered(number << 8, random.below(400));
                rig.send(&frame);
                accepted.push(frame);
            }
            1 | 2 => {
                let batch: Vec<_> = (0..random.below(90) as u32)
                    .map(|index| numbered(number << 8 | index, random.below(600)))
                    .collect();
                let count = rig.deliver(&batch);
                accepted.extend_from_slice(&batch[..count]);
            }
            _ => {
                let mut space = vec![0; 1 + random.below(6000)];
                // Nothing may have come.
                if let Ok(count) = rig.peer.try_read(&mut space) {
                    received.extend_from_slice(&space[..count]);
                }
                poll_fn(|cx| {
                    let _ = rig.outbound.poll_flush(cx, NOW, &rig.shard);
                    Poll::Ready(())
                })
                .await;
                tokio::task::yield_now().await;
            }
        }
        let sum: usize = accepted.iter().map(Bytes::len).sum();
        let waiting = sum as u64 - rig.outbound.written_bytes();
        assert_eq!(rig.outbound.queued_bytes() as u64, waiting);
        assert_eq!(rig.shard.bytes() as u64, waiting);
        assert_eq!(rig.shard.count(), usize::from(waiting > 0));
    }
    let written = rig.outbound.written_bytes();
    let drop_unstarted = random.below(2) == 0;
    rig.close(drop_unstarted);
    received.extend(rig.finish().await);
    let mut expected = Vec::new();
    for frame in &accepted {
        // What one call of `send` was given stands or falls as a whole.
        if !drop_unstarted || (expected.len() as u64) < written {
            expected.extend_from_slice(frame);
        }
    }
    expected.extend_from_slice(CLOSE);
    assert!(received == expected, "seed {seed}: {} of {}", received.len(), expected.len());
}

#[test]
fn whatever_happens_the_peer_reads_what_was_accepted_in_its_order() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for seed in 1..=150 {
            let model = check_model(seed * 0x9e37_79b9);
            tokio::time::timeout(Duration::from_secs(20), model).await.expect("it ends");
        }
    });
}

/// A frame that no other looks like.
fn numbered(number: u32, filler: usize) -> Bytes {
    let mut frame = number.to_be_bytes().to_vec();
    frame.resize(4 + filler, number as u8);
    frame.into()
}

/// Xorshift: the same numbers for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}
