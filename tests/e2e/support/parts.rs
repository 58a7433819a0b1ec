//! The real programs that tests talk to; `docs/testing.md` lists them.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::nginx::repository;

/// The path of a part that must be there.
#[track_caller]
pub fn part(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| panic!("part {name} is missing: run tests/run --only parts"))
}

/// The path of a part, or `None` if it is one of those that may lack: then the test is reported as
/// not run, and must return.
#[track_caller]
pub fn part_or_not_run(name: &str, test: &str) -> Option<PathBuf> {
    if let Some(path) = find(name) {
        return Some(path);
    }
    let may_lack = include_str!("../../parts/may-lack.txt");
    let listed = may_lack.lines().any(|line| line.split_whitespace().next() == Some(name));
    assert!(listed, "part {name} is missing: run tests/run --only parts");
    let report = std::env::var_os("PARTS_NOT_RUN_FILE")
        .map_or_else(|| repository().join("target/parts/not-run"), PathBuf::from);
    std::fs::create_dir_all(report.parent().unwrap()).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(report).unwrap();
    file.write_all(format!("{test}\t{name}\n").as_bytes()).unwrap();
    None
}

fn find(name: &str) -> Option<PathBuf> {
    static FILE: OnceLock<HashMap<String, String>> = OnceLock::new();
    let variable = format!("PART_{}", name.to_uppercase().replace(['-', '.'], "_"));
    if let Some(path) = std::env::var_os(&variable) {
        return Some(path.into());
    }
    let file = FILE.get_or_init(|| {
        let text = std::fs::read_to_string(repository().join("target/parts/env"));
        let text = text.unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    });
    file.get(&variable).map(PathBuf::from)
}

/// A stock client that runs a scenario (see `docs/testing.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Node's `ws`.
    Ws,
    /// A page in Chromium.
    Chromium,
    /// Python's `websockets`.
    Python,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ws, Self::Chromium, Self::Python];

    /// The command for a scenario; stdin and stdout are piped.
    #[track_caller]
    pub fn command(self, scenario: &Value) -> Command {
        let mut command = match self {
            Self::Ws | Self::Chromium => {
                let file = if self == Self::Ws { "client.mjs" } else { "chromium.mjs" };
                let mut command = Command::new(part("node"));
                command.arg(part("node-clients").join(file));
                command
            }
            Self::Python => {
                let mut command = Command::new(part("python"));
                command.arg(repository().join("tests/parts/python/client.py"));
                command
            }
        };
        if self == Self::Chromium {
            command.env("PART_CHROMIUM", part("chromium"));
        }
        command.arg(scenario.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    /// Runs a scenario to its end; the result line.
    #[track_caller]
    pub fn run(self, scenario: &Value) -> Value {
        let output = self.command(scenario).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|_| {
            panic!("{self:?} gave no result: {text}\n{}", String::from_utf8_lossy(&output.stderr))
        })
    }
}
