//! The bus of a gateway that stands alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Message, Publication};

/// The sequence of one gateway.
#[derive(Debug, Default)]
pub struct Memory {
    /// Held while publications are numbered and handed out.
    turn: Mutex<()>,
    last_seq: AtomicU64,
}

impl Memory {
    /// Numbers messages without a gap between them and hands each out before the next one, of
    /// whichever publisher, gets its number: everybody sees the same order. `now_us` is the time
    /// since the process began.
    pub fn sequence(
        &self,
        messages: impl IntoIterator<Item = Message>,
        now_us: u64,
        mut hand_out: impl FnMut(Publication),
    ) {
        // A publisher that panicked while it held the turn left the sequence in order.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for Message { to, frame } in messages {
            let seq = self.last_seq.load(Ordering::Relaxed) + 1;
            self.last_seq.store(seq, Ordering::Relaxed);
            hand_out(Publication { seq, to, frame, sequenced_us: now_us });
        }
    }

    /// The number of the newest publication; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use bytes::Bytes;

    use super::*;
    use crate::bus::Target;
    use crate::wire::{Opcode, SharedFrame};

    fn messages(count: usize) -> Vec<Message> {
        let message = |_| Message {
            to: Target::Everyone,
            frame: SharedFrame::new(Opcode::Text, Bytes::from_static(b"x")),
        };
        (0..count).map(message).collect()
    }

    #[test]
    fn numbers_are_handed_out_in_their_order_and_a_batch_stays_together() {
        const THREADS: usize = 4;
        const BATCHES: usize = 200;
        let bus = Memory::default();
        // Whose publication it is, in the order of handing out.
        let seen = Mutex::new(Vec::new());
        std::thread::scope(|threads| {
            for publisher in 0..THREADS {
                let (bus, seen) = (&bus, &seen);
                threads.spawn(move || {
                    for batch in 0..BATCHES {
                        let size = 1 + (publisher + batch) % 5;
                        bus.sequence(messages(size), 7, |publication| {
                            assert_eq!(publication.sequenced_us, 7);
                            seen.lock().unwrap().push((publication.seq, publisher, batch));
                        });
                    }
                });
            }
        });
        let seen = seen.into_inner().unwrap();
        assert!(seen.iter().map(|(seq, ..)| *seq).eq(1..=seen.len() as u64), "each number once");
        assert_eq!(bus.last_seq(), seen.len() as u64);
        let batches = seen.chunk_by(|(_, one, of), (_, other, than)| (one, of) == (other, than));
        assert_eq!(batches.count(), THREADS * BATCHES, "nothing comes between a batch's messages");
    }

    #[test]
    fn a_publisher_that_panics_costs_its_number_and_nobody_elses_turn() {
        let bus = Memory::default();
        let panicking = AssertUnwindSafe(|| bus.sequence(messages(3), 0, |_| panic!("a defect")));
        assert!(catch_unwind(panicking).is_err());
        let mut seqs = Vec::new();
        bus.sequence(messages(2), 0, |publication| seqs.push(publication.seq));
        assert_eq!(seqs, [2, 3]);
    }
}
