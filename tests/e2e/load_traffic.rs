//! `gaugeway load` at work: what it reports is what the other side counted, whoever that is.

mod fan_out;
mod misbehaviour;
mod others;
mod own_gateway;
mod reconnects;

use std::process::{Child, Command, Stdio};

use gaugeway::load::Report;

use super::support::wait_for;

/// The default endpoint that echoes.
const ECHO: &str = "/ws-notifications";
/// The default endpoint that sends every message to everybody.
const BROADCAST: &str = "/ws";

/// A run that has ended.
#[derive(Debug)]
struct Loaded {
    code: Option<i32>,
    report: Report,
    stderr: String,
}

/// Killed with the test.
struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs it to its end, without a warm-up: whatever is sent is in the report. Flags are words
/// between blanks.
#[track_caller]
fn load(url: &str, flags: &str) -> Loaded {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gaugeway"));
    command.args(["load", url, "--json", "--no-progress", "--warm-up", "0s"]);
    command.args(flags.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(Some(command.spawn().unwrap()));
    wait_for("the end of the run", || running.0.as_mut()?.try_wait().unwrap());
    let output = running.0.take().unwrap().wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {flags}: {stderr}"));
    let report = serde_json::from_value(json["report"].clone()).unwrap();
    Loaded { code: output.status.code(), report, stderr }
}

impl Loaded {
    /// It went as it should: all connections opened once and closed with 1000, no error.
    #[track_caller]
    fn undisturbed(self, connections: u64) -> Report {
        let report = self.smooth();
        assert_eq!(report.connections.attempted, connections, "{report:?}");
        assert_eq!(report.connections.open_max, connections, "{report:?}");
        report
    }

    /// Nothing went wrong, whatever came and went.
    #[track_caller]
    fn smooth(self) -> Report {
        let Self { code, report, stderr } = self;
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!((report.errors.len(), report.errors_total()), (0, 0), "{report:?}");
        assert_eq!(report.connections.lost, 0, "{report:?}");
        assert_eq!(report.connections.attempted, report.connections.opened, "{report:?}");
        assert_eq!(report.handshake.count(), report.connections.opened, "{report:?}");
        assert_eq!(report.closes.values().sum::<u64>(), report.connections.opened, "{report:?}");
        report
    }
}
