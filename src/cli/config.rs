//! `gaugeway config`: the effective configuration, or the commented example.

use std::process::ExitCode;

use clap::Args;

use super::{ConfigOptions, complain, print};
use crate::config::{effective, example};

/// The options of `gaugeway config`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        gaugeway config                       what a start would use\n  \
                        gaugeway config --set compression.level=6\n  \
                        gaugeway config --example > gaugeway.toml")]
pub struct Options {
    /// Print every setting with its default, range, unit and costs, commented out
    #[arg(long)]
    example: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

/// Prints TOML that loads back to the same configuration.
pub fn run(options: Options) -> ExitCode {
    if options.example {
        return print(&example());
    }
    match options.config.load() {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                complain(&format!("warning: {warning}"));
            }
            print(&effective(&loaded.config))
        }
        Err(code) => code,
    }
}
