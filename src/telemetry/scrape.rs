//! What is read at scrape, rather than counted, comes from a [`ScrapeSource`].

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::telemetry::cells::Distribution;
use crate::telemetry::families::{Family, Kind};

/// Something that knows values at the moment of a scrape. Its families are its own: a second source
/// with one of them is refused at registration.
pub trait ScrapeSource: Send + Sync {
    /// All that [`Self::scrape`] may give.
    fn families(&self) -> &'static [&'static Family];

    /// Gives the values, each combination of labels at most once. Runs on the thread that serves
    /// the scrape; it must not block.
    fn scrape(&self, scrape: &mut Scrape);
}

/// Takes the values of one source during one scrape.
#[derive(Debug, Default)]
pub struct Scrape {
    families: Vec<MetricFamily>,
}

impl Scrape {
    /// The value of a counter or a gauge. `labels` are the values for `family.labels`, in order.
    pub fn value(&mut self, family: &Family, labels: &[&str], value: f64) {
        let mut metric = Metric::from_label(pairs(family, labels));
        match family.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge | Kind::Histogram => {
                debug_assert_eq!(family.kind, Kind::Gauge, "{}", family.name);
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.push(family, metric);
    }

    /// A histogram; its count is the sum of its buckets.
    pub(crate) fn histogram(&mut self, family: &Family, labels: &[&str], from: &impl Distribution) {
        debug_assert_eq!(family.kind, Kind::Histogram, "{}", family.name);
        let counts = from.counts();
        let mut cumulative = 0;
        let buckets = from
            .upper_bounds()
            .into_iter()
            .zip(&counts)
            .map(|(upper_bound, count)| {
                cumulative += count;
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(upper_bound);
                bucket.set_cumulative_count(cumulative);
                bucket
            })
            .collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(from.sum());
        let mut metric = Metric::from_label(pairs(family, labels));
        metric.set_histogram(histogram);
        self.push(family, metric);
    }

    fn push(&mut self, family: &Family, metric: Metric) {
        // Values of a family mostly follow each other, hence from the end.
        let known = self.families.iter().rposition(|known| known.name() == family.name);
        let index = known.unwrap_or_else(|| {
            let mut new = MetricFamily::default();
            new.set_name(family.name.to_owned());
            new.set_help(family.help.to_owned());
            new.set_field_type(match family.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
                Kind::Histogram => MetricType::HISTOGRAM,
            });
            self.families.push(new);
            self.families.len() - 1
        });
        self.families[index].mut_metric().push(metric);
    }
}

fn pairs(family: &Family, values: &[&str]) -> Vec<LabelPair> {
    debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
    let named = family.labels.iter().zip(values);
    named
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        })
        .collect()
}

/// A source as the registry wants it.
pub(crate) struct SourceCollector<S> {
    descriptions: Vec<Desc>,
    source: S,
}

impl<S: ScrapeSource> SourceCollector<S> {
    /// Fails on a name or label that Prometheus does not allow.
    pub(crate) fn new(source: S) -> prometheus::Result<Self> {
        let descriptions = source
            .families()
            .iter()
            .map(|family| {
                let labels = family.labels.iter().map(|&label| label.to_owned());
                Desc::new(
                    family.name.to_owned(),
                    family.help.to_owned(),
                    labels.collect(),
                    HashMap::new(),
                )
            })
            .collect::<prometheus::Result<_>>()?;
        Ok(Self { descriptions, source })
    }
}

impl<S: ScrapeSource> Collector for SourceCollector<S> {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut scrape = Scrape::default();
        self.source.scrape(&mut scrape);
        scrape.families
    }
}
