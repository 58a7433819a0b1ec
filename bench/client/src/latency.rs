//! Latencies of one run: kept whole, sorted once.

use std::time::Duration;

use serde_json::{Value, json};

/// Samples kept at most, so that a run that was asked for too much stays in memory (256 MiB).
const SAMPLES_MAX: usize = 64 << 20;

/// Every latency of a run in microseconds. Exact percentiles, no buckets.
#[derive(Debug, Default)]
pub struct Latencies {
    samples_us: Vec<u32>,
    not_kept: u64,
}

impl Latencies {
    /// Adds one sample. Beyond 64 million samples they are only counted, which the summary shows.
    pub fn record(&mut self, latency: Duration) {
        if self.samples_us.len() == SAMPLES_MAX {
            self.not_kept += 1;
        } else {
            self.samples_us.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// `{"samples", "p50_ms", "p99_ms", "p999_ms", "max_ms"}`; null when there was no sample.
    pub fn summary(mut self) -> Value {
        if self.samples_us.is_empty() {
            return Value::Null;
        }
        self.samples_us.sort_unstable();
        json!({
            "samples": self.samples_us.len(),
            "samples_not_kept": self.not_kept,
            "p50_ms": self.percentile_ms(500),
            "p99_ms": self.percentile_ms(990),
            "p999_ms": self.percentile_ms(999),
            "max_ms": self.percentile_ms(1000),
        })
    }

    /// Nearest rank: the smallest sample that at least `permille` of all samples do not exceed. In
    /// integers, because 99.9 % of a thousand rounds up to one too many in binary fractions.
    fn percentile_ms(&self, permille: usize) -> f64 {
        let rank = (self.samples_us.len() * permille).div_ceil(1000).max(1);
        f64::from(self.samples_us[rank - 1]) / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let mut latencies = Latencies::default();
        for ms in (1..=1000).rev() {
            latencies.record(Duration::from_millis(ms));
        }
        let summary = latencies.summary();
        for (name, expected) in
            [("p50_ms", 500.0), ("p99_ms", 990.0), ("p999_ms", 999.0), ("max_ms", 1000.0)]
        {
            assert_eq!(summary[name], expected, "{name}");
        }
    }

    #[test]
    fn no_sample_is_null_not_zero() {
        assert_eq!(Latencies::default().summary(), Value::Null);
    }
}
