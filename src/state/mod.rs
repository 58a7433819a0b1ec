//! A connection's state machine: pure; time is an argument.

mod cause;

pub use cause::{Cause, CloseLabel, Initiator};
