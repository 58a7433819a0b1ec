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
