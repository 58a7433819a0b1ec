//! `gaugeway load`: a load client for any WebSocket server.
//!
//! A [`Scenario`] says what to do, a [`Share`] which part of it one process does, and a [`Report`]
//! what came of it; reports of several processes or machines add up to one.

mod check;
pub mod engine;
mod file;
mod histogram;
mod link;
mod misbehave;
mod outcome;
mod progress;
mod publisher;
mod report;
mod scenario;
mod summary;
mod thresholds;
mod workers;

pub use check::{Draft, KEYS, Key, Plan, Surroundings, THRESHOLDS, Takes, check, check_thresholds};
pub use histogram::Histogram;
pub use link::{Connector, End, Link, NotSent, OpenError, Opened, Transport, Upgraded};
pub use misbehave::misbehave;
pub use outcome::Outcome;
pub use progress::{Phase, Progress};
pub use publisher::{ApiPublisher, Form, PUBLISH_PATH, Room, Target, To, bearer, publication_body};
pub use report::{Connections, Messages, Misbehaved, Report};
pub use scenario::{
    Kind, Lifetime, Misbehaviour, Misconduct, Payload, Publishing, Scenario, Share, Sizes, Storm,
    Work,
};
pub use summary::{Known, summary};
pub(crate) use summary::{show_count, show_rate, show_time};
pub use thresholds::{Judged, Thresholds};
pub use workers::{run, work};
