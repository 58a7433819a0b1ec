//! One connection's life after its 101: a task that waits for its socket, its way out or its
//! shard's wheel, steps the state machine, and performs what it asks.
//!
//! A hand-written future keeps what an idle connection holds small: there is one, and it is the
//! connection.

mod clock;
mod ending;
mod errand;
mod inbox;
mod life;
mod peer;
mod settings;
mod shard;
mod task;
#[cfg(test)]
mod tests;
mod wheel;

pub use clock::Clock;
pub use ending::Pace;
pub use errand::{Errand, Errands, Visitor, visit_all};
pub use peer::{Peer, PeerState, ReceivedTotals};
pub use settings::Settings;
pub use shard::{Shard, ShardParts};
pub use task::{ConnectionTask, Opened, Rules};
