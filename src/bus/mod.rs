//! Publications: what they are, whom they are for, and the sequence that orders them.
//!
//! The embedded bus lives in this process alone: [`Memory`] gives each publication its number, and
//! hands it out while the number's turn lasts.

mod idempotency;
mod memory;
mod user_key;

pub use idempotency::{Claim, Digest, Idempotency, Ticket};
pub use memory::Memory;
pub use user_key::{UserKey, UserKeys};

use crate::telemetry::EndpointIndex;
use crate::wire::SharedFrame;

/// Whose connections get a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// All connections of one user, whatever their endpoint.
    User(UserKey),
    /// Everybody on one endpoint.
    Endpoint(EndpointIndex),
    /// Every connection of the gateway.
    Everyone,
}

/// A message that has no number yet.
pub struct Message {
    /// Whom it is for.
    pub to: Target,
    /// The frame, encoded once for all receivers.
    pub frame: SharedFrame,
}

/// A message on its way to its receivers.
pub struct Publication {
    /// Its place among all publications of this gateway, from 1.
    pub seq: u64,
    /// Whom it is for.
    pub to: Target,
    /// The frame, encoded once for all receivers.
    pub frame: SharedFrame,
    /// When it got its number, in microseconds since the process began.
    pub sequenced_us: u64,
}
