//! The gateway under test: the built binary in a process of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::{Metrics, PATIENCE, wait_for};

/// How a gateway is to be started.
pub struct Settings {
    sets: Vec<String>,
    file: Option<String>,
    files_max: Option<u32>,
}

impl Settings {
    /// The defaults, on free ports.
    pub fn new() -> Self {
        Self { sets: Vec::new(), file: None, files_max: None }
    }

    /// `--set KEY=VALUE`.
    pub fn set(mut self, setting: &str) -> Self {
        self.sets.push(setting.to_owned());
        self
    }

    /// A configuration file with this text.
    pub fn file(mut self, text: &str) -> Self {
        self.file = Some(text.to_owned());
        self
    }

    /// Under this limit of open files, soft and hard.
    pub fn files_max(mut self, files: u32) -> Self {
        self.files_max = Some(files);
        self
    }

    /// Starts it and waits until it listens.
    #[track_caller]
    pub fn start(self) -> Gateway {
        let folder = TempDir::new().unwrap();
        let program = env!("CARGO_BIN_EXE_gaugeway");
        let mut command = match self.files_max {
            None => Command::new(program),
            Some(files) => {
                // It becomes the gateway by exec: the process id is the same.
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={files}:{files}")).arg(program);
                command
            }
        };
        command.current_dir(folder.path()).arg("serve");
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        for setting in &self.sets {
            command.args(["--set", setting]);
        }
        if let Some(text) = &self.file {
            let path = folder.path().join("gaugeway.toml");
            std::fs::write(&path, text).unwrap();
            command.arg("-c").arg(path);
        }
        let stderr_path = folder.path().join("stderr");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&stderr_path).unwrap());
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stdout = child.stdout.take().unwrap();
        let sink = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let parsed = serde_json::from_str(&line);
                sink.lock().unwrap().push(parsed.unwrap_or(Value::String(line)));
            }
        });
        let mut gateway = Gateway {
            child,
            lines,
            stderr_path,
            folder,
            public: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
        };
        let line = wait_for("the line `listening`", || {
            let ended = gateway.child.try_wait().unwrap();
            assert!(ended.is_none(), "the gateway ended at start: {}", gateway.stderr());
            gateway.log("listening").into_iter().next()
        });
        let address = |field: &str| line[field].as_str().unwrap().parse().unwrap();
        gateway.public = address("public");
        gateway.admin = address("admin");
        gateway
    }
}

/// A running gateway; it is killed when the test ends.
pub struct Gateway {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    stderr_path: PathBuf,
    folder: TempDir,
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

impl Gateway {
    /// With the defaults.
    #[track_caller]
    pub fn start() -> Self {
        Settings::new().start()
    }

    /// All log lines so far with this message.
    pub fn log(&self, message: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line["message"] == message).cloned().collect()
    }

    /// The log lines that are not JSON: there should be none.
    pub fn unreadable_lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().iter().filter(|line| line.is_string()).cloned().collect()
    }

    /// The one `connection closed` line, when it has come.
    #[track_caller]
    pub fn closed_line(&self) -> Value {
        let lines = wait_for("a line `connection closed`", || {
            Some(self.log("connection closed")).filter(|lines| !lines.is_empty())
        });
        assert_eq!(lines.len(), 1, "one connection, one line: {lines:?}");
        lines[0].clone()
    }

    /// What it wrote to stderr.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr_path).unwrap_or_default()
    }

    /// One scrape.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin_get("/metrics").1)
    }

    /// GET on the admin listener: status and body.
    #[track_caller]
    pub fn admin_get(&self, path: &str) -> (u16, String) {
        http_get(self.admin, path)
    }

    /// Waits until a metric with these labels has this value. The answer is a page that was begun
    /// after that: the values of one page are read one after the other.
    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) -> Metrics {
        let mut seen = f64::NAN;
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics();
            let now = metrics.sum(name, labels);
            // Counters of whole things: equality is meant.
            if (now - value).abs() < f64::EPSILON {
                return self.metrics();
            }
            seen = if seen.is_nan() { now } else { now.max(seen) };
            assert!(
                std::time::Instant::now() < deadline,
                "{name}{labels:?} is {now}, was at most {seen}, never {value}"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Waits until a metric with these labels exceeds this value.
    #[track_caller]
    pub fn wait_for_metric_above(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        wait_for(&format!("{name}{labels:?} > {value}"), || {
            (self.metrics().sum(name, labels) > value).then_some(())
        });
    }

    /// Waits until it has read all that clients have sent to the public listener.
    #[track_caller]
    pub fn wait_until_all_is_read(&self) {
        const ESTABLISHED: &str = "01";
        let port = format!(":{:04X}", self.public.port());
        wait_for("the gateway to have read everything", || {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            // Address, peer, state, transmit:receive queue.
            let mut unread = sockets.filter(|fields| {
                let ours = fields[1].ends_with(&port) && fields[3] == ESTABLISHED;
                ours && !fields[4].ends_with(":00000000")
            });
            unread.next().is_none().then_some(())
        });
    }

    /// Waits until so many connections are open, and checks that everything adds up.
    #[track_caller]
    pub fn wait_for_connections(&self, open: usize) -> Metrics {
        let metrics = self.wait_for_metric("connections", &[], open as f64);
        metrics.check_sums();
        metrics
    }

    /// Sends a signal (`TERM`, `STOP`, `CONT`, `KILL`). After `STOP` every thread stands still:
    /// they stop one by one, and one of them might still serve a client meanwhile.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
        if name == "STOP" {
            wait_for("all threads to stop", || self.stands_still().then_some(()));
        }
    }

    fn stands_still(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap()).all(
            // `pid (name) state …`; the name may hold anything but is the last in brackets.
            |stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")),
        )
    }

    /// Writes another configuration file, sends SIGHUP and waits for the line that says what came of
    /// it.
    #[track_caller]
    pub fn reload(&self, text: &str) -> Value {
        std::fs::write(self.folder.path().join("gaugeway.toml"), text).unwrap();
        self.hang_up()
    }

    /// Sends SIGHUP and waits for the line that says what came of it.
    #[track_caller]
    pub fn hang_up(&self) -> Value {
        let lines = || {
            let said = ["configuration reloaded", "configuration not reloaded"];
            said.into_iter().flat_map(|message| self.log(message)).collect::<Vec<_>>()
        };
        let before = lines();
        self.signal("HUP");
        wait_for("a reload", || lines().into_iter().find(|line| !before.contains(line)))
    }

    /// Waits for the process to end; its exit code.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        wait_for("the gateway to end", || self.child.try_wait().unwrap()).code()
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("gateway's log:");
            for line in self.lines.lock().unwrap().iter().rev().take(40).rev() {
                eprintln!("  {line}");
            }
            eprintln!("gateway's stderr: {}", self.stderr());
        }
    }
}

/// A plain GET, one connection each.
#[track_caller]
fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}
