//! The process: how it starts, what it does without ports, readers or streams, and how it ends.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::command_line::Call;
use super::support::{Gateway, Raw, Settings, part, wait_for};

const ECHO: &str = "/ws-notifications";

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts it with this standard output; its addresses come from the system, so ports are given.
fn start_with_stdout(stdout: Stdio) -> (Running, [SocketAddr; 2]) {
    let addresses = [free_port(), free_port()].map(|port| ([127, 0, 0, 1], port).into());
    let [public, admin] = addresses.map(|address: SocketAddr| address.to_string());
    let arguments = ["--listen", &public, "--admin-listen", &admin];
    let mut command = Call::new().command(&arguments);
    // Its folder is gone by now, which must not matter to a gateway either.
    command.current_dir("/").stdout(stdout).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    wait_for("it to listen", || TcpStream::connect(addresses[0]).ok());
    (running, addresses)
}

fn serves([public, admin]: [SocketAddr; 2]) -> String {
    for _ in 0..3 {
        let mut client = Raw::open(public, ECHO);
        client.send_frame(1, b"hello");
        assert_eq!(client.read_frame().unwrap().payload, b"hello");
    }
    let mut scraper = Raw::connect(admin);
    scraper.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    scraper.read_answer().body
}

#[test]
fn a_port_that_is_taken_is_named() {
    let first = Settings::new().start();
    let [public, admin] = [first.public, first.admin].map(|address| address.to_string());
    for (flag, other, address, field) in [
        ("--listen", "--admin-listen", &public, "server.listen"),
        ("--admin-listen", "--listen", &admin, "server.admin_listen"),
    ] {
        let said = format!("gaugeway: {field}: cannot listen on {address}: Address already in use");
        let ran = Call::new().run(&[flag, address, other, "127.0.0.1:0"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.starts_with(&said), "{ran:?}");
        assert!(!ran.stdout.contains("\"listening\""), "{ran:?}");
    }
    // The first one has lost nothing to it.
    for _ in 0..20 {
        Raw::open(first.public, ECHO);
    }
    // Nor does it share the port with one that waits to be restarted in its place.
    let address = first.public.to_string();
    drop(first);
    let second = Settings::new().set(&format!("server.listen={address}")).start();
    Raw::open(second.public, ECHO);
}

#[test]
fn health_says_ready_draining_or_not_reachable() {
    let gateway =
        Settings::new().set("limits.close_wait=1m").set("server.drain_timeout=1m").start();
    let health = |url: &str| Call::new().run(&["health", "--url", url]);
    let url = format!("http://{}", gateway.admin);
    assert_eq!(health(&url).well(), "ready\n");
    let admin = gateway.admin.to_string();
    assert_eq!(Call::new().run(&["health", "--admin-listen", &admin]).well(), "ready\n");
    health(&format!("{url}/metricz")).refused(1, &["not ready: 404"]);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    health(&nobody).refused(1, &["not reachable", "Connection refused"]);
    // A client that does not answer its Close keeps the gateway draining.
    let client = Raw::open(gateway.public, ECHO);
    gateway.signal("TERM");
    wait_for("health to say no", || (health(&url).code != Some(0)).then_some(()));
    health(&url).refused(1, &["not ready: 503", "draining"]);
    drop(client);
}

#[test]
fn without_a_file_it_says_so_in_one_line() {
    let without = Settings::new().start();
    let lines = without.log("configuration");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0]["why"].as_str().unwrap().starts_with("no configuration file: built-in defaults")
    );
    let with = Settings::new().file("").start();
    assert!(with.log("configuration").is_empty());
}

