//! `process_*`, as every Prometheus client has them. Our own collector, because the stock ones
//! truncate the CPU time to whole seconds and count the descriptors one by one.

use std::fs;
use std::io;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::telemetry::families::{self, Family};
use crate::telemetry::scrape::{Scrape, ScrapeSource};

/// This process as Linux sees it.
#[derive(Debug)]
pub(crate) struct Process {
    /// Seconds since the epoch; absent where `/proc` could not be read.
    start_time_seconds: Option<f64>,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self { start_time_seconds: start_time_seconds() }
    }
}

impl ScrapeSource for Process {
    fn families(&self) -> &'static [&'static Family] {
        families::PROCESS
    }

    /// What cannot be read is left out: a missing series says so, a zero would lie.
    fn scrape(&self, scrape: &mut Scrape) {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        scrape.value(&families::PROCESS_CPU, &[], cpu_seconds);
        if let Some((virtual_pages, resident_pages)) = memory_pages() {
            let page = rustix::param::page_size() as f64;
            let virtual_bytes = virtual_pages as f64 * page;
            let resident_bytes = resident_pages as f64 * page;
            scrape.value(&families::PROCESS_VIRTUAL_MEMORY, &[], virtual_bytes);
            scrape.value(&families::PROCESS_RESIDENT_MEMORY, &[], resident_bytes);
        }
        if let Ok(open) = open_fds() {
            scrape.value(&families::PROCESS_OPEN_FDS, &[], open as f64);
        }
        let limit = getrlimit(Resource::Nofile).current;
        let max_fds = limit.map_or(f64::INFINITY, |fds| fds as f64);
        scrape.value(&families::PROCESS_MAX_FDS, &[], max_fds);
        if let Some(start) = self.start_time_seconds {
            scrape.value(&families::PROCESS_START_TIME, &[], start);
        }
        if let Some(threads) = stat_field(STAT_THREADS) {
            scrape.value(&families::PROCESS_THREADS, &[], threads as f64);
        }
    }
}

/// Since Linux 6.2 the size of `/proc/self/fd` is the number of descriptors, at no cost; before,
/// it is 0 and they are counted: about 0.2 µs each.
fn open_fds() -> io::Result<u64> {
    match fs::metadata("/proc/self/fd")?.len() {
        // The descriptor of the listing itself is among the entries.
        0 => Ok((fs::read_dir("/proc/self/fd")?.count() as u64).saturating_sub(1)),
        open => Ok(open),
    }
}

/// Virtual and resident size, from `/proc/self/statm`.
fn memory_pages() -> Option<(u64, u64)> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut fields = statm.split_ascii_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Places in `/proc/self/stat`, counted from 1 as in proc(5).
const STAT_THREADS: usize = 20;
const STAT_START_TICKS: usize = 22;
/// The second field, the program's name in brackets, may hold anything: fields are counted from
/// behind its last bracket.
const STAT_FIRST_AFTER_NAME: usize = 3;

fn stat_field(place: usize) -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace();
    fields.nth(place - STAT_FIRST_AFTER_NAME)?.parse().ok()
}

fn start_time_seconds() -> Option<f64> {
    let ticks = stat_field(STAT_START_TICKS)? as f64;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot_seconds: f64 = boot.trim().parse().ok()?;
    Some(boot_seconds + ticks / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operating_system_is_read_right() {
        assert!(open_fds().unwrap() >= 3);
        assert!(stat_field(STAT_THREADS).unwrap() >= 1);
        let (virtual_pages, resident_pages) = memory_pages().unwrap();
        assert!(virtual_pages >= resident_pages && resident_pages > 100);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - start_time_seconds().unwrap();
        assert!((-2.0..3600.0).contains(&age), "{age} s old");
    }

    #[test]
    fn an_opened_file_is_counted() {
        let before = open_fds().unwrap();
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let after = open_fds().unwrap();
        // Tests run side by side and open files too.
        assert!(after >= before + 25, "{before} to {after}");
        drop(files);
    }
}
