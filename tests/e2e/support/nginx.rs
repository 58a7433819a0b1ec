//! The real nginx with the shipped configuration, as a private child on free ports.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::{Names, part, wait_for};

/// How an nginx is to be started in front of gateways.
pub struct NginxSettings {
    part: &'static str,
    upstreams: Vec<SocketAddr>,
    options: Vec<String>,
}

impl NginxSettings {
    /// In front of one gateway.
    pub fn new(upstream: SocketAddr) -> Self {
        Self::before(&[upstream])
    }

    /// In front of several.
    pub fn before(upstreams: &[SocketAddr]) -> Self {
        Self { part: "nginx", upstreams: upstreams.to_vec(), options: Vec::new() }
    }

    /// As compose runs it: the newer nginx, and gateways found by name.
    pub fn of_compose(names: &Names, port: u16) -> Self {
        let upstream = repository().join("nginx/compose/upstream.conf");
        let nginx = Self { part: "nginx-1.28", upstreams: Vec::new(), options: Vec::new() };
        nginx
            .option("--upstream-file", upstream.to_str().unwrap())
            .option("--forwarded", "replace")
            .option("--set", &format!("resolver={} valid=1s ipv6=off", names.address))
            .option("--set", &format!("server=gateway:{port} resolve max_fails=0"))
    }

    /// An option of `nginx/render` with its value.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Renders the shipped files and starts nginx.
    #[track_caller]
    pub fn start(self) -> Nginx {
        // A free port may be taken before nginx binds it: then another is tried.
        let mut tries = (0..10).map(|_| self.try_start());
        tries.find_map(Result::ok).expect("free ports for nginx")
    }

    /// The error log, if a port was taken.
    #[track_caller]
    fn try_start(&self) -> Result<Nginx, String> {
        let folder = TempDir::new().unwrap();
        let (plain, tls) = (free_port(), free_port());
        let upstreams: Vec<_> = self.upstreams.iter().map(ToString::to_string).collect();
        let rendered = Command::new(repository().join("nginx/render"))
            .arg(folder.path())
            .args(["--http-port", &plain.to_string(), "--https-port", &tls.to_string()])
            .args((!upstreams.is_empty()).then_some("--upstream"))
            .args((!upstreams.is_empty()).then(|| upstreams.join(",")))
            .arg("--certs")
            .arg(certificates())
            .args(&self.options)
            .output()
            .unwrap();
        assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        let child = Command::new(part(self.part))
            .args(["-p", folder.path().to_str().unwrap(), "-c", "nginx.conf"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut nginx = Nginx { child, folder, plain: address(plain), tls: address(tls) };
        let up = wait_for("nginx to listen or to end", || {
            if nginx.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            TcpStream::connect(nginx.plain).ok().map(|_| true)
        });
        if up {
            return Ok(nginx);
        }
        let log = nginx.error_log();
        assert!(log.contains("Address already in use"), "nginx does not start: {log}");
        Err(log)
    }
}

/// A running nginx; it is ended with the test.
pub struct Nginx {
    child: Child,
    folder: TempDir,
    /// The plain port.
    pub plain: SocketAddr,
    /// The TLS port.
    pub tls: SocketAddr,
}

impl Nginx {
    /// The access log's lines so far.
    pub fn access_log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("access.log"));
        let text = text.unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The error log so far.
    pub fn error_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }

    /// The authority that signed its certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("certs/ca.pem")
    }

    /// Sends a signal to the master (`HUP`, `QUIT`, `TERM`).
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Kills the master, then all of its workers: nobody is left to log, to close or to start anew.
    pub fn kill(&self) {
        let master = self.child.id();
        let children = format!("/proc/{master}/task/{master}/children");
        let workers = std::fs::read_to_string(children).unwrap();
        assert!(!workers.is_empty(), "a master without workers");
        let mut kill = Command::new("kill");
        kill.args(["-s", "KILL", &master.to_string()]).args(workers.split_whitespace());
        assert!(kill.status().unwrap().success());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, not SIGKILL: the master ends its workers.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-s", "TERM", &pid]).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("nginx's error log:\n{}", self.error_log());
        }
    }
}

/// The repository's folder.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A port that nobody has just now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One certificate for all tests of a run, from an authority of its own.
fn certificates() -> &'static Path {
    static CERTIFICATES: OnceLock<TempDir> = OnceLock::new();
    CERTIFICATES
        .get_or_init(|| {
            let folder = TempDir::new().unwrap();
            let made = Command::new(repository().join("nginx/certs.sh"))
                .arg(folder.path())
                .env("CAROOT", folder.path().join("authority"))
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            folder
        })
        .path()
}
