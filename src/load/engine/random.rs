//! Numbers that look drawn, cheap and repeatable.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A generator of numbers (SplitMix64: Steele, Lea, Flood 2014). Not for secrets.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Others each time.
    pub fn unseeded() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scatter(self.0)
    }

    /// From `min` to `max`, both of them included, all equally likely.
    pub fn duration(&mut self, min: Duration, max: Duration) -> Duration {
        // The upper 53 bits: as many as a float has.
        let part = (self.next() >> 11) as f64 / ((1_u64 << 53) - 1) as f64;
        min + max.saturating_sub(min).mul_f64(part)
    }
}

/// A number that looks drawn, always the same for the same `number`.
#[inline]
pub const fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_no_seed_others() {
        let draw = |mut random: Random| [random.next(), random.next(), random.next()];
        assert_eq!(draw(Random::seeded(7)), draw(Random::seeded(7)));
        assert_ne!(draw(Random::seeded(7)), draw(Random::seeded(8)));
        assert_ne!(draw(Random::unseeded()), draw(Random::unseeded()));
    }

    #[test]
    fn durations_stay_in_their_range_and_fill_it() {
        let (min, max) = (Duration::from_secs(5), Duration::from_secs(30));
        let mut random = Random::seeded(1);
        let drawn: Vec<_> = (0..1_000).map(|_| random.duration(min, max)).collect();
        assert!(drawn.iter().all(|duration| (min..=max).contains(duration)));
        assert!(drawn.iter().any(|duration| *duration < Duration::from_secs(6)));
        assert!(drawn.iter().any(|duration| *duration > Duration::from_secs(29)));
        assert_eq!(random.duration(max, max), max);
    }
}
