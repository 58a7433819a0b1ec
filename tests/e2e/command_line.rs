//! The program as a user calls it: arguments, configuration, exit codes, and what it says.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::support::{Settings, repository};

/// Both listeners on ports that the system draws.
const ANY_PORT: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

/// A call of the program in a folder of its own.
pub(super) struct Call {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Call {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), environment: Vec::new() }
    }

    /// With this `gaugeway.toml` in the folder.
    pub fn file(self, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.folder.path().join("gaugeway.toml"), text).unwrap();
        self
    }

    pub fn env(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gaugeway"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Ran { code: output.status.code(), stdout, stderr }
    }
}

impl Ran {
    /// It ended well; what it printed.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// It ended with this code and said each of these on stderr, in lines that no terminal obeys.
    #[track_caller]
    pub fn refused(self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, &*self.stdout), (Some(code), ""), "{self:?}");
        assert!(parts.iter().all(|part| self.stderr.contains(part)), "{parts:?} in {self:?}");
        let moves_a_terminal = |char: char| char.is_control() && char != '\n';
        assert!(!self.stderr.contains(moves_a_terminal), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

#[test]
fn version_and_help_are_printed() {
    for flag in ["--version", "-V"] {
        let version = format!("gaugeway {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(Call::new().run(&[flag]).well(), version);
    }
    let help = Call::new().run(&["--help"]).well();
    for word in ["serve", "check", "config", "health", "publish", "--listen", "--set", "Exit codes"]
    {
        assert!(help.contains(word), "{word} in {help}");
    }
    for command in ["serve", "check", "config", "health", "publish"] {
        assert!(Call::new().run(&[command, "--help"]).well().contains("--config"), "{command}");
    }
}

#[test]
fn wrong_arguments_exit_with_2() {
    for (arguments, part) in [
        (&["--nope"][..], "--nope"),
        (&["serv"], "serve"),
        (&["check", "--listen"], "--listen"),
        (&["serve", "extra"], "extra"),
        (&["serve", "--set", "server.shards"], "has no `=`"),
        (&["serve", "--set", "server.shard=1"], "did you mean server.shards?"),
        (&["serve", "--listen", "nowhere"], "--listen"),
        (&["serve", "-c", "missing.toml"], "missing.toml: cannot be read: No such file"),
        (&["serve", "-c", "."], "Is a directory"),
        (&["health", "--url", "https://a"], "http://HOST:PORT"),
    ] {
        Call::new().run(arguments).refused(2, &[part]);
    }
}

const MISTAKEN: &str = r#"[server]
listen = "localhost:8080"
max_conections = 10
[heartbeat]
ping_interval = "2m"
pong_wait = 60
[compresion]
level = 1
[compression]
level = 10
[telemetry]
log = "inof"
[[endpoint]]
path = "ws"
inbound = "ekko"
"#;

#[test]
fn check_reports_all_mistakes_at_once() {
    let expected = [
        "gaugeway.toml:2: server.listen: ",
        "gaugeway.toml:3: server.max_conections: is not a setting; did you mean max_connections?",
        "gaugeway.toml:6: heartbeat.pong_wait: \"60\" has no unit",
        "gaugeway.toml:7: compresion: ",
        "did you mean [compression]?",
        "gaugeway.toml:10: compression.level: 10 is out of range",
        "gaugeway.toml:12: telemetry.log: \"inof\" is not a level; did you mean \"info\"?",
        "gaugeway.toml:14: endpoint.path: \"ws\" does not begin with `/`",
        "gaugeway.toml:15: endpoint.inbound: ",
        "environment GAUGEWAY_LIMITS__WRITE_WAIT: ",
        "--set compression.min_bytes: ",
    ];
    let call = Call::new().file(MISTAKEN).env("GAUGEWAY_LIMITS__WRITE_WAIT", "soon");
    for command in ["check", "config", "serve"] {
        call.run(&[command, "--set", "compression.min_bytes=-1"]).refused(2, &expected);
    }
    let good = Call::new().file("[limits]\nmax_message_bytes = 1024\n");
    assert!(
        good.run(&["check"]).well().starts_with("OK: gaugeway.toml: clients on 127.0.0.1:8080")
    );
    assert!(Call::new().run(&["check"]).well().starts_with("OK: no configuration file: "));
}

#[test]
fn config_prints_what_loads_back() {
    let call = Call::new().file("[server]\nmax_connections = 7\n[[endpoint]]\npath = \"/a\"\n");
    let printed = call.run(&["config", "--set", "compression.level=6"]).well();
    for line in ["max_connections = 7", "level = 6", "path = \"/a\""] {
        assert!(printed.lines().any(|own| own == line), "{line} in {printed}");
    }
    let again = Call::new().file(&printed);
    assert_eq!(again.run(&["config"]).well(), printed);

    let example = Call::new().run(&["config", "--example"]).well();
    let committed = std::fs::read_to_string(repository().join("gaugeway.example.toml")).unwrap();
    assert!(example == committed, "write it anew: gaugeway config --example");
    let defaults = Call::new().run(&["config"]).well();
    assert_eq!(Call::new().file(&example).run(&["config"]).well(), defaults);
}

#[test]
fn no_command_shows_a_key_of_the_api() {
    let key = "backend:hunter2hunter2hunter2";
    let call = Call::new().file(format!("[api]\nkeys = [\"{key}\"]\n"));
    let printed = call.run(&["config"]).well();
    assert!(printed.contains("\nkeys = [\"backend:***\"]\n"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
    // What was printed is a template: the mask is not taken for a secret.
    let again = Call::new().file(&printed).run(&["check"]);
    again.refused(2, &["api.keys: element 1 has ***", "write the secret itself"]);

    let wrong = key.replace(':', "::");
    for (call, set) in [
        (Call::new().file(format!("api.keys = [\"{wrong}\"]")), "api.max_body_bytes=1024"),
        (Call::new().env("GAUGEWAY_API__KEYS", &wrong), "api.max_body_bytes=1024"),
        (Call::new(), &*format!("api.keys={wrong}")),
        (Call::new(), key),
    ] {
        for command in ["check", "config", "serve"] {
            let ran = call.run(&[command, "--set", set]);
            assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
            ran.refused(2, &["; write "]);
        }
    }
}

#[test]
fn the_admin_listener_goes_beyond_loopback_with_a_key() {
    let refused = Call::new().run(&["--admin-listen", "0.0.0.0:0"]);
    refused.refused(2, &["keys = [\"name:secret\"] below [api]", "allow_insecure = true"]);
    let gateway = Settings::new()
        .set("server.admin_listen=0.0.0.0:0")
        .set("api.keys=backend:0123456789abcdef")
        .start();
    assert_eq!(gateway.admin.ip().to_string(), "0.0.0.0");
    assert_eq!(gateway.admin_get("/health/live").0, 200);
}

#[test]
fn flags_override_the_environment_and_that_overrides_the_file() {
    let level = |call: &Call, arguments: &[&str]| {
        let printed = call.run(&[&["config"], arguments].concat()).well();
        printed.lines().find(|line| line.starts_with("level = ")).unwrap().to_owned()
    };
    let call = Call::new().file("[compression]\nlevel = 2\n");
    assert_eq!(level(&call, &[]), "level = 2");
    let call = call.env("GAUGEWAY_COMPRESSION__LEVEL", "3");
    assert_eq!(level(&call, &[]), "level = 3");
    assert_eq!(level(&call, &["--set", "compression.level=4"]), "level = 4");
    let both = ["--set", "compression.level=4", "--set", "compression.level=5"];
    assert_eq!(level(&call, &both), "level = 5");
    let elsewhere = Call::new()
        .env("GAUGEWAY_CONFIG", call.folder.path().join("gaugeway.toml").to_str().unwrap());
    assert_eq!(level(&elsewhere, &[]), "level = 2");
    let typo = Call::new().env("GAUGEWAY_SERVER__LISTN", "127.0.0.1:0");
    typo.run(&["check"]).refused(2, &["did you mean GAUGEWAY_SERVER__LISTEN?"]);
    // What Kubernetes puts into every container is not ours.
    Call::new().env("GAUGEWAY_PORT", "tcp://10.0.0.1:80").run(&["check"]).well();
}

#[test]
fn listening_beyond_loopback_must_be_asked_for_by_name() {
    let line = "add this line below [server]: allow_insecure = true";
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        Call::new().run(&["--listen", listen]).refused(2, &["--listen", "beyond loopback", line]);
        Call::new().run(&["--admin-listen", listen]).refused(2, &["--admin-listen", line]);
    }
    let gateway =
        Settings::new().set("server.listen=0.0.0.0:0").set("server.allow_insecure=true").start();
    assert_eq!(gateway.public.ip().to_string(), "0.0.0.0");
}

#[test]
fn a_bad_log_filter_is_refused_alike_by_check_and_serve() {
    for filter in
        ["inof", "warning", "", "info,gaugeway", "gaugeway=loud", "info,", "a=b=c", "\u{1b}[2J"]
    {
        let set = format!("telemetry.log={filter}");
        let said = |command| {
            let arguments = [&[command], &["--set", &set][..], &ANY_PORT].concat();
            let ran = Call::new().run(&arguments);
            let line = ran.stderr.clone();
            ran.refused(2, &["telemetry.log", "level"]);
            line
        };
        assert_eq!(said("check"), said("serve"), "{filter}");
    }
}

#[test]
fn hostile_files_are_refused_with_a_place_and_nothing_else() {
    let deep = "[".repeat(100_000);
    let long = format!("[server]\nlisten = \"{}\"\n", "a".repeat(1_000_000));
    let many = (0..10_000).map(|index| format!("k{index} = 1")).collect::<Vec<_>>().join(
        "
",
    );
    let endpoints = (0..70_000).map(|index| {
        format!(
            "[[endpoint]]
path=\"/{index}\""
        )
    });
    let endpoints = endpoints.collect::<Vec<_>>().join(
        "
",
    );
    for (text, parts) in [
        (&b"\xff\xfe"[..], &["gaugeway.toml:1: is not UTF-8"][..]),
        (b"\0", &["gaugeway.toml:1:"]),
        (b"[server]\nlisten = \"\\u001b[2J\x07\"", &["gaugeway.toml:2"]),
        (b"\x1b]0;title\x07 = 1", &["gaugeway.toml:1"]),
        (b"[server]\nshards = 99999999999999999999999", &["gaugeway.toml:2"]),
        (b"[server]\nshards = -1", &["gaugeway.toml:2: server.shards"]),
        (b"[limits]\nmax_message_bytes = 0", &["gaugeway.toml:2: limits.max_message_bytes"]),
        (b"[heartbeat]\nping_interval = \"99999999999999d\"", &["gaugeway.toml:2: heartbeat"]),
        (b"[[endpoint]]\n", &["gaugeway.toml:1", "path"]),
        (b"endpoint = 3", &["gaugeway.toml:1"]),
        (b"[[endpoint]]\npath=\"/a\"\n[[endpoint]]\npath=\"/a\"", &["gaugeway.toml:4", "taken at"]),
        (deep.as_bytes(), &["gaugeway.toml:1"]),
        (long.as_bytes(), &["gaugeway.toml:2: server.listen"]),
        (many.as_bytes(), &["gaugeway.toml:1", "… and 9900 more"]),
        (endpoints.as_bytes(), &["gaugeway.toml", "endpoint"]),
    ] {
        let call = Call::new().file(text);
        for command in ["check", "serve"] {
            let ran = call.run(&[command]);
            assert!(ran.stderr.len() < 40_000, "{} bytes", ran.stderr.len());
            ran.refused(2, parts);
        }
    }
}
