//! What a run leaves as JSON, and how such files are read to be merged.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::report::FORMAT;
use super::scenario::{Publishing, Scenario, Work};
use super::{Histogram, Judged, Report};
use crate::config::read_bounded;

/// A longer file is no outcome: the histograms of one are some 100 kB.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What stands where something was that nobody else should know.
const MASK: &str = "***";

/// A report with the scenarios that it comes from.
#[derive(Debug, Clone, Deserialize)]
pub struct Outcome {
    /// What came of it.
    pub report: Report,
    /// What was asked, as [`Outcome::new`] describes it; several where outcomes were merged.
    #[serde(default)]
    pub scenarios: Vec<Value>,
}

/// The least that tells whether it can be read.
#[derive(Deserialize)]
struct Probe {
    report: ProbedReport,
}

#[derive(Deserialize)]
struct ProbedReport {
    format: u64,
}

/// What a histogram says, in seconds, for whoever reads no HDR histograms.
#[derive(Serialize)]
struct Figures {
    count: u64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Outcome {
    /// Of one run. The scenario is described without its token, its key and the values of its
    /// headers.
    pub fn new(report: Report, scenario: &Scenario) -> Self {
        let mut shown = scenario.clone();
        shown.token = None;
        shown.headers.iter_mut().for_each(|(_, value)| MASK.clone_into(value));
        if let Work::FanOut { publishing: Publishing::Api { key, .. }, .. } = &mut shown.work {
            *key = None;
        }
        let described = serde_json::to_value(&shown).unwrap_or(Value::Null);
        Self { report, scenarios: vec![described] }
    }

    /// Reads one that was written before. The error begins with the file's name and says what to
    /// do.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let bytes = read_bounded(File::open(path), FILE_BYTES_MAX, &name)?;
        Self::parse(&bytes).map_err(|what| format!("{name} {what}"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let probe: Probe = serde_json::from_slice(bytes).map_err(|error| in_words(&error))?;
        let format = probe.report.format;
        if format != u64::from(FORMAT) {
            return Err(format!(
                "has format {format}, and this program reads {FORMAT}: merge it with the version \
                 of gaugeway that wrote it"
            ));
        }
        serde_json::from_slice(bytes).map_err(|error| in_words(&error))
    }

    /// Adds another, whose work was done at the same time.
    pub fn merge(&mut self, other: Self) {
        self.report.merge(&other.report);
        self.scenarios.extend(other.scenarios);
    }

    /// The connections that were asked for; `None` where a scenario does not tell.
    pub fn wanted(&self) -> Option<u64> {
        let each = self.scenarios.iter().map(|scenario| scenario["connections"].as_u64());
        each.reduce(|sum, one| Some(sum?.saturating_add(one?))).flatten()
    }

    /// Whether all of it was a closed loop, in which no message is due before the last answer.
    pub fn is_closed_loop(&self) -> bool {
        let mut scenarios = self.scenarios.iter();
        !self.scenarios.is_empty() && scenarios.all(|one| one["work"].get("echo_closed").is_some())
    }

    /// As JSON in lines, with a line end.
    pub fn to_json(&self, judged: &[Judged]) -> String {
        let Self { report, scenarios } = self;
        let thresholds: Vec<Value> = judged
            .iter()
            .map(|one| json!({ "asked": one.asked, "found": one.found, "kept": one.kept }))
            .collect();
        let document = json!({
            "gaugeway": env!("CARGO_PKG_VERSION"),
            "scenarios": scenarios,
            "figures": {
                "latency_seconds": figures(&report.latency),
                "handshake_seconds": figures(&report.handshake),
                "sent_per_second": per_second(report.messages.sent, report.window),
                "received_per_second": per_second(report.messages.received, report.window),
                "errors_total": report.errors_total(),
            },
            "thresholds": thresholds,
            "report": report,
        });
        format!("{document:#}\n")
    }
}

fn per_second(count: u64, window: Duration) -> Option<f64> {
    (!window.is_zero()).then(|| count as f64 / window.as_secs_f64())
}

fn figures(histogram: &Histogram) -> Option<Figures> {
    let at = |quantile| Some(histogram.quantile(quantile)?.as_secs_f64());
    Some(Figures {
        count: histogram.count(),
        mean: histogram.mean()?.as_secs_f64(),
        p50: at(0.5)?,
        p90: at(0.9)?,
        p99: at(0.99)?,
        p999: at(0.999)?,
        max: histogram.max()?.as_secs_f64(),
    })
}

fn in_words(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    match error.classify() {
        Category::Eof => "is empty or cut off: write it again".to_owned(),
        Category::Syntax | Category::Io => format!("is not JSON: {error}"),
        Category::Data => {
            format!("is not what `gaugeway load --json` writes: {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn written() -> String {
        let mut report = Report::new("ws://h");
        report.latency.record(Duration::from_millis(2));
        report.window = Duration::from_secs(2);
        report.messages.sent = 10;
        let outcome = Outcome { report, scenarios: vec![json!({ "connections": 5 })] };
        outcome.to_json(&[])
    }

    #[test]
    fn what_is_written_is_read_and_adds_up() {
        let mut sum = Outcome::parse(written().as_bytes()).unwrap();
        sum.merge(Outcome::parse(written().as_bytes()).unwrap());
        assert_eq!(sum.report.messages.sent, 20);
        assert_eq!(sum.report.latency.count(), 2);
        assert_eq!(sum.wanted(), Some(10));
        let document: Value = serde_json::from_str(&sum.to_json(&[])).unwrap();
        assert_eq!(document["figures"]["sent_per_second"], 10.0);
        let p50 = document["figures"]["latency_seconds"]["p50"].as_f64().unwrap();
        assert!((p50 / 0.002 - 1.0).abs() < 0.02, "{p50}");
    }

    #[test]
    fn sums_of_wild_numbers_stop_at_the_highest() {
        let mut sum = Outcome::parse(written().as_bytes()).unwrap();
        sum.scenarios = vec![json!({ "connections": u64::MAX }); 2];
        sum.report.errors = (0..40).map(|n| (format!("{n}"), u64::MAX)).collect();
        sum.merge(sum.clone());
        assert_eq!(sum.wanted(), Some(u64::MAX));
        assert!(sum.to_json(&[]).contains("\"errors_total\": 18446744073709551615"));
        sum.scenarios.push(json!({}));
        assert_eq!(sum.wanted(), None);
        sum.scenarios.clear();
        assert_eq!(sum.wanted(), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        let whole = written();
        for (text, part) in [
            ("", "is empty or cut off"),
            (&whole[..whole.len() / 2], "is empty or cut off"),
            ("hello", "is not JSON"),
            ("[]", "is not what `gaugeway load --json` writes"),
            ("{}", "missing field `report`"),
            ("{\"report\":{\"format\":2}}", "has format 2, and this program reads 1"),
            ("{\"report\":{\"format\":1}}", "missing field"),
            (&whole.replace("\"closes\"", "\"clozes\""), "clozes"),
            (&whole.replace("\"url\": \"ws://h\"", "\"url\": 7"), "is not what"),
        ] {
            let said = Outcome::parse(text.as_bytes()).unwrap_err();
            assert!(said.contains(part), "{text}: {said}");
        }
        let missing = Outcome::read(Path::new("missing.json")).unwrap_err();
        assert_eq!(missing, "missing.json cannot be read: No such file or directory");
        let endless = Outcome::read(Path::new("/dev/zero")).unwrap_err();
        assert!(endless.contains("longer than 67108864 bytes"), "{endless}");
    }

    #[test]
    fn no_secret_is_written() {
        let scenario = Scenario {
            handshake_timeout: Duration::ZERO,
            close_wait: Duration::ZERO,
            headers: vec![("Cookie".to_owned(), "hunter2".to_owned())],
            token: Some(Secret::new("hunter2")),
            work: Work::FanOut {
                publishing: Publishing::Api {
                    url: "http://a".to_owned(),
                    to: "everyone".to_owned(),
                    key: Some(Secret::new("hunter2")),
                },
                rate: 1.0,
            },
            payload: crate::load::Payload {
                kind: crate::load::Kind::Text,
                sizes: crate::load::Sizes::Range(1, 1),
                files: Vec::new(),
            },
            ..Scenario::holding("ws://h")
        };
        let json = Outcome::new(Report::new("ws://h"), &scenario).to_json(&[]);
        assert!(!json.contains("hunter2") && json.contains("Cookie"), "{json}");
    }
}
