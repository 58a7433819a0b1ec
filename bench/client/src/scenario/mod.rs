//! The scenarios: each drives a fleet, reads the server's process around its window, and reports JSON.

mod echo;
mod fanout;
mod handshake;
mod hold;
mod idle;

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::Args;
use crate::connection::Target;
use crate::process::ServerProcess;

/// Runs the named scenario with its options.
pub fn run(name: &str, mut args: Args) -> Result<Value, Box<dyn Error>> {
    let server = Server {
        target: Target {
            address: args.required("address")?,
            path: args.required("path")?,
            deflate: args.or("deflate", false)?,
            hello: args.optional("hello")?,
        },
        process: ServerProcess::new(args.required("pid")?),
    };
    match name {
        "idle" => idle::run(&server, args),
        "hold" => hold::run(&server, args),
        "handshake" => handshake::run(&server, args),
        "echo" => echo::run(&server, args),
        "fanout" => fanout::run(&server, args),
        _ => Err(format!("there is no scenario '{name}'").into()),
    }
}

/// What is measured: where it listens and which process it is.
struct Server {
    target: Target,
    process: ServerProcess,
}

/// Server CPU and wall time since a moment.
struct Meter {
    process: ServerProcess,
    since: Instant,
    cpu_before: Duration,
}

impl Meter {
    fn start(process: ServerProcess) -> io::Result<Self> {
        Ok(Self { process, since: Instant::now(), cpu_before: process.cpu_time()? })
    }

    /// Ends the window; `work` is the number of messages, deliveries or handshakes done in it.
    fn stop(&self, work: u64) -> io::Result<Value> {
        let cpu = self.process.cpu_time()?.saturating_sub(self.cpu_before).as_secs_f64();
        let seconds = self.since.elapsed().as_secs_f64();
        Ok(json!({
            "seconds": seconds,
            "server_cpu_seconds": cpu,
            "server_cores": cpu / seconds,
            "work": work,
            "work_per_second": work as f64 / seconds,
            "cpu_us_per_work": (work > 0).then(|| cpu * 1e6 / work as f64),
        }))
    }
}

/// When a run sends: `rate` per second from `start`, evenly. The n-th moment is computed, not summed
/// up, so that a late sender catches up and its lateness counts as latency.
struct Schedule {
    start: Instant,
    rate: f64,
}

impl Schedule {
    fn due(&self, n: u64) -> Instant {
        self.start + Duration::from_secs_f64(n as f64 / self.rate)
    }
}
