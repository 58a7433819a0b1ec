//! What a block is made of: numbers that one thread writes and any thread reads.
//!
//! A cell has one writer, so adding is a load and a store, not a locked read-modify-write: a
//! quarter of a nanosecond instead of five. `Relaxed` suffices, because nothing is published
//! through a cell; a scrape may see one number of a message and not yet the next. What must be seen
//! together is [`Together`].

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Adding one block to another.
pub(crate) trait Merge {
    /// Adds `from` to `self`. `self` must have no other writer.
    fn merge(&self, from: &Self);
}

/// A count, or a sum of whole numbers. Wraps after 2⁶⁴, which Prometheus takes for a restart.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds. Only the block's own thread may call it.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Merge for Count {
    fn merge(&self, from: &Self) {
        self.add(from.get());
    }
}

/// A sum of fractions.
#[derive(Debug, Default)]
pub(crate) struct Sum(AtomicU64);

impl Sum {
    /// Adds. Only the block's own thread may call it.
    #[inline]
    pub(crate) fn add(&self, n: f64) {
        self.0.store((self.get() + n).to_bits(), Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

impl Merge for Sum {
    fn merge(&self, from: &Self) {
        self.add(from.get());
    }
}

impl<T: Merge, const N: usize> Merge for [T; N] {
    fn merge(&self, from: &Self) {
        self.iter().zip(from).for_each(|(to, from)| to.merge(from));
    }
}

impl<T: Merge> Merge for Box<[T]> {
    fn merge(&self, from: &Self) {
        debug_assert_eq!(self.len(), from.len(), "blocks of one telemetry value");
        self.iter().zip(from).for_each(|(to, from)| to.merge(from));
    }
}

/// Cells that are written and read as one: what changes in one [`Together::lock`] is seen whole or
/// not at all. Two threads meet here at most, the writer and a scrape, and the scrape stays for
/// microseconds; it costs the writer some ten nanoseconds, too much for a message.
#[derive(Debug, Default)]
pub(crate) struct Together<T>(Mutex<T>);

impl<T> Together<T> {
    pub(crate) fn new(cells: T) -> Self {
        Self(Mutex::new(cells))
    }

    /// Waits for the other thread. Who panicked in here left at most one event half counted: better
    /// that than no metrics.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Merge> Merge for Together<T> {
    fn merge(&self, from: &Self) {
        self.lock().merge(&from.lock());
    }
}

/// The upper bounds of a histogram's buckets, rising, `+Inf` left out.
pub(crate) trait Bounds {
    const UPPER: &'static [f64];
}

/// A histogram over the bounds of `B`. `N` = the bounds and one more, for `+Inf`. Its count is the
/// sum of its buckets, so that the two never disagree.
#[derive(Debug)]
pub(crate) struct Histogram<B, const N: usize> {
    buckets: [Count; N],
    sum: Sum,
    bounds: PhantomData<B>,
}

impl<B: Bounds, const N: usize> Histogram<B, N> {
    /// Counts one value. Linear search: the bounds are few and the common values come early.
    #[inline]
    pub(crate) fn observe(&self, value: f64) {
        let bucket = B::UPPER.iter().position(|upper| value <= *upper).unwrap_or(N - 1);
        self.buckets[bucket].add(1);
        self.sum.add(value);
    }

    /// The same value `times` times.
    #[inline]
    pub(crate) fn observe_times(&self, value: f64, times: u64) {
        let bucket = B::UPPER.iter().position(|upper| value <= *upper).unwrap_or(N - 1);
        self.buckets[bucket].add(times);
        self.sum.add(value * times as f64);
    }
}

impl<B, const N: usize> Default for Histogram<B, N> {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| Count::default()),
            sum: Sum::default(),
            bounds: PhantomData,
        }
    }
}

impl<B, const N: usize> Merge for Histogram<B, N> {
    fn merge(&self, from: &Self) {
        self.buckets.merge(&from.buckets);
        self.sum.merge(&from.sum);
    }
}

/// What an exporter needs of any histogram.
pub(crate) trait Distribution {
    fn upper_bounds(&self) -> Vec<f64>;
    /// One count per bound and one for `+Inf`; not cumulative.
    fn counts(&self) -> Vec<u64>;
    fn sum(&self) -> f64;
}

impl<B: Bounds, const N: usize> Distribution for Histogram<B, N> {
    fn upper_bounds(&self) -> Vec<f64> {
        B::UPPER.to_vec()
    }

