//! The commands that README.md and the guides print, run as printed and in order: they give what is said.
//!
//! A console block behind the line `<!-- run -->` holds commands (`$ …`), each followed by its output. One behind
//! `<!-- listen -->` holds a command that goes on in a terminal of its own, and a block behind `<!-- heard -->`
//! what that terminal has shown next. Only the ports, the program's and the certificate's place are replaced by
//! those of the test.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::support::{PATIENCE, Settings, Site, part, repository};

enum Printed {
    /// A command and its output.
    Run(String, String),
    /// A command that goes on.
    Listen(String),
    /// What the command that goes on shows next.
    Heard(String),
}

/// Everything that a document prints to be tried, in its order.
fn printed(document: &str) -> Vec<Printed> {
    let text = std::fs::read_to_string(repository().join(document)).unwrap();
    let mut printed = Vec::new();
    for rest in text.split("\n<!-- ").skip(1) {
        let (mark, rest) = rest.split_once(" -->\n").expect("the mark ends");
        let block = rest.trim_start_matches("```console\n").trim_start_matches("```\n");
        assert!(block.len() < rest.len(), "a block follows the mark {mark}");
        let (block, _) = block.split_once("\n```\n").expect("the block ends");
        match mark {
            "run" => printed.extend(commands(block)),
            "listen" => printed.push(Printed::Listen(block.strip_prefix("$ ").unwrap().to_owned())),
            "heard" => printed.extend(block.lines().map(|line| Printed::Heard(line.to_owned()))),
            other => panic!("{document} has a mark {other}"),
        }
    }
    printed
}

fn commands(block: &str) -> Vec<Printed> {
    let mut printed = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            printed.push(Printed::Run(command.to_owned(), String::new()));
        } else {
            let last = printed.last_mut();
            let Some(Printed::Run(_, output)) = last else {
                panic!("a block begins with a command")
            };
            *output += line;
            *output += "\n";
        }
    }
    printed
}

/// It in a shell where the parts are on the path, with a stdin that does not end, as a terminal's.
#[track_caller]
fn spawn(site: &Site, command: &str) -> Child {
    let mut command = command.to_owned();
    for (default, own) in [
        ("localhost:8080", site.gateway.public),
        ("localhost:8081", site.gateway.admin),
        ("localhost:8000", site.nginx.plain),
        ("localhost:8443", site.nginx.tls),
    ] {
        command = command.replace(default, &format!("localhost:{}", own.port()));
    }
    let command = command
        .replace("target/nginx/certs/ca.pem", site.nginx.ca().to_str().unwrap())
        .replace("target/release/gaugeway", env!("CARGO_BIN_EXE_gaugeway"));
    assert!(!command.contains("target/nginx"), "no place of the test for a part of: {command}");

    let parts =
        ["wscat", "node", "websocat", "curl"].map(|name| part(name).parent().unwrap().to_owned());
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(parts.into_iter().chain(std::env::split_paths(&inherited)));
    Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), "sh", "-c", &command])
        .env("PATH", path.unwrap())
        .env("GAUGEWAY_ADMIN_URL", format!("http://{}", site.gateway.admin))
        .current_dir(repository())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs it to its end.
#[track_caller]
fn run(site: &Site, command: &str) -> String {
    let mut shell = spawn(site, command);
    let stdin = shell.stdin.take();
    let output = shell.wait_with_output().unwrap();
    drop(stdin);
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

/// The terminal that stays open; it ends with the test.
struct Terminal {
    shell: Child,
    lines: Receiver<String>,
}

impl Terminal {
    /// Runs the command until it is connected.
    #[track_caller]
    fn open(site: &Site, command: &str) -> Self {
        let mut shell = spawn(site, command);
        let stdout = BufReader::new(shell.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may have ended.
                let _ = sender.send(line);
            }
        });
        site.gateway.wait_for_metric("connections", &[], 1.0);
        Self { shell, lines }
    }

    #[track_caller]
    fn check_shows(&self, expected: &str) {
        let shown = self.lines.recv_timeout(PATIENCE).expect("another line");
        assert_eq!(shown.trim().trim_start_matches("< "), expected);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // `timeout` hands this on to what it runs, and has gone already if that has.
        let pid = rustix::process::Pid::from_child(&self.shell);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.shell.wait().unwrap();
    }
}

/// Does all that a document prints against one site, and compares; the commands.
#[track_caller]
fn check(document: &str) -> Vec<String> {
    let site = Site::start(Settings::new());
    let (mut terminal, mut done) = (None, Vec::new());
    for printed in printed(document) {
        match printed {
            Printed::Run(command, output) => {
                check_output(document, &site, &command, &output);
                done.push(command);
            }
            Printed::Listen(command) => terminal = Some(Terminal::open(&site, &command)),
            Printed::Heard(line) => terminal.as_ref().expect("a terminal").check_shows(&line),
        }
    }
    assert!(!done.is_empty(), "{document} prints nothing to be run");
    done
}

#[track_caller]
fn check_output(document: &str, site: &Site, command: &str, output: &str) {
    let since = Instant::now();
    loop {
        let got = run(site, command);
        if got.trim_end() == output.trim_end() {
            return;
        }
        // A client ends a moment before its end is counted.
        let counted_later = command.contains("/metrics") && since.elapsed() < PATIENCE;
        assert!(counted_later, "$ {command}\n{got}\nbut {document} says:\n{output}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_guide_to_the_first_notification_does_what_it_says() {
    check("docs/first-notification.md");
}

#[test]
fn the_apis_commands_give_what_its_document_says() {
    check("docs/api.md");
}

#[test]
fn the_readmes_commands_give_what_it_says() {
    let printed = check("README.md");
    for (program, scheme) in [
        ("curl", "http:"),
        ("curl", "https:"),
        ("wscat", "ws:"),
        ("wscat", "wss:"),
        ("websocat", "ws:"),
        ("websocat", "wss:"),
    ] {
        let ports = [":8000", ":8443"];
        let covered = printed.iter().any(|command| {
            let through_nginx = ports.iter().any(|port| command.contains(port));
            through_nginx && command.contains(program) && command.contains(&format!("{scheme}//"))
        });
        assert!(covered, "README.md prints {program} through nginx by {scheme}");
    }
}

#[test]
fn the_readme_names_every_cause_and_no_other() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let section =
        readme.split("## Why connections end").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let named: Vec<_> = rows.map(|(cause, _)| cause.to_owned()).collect();
    let causes: Vec<_> = gaugeway::state::Cause::ALL.iter().map(|cause| cause.as_str()).collect();
    assert_eq!(named, causes);
}
