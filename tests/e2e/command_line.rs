//! wscat, websocat and curl, as people use them by hand.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use super::support::{PATIENCE, Route, Settings, Site, part};

const ECHO: &str = "/ws-notifications";
const LIMIT: usize = 65536;

/// A command-line client with open pipes: both end with their stdin.
struct Tool {
    child: Child,
    lines: Receiver<String>,
}

impl Tool {
    fn wscat(site: &Site, route: Route, arguments: &[&str]) -> Self {
        let mut command = Command::new(part("node"));
        command.arg(part("wscat")).arg("--ca").arg(site.nginx.ca()).args(["-w", "-1"]);
        command.args(["-c", &site.url(route, ECHO)]).args(arguments);
        Self::spawn(command)
    }

    fn websocat(site: &Site, route: Route, arguments: &[&str]) -> Self {
        let mut command = Command::new(part("websocat"));
        command.env("SSL_CERT_FILE", site.nginx.ca()).args(arguments);
        // For whole messages its buffer must hold them.
        command.args(["--linemode-strip-newlines", "--buffer-size", "200000"]);
        command.arg(site.url(route, ECHO));
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    #[track_caller]
    fn type_line(&mut self, line: &str) {
        self.child.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line; empty at the end.
    #[track_caller]
    fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => String::new(),
            Err(RecvTimeoutError::Timeout) => panic!("waited in vain for a line"),
        }
    }

    /// Closes its stdin and waits for its end.
    #[track_caller]
    fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn texts() -> Vec<String> {
    let sizes = [1, 125, 126, 127, 65535, LIMIT];
    sizes.map(|size| "text-".repeat(size / 5 + 1)[..size].to_owned()).to_vec()
}

#[test]
fn wscat_gets_its_messages_back_on_every_route() {
    let site = Site::start(Settings::new());
    for route in Route::ALL {
        let texts = texts();
        let executed: Vec<_> = texts.iter().flat_map(|text| ["-x", text]).collect();
        let mut wscat = Tool::wscat(&site, route, &executed);
        for text in &texts {
            assert_eq!(wscat.line(), *text, "{route:?}");
        }
        wscat.end();
        let mut wscat = Tool::wscat(&site, route, &["--slash", "-P", "-x", "/ping hi"]);
        assert_eq!(wscat.line(), "Received pong (data: \"hi\")", "{route:?}");
        wscat.end();
    }
    let closed = [("initiator", "client"), ("cause", "client_close")];
    site.gateway.wait_for_metric("disconnects_total", &closed, 6.0).check_sums();
}

#[test]
fn wscat_shows_why_a_large_message_was_refused() {
    let site = Site::start(Settings::new());
    for route in Route::ALL {
        // The stand's message of 100 KiB. wscat offers no compression unless asked.
        let text = "x".repeat(100 << 10);
        let mut wscat = Tool::wscat(&site, route, &["-x", &text]);
        let line = wscat.line();
        assert!(line.starts_with("Disconnected (code: 1009, reason: \""), "{route:?}: {line}");
        assert!(line.contains("limit of 65536 bytes"), "{route:?}: {line}");
    }
    let labels = [("cause", "inflated_too_big"), ("code", "1009")];
    site.gateway.wait_for_metric("disconnects_total", &labels, 3.0).check_sums();
}

#[test]
fn websocat_gets_its_messages_back_on_every_route() {
    let site = Site::start(Settings::new());
    for route in Route::ALL {
        let mut websocat = Tool::websocat(&site, route, &["--text"]);
        for text in texts() {
            websocat.type_line(&text);
            assert_eq!(websocat.line(), text, "{route:?}");
        }
        websocat.end();
        let mut websocat = Tool::websocat(&site, route, &["--binary"]);
        websocat.type_line("bytes");
        assert_eq!(websocat.line(), "bytes", "{route:?}");
        websocat.end();
    }
    let closed = [("initiator", "client"), ("cause", "client_close"), ("code", "1005")];
    let metrics = site.gateway.wait_for_metric("disconnects_total", &closed, 6.0);
    metrics.check_sums();
    let binary = [("direction", "in"), ("opcode", "binary")];
    assert_eq!(metrics.sum("messages_total", &binary), 3.0);
}

#[test]
fn websocat_answers_the_refusal_of_a_large_message() {
    let site = Site::start(Settings::new());
    for route in Route::ALL {
        let mut websocat = Tool::websocat(&site, route, &["--text"]);
        websocat.type_line(&"x".repeat(LIMIT + 1));
        assert_eq!(websocat.line(), "", "{route:?}: nothing comes back");
    }
    let labels = [("cause", "message_too_big"), ("code", "1009")];
    site.gateway.wait_for_metric("disconnects_total", &labels, 3.0).check_sums();
}

#[test]
fn curl_pings_on_every_route() {
    let site = Site::start(Settings::new());
    for route in Route::ALL {
        for path in ["/ping", "/ping/"] {
            let url = site.url(route, path).replacen("ws", "http", 1);
            let output = Command::new(part("curl"))
                .args(["-sS", "--fail-with-body", "--cacert"])
                .arg(site.nginx.ca())
                .arg(&url)
                .output()
                .unwrap();
            let body = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && body == "pong", "{url}: {output:?}");
        }
    }
}
