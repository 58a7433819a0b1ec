//! Where a result goes: the summary, the JSON, the exit code.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{FAILED, bad_input, failed};
use crate::cli::{complain, print};
use crate::config::printable;
use crate::load::{Known, Outcome, Thresholds, summary};

/// What is written of a result.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// Write the result as JSON, to standard output or to a file; with standard output the summary
    /// goes to standard error
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          default_missing_value = "-")]
    json: Option<PathBuf>,
}

impl Output {
    /// A file that cannot be written is told before the work, not after.
    pub fn check(&self) -> Result<(), ExitCode> {
        let Some(path) = self.file() else { return Ok(()) };
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.map(drop).map_err(|error| {
            bad_input(&format!("--json {}: {error}; name a file to write", path.display()))
        })
    }

    /// Whether the JSON goes to this file, whose path is canonical.
    pub fn is_written_to(&self, path: &Path) -> bool {
        self.file().and_then(|file| file.canonicalize().ok()).is_some_and(|file| file == path)
    }

    /// Writes all of it. The exit code says whether it is a success.
    pub fn write(
        &self,
        outcome: &Outcome,
        known: Known,
        thresholds: &Thresholds,
    ) -> Result<ExitCode, ExitCode> {
        let judged = thresholds.judge(&outcome.report);
        let words = summary(&outcome.report, known, &judged);
        let printed = match (&self.json, self.file()) {
            (None, _) => print(&words),
            (Some(_), None) => {
                complain(words.trim_end());
                print(&outcome.to_json(&judged))
            }
            (Some(_), Some(path)) => {
                let written = std::fs::write(path, outcome.to_json(&judged));
                written.map_err(|error| failed(&format!("--json {}: {error}", path.display())))?;
                print(&words)
            }
        };
        let broken: Vec<_> = judged.iter().filter(|one| !one.kept).collect();
        // Where the summary is on standard error, it has said so there.
        let said = self.json.is_some() && self.file().is_none();
        for one in broken.iter().filter(|_| !said) {
            complain(&printable(&format!("{}: {}", one.asked, one.found)));
        }
        let connections = &outcome.report.connections;
        let nothing_opened = connections.attempted > 0 && connections.opened == 0;
        if nothing_opened {
            complain(&format!("not one of {} handshakes succeeded", connections.attempted));
        }
        let well = broken.is_empty() && !nothing_opened;
        Ok(if well { printed } else { ExitCode::from(FAILED) })
    }

    /// `None`: standard output, or nothing is written.
    fn file(&self) -> Option<&Path> {
        self.json.as_deref().filter(|path| *path != Path::new("-"))
    }
}
