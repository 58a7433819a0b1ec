//! Scrapes beside the work: each page in order, and each consistent with its neighbours.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Gateway, Metrics};

/// Scrapes without a pause while something is done, checking each page; how many there were.
#[track_caller]
pub fn while_scraped(gateway: &Gateway, work: impl FnOnce()) -> usize {
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let scraping = threads.spawn(|| {
            let mut scrapes = Scrapes::default();
            while !done.load(Ordering::Relaxed) {
                scrapes.take(&gateway.admin_get("/metrics").1);
            }
            scrapes.count
        });
        let end = SetOnDrop(&done);
        work();
        drop(end);
        scraping.join().unwrap()
    })
}

/// Ends the scraping even if the work panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Pages of one gateway, one after the other.
#[derive(Default)]
pub struct Scrapes {
    count: usize,
    /// What may only rise, as of the last page.
    rising: HashMap<String, f64>,
}

impl Scrapes {
    /// Checks the next page.
    #[track_caller]
    pub fn take(&mut self, page: &str) {
        self.count += 1;
        let rising = check_page(page);
        for (series, before) in &self.rising {
            let now = rising.get(series).unwrap_or_else(|| panic!("{series} has gone"));
            assert!(now >= before, "{series} fell from {before} to {now}");
        }
        self.rising = rising;
        check_sums(page);
    }
}

/// What is counted in one moment is on one page: exactly, even while connections come and go.
#[track_caller]
pub fn check_sums(page: &str) {
    let metrics = Metrics::parse(page);
    metrics.check_sums();
    let handshakes = metrics.sum("handshakes_total", &[]);
    let durations = metrics.sum("handshake_duration_seconds_count", &[]);
    assert_eq!(durations, handshakes, "each handshake has a duration");
    for endpoint in endpoints(page) {
        let of = |name| metrics.sum(name, &[("endpoint", endpoint)]);
        let accepted = [("endpoint", endpoint), ("outcome", "accepted")];
        let accepted = metrics.sum("handshakes_total", &accepted);
        let (opened, ended) = (of("connections_opened_total"), of("disconnects_total"));
        assert_eq!(accepted, opened, "accepted = opened on {endpoint}");
        assert_eq!(opened - ended, of("connections"), "opened − ended = open on {endpoint}");
        for each_end in ["connection_duration_seconds_count", "idle_at_close_seconds_count"] {
            assert_eq!(of(each_end), ended, "{each_end} on {endpoint}");
        }
    }
}

/// The endpoints that have a gauge of connections.
fn endpoints(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter_map(|line| {
        line.strip_prefix("gaugeway_connections{endpoint=\"")?.split_once('"').map(|(name, _)| name)
    })
}

/// Each family once: help, type, samples; no series twice; buckets cumulative and their last the
/// count. The series that may only rise.
#[track_caller]
pub fn check_page(page: &str) -> HashMap<String, f64> {
    let (mut families, mut seen) = (HashSet::new(), HashSet::new());
    let (mut family, mut kind, mut histogram, mut bucket) = ("", "", "", 0.0);
    let mut rising = HashMap::new();
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            (family, kind) = (help.split(' ').next().unwrap(), "");
            assert!(families.insert(family), "{family} comes twice");
            continue;
        }
        if let Some(named) = line.strip_prefix("# TYPE ") {
            let (name, named_kind) = named.split_once(' ').unwrap();
            assert_eq!(name, family, "a type follows its help");
            kind = named_kind;
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        assert!(seen.insert(series), "{series} comes twice");
        let name = series.split('{').next().unwrap();
        let part = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} under {family}"));
        match (kind, part) {
            ("counter", "") | ("histogram", "_sum") => {}
            ("histogram", "_count") => assert_eq!(value, bucket, "{line}: the last bucket"),
            ("histogram", "_bucket") => {
                let owner = series.split("le=\"").next().unwrap();
                bucket = if owner == histogram { bucket } else { 0.0 };
                histogram = owner;
                assert!(value >= bucket, "{line}: not cumulative");
                bucket = value;
            }
            ("gauge", "") => continue,
            _ => panic!("{line} is no sample of a {kind} {family}"),
        }
        assert!(value >= 0.0, "{line}");
        rising.insert(series.to_owned(), value);
    }
    rising
}
