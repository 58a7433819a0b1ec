//! SIGHUP: what can change live is in force, the rest is named, and a mistake changes nothing.

use serde_json::Value;

use super::support::{Gateway, Opening, Raw, Settings, wait_for};

const ECHO: &str = "/ws-notifications";
const BROADCAST: &str = "/ws";

fn start(file: &str) -> Gateway {
    Settings::new().file(file).start()
}

/// What a reload's line says of these settings, in order.
fn said(line: &Value) -> [&str; 3] {
    ["outcome", "applied", "needs_restart"].map(|field| line[field].as_str().unwrap())
}

/// The status of an upgrade request.
#[track_caller]
fn status(gateway: &Gateway, opening: &Opening) -> u16 {
    let mut client = Raw::connect(gateway.public);
    client.send(&opening.bytes(gateway.public));
    client.read_head().split(' ').nth(1).unwrap().parse().unwrap()
}

#[track_caller]
fn refused_for(gateway: &Gateway, path: &str) -> String {
    let mut client = Raw::connect(gateway.public);
    client.send(&Opening::new(path).bytes(gateway.public));
    client.read_answer().error()["code"].as_str().unwrap().to_owned()
}

#[test]
fn it_says_what_is_in_force_and_what_waits_for_a_restart() {
    let gateway = start("");
    let counted =
        |outcome: &str| gateway.metrics().sum("config_reloads_total", &[("outcome", outcome)]);
    assert_eq!(said(&gateway.hang_up()), ["unchanged", "", ""]);
    let good = "[heartbeat]\nping_interval = \"20s\"\n[limits]\nmax_message_bytes = 100\n";
    let applied = "heartbeat.ping_interval, limits.max_message_bytes";
    assert_eq!(said(&gateway.reload(good)), ["applied", applied, ""]);
    let partly = format!("[compression]\nlevel = 9\n{good}[server]\nhandshake_timeout = \"1s\"\n");
    let waiting = "server.handshake_timeout, compression.level";
    assert_eq!(said(&gateway.reload(&partly)), ["partial", "", waiting]);
    // It waits still, and is said again.
    let more = format!("{partly}drain_timeout = \"7s\"\n");
    let last = gateway.reload(&more);
    assert_eq!(said(&last), ["partial", "server.drain_timeout", waiting]);
    assert_eq!(last["level"], "WARN");
    assert_eq!(
        said(&gateway.reload("")),
        ["applied", &format!("server.drain_timeout, {applied}"), ""]
    );
    let outcomes = ["unchanged", "applied", "partial", "failed"].map(counted);
    assert_eq!(outcomes, [1.0, 2.0, 2.0, 0.0]);
}

#[test]
fn a_file_that_was_written_after_a_start_without_one_is_taken() {
    let gateway = Gateway::start();
    let keys = "[api]\nkeys = [\"backend:a-long-random-secret\"]\n";
    assert_eq!(said(&gateway.reload(keys)), ["applied", "api.keys", ""]);
    assert_eq!(gateway.admin_get("/api/v1/stats").0, 401);
}

#[test]
fn a_mistake_changes_nothing_and_all_of_them_are_told() {
    let good = "[limits]\nmax_message_bytes = 100\n";
    let gateway = start(good);
    let broken = "[limits]\nmax_message_bytes = 0\nwrite_wiat = \"1s\"\n[telemetry]\nlog = \"inof\"\n\
                  [server]\nmax_connections = 1\n";
    let line = gateway.reload(broken);
    assert_eq!(
        (&line["message"], &line["level"]),
        (&"configuration not reloaded".into(), &"ERROR".into())
    );
    let why = line["why"].as_str().unwrap();
    for told in ["max_message_bytes", "write_wiat", "inof"] {
        assert!(why.contains(told), "{told}: {why}");
    }
    let still = || {
        let mut clients = [ECHO, ECHO].map(|path| Raw::open(gateway.public, path));
        clients[0].echo(1, &[b'x'; 100]);
        clients[1].send_frame(1, &[b'x'; 101]);
        assert_eq!(clients[1].read_close().unwrap().close_code(), Some(1009));
    };
    still();
    for unreadable in ["[limits", "\u{0}", "server = 3"] {
        assert_eq!(gateway.reload(unreadable)["outcome"], "failed", "{unreadable}");
    }
    still();
    assert_eq!(gateway.metrics().sum("config_reloads_total", &[("outcome", "failed")]), 4.0);
    assert_eq!(said(&gateway.reload(good)), ["unchanged", "", ""]);
}

#[test]
fn flags_stay_above_the_file() {
    let gateway = Settings::new().file("").set("limits.max_message_bytes=100").start();
    assert_eq!(said(&gateway.reload("[limits]\nmax_message_bytes = 1\n")), ["unchanged", "", ""]);
    Raw::open(gateway.public, ECHO).echo(1, &[b'x'; 100]);
}

