//! End-to-end tests: the real binary, real peers, the real nginx. Each test starts its own parts on
//! free ports in a private folder, waits for conditions, and ends what it started.

mod support;

mod broadcast;
mod causes;
mod clients;
mod command_line;
mod compression;
mod exposition;
mod printed_commands;
mod stock_rust;
