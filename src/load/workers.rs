//! A run over several processes: one core drives only so many connections, and a process may open
//! only so many files.
//!
//! The coordinator starts its own program again. A worker gets its [`Task`] as a line of JSON on
//! standard input and tells of itself in lines of JSON on standard output. Then `go` on standard
//! input starts the work, `stop` ends it early, and so does the end of standard input: a worker
//! outlives no coordinator.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::engine;
use super::{Phase, Progress, Report, Scenario, Share};

/// The longest line: a report whose histograms are as full as they get is far below.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Beyond its own time-outs a worker has so long to report.
const GRACE: Duration = Duration::from_secs(10);

/// Unread news; a worker has some four a second.
const NEWS_MAX: usize = 1_024;

const GO: &str = "go";
const STOP: &str = "stop";

/// What a worker is given.
#[derive(Serialize, Deserialize)]
struct Task<'a> {
    scenario: std::borrow::Cow<'a, Scenario>,
    share: Share,
}

/// What a worker tells.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Progress(Progress),
    Report(Box<Report>),
    Failed(String),
}

/// What comes of a worker.
enum News {
    Told(Told),
    /// It says no more.
    Ended(Silence),
}

/// Does the whole scenario: here, or in workers that `program` starts where it asks for several.
/// `observe` gets the figures of all processes together.
///
/// When `stop` resolves the run ends early, with a report of what was measured. An error names what
/// failed; no worker is left when this returns or is dropped.
pub async fn run(
    scenario: Scenario,
    program: impl Fn() -> Result<Command, String>,
    stop: impl Future<Output = ()>,
    observe: impl FnMut(Progress),
) -> Result<Report, String> {
    if scenario.processes > 1 {
        return coordinate(&scenario, program, stop, observe).await;
    }
    let share = Share::of(1).next().expect("one process has one share");
    let go = std::future::ready(());
    LocalSet::new().run_until(engine::run(Rc::new(scenario), share, go, stop, observe)).await
}

/// What a worker process does: the task on its standard input. Errors that it could tell of are
/// told; the rest is the result.
pub async fn work() -> Result<(), String> {
    let mut lines = BufReader::new(std::io::stdin());
    let line = read_line(&mut lines).ok_or("standard input ended before the task")?;
    let Task { scenario, share } =
        serde_json::from_str(&line).map_err(|error| format!("standard input: {error}"))?;
    let (sender, told) = watch::channel((false, false));
    std::thread::spawn(move || {
        while let Some(line) = read_line(&mut lines) {
            sender.send_modify(|(go, stop)| {
                *go |= line == GO;
                *stop |= line == STOP;
            });
        }
        sender.send_modify(|(_, stop)| *stop = true);
    });
    let heard = |mut told: watch::Receiver<(bool, bool)>, which: fn(&(bool, bool)) -> bool| async move {
        // The sender goes only after it has said `stop`.
        let _ = told.wait_for(which).await;
    };
    let go = heard(told.clone(), |(go, stop)| *go || *stop);
    let stop = heard(told, |(_, stop)| *stop);
    // Where nobody hears it any more, standard input has ended, too.
    let observe = |progress| drop(tell(&Told::Progress(progress)));
    let scenario = Rc::new(scenario.into_owned());
    let done = LocalSet::new().run_until(engine::run(scenario, share, go, stop, observe)).await;
    tell(&match done {
        Ok(report) => Told::Report(Box::new(report)),
        Err(reason) => Told::Failed(reason),
    })
    .map_err(|error| format!("standard output: {error}"))
}

fn tell(told: &Told) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// A line without its end; `None` at the end of the source, at an error and beyond the limit.
fn read_line(source: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    source.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).ok()?;
    line.strip_suffix('\n').map(str::to_owned)
}

async fn coordinate(
    scenario: &Scenario,
    program: impl Fn() -> Result<Command, String>,
    stop: impl Future<Output = ()>,
    mut observe: impl FnMut(Progress),
) -> Result<Report, String> {
    let (mut workers, mut news) = Workers::start(scenario, program)?;
    let mut stop = std::pin::pin!(stop);
    let mut stopped = false;
    let mut going = false;
    let patience = scenario.close_wait * 2 + scenario.handshake_timeout + GRACE;
    // Armed once the run has been told to end.
    let mut deadline = std::pin::pin!(tokio::time::sleep(Duration::from_hours(24 * 365)));
    while workers.reports.iter().any(Option::is_none) {
        tokio::select! {
            () = &mut stop, if !stopped => {
                stopped = true;
                workers.say_all(STOP);
                deadline.as_mut().reset(tokio::time::Instant::now() + patience);
            }
            () = &mut deadline => return Err(workers.late(patience)),
            Some((index, news)) = news.recv() => {
                match news {
                    News::Told(Told::Progress(progress)) => workers.progress[index] = Some(progress),
                    News::Told(Told::Report(report)) => {
                        workers.reports[index] = Some(*report);
                        // From the first report on the others follow at once.
                        deadline.as_mut().reset(tokio::time::Instant::now() + patience);
                    }
                    // The same in every process: the scenario's, not the process'.
                    News::Told(Told::Failed(reason)) => return Err(reason),
                    News::Ended(silence) if workers.reports[index].is_none() => {
                        return Err(workers.lost(index, silence));
                    }
                    News::Ended(_) => {}
                }
                if let Some(progress) = workers.together() {
                    if progress.phase >= Phase::Ready && !going {
                        going = true;
                        workers.say_all(GO);
                    }
                    observe(progress);
                }
            }
        }
    }
    let mut reports = std::mem::take(&mut workers.reports).into_iter().flatten();
    let mut sum = reports.next().ok_or("there was no worker")?;
    reports.for_each(|report| sum.merge(&report));
    Ok(sum)
}

