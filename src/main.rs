//! The program `gaugeway`: arguments in, exit code out (0 well, 1 failed while running, 2 bad input).

use std::process::ExitCode;

use clap::Parser;
use gaugeway::cli::{Arguments, Command, check, config, health, load, publish, serve};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => serve::run(arguments.serve),
        Some(Command::Serve(options)) => serve::run(options),
        Some(Command::Check(options)) => check::run(options),
        Some(Command::Config(options)) => config::run(options),
        Some(Command::Health(options)) => health::run(options),
        Some(Command::Publish(options)) => publish::run(options),
        Some(Command::Load(options)) => load::run(*options),
    }
}
