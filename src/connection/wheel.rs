//! One timer wheel for all connections of a shard, instead of a timer each. An entry is a
//! connection's key, and each has one at most: the connection knows at which tick it is due, and
//! takes the entry back when it becomes due earlier or ends. Left to be passed over, the entries of
//! connections long gone would be most of a busy gateway's memory.

use std::time::Duration;

/// The resolution of deadlines.
pub const TICK: Duration = Duration::from_millis(25);

const TICK_US: u64 = TICK.as_micros() as u64;

/// Ticks in one turn. What is due later is looked at once a turn.
const SLOTS: u64 = 2048;

/// Keys by the tick at which they are due.
pub struct Wheel {
    slots: Box<[Vec<u32>]>,
    /// The last tick that was taken out.
    at_tick: u64,
}

impl Wheel {
    /// An empty wheel that starts at this moment (attended time).
    pub fn new(now_us: u64) -> Self {
        Self { slots: vec![Vec::new(); SLOTS as usize].into(), at_tick: now_us / TICK_US }
    }

    /// The tick for a deadline: never before it, never in the past, at most one turn ahead.
    pub fn tick_for(&self, due_us: u64) -> u64 {
        due_us.div_ceil(TICK_US).clamp(self.at_tick + 1, self.at_tick + SLOTS - 1)
    }

    /// Puts a key into a slot that [`Self::tick_for`] has named.
    pub fn insert(&mut self, key: u32, tick: u64) {
        self.slots[(tick % SLOTS) as usize].push(key);
    }

    /// Takes a key back out of the slot of this tick, if that has not been handed out yet.
    pub fn remove(&mut self, key: u32, tick: u64) {
        if tick <= self.at_tick || tick == u64::MAX {
            return;
        }
        let slot = &mut self.slots[(tick % SLOTS) as usize];
        // A slot holds the connections of 25 ms: few, beside one another.
        if let Some(place) = slot.iter().position(|known| *known == key) {
            slot.swap_remove(place);
        }
        // Nor does a slot that was crowded once keep the room until its tick.
        if slot.is_empty() {
            *slot = Vec::new();
        }
    }

    /// Goes on to this moment and hands out the keys of each tick passed.
    pub fn advance(&mut self, now_us: u64, mut due: impl FnMut(u64, u32)) {
        let until = now_us / TICK_US;
        // More than a turn cannot be owed: each slot is looked at once.
        self.at_tick = self.at_tick.max(until.saturating_sub(SLOTS));
        while self.at_tick < until {
            self.at_tick += 1;
            let slot = &mut self.slots[(self.at_tick % SLOTS) as usize];
            // A slot that was crowded once does not keep the room for ever.
            for key in std::mem::take(slot) {
                due(self.at_tick, key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due_between(wheel: &mut Wheel, to_us: u64) -> Vec<u32> {
        let mut keys = Vec::new();
        wheel.advance(to_us, |_, key| keys.push(key));
        keys
    }

    #[test]
    fn nothing_is_due_early_and_all_of_it_in_time() {
        let mut wheel = Wheel::new(1_000_000);
        for (key, due_us) in [(1, 1_000_000), (2, 1_010_000), (3, 1_025_001), (4, 2_000_000)] {
            let tick = wheel.tick_for(due_us);
            wheel.insert(key, tick);
        }
        assert_eq!(due_between(&mut wheel, 1_024_999), [0; 0]);
        assert_eq!(due_between(&mut wheel, 1_025_000), [1, 2]);
        assert_eq!(due_between(&mut wheel, 1_049_999), [0; 0]);
        assert_eq!(due_between(&mut wheel, 1_999_999), [3]);
        assert_eq!(due_between(&mut wheel, 2_000_000), [4]);
    }

    #[test]
    fn what_was_taken_back_is_not_handed_out() {
        let mut wheel = Wheel::new(0);
        let tick = wheel.tick_for(50_000);
        for key in 0..4 {
            wheel.insert(key, tick);
        }
        wheel.remove(0, tick);
        wheel.remove(9, tick);
        wheel.remove(3, u64::MAX);
        assert_eq!(due_between(&mut wheel, 50_000), [3, 1, 2]);
        // The slot is the next turn's now: what is late for this tick must leave it alone.
        wheel.insert(1, tick + SLOTS);
        wheel.remove(1, tick);
        assert_eq!(due_between(&mut wheel, 50_000 + SLOTS * TICK_US), [1]);
    }

    #[test]
    fn what_is_more_than_a_turn_away_is_looked_at_once_a_turn() {
        let mut wheel = Wheel::new(0);
        let tick = wheel.tick_for(3_600_000_000);
        wheel.insert(9, tick);
        assert_eq!(due_between(&mut wheel, SLOTS * TICK_US), [9]);
    }

    #[test]
    fn a_jump_over_many_turns_hands_out_each_key_once() {
        let mut wheel = Wheel::new(0);
        for key in 0..100 {
            let tick = wheel.tick_for(u64::from(key) * 40_000);
            wheel.insert(key, tick);
        }
        assert_eq!(due_between(&mut wheel, 10 * SLOTS * TICK_US).len(), 100);
        let tick = wheel.tick_for(0);
        wheel.insert(1, tick);
        assert_eq!(due_between(&mut wheel, (10 * SLOTS + 1) * TICK_US), [1]);
    }
}
