//! The mailboxes: one order for all shards, and who publishes too fast waits and is woken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::*;

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
