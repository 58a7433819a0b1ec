//! Gaugeway: the WebSocket gateway you can see into. `ARCHITECTURE.md` is the map.

pub mod auth;
pub mod bus;
pub mod cli;
pub mod config;
pub mod connection;
pub mod events;
pub mod handshake;
pub mod hub;
pub mod load;
pub mod outbound;
pub mod server;
pub mod state;
pub mod telemetry;
pub mod wire;