#[test]
fn a_signal_ends_it_well_and_a_second_one_at_once() {
    for (signal, word) in [("TERM", "draining"), ("INT", "stopping")] {
        let mut gateway = Settings::new().start();
        let mut client = Raw::open(gateway.public, ECHO);
        gateway.signal(signal);
        let close = client.read_close().unwrap();
        assert!(matches!(close.close_code(), Some(1001 | 1012)), "{close:?}");
        client.send_close(close.close_code().unwrap());
        assert_eq!(gateway.wait_for_exit(), Some(0), "{signal}");
        let word = wait_for("its word", || gateway.log(word).pop());
        assert_eq!(word["why"], format!("SIG{signal}"));
        assert_eq!(
            wait_for("its last word", || gateway.log("stopped").pop())["connections_left"],
            0
        );
    }
    let mut gateway =
        Settings::new().set("limits.close_wait=1h").set("server.drain_timeout=1h").start();
    let mut stubborn = Raw::open(gateway.public, ECHO);
    gateway.signal("TERM");
    stubborn.read_close().unwrap();
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit(), Some(0));
    let stopped = wait_for("its last word", || gateway.log("stopped").pop());
    assert_eq!((&stopped["connections_left"], &stopped["level"]), (&1.into(), &"WARN".into()));
    assert_eq!(gateway.log("connection closed").len(), 1, "what was cut off is counted, too");
}

#[test]
fn what_is_in_a_handshake_does_not_hold_up_the_end() {
    let mut gateway = Settings::new().set("server.handshake_timeout=1h").start();
    let mut silent = Raw::connect(gateway.public);
    let mut idle = Raw::connect(gateway.public);
    idle.send(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.read_answer().body, "pong");
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit(), Some(0));
    assert!(silent.reads_fin() && idle.reads_fin());
}

#[test]
fn a_log_that_nobody_reads_does_not_end_it() {
    let (mut running, addresses) = start_with_stdout(Stdio::piped());
    // `| head -1`: a line is read, then the pipe is closed.
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    assert!(lines.next().is_some());
    drop(lines);
    wait_for("lost lines to be counted", || {
        let metrics = serves(addresses);
        let lost =
            metrics.lines().find(|line| line.starts_with("gaugeway_log_lines_dropped_total "));
        (!lost.unwrap().ends_with(" 0")).then_some(())
    });
    let signal_and_wait = |mut running: Running| {
        let pid = running.0.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        wait_for("its end", || running.0.try_wait().unwrap()).code()
    };
    assert_eq!(signal_and_wait(running), Some(0));
    // Nobody reads, and the pipe is full after some hundred lines.
    let (running, addresses) = start_with_stdout(Stdio::piped());
    for _ in 0..200 {
        serves(addresses);
    }
    assert_eq!(signal_and_wait(running), Some(0));
    // A disk that is full.
    let (_running, addresses) =
        start_with_stdout(File::options().write(true).open("/dev/full").unwrap().into());
    serves(addresses);
}

#[test]
fn it_starts_with_every_standard_stream_closed() {
    let addresses: [SocketAddr; 2] =
        [free_port(), free_port()].map(|port| ([127, 0, 0, 1], port).into());
    let [public, admin] = addresses.map(|address| address.to_string());
    let script = r#"exec "$0" --listen "$1" --admin-listen "$2" <&- >&- 2>&-"#;
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_gaugeway"), &public, &admin]).current_dir("/");
    let running = Running(command.spawn().unwrap());
    wait_for("it to listen", || TcpStream::connect(addresses[0]).ok());
    serves(addresses);
    drop(running);
    // A pipe's end that is closed before it begins: `config | true`.
    let mut child =
        Call::new().command(&["config", "--example"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = Call::new().command(&["config"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("No space left"));
}

#[test]
fn stock_curl_reads_refusals_and_health() {
    let gateway = Gateway::start();
    let curl = |url: String| {
        let mut child = Command::new(part("curl"))
            .args(["-s", "-m", "20", "-w", "%{http_code}", &url])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        text
    };
    assert!(curl(format!("http://{}{ECHO}", gateway.public)).ends_with("426"));
    assert_eq!(curl(format!("http://{}/ping", gateway.public)), "pong200");
    assert_eq!(curl(format!("http://{}/health/live", gateway.admin)), "{\"status\":\"live\"}200");
}
