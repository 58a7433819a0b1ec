//! Durations counted in buckets (HDR histogram), which add up and cross process borders.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::{Deserializer as Reader, Serializer as _, V2Serializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Two significant digits of each value, in nanoseconds: an error below 1 %.
const SIGNIFICANT_DIGITS: u8 = 2;

/// Longer than any of them is counted as this long.
const HIGHEST: Duration = Duration::from_hours(1);

/// More than any run counts, so that sums over many files stay within 64 bits, which the library adds
/// up unguarded.
const COUNT_MAX: u64 = 1 << 48;

/// How often durations occurred. As JSON it is HDR histogram's V2 format in base64.
#[derive(Clone, PartialEq)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

impl Histogram {
    /// Counts one.
    #[inline]
    pub fn record(&mut self, duration: Duration) {
        let nanos = duration.min(HIGHEST).as_nanos() as u64;
        self.0.saturating_record(nanos.max(1));
    }

    /// Adds all that another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that `quantile` (0 to 1) of them do not exceed; `None` if there are none.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(self.0.value_at_quantile(quantile)))
    }

    /// The longest; `None` if there are none.
    pub fn max(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(self.0.max()))
    }

    /// The mean; `None` if there are none.
    pub fn mean(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(self.0.mean() as u64))
    }
}

impl Default for Histogram {
    fn default() -> Self {
        let highest = HIGHEST.as_nanos() as u64;
        let histogram = hdrhistogram::Histogram::new_with_bounds(1, highest, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds are constants"))
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Histogram({} durations, longest {:?})", self.count(), self.max())
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&self.0, &mut bytes)
            .map_err(|error| serde::ser::Error::custom(format!("{error:?}")))?;
        serializer.serialize_str(&BASE64.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64
            .decode(text)
            .map_err(|error| D::Error::custom(format!("not base64: {error}")))?;
        let read: hdrhistogram::Histogram<u64> =
            Reader::new().deserialize(&mut bytes.as_slice()).map_err(|error| {
                D::Error::custom(format!("not an HDR histogram (V2): {error:?}"))
            })?;
        let counts = read.iter_recorded().map(|value| value.count_at_value());
        if counts.fold(0, u64::saturating_add) > COUNT_MAX {
            return Err(D::Error::custom(format!(
                "a histogram of more than {COUNT_MAX} durations"
            )));
        }
        // Into our bounds, whatever those of the file are.
        let mut histogram = Self::default();
        for value in read.iter_recorded() {
            let nanos = value.value_iterated_to().clamp(1, histogram.0.high());
            histogram.0.saturating_record_n(nanos, value.count_at_value());
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(milliseconds: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        milliseconds.into_iter().for_each(|ms| histogram.record(Duration::from_millis(ms)));
        histogram
    }

    #[test]
    fn quantiles_are_within_a_hundredth() {
        let histogram = of(1..=1_000);
        for (quantile, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1_000.0)] {
            let found = histogram.quantile(quantile).unwrap().as_secs_f64() * 1e3;
            assert!((found / expected - 1.0).abs() < 0.01, "{quantile}: {found}");
        }
        assert_eq!(of([]).quantile(0.5), None);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let mut sum = of(1..=300);
        sum.merge(&of(301..=1_000));
        assert_eq!(sum, of(1..=1_000));
    }

    #[test]
    fn json_and_back_is_the_same() {
        for histogram in [of([]), of([0, 1, 7]), of(1..=1_000), of([u64::MAX / 2_000_000])] {
            let json = serde_json::to_string(&histogram).unwrap();
            assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), histogram);
        }
    }

    #[test]
    fn more_durations_than_any_run_counts_are_an_error() {
        for (counts, is_read) in [
            (vec![COUNT_MAX], true),
            (vec![COUNT_MAX / 2, COUNT_MAX / 2, 1], false),
            (vec![i64::MAX as u64; 4], false),
        ] {
            let mut wild = of([]);
            for (value, count) in (1..).zip(&counts) {
                wild.0.record_n(value, *count).unwrap();
            }
            let json = serde_json::to_string(&wild).unwrap();
            let read = serde_json::from_str::<Histogram>(&json);
            assert_eq!(read.is_ok(), is_read, "{counts:?}");
            if let Ok(mut read) = read {
                read.merge(&read.clone());
                assert_eq!(read.count(), 2 * COUNT_MAX);
                assert!(read.quantile(1.0).is_some() && read.mean().is_some());
            }
        }
    }

    #[test]
    fn what_is_no_histogram_is_an_error() {
        for text in ["\"\"", "\"!\"", "\"AAAA\"", "7", "\"HISTFAAAACEAAAA\""] {
            assert!(serde_json::from_str::<Histogram>(text).is_err(), "{text}");
        }
    }
}
