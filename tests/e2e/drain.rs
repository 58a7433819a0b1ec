//! SIGTERM: everybody is told to go, one after the other, nobody is lost and everything is counted.

mod clients;
mod load;

use serde_json::{Value, json};

use super::support::{Gateway, Metrics, Raw, Settings, wait_for};

const ECHO: &str = "/ws-notifications";
const BROADCAST: &str = "/ws";

/// A gateway that drains for longer than any test: the first turn is at once, the second never.
fn endless() -> Settings {
    Settings::new().set("server.drain_timeout=1h").set("limits.close_wait=1h")
}

/// The gateway ends with 0; its last line's totals are these, and the lines of the ends agree.
#[track_caller]
fn check_stopped(gateway: &mut Gateway, connections: usize, left: usize) -> Vec<Value> {
    assert_eq!(gateway.wait_for_exit(), Some(0));
    let stopped = wait_for("its last word", || gateway.log("stopped").pop());
    assert_eq!(stopped["connections_opened"], connections, "{stopped}");
    assert_eq!(stopped["connections_ended"], connections, "{stopped}");
    assert_eq!(stopped["connections_left"], left, "{stopped}");
    let lines = gateway.log("connection closed");
    assert_eq!(lines.len(), connections, "one line for each end");
    lines
}

fn count(lines: &[Value], cause: &str, code: &str) -> usize {
    lines.iter().filter(|line| line["cause"] == cause && line["code"] == code).count()
}

/// Waits until so many connections have been told to go, by the answer that only a drain gives.
#[track_caller]
fn wait_until_told(gateway: &Gateway, closes: f64) -> Metrics {
    let labels = [("direction", "out"), ("opcode", "close")];
    gateway.wait_for_metric("messages_total", &labels, closes)
}

#[test]
fn a_single_connection_goes_at_once_with_a_hint_and_operators_see_the_drain() {
    let mut gateway = endless().start();
    assert_eq!(gateway.admin_get("/health/ready").0, 200);
    let mut client = Raw::open(gateway.public, ECHO);
    gateway.signal("TERM");
    let close = client.read_close().unwrap();
    assert_eq!(close.close_code(), Some(1012));
    let reason = String::from_utf8(close.payload[2..].to_vec()).unwrap();
    let hint = reason.strip_prefix("restarting; reconnect_after_ms=").unwrap();
    assert!(hint.parse::<u64>().unwrap() <= 1_000, "{reason}");
    // It has not answered yet: the admin side goes on.
    let (status, body) = gateway.admin_get("/health/ready");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["reasons"]), (503, &json!(["draining"])));
    assert_eq!(gateway.admin_get("/health/live").0, 200);
    gateway.metrics().check_sums();
    wait_for("no more listening", || std::net::TcpStream::connect(gateway.public).err());
    client.send_close(1012);
    assert_eq!(client.read_rest(), (vec![], true));
    let lines = check_stopped(&mut gateway, 1, 0);
    assert_eq!(count(&lines, "draining", "1012"), 1, "{lines:?}");
    let draining = gateway.log("draining").pop().unwrap();
    assert_eq!((&draining["why"], &draining["connections"]), (&"SIGTERM".into(), &1.into()));
    assert_eq!(draining["over_seconds"], 3_240.0, "the last tenth is for answers");
    assert!(gateway.log("stopping").is_empty(), "nobody was cut off");
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let mut gateway = endless().start();
    drop(Raw::open(gateway.public, ECHO));
    gateway.wait_for_connections(0);
    gateway.signal("TERM");
    check_stopped(&mut gateway, 1, 0);
}

