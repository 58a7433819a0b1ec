//! What the tests start and look at.

mod api;
mod browser;
mod deflate;
mod ends;
mod gateway;
mod metrics;
mod names;
mod namespace;
mod nginx;
mod parts;
mod prometheus;
mod raw;
pub mod refusals;
mod relay;
pub mod scrapes;
mod site;
pub mod swarm;

pub use api::{Api, first_line};
pub use browser::Visit;
pub use deflate::{Inflate, deflated_frame};
pub use ends::Ends;
pub use gateway::{Gateway, Settings};
pub use metrics::Metrics;
pub use names::Names;
pub use namespace::in_namespace;
pub use nginx::{Nginx, NginxSettings, repository};
pub use parts::{Client, part, part_or_not_run};
pub use prometheus::{Exporter, Prometheus};
pub use raw::{Answer, Frame, Opening, Raw, frame, masked_frame};
pub use relay::Relay;
pub use site::{Route, Site};

use std::time::{Duration, Instant};

/// Long enough for a busy machine: a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `look` gives something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
