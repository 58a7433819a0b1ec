//! `gaugeway serve`: load the configuration, then hand over to the server.

use std::process::ExitCode;

use super::{ConfigOptions, load_from};
use crate::config::{Loaded, Origin, Sources};

/// Runs until the gateway has ended.
pub fn run(options: ConfigOptions) -> ExitCode {
    let sources = options.sources();
    match load_from(&sources) {
        Ok(loaded) => serve(loaded, sources),
        Err(code) => code,
    }
}

/// The one way into the server. Without a file its first warning says what the defaults are, so
/// that nobody wonders why a gateway in a container is not reachable.
fn serve(loaded: Loaded, sources: Sources) -> ExitCode {
    let Loaded { config, origin, mut warnings } = loaded;
    if origin == Origin::Defaults {
        warnings.insert(0, without_file());
    }
    crate::server::run(config, &warnings, sources)
}

/// What a start without a file means.
fn without_file() -> String {
    "no configuration file: built-in defaults (loopback, no authentication, messages in memory) \
     and what environment and flags say"
        .to_owned()
}
