//! What one connection got of the publications, from its opening to its end.
//!
//! It owes those between the first and the last that it must have seen: from the first of the window
//! if it was open when the window began, otherwise from the first that came; to the last of the
//! window if it was open to the end, otherwise to the last that came. What was published while a
//! connection was opened or lost is thus not counted, since nobody can say on which side it was.

/// Sequence numbers of a connection's measured publications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stint {
    /// Whether it was open when the window began, so that it owes from number 1 on.
    pub from_start: bool,
    /// The lowest number that came; 0: none.
    first: u64,
    /// The highest.
    last: u64,
    /// Of the 64 numbers up to `last`, those that came; the lowest bit is `last`.
    recent: u64,
    /// How many different ones came.
    came: u64,
}

impl Stint {
    /// Of a connection that opens now; before the window (`from_start`) or in it.
    pub fn new(from_start: bool) -> Self {
        Self { from_start, ..Self::default() }
    }

    /// Takes note of one, counted from 1: whether it is in order, which a repeated one and one that
    /// is behind a later one are not. One that is more than 64 behind is taken for a repeated one.
    #[inline]
    pub fn take(&mut self, sequence: u64) -> bool {
        if sequence > self.last {
            let step = u32::try_from(sequence - self.last).unwrap_or(u32::MAX);
            self.recent = self.recent.checked_shl(step).unwrap_or(0) | 1;
            self.last = sequence;
            self.came += 1;
            if self.first == 0 {
                self.first = sequence;
            }
            return true;
        }
        let bit = u32::try_from(self.last - sequence).ok().and_then(|age| 1_u64.checked_shl(age));
        if let Some(bit) = bit.filter(|bit| self.recent & bit == 0) {
            self.recent |= bit;
            self.came += 1;
            self.first = self.first.min(sequence);
        }
        false
    }

    /// Whether more is to come of `total`, in order.
    pub fn waits_for(&self, total: u64) -> bool {
        self.last < total && (self.from_start || self.first > 0)
    }

    /// How many should have come and did not. `total` of a connection that was open to the end: the
    /// number of the last publication.
    pub fn missing(&self, total: Option<u64>) -> u64 {
        let last = total.map_or(self.last, |total| total.max(self.last));
        let first = if self.from_start { 1 } else { self.first };
        if first == 0 {
            return 0;
        }
        (last + 1).saturating_sub(first).saturating_sub(self.came)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes these; how many were out of order, and how many are missing.
    #[track_caller]
    fn check(from_start: bool, came: &[u64], total: Option<u64>, expected: (usize, u64)) {
        let mut stint = Stint::new(from_start);
        let out_of_order = came.iter().filter(|sequence| !stint.take(**sequence)).count();
        assert_eq!((out_of_order, stint.missing(total)), expected, "{came:?} of {total:?}");
    }

    #[test]
    fn open_to_the_end_it_owes_all() {
        check(true, &[1, 2, 3], Some(3), (0, 0));
        check(true, &[], Some(3), (0, 3));
        check(true, &[2], Some(3), (0, 2));
        check(true, &[1, 3], Some(5), (0, 3));
        check(true, &[], Some(0), (0, 0));
    }

    #[test]
    fn lost_it_owes_what_came_before() {
        check(true, &[], None, (0, 0));
        check(true, &[3], None, (0, 2));
        check(true, &[1, 2], None, (0, 0));
    }

    #[test]
    fn opened_later_it_owes_what_comes_behind_the_first() {
        check(false, &[], Some(9), (0, 0));
        check(false, &[5, 6, 9], Some(9), (0, 2));
        check(false, &[5, 6], Some(9), (0, 3));
        check(false, &[5, 8], None, (0, 2));
    }

    #[test]
    fn what_is_behind_came_and_what_is_repeated_did_not_come_twice() {
        check(true, &[2, 1, 3], Some(3), (1, 0));
        check(true, &[1, 2, 2, 2], Some(3), (2, 1));
        check(true, &[3, 2, 1, 1], Some(3), (3, 0));
        check(true, &[64, 1], Some(64), (1, 62));
        check(true, &[65, 1], Some(65), (1, 64));
        check(false, &[5, 4, 6], Some(6), (1, 0));
    }

    #[test]
    fn it_waits_for_the_last_unless_nothing_need_come() {
        let waits = |from_start, came: &[u64]| {
            let mut stint = Stint::new(from_start);
            for sequence in came {
                stint.take(*sequence);
            }
            stint.waits_for(3)
        };
        assert!(waits(true, &[]) && waits(true, &[1, 2]) && waits(false, &[2]));
        assert!(!waits(true, &[3]) && !waits(false, &[]));
    }

    #[test]
    fn wild_numbers_do_no_harm() {
        check(true, &[u64::MAX - 1, 1, u64::MAX - 1], Some(3), (2, u64::MAX - 2));
        check(false, &[1 << 40, 7], None, (1, 0));
    }
}
