//! The coordinator against workers that a shell plays.

use std::cell::RefCell;

use super::*;
use crate::load::{Draft, Key, Surroundings, check};

/// Each worker is this script; `$INDEX` is its number. What comes of it, and the phases seen.
fn coordinated(script: &str) -> (Result<Report, String>, Vec<Progress>) {
    let mut draft = Draft::default();
    for (name, value) in [("url", "ws://h"), ("connections", "4"), ("processes", "2")] {
        draft.give_flag(Key::named(name).unwrap(), [value.to_owned()]);
    }
    let around = Surroundings {
        token: Ok(None),
        api_key: Ok(None),
        open_files_max: 20_000,
        ports: 28_000,
        addresses: &|_, _| Vec::new(),
        owned: false,
    };
    let scenario = check(draft, around).unwrap().scenario;
    let index = RefCell::new(0);
    let program = || {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("INDEX", index.borrow().to_string());
        *index.borrow_mut() += 1;
        Ok(command)
    };
    let mut seen = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(run(scenario, program, std::future::pending(), |progress| {
        seen.push(progress);
    }));
    (done, seen)
}

fn progress(phase: &str, open: &str) -> String {
    format!(
        r#"{{"progress":{{"phase":"{phase}","in_phase":{{"secs":1,"nanos":0}},"open":{open},"opened":1,"sent":2,"received":3,"errors":0,"p99":null}}}}"#
    )
}

fn report(sent: u64) -> String {
    let mut report = Report::new("ws://h");
    report.messages.sent = sent;
    serde_json::to_string(&Told::Report(Box::new(report))).unwrap()
}

#[test]
fn all_wait_for_the_slowest_and_their_reports_add_up() {
    // The second becomes ready only when the first has long been; each proves that it was told.
    let script = format!(
        "read task; echo \"$task\" | grep -q '\"process\":'$INDEX || exit 9; echo '{}'; \
         [ $INDEX = 1 ] && echo '{}'; read go; [ \"$go\" = go ] || exit 8; echo '{}'; echo '{}'",
        progress("ready", "1").replace('\n', ""),
        progress("ready", "5"),
        progress("measuring", "7"),
        report(21),
    );
    let (done, seen) = coordinated(&script);
    assert_eq!(done.unwrap().messages.sent, 42);
    assert_eq!(seen.last().unwrap().open, 14);
    assert!(seen.iter().all(|progress| progress.phase >= Phase::Ready), "{seen:?}");
}

#[test]
fn whatever_is_wrong_with_a_worker_is_told_with_its_number() {
    for (script, parts) in [
        ("exit 3", &["worker process ", " of 2 died (exit status: 3)"][..]),
        ("[ $INDEX = 0 ] && exec sleep 60; kill -9 $$", &["worker process 2 of 2 died (signal: 9"]),
        ("echo hello; exec sleep 60", &[" of 2 says what is not understood: "]),
        ("echo '{\"report\":{}}'; exec sleep 60", &["says what is not understood: missing field"]),
        ("echo '{\"failed\":\"no such host\"}'; exec sleep 60", &["no such host"]),
        ("printf '{\"failed'", &[" of 2 died (exit status: 0)"]),
    ] {
        let said = coordinated(script).0.unwrap_err();
        assert!(parts.iter().all(|part| said.contains(part)), "{script}: {said}");
    }
}
