//! A page in a real Chromium, used as a person would use it (see `docs/testing.md`).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::part;

/// A program that prints marks, waits for lines, and prints a result at its end: a visit to a page,
/// or a scenario of a stock client.
pub struct Visit {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Visit {
    /// Opens this address in Chromium and takes these steps. `options` are fields of the scenario
    /// beside `url` and `steps`. Any certificate is accepted.
    #[track_caller]
    pub fn start(url: &str, options: &Value, steps: &Value) -> Self {
        let mut scenario = json!({ "insecure": true, "timeout_ms": 20_000 });
        for given in [options, &json!({ "url": url, "steps": steps })] {
            for (name, value) in given.as_object().into_iter().flatten() {
                scenario[name] = value.clone();
            }
        }
        let mut command = Command::new(part("node"));
        command.arg(part("node-clients").join("chromium-page.mjs")).arg(scenario.to_string());
        command.env("PART_CHROMIUM", part("chromium"));
        Self::of(command)
    }

    /// Starts any program that speaks marks and lines.
    #[track_caller]
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// Waits for the next `{"mark": name}`.
    #[track_caller]
    pub fn wait_for_mark(&mut self, name: &str) {
        let line = self.line();
        assert_eq!(line["mark"], name, "{line}");
    }

    /// Lets it go on behind its next `{"wait_stdin": true}`.
    #[track_caller]
    pub fn go_on(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Waits for its end; the result.
    #[track_caller]
    pub fn result(mut self) -> Value {
        let result = self.line();
        assert!(result.get("mark").is_none(), "a mark that nobody waited for: {result}");
        result
    }

    /// Waits for the end of a visit that must have taken all its steps; what they gave.
    #[track_caller]
    pub fn values(self) -> Vec<Value> {
        let result = self.result();
        assert_eq!(result["ok"], true, "{result}");
        // Errors on the page's console, violations of its policy among them.
        assert_eq!(result["problems"], json!([]), "{result}");
        result["values"].as_array().unwrap().clone()
    }

    #[track_caller]
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a line of JSON: {line:?}"))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // With its stdin it loses what it waits for, and ends its Chromium itself.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
