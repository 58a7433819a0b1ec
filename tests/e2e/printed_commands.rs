//! The commands that README.md and docs/api.md print, run as printed and in order: they give what it says.
//!
//! A console block behind the line `<!-- run -->` holds commands (`$ …`), each followed by its output. Only the
//! ports and the certificate's place are replaced by those of the test.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::support::{PATIENCE, Settings, Site, part, repository};

struct Printed {
    command: String,
    output: String,
}

/// Everything that a document prints to be run.
fn printed(document: &str) -> Vec<Printed> {
    let text = std::fs::read_to_string(repository().join(document)).unwrap();
    let blocks = text.split("<!-- run -->\n").skip(1).map(|rest| {
        let block = rest.strip_prefix("```console\n").expect("a console block follows the mark");
        block.split_once("\n```\n").expect("the block ends").0
    });
    let mut printed: Vec<Printed> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        if let Some(command) = line.strip_prefix("$ ") {
            printed.push(Printed { command: command.to_owned(), output: String::new() });
        } else {
            let last = printed.last_mut().expect("a block begins with a command");
            last.output += line;
            last.output += "\n";
        }
    }
    printed
}

/// Runs it in a shell where the parts are on the path.
#[track_caller]
fn run(site: &Site, command: &str) -> String {
    let mut command = command.to_owned();
    for (default, own) in [
        ("localhost:8080", site.gateway.public),
        ("localhost:8081", site.gateway.admin),
        ("localhost:8000", site.nginx.plain),
        ("localhost:8443", site.nginx.tls),
    ] {
        command = command.replace(default, &format!("localhost:{}", own.port()));
    }
    let command = command.replace("target/nginx/certs/ca.pem", site.nginx.ca().to_str().unwrap());
    assert!(!command.contains("target/nginx"), "no place of the test for a part of: {command}");

    let parts =
        ["wscat", "node", "websocat", "curl"].map(|name| part(name).parent().unwrap().to_owned());
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(parts.into_iter().chain(std::env::split_paths(&inherited)));
    // A terminal's stdin does not end while a command runs: nor does this pipe.
    let mut shell = Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), "sh", "-c", &command])
        .env("PATH", path.unwrap())
        .current_dir(repository())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = shell.stdin.take();
    let output = shell.wait_with_output().unwrap();
    drop(stdin);
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs all that a document prints against one site, and compares.
#[track_caller]
fn check(document: &str) -> Vec<Printed> {
    let site = Site::start(Settings::new());
    let printed = printed(document);
    assert!(!printed.is_empty(), "{document} prints nothing to be run");
    for Printed { command, output } in &printed {
        let since = Instant::now();
        loop {
            let got = run(&site, command).replace('\r', "");
            if got.trim_end() == output.trim_end() {
                break;
            }
            // A client ends a moment before its end is counted.
            let counted_later = command.contains("/metrics") && since.elapsed() < PATIENCE;
            assert!(counted_later, "$ {command}\n{got}\nbut {document} says:\n{output}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    printed
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
        let covered = printed.iter().any(|Printed { command, .. }| {
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