/// However many shards there are: one is told, the others live on, until a second signal.
#[track_caller]
fn check_turns(shards: usize, connections: usize) {
    let mut gateway = endless().set(&format!("server.shards={shards}")).start();
    let mut clients: Vec<_> = (0..connections).map(|_| Raw::open(gateway.public, ECHO)).collect();
    gateway.signal("TERM");
    wait_until_told(&gateway, 1.0);
    let mut closed = 0;
    for client in &mut clients {
        client.send_frame(1, b"still there?");
        let frame = client.read_frame().unwrap();
        match frame.opcode() {
            1 => {}
            8 => closed += 1,
            other => panic!("opcode {other}"),
        }
    }
    assert_eq!(closed, 1, "{shards} shards, {connections} connections");
    gateway.signal("TERM");
    let codes = clients.iter_mut().filter_map(Raw::read_close).map(|close| close.close_code());
    assert_eq!(codes.filter(|code| *code == Some(1001)).count(), connections - 1);
    let lines = check_stopped(&mut gateway, connections, connections);
    assert_eq!(count(&lines, "draining", "1006"), 1);
    assert_eq!(count(&lines, "shutdown", "1006"), connections - 1);
    let stopping = gateway.log("stopping").pop().unwrap();
    assert_eq!(stopping["why"], "a second signal, SIGTERM");
    assert_eq!(stopping["connections"], connections);
}

#[test]
fn the_shards_take_turns_and_a_second_signal_tells_the_rest() {
    check_turns(1, 3);
    check_turns(2, 2);
    check_turns(2, 9);
    check_turns(4, 12);
}

#[test]
fn closes_come_one_after_the_other() {
    let mut gateway = Settings::new().set("server.drain_timeout=4s").start();
    let clients: Vec<_> = (0..20).map(|_| Raw::open(gateway.public, ECHO)).collect();
    gateway.signal("TERM");
    let clients: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                assert_eq!(client.read_close().unwrap().close_code(), Some(1012));
                client.send_close(1012);
                assert_eq!(client.read_rest(), (vec![], true));
            })
        })
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    wait_for("some of the ends, in different scrapes", || {
        let metrics = gateway.metrics();
        metrics.check_sums();
        seen.insert(metrics.sum("disconnects_total", &[]) as u64);
        (seen.len() >= 5).then_some(())
    });
    assert!(seen.iter().all(|ended| *ended < 20), "others were open still: {seen:?}");
    for client in clients {
        client.join().unwrap();
    }
    let lines = check_stopped(&mut gateway, 20, 0);
    assert_eq!(count(&lines, "draining", "1012"), 20);
}

#[test]
fn when_all_have_gone_by_themselves_it_ends_at_once() {
    let mut gateway = endless().start();
    let mut clients: Vec<_> = (0..5).map(|_| Raw::open(gateway.public, ECHO)).collect();
    gateway.signal("TERM");
    wait_until_told(&gateway, 1.0);
    for client in &mut clients {
        // One of them has been told, and this is its answer.
        client.send_close(1000);
        assert!(client.reads_fin());
    }
    let lines = check_stopped(&mut gateway, 5, 0);
    assert_eq!(count(&lines, "draining", "1012"), 1);
    assert_eq!(count(&lines, "client_close", "1000"), 4);
}

#[test]
fn publications_reach_those_who_have_not_been_told_yet() {
    let mut gateway = endless().start();
    let mut clients: Vec<_> = (0..4).map(|_| Raw::open(gateway.public, BROADCAST)).collect();
    gateway.signal("TERM");
    wait_until_told(&gateway, 1.0);
    // Whoever is told says nothing more; the others' words reach each other.
    let mut told = Vec::new();
    clients.retain_mut(|client| {
        client.send_frame(9, b"");
        let open = client.read_frame().unwrap().opcode() == 10;
        if !open {
            told.push(Raw::from(client.stream.try_clone().unwrap()));
        }
        open
    });
    assert_eq!((clients.len(), told.len()), (3, 1));
    clients[0].send_frame(1, b"during the drain");
    for client in &mut clients {
        assert_eq!(client.read_frame().unwrap().payload, b"during the drain");
    }
    gateway.signal("INT");
    assert_eq!(told[0].read_rest(), (vec![], true), "nothing follows its Close");
    for client in &mut clients {
        assert_eq!(client.read_close().unwrap().close_code(), Some(1001));
    }
    check_stopped(&mut gateway, 4, 4);
}
