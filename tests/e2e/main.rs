//! End-to-end tests: the real binary, real peers, the real nginx. Each test starts its own parts on
//! free ports in a private folder, waits for conditions, and ends what it started.

// A test that cannot go on panics, and counts are whole numbers although Prometheus has only floats.
#![allow(clippy::unwrap_used, clippy::float_cmp)]

mod support;

mod broadcast;
mod causes;
mod clients;
mod command_line;
mod compression;
mod exposition;
mod printed_commands;
mod stock_rust;
