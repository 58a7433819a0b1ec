//! The configuration: plain fields with defaults, loaded from a file, the environment and flags,
//! checked as a whole.
//!
//! `schema` declares every setting once; `load` puts the sources on top of each other in a `draft`;
//! `check` holds what concerns several settings; `print` writes a configuration or the example file;
//! `reload` says what of a new configuration can be in force without a restart.
//! All mistakes are collected and reported at once. This module imports nothing else of the crate.

mod check;
mod draft;
mod duration;
mod file;
mod key;
mod load;
mod mistake;
mod overrides;
mod print;
mod reload;
mod rule;
mod schema;
mod settings;
mod suggest;
#[cfg(test)]
mod tests;
mod value;

pub use check::connections_within;
pub(crate) use duration::{parse as parse_duration, show as show_duration};
pub(crate) use file::{Text, read_bounded};
pub use key::{ApiKey, SECRET_CHARS_MAX, Secret};
pub use load::{Loaded, Origin, Sources, load};
pub use mistake::{Mistake, Mistakes, Place, printable};
pub(crate) use mistake::{Problem, quote};
pub use overrides::Flags;
pub use print::{effective, example};
pub use reload::{Change, changes, merge_live};
pub use schema::{
    Api, Auth, AuthMode, Compression, Endpoint, Heartbeat, Inbound, Limits, LogFormat, Server,
    Telemetry,
};
pub(crate) use suggest::closest;
pub(crate) use value::type_name;

use settings::Section;

/// Everything that can be set. Defaults are those of a bare `gaugeway`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The listeners, who may connect, and how many.
    pub server: Server,
    /// How a dead client is found.
    pub heartbeat: Heartbeat,
    /// How much one connection may take, and how long it may take it.
    pub limits: Limits,
    /// permessage-deflate.
    pub compression: Compression,
    /// Who may connect.
    pub auth: Auth,
    /// The API of the admin listener.
    pub api: Api,
    /// What the gateway tells its operators beside `/metrics`.
    pub telemetry: Telemetry,
    /// Paths that speak WebSocket, in the order of the file; at least one.
    pub endpoints: Vec<Endpoint>,
}

impl Default for Config {
    fn default() -> Self {
        let endpoint = |path: &str, inbound, require_user| Endpoint {
            path: path.to_owned(),
            inbound,
            require_user,
            ..Endpoint::default()
        };
        Self {
            server: Server::default(),
            heartbeat: Heartbeat::default(),
            limits: Limits::default(),
            compression: Compression::default(),
            auth: Auth::default(),
            api: Api::default(),
            telemetry: Telemetry::default(),
            endpoints: vec![
                endpoint("/ws-notifications", Inbound::Echo, false),
                endpoint("/ws", Inbound::Broadcast, false),
                endpoint("/im", Inbound::Broadcast, true),
            ],
        }
    }
}

impl Config {
    /// The tables that occur once, in the order of the file.
    fn sections(&self) -> [&dyn Section; 7] {
        let Self { server, heartbeat, limits, compression, auth, api, telemetry, endpoints: _ } =
            self;
        [server, heartbeat, limits, compression, auth, api, telemetry]
    }

    /// The same, to be written.
    fn sections_mut(&mut self) -> [&mut dyn Section; 7] {
        let Self { server, heartbeat, limits, compression, auth, api, telemetry, endpoints: _ } =
            self;
        [server, heartbeat, limits, compression, auth, api, telemetry]
    }
}
