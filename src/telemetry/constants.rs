//! What is not counted: the build, fixed at start, and the times in force.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::telemetry::TelemetryOptions;
use crate::telemetry::families::{self, Family};
use crate::telemetry::scrape::{Scrape, ScrapeSource};

/// What `timeout_seconds` shows, by the label `timer`.
#[derive(Debug)]
pub(crate) struct Timers(Mutex<Vec<(&'static str, Duration)>>);

impl Timers {
    pub(crate) fn new(timers: &[(&'static str, Duration)]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(timers.to_vec())))
    }

    /// All of them at once: a page never shows some of the old and some of the new.
    pub(crate) fn set(&self, timers: &[(&'static str, Duration)]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = timers.to_vec();
    }

    fn get(&self) -> Vec<(&'static str, Duration)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
pub(crate) struct Constants {
    version: String,
    revision: String,
    timers: Arc<Timers>,
}

impl Constants {
    pub(crate) fn new(options: &TelemetryOptions, timers: Arc<Timers>) -> Self {
        Self { version: options.version.clone(), revision: options.revision.clone(), timers }
    }
}

impl ScrapeSource for Constants {
    fn families(&self) -> &'static [&'static Family] {
        families::CONSTANTS
    }

    fn scrape(&self, scrape: &mut Scrape) {
        let build = &[self.version.as_str(), self.revision.as_str()];
        scrape.value(&families::BUILD_INFO, build, 1.0);
        for (timer, duration) in self.timers.get() {
            scrape.value(&families::TIMEOUT, &[timer], duration.as_secs_f64());
        }
    }
}
