//! `gaugeway load` as a command: what it refuses, how it judges, what it writes and how that adds up.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::command_line::Call;
use super::support::{Gateway, repository, wait_for};

/// Short and silent.
const SHORT: [&str; 5] = ["--warm-up=0s", "--duration=300ms", "--no-progress", "--rate", "200"];

/// An echo over some connections of this gateway's.
fn echo<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["load", url, "--echo"], &SHORT[..], more].concat()
}

fn url(gateway: &Gateway) -> String {
    format!("ws://{}/ws-notifications", gateway.public)
}

/// Nobody listens there.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("ws://{}/", listener.local_addr().unwrap())
}

/// The two figures that every test looks at.
fn sent_and_received(document: &Value) -> (u64, u64) {
    let messages = &document["report"]["messages"];
    (messages["sent"].as_u64().unwrap(), messages["received"].as_u64().unwrap())
}

#[test]
fn wrong_input_is_refused_with_all_mistakes_before_anything_is_opened() {
    let call = Call::new().file("conections = 5\nrate = \"fast\"\n");
    std::fs::write(call.path("token"), "hunter2 hunter2").unwrap();
    let url = nobody();
    for (arguments, parts) in [
        (&["load"][..], &["URL: is missing"][..]),
        (&["load", "http://h"], &["URL: "]),
        (
            &["load", &url, "--echo", "-n", "-5", "--duration", "10", "--max-p99", "x"],
            &["--echo: needs", "--connections: ", "--duration: ", "--max-p99: "],
        ),
        (
            &["load", "--scenario", "gaugeway.toml", &url],
            &["gaugeway.toml:1: \"conections\"", "gaugeway.toml:2: rate: is a string"],
        ),
        (&["load", "--scenario", "missing.toml"], &["missing.toml: the file cannot be read"]),
        (&["load", "--scenario", "/dev/zero"], &["/dev/zero: the file is longer"]),
        (&["load", "--scenario", "/proc/self/exe"], &["exe: the file "]),
        (&["load", &url, "--token-file", "missing"], &["--token-file: missing cannot be read"]),
        (&["load", &url, "--token-file", "token"], &["--token-file: token holds no token"]),
        (&["load", &url, "--json=/nowhere/x"], &["--json /nowhere/x: ", "name a file"]),
        (&["load", "ws://8.8.8.8/", "--storm", "1s"], &["--storm: ", "--i-own-this-server"]),
        (&["load", &url, "--nonsense"], &["--nonsense"]),
        (&["load", "merge"], &["<FILE>"]),
        (&["load", "ws://\u{1b}[2J"], &["URL: "]),
    ] {
        let ran = call.run(arguments);
        assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
        ran.refused(2, parts);
    }
    let call = Call::new().env("GAUGEWAY_LOAD_TOKEN", "hunter2\thunter2");
    let ran = call.run(&["load", &url]);
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    ran.refused(2, &["GAUGEWAY_LOAD_TOKEN holds no token"]);
}

