//! A connection's state machine: pure. Time is an argument; what must be done is the answer.

mod cause;
mod machine;
mod pings;
#[cfg(test)]
mod tests;

pub use cause::{Cause, CloseLabel, Initiator};
pub use machine::{Effects, Ending, Input, Machine, Then, Times};
pub use pings::{PING_PAYLOAD_BYTES, Pings, PongKind};

/// A point in time, in microseconds since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// The monotonic clock. Round-trip times are measured on it.
    pub real_us: u64,
    /// The monotonic clock less the time in which this process did not run (its own stalls).
    /// Deadlines are judged on it, so that a stall of the gateway never kills a healthy client.
    pub attended_us: u64,
}
