//! End-to-end tests: the real binary, real peers, the real nginx. Each test starts its own parts on
//! free ports in a private folder, waits for conditions, and ends what it started.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(clippy::float_cmp, reason = "counters count whole things: equality is meant")]

mod api_connections;
mod api_hostile;
mod api_http;
mod api_idempotency;
mod api_keys;
mod api_publish;
mod broadcast;
mod causes;
mod clients;
mod command_line;
mod compose;
mod compression;
mod demo;
mod drain;
mod exposition;
mod fan_out;
mod heads;
mod heartbeat;
mod hub_load;
mod limits;
mod load_command;
mod load_traffic;
mod many;
mod monitoring;
mod network_loss;
mod printed_commands;
mod process;
mod publish_command;
mod pushed_to_browser;
mod races;
mod refusals;
mod reload;
mod several_gateways;
mod stock_rust;
mod support;
mod terminal_clients;
mod through_nginx;