#[test]
fn without_a_file_there_is_nothing_to_change() {
    let gateway = Gateway::start();
    assert_eq!(said(&gateway.hang_up()), ["unchanged", "", ""]);
}

#[test]
fn an_endpoint_behaves_otherwise_for_new_connections() {
    let file = |rest: &str| format!("[[endpoint]]\npath = \"/a\"\n{rest}");
    let gateway = start(&file("inbound = \"echo\"\nmax_message_bytes = 100\n"));
    let mut old = Raw::open(gateway.public, "/a");
    old.echo(1, &[b'x'; 100]);
    let line = gateway.reload(&file("inbound = \"broadcast\"\nmax_message_bytes = 10\n"));
    let applied = "endpoint /a: inbound, endpoint /a: max_message_bytes";
    assert_eq!(said(&line), ["applied", applied, ""]);
    let mut new = Raw::open(gateway.public, "/a");
    new.send_frame(1, b"to all");
    for client in [&mut old, &mut new] {
        assert_eq!(client.read_frame().unwrap().payload, b"to all");
    }
    // The old one keeps its rules.
    old.echo(1, &[b'x'; 100]);
    new.send_frame(1, &[b'x'; 11]);
    assert_eq!(new.read_close().unwrap().close_code(), Some(1009));
    let line =
        gateway.reload(&file("require_user = true\nallowed_origins = [\"https://a.example\"]\n"));
    assert_eq!(line["outcome"], "applied", "{line}");
    assert_eq!(refused_for(&gateway, "/a"), "user_required");
    let from =
        |origin: &str| status(&gateway, &Opening::new("/a?user_id=1").header("Origin", origin));
    assert_eq!((from("https://a.example"), from("https://b.example")), (101, 403));
    // Other paths wait for a restart; what else the file says is in force.
    let line = gateway.reload("[limits]\nmax_message_bytes = 7\n[[endpoint]]\npath = \"/b\"\n");
    assert_eq!(said(&line), ["partial", "limits.max_message_bytes", "endpoint"]);
    assert_eq!(refused_for(&gateway, "/b"), "not_found");
    assert_eq!(refused_for(&gateway, "/a"), "user_required");
}

#[test]
fn lower_limits_close_nobody_and_count_those_inside() {
    let gateway = start("");
    let mut inside: Vec<_> = (0..3).map(|_| Raw::open(gateway.public, ECHO)).collect();
    gateway.reload("[server]\nmax_connections = 2\n");
    assert_eq!(refused_for(&gateway, ECHO), "too_many_connections");
    gateway.reload("[server]\nmax_connections_per_ip = 3\n");
    assert_eq!(refused_for(&gateway, ECHO), "too_many_connections_per_ip");
    for client in &mut inside {
        client.echo(1, b"still here");
    }
    gateway.reload("[server]\nmax_connections_per_ip = 4\n");
    Raw::open(gateway.public, ECHO).echo(1, b"the fourth");
    gateway.reload("");
    (0..3).for_each(|_| Raw::open(gateway.public, ECHO).echo(1, b"without a limit"));
}

#[test]
fn open_connections_obey_other_waits_and_their_metric_follows() {
    let gateway = start("[heartbeat]\nping_interval = \"1h\"\npong_wait = \"2h\"\n");
    let mut clients = [Raw::open(gateway.public, ECHO), Raw::open(gateway.public, BROADCAST)];
    let shown = |timer: &str| gateway.metrics().sum("timeout_seconds", &[("timer", timer)]);
    assert_eq!((shown("ping_interval"), shown("close_wait")), (3_600.0, 5.0));
    gateway.reload(
        "[heartbeat]\nping_interval = \"100ms\"\npong_wait = \"1h\"\n[limits]\nclose_wait = \"50ms\"\n",
    );
    assert_eq!((shown("ping_interval"), shown("close_wait")), (0.1, 0.05));
    for client in &mut clients {
        // Neither would have had a ping within the hour.
        for _ in 0..2 {
            let ping = client.read_frame().unwrap();
            assert_eq!(ping.opcode(), 9);
            client.send_frame(10, &ping.payload);
        }
    }
    gateway.reload("[heartbeat]\nping_interval = \"100ms\"\npong_wait = \"300ms\"\n[limits]\nclose_wait = \"50ms\"\n");
    for client in &mut clients {
        // Nobody answers the pings any more.
        assert_eq!(client.read_close().unwrap().close_code(), Some(1011));
        assert!(client.reads_fin(), "within the new wait for an answer");
    }
    gateway.wait_for_metric("disconnects_total", &[("cause", "pong_timeout")], 2.0);
}

