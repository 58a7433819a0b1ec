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
    /// The sums of the last two pages, the older first.
    sums: Vec<Sums>,
}

/// What must add up.
#[derive(Debug, Clone, Copy)]
struct Sums {
    accepted: f64,
    opened: f64,
    ended: f64,
    open: f64,
}

/// Between the count of an event and the gauge's change a scrape may look: once per shard.
const SHARDS_MAX: f64 = 2.0;

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
        self.check_sums(&Metrics::parse(page));
    }

    /// Values of one page are read one after the other while connections come and go. So those of
    /// a page lie between those of the page before and the page behind it.
    fn check_sums(&mut self, metrics: &Metrics) {
        let last = Sums {
            accepted: metrics.sum("handshakes_total", &[("outcome", "accepted")]),
            opened: metrics.sum("connections_opened_total", &[]),
            ended: metrics.sum("disconnects_total", &[]),
            open: metrics.sum("connections", &[]),
        };
        self.sums.push(last);
        let [first, middle, last] = self.sums[..] else { return };
        let open = first.opened - last.ended - SHARDS_MAX..=last.opened - first.ended + SHARDS_MAX;
        assert!(open.contains(&middle.open), "{first:?} {middle:?} {last:?}");
        let accepted = first.opened - SHARDS_MAX..=last.opened + SHARDS_MAX;
        assert!(accepted.contains(&middle.accepted), "{first:?} {middle:?} {last:?}");
        self.sums.remove(0);
    }
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
