//! `gaugeway check`: all mistakes and exit code 2, or one line that says OK.

use std::process::ExitCode;

use super::{ConfigOptions, complain, print};
use crate::config::Loaded;

/// Loads the configuration and says what was found. Warnings do not change the exit code.
pub fn run(options: ConfigOptions) -> ExitCode {
    match options.load() {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                complain(&format!("warning: {warning}"));
            }
            print(&summary(&loaded))
        }
        Err(code) => code,
    }
}

fn summary(loaded: &Loaded) -> String {
    let Loaded { config, origin, warnings } = loaded;
    let warned = match warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        more => format!(", {more} warnings"),
    };
    format!(
        "OK: {origin}: clients on {}, operators on {}, {} endpoints{warned}\n",
        config.server.listen,
        config.server.admin_listen,
        config.endpoints.len()
    )
}
