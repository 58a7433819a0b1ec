//! One connection's life after its 101: a task that waits for its socket, its way out or its
//! shard's wheel, steps the state machine, and performs what it asks.
//!
//! A hand-written future keeps what an idle connection holds small: there is one, and it is the
//! connection.

mod clock;
mod errand;
mod inbox;
mod life;
mod peer;
mod shard;
mod task;
#[cfg(test)]
mod tests;
mod wheel;

pub use clock::Clock;
pub use errand::{Errand, Errands, Visitor, visit_all};
pub use peer::{Peer, PeerState, ReceivedTotals};
pub use shard::{Shard, ShardParts};
pub use task::{ConnectionTask, Opened, Rules};