    fn counts(&self) -> Vec<u64> {
        self.buckets.iter().map(Count::get).collect()
    }

    fn sum(&self) -> f64 {
        self.sum.get()
    }
}

/// Bounds 16 B … 16 MiB.
const SIZE_BOUNDS: usize = 21;
/// The smallest bound is 2⁴ bytes.
const SMALLEST_BOUND_LOG2: u32 = 4;

/// One bucket for each power of two from 2⁴ to 2⁶⁴.
const SIZE_BUCKETS: usize = (u64::BITS - SMALLEST_BOUND_LOG2) as usize + 1;

/// Sizes in bytes, by powers of two: the bucket is found by counting zeros. There are buckets for
/// sizes that nobody shows, so that no message has to be held against the largest bound.
#[derive(Debug)]
pub(crate) struct SizeHistogram {
    buckets: [Count; SIZE_BUCKETS],
    sum: Count,
}

impl SizeHistogram {
    /// Counts `times` values of `bytes` each.
    #[inline]
    pub(crate) fn observe_times(&self, bytes: u64, times: u64) {
        self.buckets[size_bucket(bytes)].add(times);
        self.sum.add(bytes.wrapping_mul(times));
    }

    /// The bytes of all.
    pub(crate) fn bytes(&self) -> u64 {
        self.sum.get()
    }
}

impl Default for SizeHistogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| Count::default()), sum: Count::default() }
    }
}

/// The first bucket whose bound is not below `bytes`.
#[inline]
fn size_bucket(bytes: u64) -> usize {
    // The smallest bound's bits are always set: what is not above it falls into its bucket, and
    // there is no zero of which to count the zeros.
    let bits = bytes.saturating_sub(1) | ((1 << SMALLEST_BOUND_LOG2) - 1);
    (bits.ilog2() + 1 - SMALLEST_BOUND_LOG2) as usize
}

impl Merge for SizeHistogram {
    fn merge(&self, from: &Self) {
        self.buckets.merge(&from.buckets);
        self.sum.merge(&from.sum);
    }
}

impl Distribution for SizeHistogram {
    fn upper_bounds(&self) -> Vec<f64> {
        (0..SIZE_BOUNDS as u32)
            .map(|power| (1_u64 << (SMALLEST_BOUND_LOG2 + power)) as f64)
            .collect()
    }

    fn counts(&self) -> Vec<u64> {
        let (shown, above) = self.buckets.split_at(SIZE_BOUNDS);
        let above = above.iter().map(Count::get).sum();
        shown.iter().map(Count::get).chain([above]).collect()
    }

    fn sum(&self) -> f64 {
        self.bytes() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_falls_into_the_first_bucket_that_holds_it() {
        let bounds = SizeHistogram::default().upper_bounds();
        assert_eq!(bounds.first(), Some(&16.0));
        assert_eq!(bounds.last(), Some(&16_777_216.0));
        let powers = (0..40).map(|power| 1_u64 << power);
        let near = powers.flat_map(|power| [power - 1, power, power + 1]);
        for bytes in near.chain([0, 3, 100, u64::MAX]) {
            let expected =
                bounds.iter().position(|bound| bytes as f64 <= *bound).unwrap_or(SIZE_BOUNDS);
            let histogram = SizeHistogram::default();
            histogram.observe_times(bytes, 1);
            let shown = histogram.counts().iter().position(|count| *count == 1);
            assert_eq!(shown, Some(expected), "{bytes} bytes");
        }
    }

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        struct TwoBounds;
        impl Bounds for TwoBounds {
            const UPPER: &'static [f64] = &[1.0, 2.0];
        }
        let histogram = Histogram::<TwoBounds, 3>::default();
        for value in [0.5, 1.0, 1.5, 2.0, 2.5, f64::INFINITY] {
            histogram.observe(value);
        }
        assert_eq!(histogram.counts(), [2, 2, 2]);
    }

    #[test]
    fn merging_adds_every_part() {
        let (to, from) = (SizeHistogram::default(), SizeHistogram::default());
        to.observe_times(20, 1);
        from.observe_times(20, 2);
        from.observe_times(1 << 30, 1);
        to.merge(&from);
        assert_eq!(to.counts().iter().sum::<u64>(), 4);
        assert_eq!(to.bytes(), 60 + (1 << 30));
    }
}
