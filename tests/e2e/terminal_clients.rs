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
        command.args(["--buffer-size", "200000", &site.url(route, ECHO)]);
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

    /// Skips lines to the one that holds this.
    #[track_caller]
    fn line_with(&mut self, part: &str) {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "the end came before {part}");
            if line.contains(part) {
                return;
            }
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
    }
    let closed = [("initiator", "client"), ("cause", "client_close")];
    site.gateway.wait_for_metric("disconnects_total", &closed, 3.0).check_sums();
}

#[test]
fn wscat_pings_is_pinged_and_closes_with_a_code() {
    let site = Site::start(Settings::new().set("heartbeat.ping_interval=100ms"));
    for route in Route::ALL {
        let mut wscat = Tool::wscat(&site, route, &["--slash", "-P"]);
        // What is typed before the connection is open is lost: the gateway's ping shows that it is.
        wscat.line_with("Received ping (data: ");
        wscat.type_line("/ping hi");
        wscat.line_with("Received pong (data: \"hi\")");
        wscat.type_line("/close 4002 bye");
        wscat.child.wait().unwrap();
    }
    let closed = [("cause", "client_close"), ("code", "4xxx")];
    site.gateway.wait_for_metric("disconnects_total", &closed, 3.0).check_sums();
    assert!(site.gateway.log("connection closed").iter().all(|line| line["received_code"] == 4002));
}

#[test]
fn wscat_ends_with_1009_after_a_large_message() {
    let site = Site::start(Settings::new());
    for route in Route::ALL {
        // The notification stand's message of 100 KiB.
        let text = "x".repeat(100 << 10);
        let mut wscat = Tool::wscat(&site, route, &["-x", &text]);
        assert_eq!(wscat.line(), "", "{route:?}: nothing comes back");
    }
    let labels = [("cause", "inflated_too_big"), ("code", "1009")];
    site.gateway.wait_for_metric("disconnects_total", &labels, 3.0).check_sums();
    // It says the code only to a terminal; what it answered is what it had received.
    assert!(site.gateway.log("connection closed").iter().all(|line| line["received_code"] == 1009));
}

#[test]
fn websocat_gets_its_messages_back_on_every_route() {
    let site = Site::start(Settings::new());
    for route in Route::ALL {
        let mut websocat = Tool::websocat(&site, route, &["--text"]);
        for text in texts() {
            // The newline is a part of its message.
            websocat.type_line(&text[1..]);
            assert_eq!(websocat.line(), text[1..], "{route:?}");
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
        websocat.type_line(&"x".repeat(LIMIT));
        // It answers a Close only when its own input has ended.
        drop(websocat.child.stdin.take());
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
