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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_threshold_is_judged_and_what_is_not_asked_is_not() {
        let mut report = Report::new("ws://h");
        assert_eq!(Thresholds::default().judge(&report), []);
        let limit = Duration::from_millis(50);
        let judged = |thresholds: Thresholds, report: &Report| {
            let [one] = &thresholds.judge(report)[..] else { panic!("one threshold") };
            (format!("{}: {}", one.asked, one.found), one.kept)
        };
        let p99 = Thresholds { max_p99: Some(limit), ..Thresholds::default() };
        let without = ("--max-p99 50ms: no latency was measured".to_owned(), false);
        assert_eq!(judged(p99, &report), without);
        report.latency.record(Duration::from_millis(81));
        let (said, kept) = judged(p99, &report);
        assert!(said.starts_with("--max-p99 50ms: p99 is 8") && !kept, "{said}");
        let (p50, p999) = (Some(Duration::from_micros(800)), Some(Duration::from_secs(1)));
        let (said, kept) = judged(Thresholds { max_p50: p50, ..Thresholds::default() }, &report);
        assert!(said.starts_with("--max-p50 800us: p50 is ") && !kept, "{said}");
        assert!(judged(Thresholds { max_p999: p999, ..Thresholds::default() }, &report).1);

        report.count_error("connect: timed out");
        report.messages.missing = 1;
        for (max_errors, expected) in [(1, false), (2, true)] {
            let asked = Thresholds { max_errors: Some(max_errors), ..Thresholds::default() };
            let (said, kept) = judged(asked, &report);
            assert!(said.ends_with("errors, missing and unsent are 2") && kept == expected);
        }
        report.connections.open_max = 7;
        for (min_opened, expected) in [(7, true), (8, false)] {
            let asked = Thresholds { min_opened: Some(min_opened), ..Thresholds::default() };
            assert_eq!(judged(asked, &report).1, expected);
        }
    }
}
