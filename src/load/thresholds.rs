//! What makes a run a success, judged on its report.

use std::time::Duration;

use super::Report;
use super::summary::show_time;

/// The bounds that a report is held against; `None`: not judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// The median of the latency is at most this.
    pub max_p50: Option<Duration>,
    /// 99 % of the latencies are at most this.
    pub max_p99: Option<Duration>,
    /// 99.9 % of the latencies are at most this.
    pub max_p999: Option<Duration>,
    /// [`Report::errors_total`] is at most this.
    pub max_errors: Option<u64>,
    /// So many connections were open at once.
    pub min_opened: Option<u64>,
}

/// A threshold that was held against a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// As the flag has it: `--max-p99 50ms`.
    pub asked: String,
    /// What the report says: `p99 is 81.2 ms`.
    pub found: String,
    /// It was kept.
    pub kept: bool,
}

impl Thresholds {
    /// Holds each that is set against a report.
    pub fn judge(&self, report: &Report) -> Vec<Judged> {
        let Self { max_p50, max_p99, max_p999, max_errors, min_opened } = *self;
        let mut judged = Vec::new();
        for (name, quantile, asked) in
            [("p50", 0.5, max_p50), ("p99", 0.99, max_p99), ("p999", 0.999, max_p999)]
        {
            let Some(asked) = asked else { continue };
            let found = report.latency.quantile(quantile);
            judged.push(Judged {
                asked: format!("--max-{name} {}", spell(asked)),
                found: found.map_or_else(
                    || "no latency was measured".to_owned(),
                    |found| format!("{name} is {}", show_time(found)),
                ),
                kept: found.is_some_and(|found| found <= asked),
            });
        }
        if let Some(asked) = max_errors {
            let found = report.errors_total();
            judged.push(Judged {
                asked: format!("--max-errors {asked}"),
                found: format!("errors, missing and unsent are {found}"),
                kept: found <= asked,
            });
        }
        if let Some(asked) = min_opened {
            let found = report.connections.open_max;
            judged.push(Judged {
                asked: format!("--min-opened {asked}"),
                found: format!("{found} were open at once"),
                kept: found >= asked,
            });
        }
        judged
    }
}

/// As a user writes it, down to microseconds.
fn spell(time: Duration) -> String {
    if time.subsec_micros().is_multiple_of(1_000) {
        crate::config::show_duration(time)
    } else {
        format!("{}us", time.as_micros())
    }
}
