//! `gaugeway load`: a load client for any WebSocket server, and the sum of what several found.

mod arguments;
mod merge;
mod progress;
mod result;
mod secrets;

use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::{BAD_INPUT, FAILED, complain};
use crate::config::printable;
use crate::load::{self, Draft, Known, Outcome, Plan, Report, Scenario, Surroundings};
use crate::server::raise_limit;
use arguments::Asked;
use progress::Display;
use result::Output;

/// Ports of one address towards one server where the system does not tell.
const PORTS: u32 = 28_000;

/// The options of `gaugeway load`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    after_help = "Examples:\n  \
                  gaugeway load ws://127.0.0.1:8080/ws -n 10000 --ramp 10s\n  \
                  gaugeway load wss://example.org/echo -n 200 --echo --rate 5000 --max-p99 50ms\n  \
                  gaugeway load ws://127.0.0.1:8080/ws -n 2000 --fan-out --rate 20\n  \
                  gaugeway load --scenario evening.toml --duration 1m --json=evening.json\n  \
                  gaugeway load merge a.json b.json\n\n\
                  Each flag is a key of the scenario file, with _ for -. Secrets are never arguments:\n\
                  every process of the machine can read a command line. docs/load.md says more.\n\n\
                  The first Ctrl-C ends the run with what was measured, the second at once.\n\n\
                  Exit codes: 0 well, 1 a threshold was not kept or nothing could be opened, 2 bad input."
)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Subcommands>,
    /// Read a scenario from this TOML file; flags stand above it
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    asked: Asked<false>,
    /// Allow storms and misbehaviour against a server beyond this machine and private networks
    #[arg(long)]
    i_own_this_server: bool,
    #[command(flatten)]
    output: Output,
    /// Show no progress on standard error
    #[arg(long)]
    no_progress: bool,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Add up what several runs wrote with --json
    Merge(merge::Options),
    /// One process of a run; the run itself starts it
    #[command(hide = true)]
    Worker,
}

/// Runs a scenario to its end, or adds up results.
pub fn run(options: Options) -> ExitCode {
    let done = match options.command {
        Some(Subcommands::Merge(options)) => merge::run(options),
        Some(Subcommands::Worker) => work(),
        None => run_scenario(options),
    };
    done.unwrap_or_else(|code| code)
}

/// Says what is wrong with the input, in lines that no terminal obeys.
fn bad_input(said: &str) -> ExitCode {
    said.lines().for_each(|line| complain(&printable(line)));
    ExitCode::from(BAD_INPUT)
}

fn failed(said: &str) -> ExitCode {
    complain(&printable(said));
    ExitCode::from(FAILED)
}

fn run_scenario(options: Options) -> Result<ExitCode, ExitCode> {
    let Options { command: _, scenario, asked, i_own_this_server, output, no_progress } = options;
    let Plan { scenario, thresholds } = plan(scenario, asked, i_own_this_server)?;
    output.check()?;
    raise_limit();
    let mut display = Display::new(&scenario, no_progress);
    let runtime = runtime()?;
    let report = runtime.block_on(run_until_interrupted(scenario.clone(), &mut display));
    // A name look-up that hangs sits in a blocking thread; the process does not wait for it.
    runtime.shutdown_background();
    display.finish();
    let report = report.map_err(|reason| failed(&reason))?;
    let opening = display.opening();
    let outcome = Outcome::new(report, &scenario);
    let known = Known {
        wanted: Some(u64::from(scenario.connections)),
        opening,
        is_closed_loop: outcome.is_closed_loop(),
    };
    output.write(&outcome, known, &thresholds)
}

/// What was asked, checked against this machine.
fn plan(file: Option<PathBuf>, asked: Asked<false>, owned: bool) -> Result<Plan, ExitCode> {
    let mut draft = Draft::default();
    if let Some(file) = file {
        draft.read_file(&file);
    }
    asked.give_to(&mut draft);
    let around = Surroundings {
        token: secrets::token(draft.text("token-file").as_deref()),
        api_key: secrets::api_key(&mut draft),
        open_files_max: open_files_max(),
        ports: ports(),
        addresses: &addresses,
        owned,
    };
    load::check(draft, around).map_err(|mistakes| {
        complain(&mistakes.to_string());
        ExitCode::from(BAD_INPUT)
    })
}

fn open_files_max() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// What the system gives away by itself, as `ip_local_port_range` says it.
fn ports() -> u32 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let bounds: Vec<u32> =
        range.unwrap_or_default().split_whitespace().flat_map(str::parse).collect();
    match bounds[..] {
        [first, last] if last >= first => last - first + 1,
        _ => PORTS,
    }
}

fn addresses(host: &str, port: u16) -> Vec<IpAddr> {
    let found = (host, port).to_socket_addrs();
    found.map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default()
}

fn runtime() -> Result<tokio::runtime::Runtime, ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&format!("no runtime: {error}")))
}

/// The first signal ends the run early, the second at once.
async fn run_until_interrupted(
    scenario: Scenario,
    display: &mut Display,
) -> Result<Report, String> {
    let unheard = |error: std::io::Error| format!("signals cannot be heard: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let first = Notify::new();
    let twice = async {
        next(&mut interrupt, &mut terminate).await;
        complain("ending early; once more ends it at once");
        first.notify_one();
        next(&mut interrupt, &mut terminate).await;
    };
    let run = load::run(scenario, worker_command, first.notified(), |progress| {
        display.show(&progress);
    });
    tokio::select! {
        report = run => report,
        () = twice => Err("ended at once, without a report".to_owned()),
    }
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// This program again, as one process of a run.
fn worker_command() -> Result<Command, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("this program is not found: {error}"))?;
    let mut command = Command::new(program);
    command.args(["load", "worker"]);
    Ok(command)
}

fn work() -> Result<ExitCode, ExitCode> {
    raise_limit();
    let runtime = runtime()?;
    let worked = runtime.block_on(load::work());
    runtime.shutdown_background();
    worked.map(|()| ExitCode::SUCCESS).map_err(|reason| failed(&reason))
}