#[test]
fn where_nothing_can_be_opened_the_exit_code_is_1() {
    let url = nobody();
    let ran = Call::new().run(&["load", &url, "-n", "3", "--duration=300ms", "--no-progress"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("3 wanted, 0 opened"), "{ran:?}");
    assert!(ran.stdout.contains("connect: connection refused"), "{ran:?}");
    assert!(ran.stderr.contains("handshakes succeeded"), "{ran:?}");
}

#[test]
fn thresholds_decide_and_each_that_is_broken_is_said() {
    let gateway = Gateway::start();
    let url = url(&gateway);
    let kept = ["-n", "2", "--max-p50", "20s", "--max-p999", "1m", "--min-opened", "2"];
    let kept = [&kept[..], &["--max-errors", "0"]].concat();
    let printed = Call::new().run(&echo(&url, &kept)).well();
    assert_eq!(printed.matches(": kept").count(), 4, "{printed}");

    let broken = ["-n", "2", "--max-p50", "1us", "--min-opened", "3", "--max-errors", "0"];
    let ran = Call::new().run(&echo(&url, &broken));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for said in ["--max-p50 1us: p50 is ", "--min-opened 3: 2 were open at once"] {
        assert!(ran.stderr.contains(said) && ran.stdout.contains(said), "{said} in {ran:?}");
    }
    assert!(!ran.stderr.contains("--max-errors"), "{ran:?}");
}

#[test]
fn several_processes_make_one_report_that_the_gateway_agrees_with() {
    let gateway = Gateway::start();
    let url = url(&gateway);
    let call = Call::new();
    let flags = ["-n", "10", "--processes", "3", "--max-errors", "0", "--json"];
    let ran = call.run(&echo(&url, &flags));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let (sent, received) = sent_and_received(&document);
    assert!(sent == received && sent > 0, "{document}");
    assert_eq!(document["report"]["connections"]["opened"], 10);
    assert_eq!(document["report"]["closes"]["1000"], 10);
    assert_eq!(document["report"]["latency"].as_str().map(str::is_empty), Some(false));
    assert_eq!(document["figures"]["latency_seconds"]["count"], received);
    assert!(ran.stderr.contains("10 wanted, 10 opened"), "the summary: {}", ran.stderr);
    let inbound = [("direction", "in"), ("opcode", "text")];
    gateway.wait_for_metric("messages_total", &inbound, sent as f64);
    gateway.wait_for_metric("connections_opened_total", &[], 10.0);
}

#[test]
fn results_in_files_add_up() {
    let gateway = Gateway::start();
    let url = url(&gateway);
    let call = Call::new();
    for file in ["--json=a.json", "--json=b.json"] {
        let printed = call.run(&echo(&url, &["-n", "4", file])).well();
        assert!(printed.contains("4 wanted, 4 opened"), "{printed}");
    }
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(call.path(name)).unwrap()).unwrap()
    };
    let (a, b) = (sent_and_received(&read("a.json")), sent_and_received(&read("b.json")));
    let merge = ["load", "merge", "a.json", "b.json", "--json=sum.json", "--max-errors", "0"];
    let printed = call.run(&merge).well();
    assert!(printed.contains("8 wanted, 8 opened"), "{printed}");
    let sum = read("sum.json");
    assert_eq!(sent_and_received(&sum), (a.0 + b.0, a.1 + b.1));
    assert_eq!(sum["scenarios"].as_array().unwrap().len(), 2);
    // A sum can be added to.
    let again = call.run(&["load", "merge", "sum.json", "a.json", "--json"]);
    let again: Value = serde_json::from_str(&again.well()).unwrap();
    assert_eq!(sent_and_received(&again).0, 2 * a.0 + b.0);
    let broken = call.run(&["load", "merge", "a.json", "--max-p50", "1us"]);
    assert!(broken.code == Some(1) && broken.stderr.contains("--max-p50 1us: p50 is"));

    let twice = ["load", "merge", "a.json", "b.json", "./a.json", "--json=b.json"];
    let refused = ["./a.json is given twice: its figures", "b.json is to be read and written"];
    call.run(&twice).refused(2, &refused);

    let whole = std::fs::read_to_string(call.path("a.json")).unwrap();
    std::fs::write(call.path("cut.json"), &whole[..whole.len() - 100]).unwrap();
    std::fs::write(call.path("new.json"), whole.replace("\"format\": 1", "\"format\": 9")).unwrap();
    std::fs::write(call.path("text"), "\u{1b}[2J").unwrap();
    let sparse = std::fs::File::create(call.path("huge.json")).unwrap();
    sparse.set_len(64 * 1_024 * 1_024 + 1).unwrap();
    call.run(&["load", "merge", "cut.json", "new.json", "text", "huge.json", "missing"]).refused(
        2,
        &[
            "cut.json is empty or cut off",
            "new.json has format 9, and this program reads 1",
            "text is not JSON",
            "huge.json is longer than 67108864 bytes",
            "missing cannot be read: No such file",
        ],
    );
}

/// A run over three processes that would go on for a minute, working already.
struct Long {
    child: Option<Child>,
    workers: Vec<Pid>,
}

