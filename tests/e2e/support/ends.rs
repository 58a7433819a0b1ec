//! Connections that end one after another on one gateway, each checked wherever it shows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Gateway, Metrics, wait_for};

/// A gateway and what its disconnects must add up to so far.
pub struct Ends {
    pub gateway: Gateway,
    tally: BTreeMap<[String; 4], u32>,
    ended: usize,
}

impl Ends {
    /// On a gateway that has seen no end yet.
    pub fn of(gateway: Gateway) -> Self {
        Self { gateway, tally: BTreeMap::new(), ended: 0 }
    }

    /// The next end: its log line has this `[initiator, cause, code]`, it is counted once, under
    /// exactly these labels, and all sums hold.
    #[track_caller]
    pub fn expect(&mut self, what: &str, [initiator, cause, code]: [&str; 3]) -> Value {
        let line = self.next_line(what);
        let said = ["initiator", "cause", "code"].map(|field| line[field].as_str().unwrap());
        assert_eq!(said, [initiator, cause, code], "{what}: {line}");
        assert_eq!(line["abnormal"], code == "1006", "{what}: {line}");
        self.check_counts(what);
        line
    }

    /// The line of the next end, whatever it says; it is tallied as the line has it.
    #[track_caller]
    pub fn next_line(&mut self, what: &str) -> Value {
        let line = wait_for(&format!("the end of: {what}"), || {
            self.gateway.log("connection closed").into_iter().nth(self.ended)
        });
        self.ended += 1;
        let labels = ["endpoint", "initiator", "cause", "code"]
            .map(|label| line[label].as_str().unwrap().to_owned());
        *self.tally.entry(labels).or_default() += 1;
        line
    }

    /// `/metrics` counts what was tallied, no more and no less.
    #[track_caller]
    pub fn check_counts(&self, what: &str) -> Metrics {
        let metrics = self.settled();
        for (labels, count) in &self.tally {
            let labels: Vec<_> = ["endpoint", "initiator", "cause", "code"]
                .into_iter()
                .zip(labels.iter().map(String::as_str))
                .collect();
            let counted = metrics.sum("disconnects_total", &labels);
            assert_eq!(counted, f64::from(*count), "{what}: {labels:?}");
        }
        for name in [
            "disconnects_total",
            "connection_duration_seconds_count",
            "idle_at_close_seconds_count",
        ] {
            assert_eq!(metrics.sum(name, &[]), self.ended as f64, "{what}: {name}");
        }
        let abnormal = self.tally.iter().filter(|(labels, _)| labels[3] == "1006");
        let abnormal: u32 = abnormal.map(|(_, count)| count).sum();
        let counted = metrics.sum("idle_at_close_seconds_count", &[("abnormal", "true")]);
        assert_eq!(counted, f64::from(abnormal), "{what}: abnormal ends");
        metrics.check_sums();
        metrics
    }

    /// The gauge follows the counter within the same turn of a shard, not within the same scrape.
    fn settled(&self) -> Metrics {
        wait_for("opened − disconnects = connections", || {
            let metrics = self.gateway.metrics();
            let [opened, ended, open] =
                ["connections_opened_total", "disconnects_total", "connections"]
                    .map(|name| metrics.sum(name, &[]));
            (opened - ended == open).then_some(metrics)
        })
    }
}