/// All workers of a run; those that have not ended are killed with it.
struct Workers {
    children: Vec<Child>,
    inputs: Vec<ChildStdin>,
    progress: Vec<Option<Progress>>,
    reports: Vec<Option<Report>>,
}

impl Workers {
    fn start(
        scenario: &Scenario,
        program: impl Fn() -> Result<Command, String>,
    ) -> Result<(Self, Receiver<(usize, News)>), String> {
        let processes = scenario.processes;
        let (sender, news) = channel(NEWS_MAX);
        let mut workers = Self {
            children: Vec::new(),
            inputs: Vec::new(),
            progress: vec![None; usize::from(processes)],
            reports: vec![None; usize::from(processes)],
        };
        for share in Share::of(processes) {
            let process = share.process;
            let failed = |what: &dyn std::fmt::Display| {
                format!("worker process {} of {processes} cannot be started: {what}", process + 1)
            };
            let mut command = program()?;
            // In a group of its own: Ctrl-C at the terminal is for the coordinator alone, which
            // tells the workers what it means.
            command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().map_err(|error| failed(&error))?;
            let mut input = child.stdin.take().expect("it was piped");
            let output = child.stdout.take().expect("it was piped");
            workers.children.push(child);
            let task = Task { scenario: std::borrow::Cow::Borrowed(scenario), share };
            let mut line = serde_json::to_vec(&task).map_err(|error| failed(&error))?;
            line.push(b'\n');
            // A worker that has died already is told of by its output's end.
            let _ = input.write_all(&line);
            workers.inputs.push(input);
            let (sender, index) = (sender.clone(), usize::from(process));
            std::thread::spawn(move || {
                let ended =
                    listen(output, |told| sender.blocking_send((index, News::Told(told))).is_ok());
                // Nobody listens any more where the run is over.
                let _ = sender.blocking_send((index, News::Ended(ended)));
            });
        }
        Ok((workers, news))
    }

    fn say_all(&mut self, word: &str) {
        for input in &mut self.inputs {
            // One that has died is told of by its output's end.
            let _ = input.write_all(format!("{word}\n").as_bytes());
        }
    }

    /// The figures of all together, in the phase of the slowest; `None` until all have some. Of the
    /// 99th percentiles the worst: they do not add up.
    fn together(&self) -> Option<Progress> {
        let all: Vec<Progress> = self.progress.iter().copied().collect::<Option<_>>()?;
        let slowest = all.iter().min_by_key(|one| one.phase)?;
        let sum = |of: fn(&Progress) -> u64| all.iter().map(of).sum();
        Some(Progress {
            phase: slowest.phase,
            in_phase: slowest.in_phase,
            open: sum(|one| one.open),
            opened: sum(|one| one.opened),
            sent: sum(|one| one.sent),
            received: sum(|one| one.received),
            errors: sum(|one| one.errors),
            p99: all.iter().filter_map(|one| one.p99).max(),
        })
    }

    fn lost(&mut self, index: usize, silence: Silence) -> String {
        let how = match silence {
            Silence::Garbage(error) => format!("says what is not understood: {error}"),
            // A process whose output has ended is on its way out: a kill changes nothing of how.
            Silence::Ended => {
                let _ = self.children[index].kill();
                match self.children[index].wait() {
                    Ok(status) => format!("died ({status})"),
                    Err(error) => format!("died ({error})"),
                }
            }
        };
        let of = self.children.len();
        format!("worker process {} of {of} {how}; the others were stopped", index + 1)
    }

    fn late(&self, patience: Duration) -> String {
        let silent = self.reports.iter().position(Option::is_none).unwrap_or(0) + 1;
        let of = self.children.len();
        format!("worker process {silent} of {of} has not reported within {patience:?}")
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // The end of its input lets a worker close its connections; one that cannot is killed.
        self.inputs.clear();
        for (child, report) in self.children.iter_mut().zip(&self.reports) {
            if report.is_none() {
                // It may have ended by itself.
                let _ = child.kill();
            }
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// Why a worker is heard no more.
enum Silence {
    /// Its output has ended.
    Ended,
    /// Its output is not what workers write.
    Garbage(String),
}

/// Hands on what a worker tells, until that is all or nobody hears it.
fn listen(output: ChildStdout, mut hand_on: impl FnMut(Told) -> bool) -> Silence {
    let mut lines = BufReader::new(output);
    while let Some(line) = read_line(&mut lines) {
        match serde_json::from_str(&line) {
            Ok(told) => {
                if !hand_on(told) {
                    break;
                }
            }
            Err(error) => return Silence::Garbage(error.to_string()),
        }
    }
    Silence::Ended
}

#[cfg(test)]
mod tests;
