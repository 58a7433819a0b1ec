//! `gaugeway load merge`: the results of several runs or machines as one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::BAD_INPUT;
use super::arguments::Asked;
use super::bad_input;
use super::result::Output;
use crate::cli::complain;
use crate::config::printable;
use crate::load::{Draft, Known, Outcome, check_thresholds};

/// The options of `gaugeway load merge`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        gaugeway load merge a.json b.json\n  \
                        gaugeway load merge --json=all.json --max-p99 50ms machine-*.json\n\n\
                        The runs must have done their work at the same time: rates add up.")]
pub(super) struct Options {
    /// What `gaugeway load --json=FILE` wrote
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    asked: Asked<true>,
    #[command(flatten)]
    output: Output,
}

/// Adds up, prints and judges. All files that cannot be read are told at once.
pub(super) fn run(options: Options) -> Result<ExitCode, ExitCode> {
    let mut draft = Draft::default();
    options.asked.give_to(&mut draft);
    let thresholds = check_thresholds(draft).map_err(|mistakes| {
        complain(&mistakes.to_string());
        ExitCode::from(BAD_INPUT)
    })?;
    let (mut outcomes, mut wrong) = (Vec::new(), Vec::new());
    let mut given = HashSet::new();
    for path in &options.files {
        // What cannot be found is told of when it is read.
        let place = path.canonicalize().unwrap_or_else(|_| path.clone());
        if options.output.is_written_to(&place) {
            wrong.push(format!("{} is to be read and written: name another file", shown(path)));
        } else if !given.insert(place) {
            wrong.push(format!("{} is given twice: its figures would count twice", shown(path)));
            continue;
        }
        match Outcome::read(path) {
            Ok(outcome) => outcomes.push(outcome),
            Err(what) => wrong.push(what),
        }
    }
    if !wrong.is_empty() {
        return Err(bad_input(&wrong.join("\n")));
    }
    let sum = outcomes.into_iter().reduce(|mut sum, outcome| {
        sum.merge(outcome);
        sum
    });
    let sum = sum.expect("clap asks for at least one file");
    options.output.check()?;
    let known = Known { wanted: sum.wanted(), opening: None, is_closed_loop: sum.is_closed_loop() };
    options.output.write(&sum, known, &thresholds)
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}
