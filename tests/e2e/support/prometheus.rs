//! The real Prometheus and the real nginx exporter, as private children on free ports.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::nginx::{free_port, repository};
use super::{PATIENCE, part, wait_for};

/// A child that is killed with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program that is given a free port, until it answers `path` with 200: another one may
/// have taken the port meanwhile.
#[track_caller]
fn start(path: &str, command: impl Fn(SocketAddr) -> Command) -> (Killed, SocketAddr) {
    let mut tries = (0..10).map(|_| SocketAddr::from(([127, 0, 0, 1], free_port())));
    let started = tries.find_map(|address| {
        let mut command = command(address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = Killed(command.spawn().unwrap());
        let up = wait_for("a program to answer or to end", || {
            let ended = child.0.try_wait().unwrap().is_some();
            let ready = || get(address, path).is_some_and(|(status, _)| status == 200);
            if ended { Some(false) } else { ready().then_some(true) }
        });
        up.then_some((child, address))
    });
    started.expect("a free port")
}

/// GET by HTTP/1.0, to which nobody answers in chunks; `None` if nobody listens.
fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

/// A running nginx-prometheus-exporter.
pub struct Exporter {
    _child: Killed,
    pub address: SocketAddr,
}

impl Exporter {
    /// In front of the nginx with this plain port.
    #[track_caller]
    pub fn start(nginx: SocketAddr) -> Self {
        let (child, address) = start("/metrics", |address| {
            let mut command = Command::new(part("prometheus-nginx-exporter"));
            command.arg(format!("--nginx.scrape-uri=http://{nginx}/status"));
            command.arg(format!("--web.listen-address={address}"));
            command
        });
        Self { _child: child, address }
    }
}

/// A running Prometheus with the shipped configuration.
pub struct Prometheus {
    _child: Killed,
    _folder: TempDir,
    address: SocketAddr,
}

/// One sample that Prometheus keeps.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// In seconds since 1970.
    pub at: f64,
    pub value: f64,
}

impl Prometheus {
    /// Scrapes these, and itself, at a short interval.
    #[track_caller]
    pub fn start(gateways: &[SocketAddr], exporter: SocketAddr) -> Self {
        let folder = TempDir::new().unwrap();
        let gateways: Vec<_> = gateways.iter().map(ToString::to_string).collect();
        let (child, address) = start("/-/ready", |address| {
            let rendered = Command::new(repository().join("prometheus/render"))
                .arg(folder.path())
                .args(["--gateway", &gateways.join(",")])
                .args(["--exporter", &exporter.to_string()])
                .args(["--listen", &address.to_string(), "--interval", "200ms"])
                .output()
                .unwrap();
            assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
            // It prints the command that starts it.
            let printed = String::from_utf8(rendered.stdout).unwrap();
            let mut words = printed.split_whitespace();
            assert_eq!(words.next(), Some("prometheus"));
            let mut command = Command::new(part("prometheus"));
            command.args(words).current_dir(folder.path());
            command
        });
        Self { _child: child, _folder: folder, address }
    }

    /// What an API path answers, as `data`.
    #[track_caller]
    fn api(&self, path: &str) -> Value {
        let (status, body) = get(self.address, path).expect("Prometheus answers");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &answer["status"]), (200, &"success".into()), "{path}: {answer}");
        answer["data"].clone()
    }

    /// The result of an instant query.
    #[track_caller]
    pub fn query(&self, promql: &str) -> Vec<Value> {
        let mut encoded = String::new();
        for byte in promql.bytes() {
            write!(encoded, "%{byte:02X}").unwrap();
        }
        let data = self.api(&format!("/api/v1/query?query={encoded}"));
        data["result"].as_array().unwrap().clone()
    }

    /// The samples of the only series of a selector, the oldest first; none yet, none here.
    #[track_caller]
    pub fn samples(&self, selector: &str) -> Vec<Sample> {
        let series = self.query(&format!("{selector}[10m]"));
        assert!(series.len() < 2, "{selector} is several series: {series:?}");
        let pairs = series.first().map(|series| series["values"].as_array().unwrap().clone());
        let sample = |pair: &Value| Sample {
            at: pair[0].as_f64().unwrap(),
            value: pair[1].as_str().unwrap().parse().unwrap(),
        };
        pairs.unwrap_or_default().iter().map(sample).collect()
    }

    /// `job` and `health` of every target.
    #[track_caller]
    pub fn targets(&self) -> Vec<(String, String)> {
        let data = self.api("/api/v1/targets?state=active");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let targets = data["activeTargets"].as_array().unwrap().iter();
        let mut found: Vec<_> = targets
            .map(|target| (text(&target["labels"]["job"]), text(&target["health"])))
            .collect();
        found.sort();
        found
    }
}
