//! Telemetry: a value that is passed in, never a global. Two gateways in one process share nothing.
//!
//! - *Counting*: each thread has a [`Recorder`] and writes only its own block of cells.
//! - *Reading*: what a scrape must look up is a [`ScrapeSource`], registered by `main`.
//! - *Showing*: [`Telemetry::render`] is the page `/metrics`.
//! - *Logging*: [`logging`] sets the process' log up; lines come from `events/` alone.
//!
//! Only `events/` counts; every other module says what happened by emitting an event.

mod block;
mod cells;
mod constants;
mod control_plane;
mod export;
mod families;
mod gauges;
pub mod labels;
pub mod logging;
mod process;
mod recorder;
mod runtimes;
mod sanitize;
mod scrape;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Registry, TextEncoder};

pub use families::{Family, Kind};
pub use gauges::{AllShardGauges, ShardGauges, UsersGauge};
pub use labels::EndpointIndex;
pub use recorder::Recorder;
pub(crate) use recorder::{End, MessageBytes};
pub use runtimes::Runtimes;
pub use scrape::{Scrape, ScrapeSource};

use constants::{Constants, Timers};
use control_plane::ControlPlane;
use export::Counted;
use process::Process;
use recorder::Blocks;
use scrape::SourceCollector;

/// Is telemetry compiled out, by the feature `without-telemetry`? Only `bench/` builds such a gateway:
/// it is what the cost of telemetry is measured against. A constant, so that what it guards is still
/// checked by the compiler, and then left out.
pub const OFF: bool = cfg!(feature = "without-telemetry");

/// All of the page `/metrics` when telemetry is compiled out.
const OFF_PAGE: &str =
    "# This gateway was built with the feature without-telemetry: it counts nothing.\n";

/// How often [`Telemetry::run_upkeep`] wants to be called.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What a telemetry value must know from the start.
#[derive(Debug, Clone, Default)]
pub struct TelemetryOptions {
    /// The values of the label `endpoint`; their order gives [`EndpointIndex`]. At most 65,534.
    pub endpoints: Vec<String>,
    /// What `timeout_seconds{timer}` shows at first; see [`Telemetry::set_timers`].
    pub timers: Vec<(&'static str, Duration)>,
    /// The version of the program.
    pub version: String,
    /// The commit it was built from.
    pub revision: String,
}

/// All metrics of one gateway.
pub struct Telemetry {
    registry: Registry,
    blocks: Arc<Blocks>,
    control_plane: ControlPlane,
    timers: Arc<Timers>,
}

impl Telemetry {
    /// Everything that can be counted exists at once, with zero.
    pub fn new(options: &TelemetryOptions) -> Self {
        let telemetry = Self {
            registry: Registry::new(),
            blocks: Arc::new(Blocks::new(options.endpoints.clone())),
            control_plane: ControlPlane::new(),
            timers: Timers::new(&options.timers),
        };
        let own = "telemetry's own families are valid and have distinct names";
        let counted = Counted(Arc::clone(&telemetry.blocks));
        telemetry.register(counted).expect(own);
        let constants = Constants::new(options, Arc::clone(&telemetry.timers));
        telemetry.register(constants).expect(own);
        telemetry.register(Process::new()).expect(own);
        telemetry
    }

    /// A thread's way to count. Make one per thread and telemetry value: each costs some kilobytes
    /// per endpoint.
    pub fn recorder(&self) -> Recorder {
        self.blocks.recorder()
    }

    /// Adds what is read at scrape. Fails if another source gives one of its families.
    pub fn register(&self, source: impl ScrapeSource + 'static) -> prometheus::Result<()> {
        let collector = SourceCollector::new(source)?;
        self.registry.register(Box::new(collector))
    }

    /// What `timeout_seconds{timer}` shows from now on: the times that a reload has put in force.
    pub fn set_timers(&self, timers: &[(&'static str, Duration)]) {
        self.timers.set(timers);
    }

    /// Connections opened and ended so far, over all endpoints: the last line of the log has them,
    /// since nobody may have scraped the last page.
    pub fn connection_totals(&self) -> (u64, u64) {
        self.blocks.connection_totals()
    }

    /// The page `/metrics`: its content type and its body, in Prometheus' text format 0.0.4.
    pub fn render(&self) -> (&'static str, String) {
        if OFF {
            return (prometheus::TEXT_FORMAT, OFF_PAGE.to_owned());
        }
        let mut page = String::new();
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut page)
            .expect("writing to a String does not fail, and no family is empty");
        page.push_str(&self.control_plane.render());
        (prometheus::TEXT_FORMAT, page)
    }

    /// Bounds the memory of the control plane's samples. The control runtime calls it every
    /// [`UPKEEP_INTERVAL`].
    pub fn run_upkeep(&self) {
        self.control_plane.run_upkeep();
    }

    pub(crate) fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }
}
