//! The bench's client: independent of the gateway's code, and cheap enough to sit beside a server on
//! the same machine. It parses frame headers, counts, and reads the server's CPU and memory.

mod args;
mod connection;
mod fleet;
mod frame;
mod latency;
mod payload;
mod process;
mod scenario;

use std::process::ExitCode;

fn main() -> ExitCode {
    let parsed = args::Args::parse(std::env::args().skip(1));
    let (name, options) = match parsed {
        Ok(parsed) => parsed,
        Err(message) => {
            eprintln!("{message}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match scenario::run(&name, options) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-client {name}: {error}");
            ExitCode::FAILURE
        }
    }
}
