//! What is fixed at start: the build and the times in force.

use std::time::Duration;

use crate::telemetry::TelemetryOptions;
use crate::telemetry::families::{self, Family};
use crate::telemetry::scrape::{Scrape, ScrapeSource};

#[derive(Debug)]
pub(crate) struct Constants {
    version: String,
    revision: String,
    timers: Vec<(&'static str, Duration)>,
}

impl Constants {
    pub(crate) fn new(options: &TelemetryOptions) -> Self {
        Self {
            version: options.version.clone(),
            revision: options.revision.clone(),
            timers: options.timers.clone(),
        }
    }
}

impl ScrapeSource for Constants {
    fn families(&self) -> &'static [&'static Family] {
        families::CONSTANTS
    }

    fn scrape(&self, scrape: &mut Scrape) {
        let build = &[self.version.as_str(), self.revision.as_str()];
        scrape.value(&families::BUILD_INFO, build, 1.0);
        for (timer, duration) in &self.timers {
            scrape.value(&families::TIMEOUT, &[timer], duration.as_secs_f64());
        }
    }
}
