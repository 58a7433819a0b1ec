//! Gaugeway: the WebSocket gateway you can see into. `ARCHITECTURE.md` is the map.

pub mod config;
pub mod outbound;
pub mod state;