#[test]
fn open_connections_get_compressed_what_is_large_enough_now() {
    let gateway = start("");
    let mut client = Opening::new(ECHO).deflate().open(gateway.public);
    let mut is_compressed = || {
        client.send_frame(1, &[b'x'; 60]);
        client.read_frame().unwrap().first_byte & 0x40 != 0
    };
    assert!(!is_compressed());
    gateway.reload("[compression]\nmin_bytes = 60\n");
    assert!(is_compressed());
    gateway.reload("[compression]\nmin_bytes = 61\n");
    assert!(!is_compressed());
}

#[test]
fn the_log_says_more_or_less_and_always_says_so() {
    let gateway = start("");
    let opened = || gateway.log("connection opened").len();
    let open = || {
        drop(Raw::open(gateway.public, ECHO));
        gateway.wait_for_connections(0);
    };
    open();
    wait_for("the first line", || (opened() == 1).then_some(()));
    // Said under the old filter, since the new one would hold it back.
    assert_eq!(
        said(&gateway.reload("[telemetry]\nlog = \"warn\"\n")),
        ["applied", "telemetry.log", ""]
    );
    open();
    assert_eq!(
        said(&gateway.reload("[telemetry]\nlog = \"info\"\n")),
        ["applied", "telemetry.log", ""]
    );
    // Lines come in order: what was held back would have come before that one.
    assert_eq!(opened(), 1);
    open();
    wait_for("lines again", || (opened() == 2).then_some(()));
    assert_eq!(gateway.reload("[telemetry]\nlog = \"gaugeway=loud\"\n")["outcome"], "failed");
}

#[test]
fn nobody_notices_reloads_that_come_all_the_time() {
    let gateway = start("");
    let address = gateway.public;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let mut client = Raw::open(address, ECHO);
                    (0..10).for_each(|_| client.echo(1, b"undisturbed"));
                    client.send_close(1000);
                    assert_eq!(client.read_close().unwrap().close_code(), Some(1000));
                }
            })
        })
        .collect();
    let mut reloads = 0_u32;
    while clients.iter().any(|client| !client.is_finished()) {
        let files = ["", "[heartbeat]\nping_interval = \"1s\"\n[telemetry]\nlog = \"debug\"\n"];
        let line = gateway.reload(files[reloads as usize % 2]);
        assert_ne!(line["outcome"], "failed", "{line}");
        reloads += 1;
    }
    for client in clients {
        client.join().unwrap();
    }
    let metrics = gateway.wait_for_metric("disconnects_total", &[("cause", "client_close")], 200.0);
    metrics.check_sums();
    assert_eq!(metrics.sum("disconnects_total", &[]), 200.0, "and no other end");
    assert_eq!(metrics.sum("config_reloads_total", &[]), f64::from(reloads));
}

#[test]
fn a_reload_during_a_drain_is_a_reload() {
    let gateway = start("[server]\ndrain_timeout = \"1h\"\n[limits]\nclose_wait = \"1h\"\n");
    let mut clients = [ECHO, ECHO].map(|path| Raw::open(gateway.public, path));
    gateway.signal("TERM");
    let ready = || gateway.admin_get("/health/ready").0;
    wait_for("the drain", || (ready() == 503).then_some(()));
    let line =
        gateway.reload("[server]\ndrain_timeout = \"1h\"\n[limits]\nclose_wait = \"50ms\"\n");
    assert_eq!(said(&line), ["applied", "limits.close_wait", ""]);
    gateway.signal("TERM");
    for client in &mut clients {
        assert!(client.reads_fin());
    }
    wait_for("the line of the second signal", || gateway.log("stopping").pop());
}

#[test]
fn keys_of_the_api_change_for_the_next_request_on_an_open_connection() {
    let file = |keys: &str| format!("[api]\nkeys = [{keys}]\n");
    let gateway = start(&file("\"a:aaaaaaaaaaaaaaaa\""));
    let mut backend = Raw::connect(gateway.admin);
    let mut status = |secret: &str| {
        let head = format!(
            "GET /api/v1/stats HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n\r\n"
        );
        backend.send(head.as_bytes());
        backend.read_answer().status
    };
    let [old, new] = ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"];
    assert_eq!((status(old), status(new)), (200, 401));
    gateway.reload(&file("\"a:aaaaaaaaaaaaaaaa\", \"b:bbbbbbbbbbbbbbbb\""));
    assert_eq!((status(old), status(new)), (200, 200));
    let line = gateway.reload(&file("\"b:bbbbbbbbbbbbbbbb\""));
    assert_eq!(said(&line), ["applied", "api.keys", ""]);
    assert!(!line.to_string().contains("bbbb"), "no secret is logged: {line}");
    assert_eq!((status(old), status(new)), (401, 200));
}
