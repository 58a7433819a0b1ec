//! `gaugeway load`: a load client for any WebSocket server.
//!
//! A [`Scenario`] says what to do, a [`Share`] which part of it one process does, and a [`Report`]
//! what came of it; reports of several processes or machines add up to one.

pub mod engine;
mod histogram;
mod link;
mod misbehave;
mod progress;
mod publisher;
mod report;
mod scenario;

pub use histogram::Histogram;
pub use link::{Connector, End, Link, NotSent, OpenError, Opened, Transport, Upgraded};
pub use misbehave::misbehave;
pub use progress::{Phase, Progress};
pub use publisher::{ApiPublisher, Form, PUBLISH_PATH, Target, To, bearer, publication_body};
pub use report::{Connections, Messages, Misbehaved, Report};
pub use scenario::{
    Kind, Lifetime, Misbehaviour, Misconduct, Payload, Publishing, Scenario, Share, Sizes, Storm,
    Work,
};