impl Long {
    #[track_caller]
    fn start(gateway: &Gateway) -> Self {
        let inbound = [("direction", "in")];
        let before = gateway.metrics().sum("messages_total", &inbound);
        let mut command = Command::new(env!("CARGO_BIN_EXE_gaugeway"));
        command.args(["load", &url(gateway), "-n", "6", "--processes", "3", "--echo", "--rate"]);
        command.args(["100", "--warm-up", "0s", "--duration", "1m", "--json", "--no-progress"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let parent = child.id();
        gateway.wait_for_metric_above("messages_total", &inbound, before + 20.0);
        let workers = children(parent);
        assert_eq!(workers.len(), 3);
        Self { child: Some(child), workers }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    fn end(mut self) -> Output {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        wait_for("the workers to have ended", || {
            self.workers.iter().all(|worker| !runs(*worker)).then_some(())
        });
        output
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn stat(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn runs(pid: Pid) -> bool {
    stat(pid.as_raw_nonzero().get()).is_some_and(|(state, _)| state != 'Z')
}

fn children(parent: u32) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent as i32));
    ours.filter_map(Pid::from_raw).collect()
}

#[test]
fn a_worker_that_dies_is_an_error_and_ends_the_others() {
    let gateway = Gateway::start();
    let long = Long::start(&gateway);
    kill_process(long.workers[1], Signal::KILL).unwrap();
    let output = long.end();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("worker process ") && said.contains(" of 3 died (signal: 9"), "{said}");
    gateway.wait_for_metric("connections", &[], 0.0);
}

#[test]
fn the_first_interrupt_ends_a_run_with_its_report_and_the_second_at_once() {
    let gateway = Gateway::start();
    for signal in [Signal::INT, Signal::TERM] {
        let long = Long::start(&gateway);
        kill_process(long.pid(), signal).unwrap();
        let output = long.end();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (sent, received) = sent_and_received(&document);
        assert!(sent > 0 && sent == received, "{document}");
        assert_eq!(document["report"]["closes"]["1000"], 6, "{document}");
        assert!(document["report"]["window"]["secs"].as_u64().unwrap() < 60);
        gateway.wait_for_metric("connections", &[], 0.0);
    }

    // A gateway that does not answer: the closing handshake takes its time.
    let mut long = Long::start(&gateway);
    gateway.signal("STOP");
    kill_process(long.pid(), Signal::INT).unwrap();
    let stderr = long.child.as_mut().unwrap().stderr.take().unwrap();
    let mut said = BufReader::new(stderr).lines().map(Result::unwrap);
    assert_eq!(said.next().unwrap(), "ending early; once more ends it at once");
    kill_process(long.pid(), Signal::INT).unwrap();
    assert_eq!(said.next().unwrap(), "ended at once, without a report");
    let output = long.end();
    gateway.signal("CONT");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn workers_outlive_no_coordinator() {
    let gateway = Gateway::start();
    let long = Long::start(&gateway);
    kill_process(long.pid(), Signal::KILL).unwrap();
    assert_eq!(long.end().status.signal(), Some(9));
    gateway.wait_for_metric("connections", &[], 0.0);
    // They said goodbye.
    let closed = [("initiator", "client"), ("code", "1000")];
    gateway.wait_for_metric("disconnects_total", &closed, 6.0);
}

fn document() -> String {
    std::fs::read_to_string(repository().join("docs/load.md")).unwrap()
}

#[test]
fn the_document_has_every_flag_and_no_other() {
    let help = Call::new().run(&["load", "--help"]).well();
    let flags = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
    };
    let document = document();
    let table = document.split("## What can be asked").nth(1).unwrap();
    let table: String = table.lines().filter(|line| line.starts_with("| ")).collect();
    let mut expected = flags(help.split("Examples:").next().unwrap());
    expected.remove("--help");
    assert_eq!(flags(&table), expected);
}

#[test]
fn the_documents_scenario_and_commands_do_what_they_say() {
    let gateway = Gateway::start();
    let call = Call::new();
    let own = |text: &str| {
        text.replace("127.0.0.1:8080", &gateway.public.to_string())
            .replace("127.0.0.1:8081", &gateway.admin.to_string())
    };
    let document = document();
    let scenario = document.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(call.path("evening.toml"), own(scenario)).unwrap();
    // As it stands it is accepted; its storms and thresholds are for more than a moment.
    let lighter = ["-n", "20", "--ramp=0s", "--warm-up=0s", "--duration=300ms", "--no-progress"];
    let of_file = [&["load", "--scenario", "evening.toml", "--rate=100"], &lighter[..]].concat();
    let printed = call.run(&[&of_file[..], &["--min-opened=20", "--max-p99=1m"]].concat()).well();
    assert!(printed.contains("20 wanted"), "{printed}");

    let mut commands = 0;
    for line in document.lines().filter(|line| line.starts_with("gaugeway load ws://")) {
        commands += 1;
        let line = own(line);
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        let rate = if words.contains(&"--rate") { &["--rate=50"][..] } else { &[] };
        let printed = call.run(&[&words, &lighter[..], rate].concat()).well();
        assert!(printed.contains("20 wanted, 20 opened"), "{line}: {printed}");
    }
    assert!(commands > 5, "the document's examples");
}
