//! What telemetry costs: per message, one `MessageReceived` and one `MessageSent` as an echo emits
//! them; per scrape, with the three default endpoints and two shards.
//!
//! ```text
//! cargo run --release --example telemetry_cost               # nanoseconds
//! cargo run --release --example telemetry_cost -- callgrind  # instructions, needs valgrind
//! ```

use std::error::Error;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::time::Instant;

use gaugeway::events::{MessageReceived, MessageSent};
use gaugeway::telemetry::{EndpointIndex, Recorder, Telemetry, TelemetryOptions};
use gaugeway::wire::Opcode;

/// An echo is two messages.
const MESSAGES_PER_ECHO: u64 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        [] => {
            nanoseconds();
            Ok(())
        }
        ["callgrind"] => instructions(),
        ["echo", echoes] => echoes.parse().map_err(Into::into).map(|n| echo(n, None)),
        ["echo-deflated", echoes] => echoes.parse().map_err(Into::into).map(|n| echo(n, Some(40))),
        ["loop", echoes] => echoes.parse().map_err(Into::into).map(empty),
        _ => Err("usage: telemetry_cost [callgrind]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("telemetry_cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn telemetry() -> Telemetry {
    let endpoints = ["/ws-notifications", "/ws", "/im"].map(str::to_owned);
    Telemetry::new(&TelemetryOptions { endpoints: endpoints.into(), ..TelemetryOptions::default() })
}

fn recorder() -> Recorder {
    telemetry().recorder()
}

fn echo(echoes: u64, compressed_bytes: Option<u64>) {
    let recorder = recorder();
    for n in 0..echoes {
        let endpoint = EndpointIndex(black_box(1));
        let opcode = black_box(Opcode::Text);
        one_echo(&recorder, endpoint, opcode, n & 1023, compressed_bytes);
    }
}

/// Not inlined: the call's arguments are what a connection's loop has at hand.
#[inline(never)]
fn one_echo(
    recorder: &Recorder,
    endpoint: EndpointIndex,
    opcode: Opcode,
    payload_bytes: u64,
    compressed_bytes: Option<u64>,
) {
    MessageReceived {
        endpoint,
        opcode,
        payload_bytes,
        wire_bytes: payload_bytes + 8,
        compressed_bytes,
    }
    .emit(recorder);
    MessageSent {
        endpoint,
        opcode,
        payload_bytes,
        wire_bytes: payload_bytes + 4,
        compressed_bytes,
    }
    .emit(recorder);
}

/// The loop around the echoes, to be subtracted.
fn empty(echoes: u64) {
    let recorder = recorder();
    for n in 0..echoes {
        let endpoint = EndpointIndex(black_box(1));
        let opcode = black_box(Opcode::Text);
        no_echo(&recorder, endpoint, opcode, n & 1023, None);
    }
}

#[inline(never)]
fn no_echo(
    recorder: &Recorder,
    _endpoint: EndpointIndex,
    _opcode: Opcode,
    _payload_bytes: u64,
    _compressed_bytes: Option<u64>,
) {
    black_box(recorder);
}

/// The best of several rounds: the others measured the neighbours.
fn nanoseconds() {
    const ECHOES: u64 = 5_000_000;
    let best = |work: &dyn Fn()| {
        let rounds = (0..7).map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_nanos() as f64 / (ECHOES * MESSAGES_PER_ECHO) as f64
        });
        rounds.fold(f64::INFINITY, f64::min)
    };
    let overhead = best(&|| empty(ECHOES));
    let plain = best(&|| echo(ECHOES, None)) - overhead;
    let deflated = best(&|| echo(ECHOES, Some(40))) - overhead;
    println!(
        "plain:      {plain:.2} ns per message (of which the loop's {overhead:.2} are taken off)"
    );
    println!("compressed: {deflated:.2} ns per message");
    scrape();
}

fn scrape() {
    const SCRAPES: u32 = 50;
    let telemetry = telemetry();
    let _shards = [telemetry.recorder(), telemetry.recorder()];
    let start = Instant::now();
    let bytes = (0..SCRAPES).map(|_| telemetry.render().1.len()).max();
    let each_ms = (start.elapsed() / SCRAPES).as_secs_f64() * 1e3;
    println!("/metrics:   {each_ms:.2} ms, {} bytes", bytes.unwrap_or(0));
}

fn instructions() -> Result<(), Box<dyn Error>> {
    const FEW: u64 = 100_000;
    const MANY: u64 = 300_000;
    let per_message = |work: &str| -> Result<f64, Box<dyn Error>> {
        let difference = collected(work, MANY)? - collected(work, FEW)?;
        Ok(difference as f64 / ((MANY - FEW) * MESSAGES_PER_ECHO) as f64)
    };
    let overhead = per_message("loop")?;
    let plain = per_message("echo")? - overhead;
    let deflated = per_message("echo-deflated")? - overhead;
    println!(
        "plain:      {plain:.1} instructions per message (the loop's {overhead:.1} taken off)"
    );
    println!("compressed: {deflated:.1} instructions per message");
    Ok(())
}

/// Instructions of one run of this program under callgrind.
fn collected(work: &str, echoes: u64) -> Result<i64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([work, &echoes.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    let collected = report
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .ok_or_else(|| format!("valgrind said nothing of instructions:\n{report}"))?;
    Ok(collected.1.trim().parse()?)
}
