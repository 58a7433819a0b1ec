//! Connections as the API shows them, and how it ends them.

use serde_json::{Value, json};

use super::support::{Api, Gateway, Opening, Raw, Settings, wait_for};

const ECHO: &str = "/ws-notifications";
const BROADCAST: &str = "/ws";
const CONNECTIONS: &str = "/api/v1/connections";

/// The ids of a list's answer, in its order.
fn ids(answer: &Value) -> Vec<String> {
    let connections = answer["connections"].as_array().unwrap().iter();
    connections.map(|connection| connection["id"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn only(api: &mut Api) -> Value {
    let answer = api.well("GET", CONNECTIONS, "");
    let connections = answer["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 1, "{answer}");
    connections[0].clone()
}

#[test]
fn a_connection_is_shown_with_all_that_is_known() {
    let gateway = Settings::new()
        .set("server.trusted_proxies=127.0.0.1/32")
        .set("heartbeat.ping_interval=1s")
        .start();
    let mut api = Api::of(&gateway);
    let mut client = Opening::new("/ws-notifications/?user_id=k%C3%B6nig")
        .deflate()
        .header("X-Forwarded-For", "203.0.113.7:4711")
        .header("X-Request-ID", "4f00c2")
        .header("X-Nginx-Host", "edge-1")
        .header("X-Nginx-Pid", "77")
        .header("X-Nginx-Connection", "9")
        .open(gateway.public);
    client.echo(1, b"hello");
    let shown = only(&mut api);
    for (field, expected) in [
        ("endpoint", json!(ECHO)),
        ("user", json!("k\u{f6}nig")),
        ("remote", json!("203.0.113.7:4711")),
        ("request_id", json!("4f00c2")),
        ("nginx", json!({ "host": "edge-1", "pid": 77, "connection": 9 })),
        ("state", json!("open")),
        ("messages_in", json!(1)),
        ("messages_out", json!(1)),
        ("payload_bytes_in", json!(5)),
        ("payload_bytes_out", json!(5)),
        ("wire_bytes_in", json!(11)),
        ("wire_bytes_out", json!(7)),
        ("queued_bytes", json!(0)),
    ] {
        assert_eq!(shown[field], expected, "{field} of {shown}");
    }
    assert!(shown["extensions"].as_str().unwrap().starts_with("permessage-deflate"), "{shown}");
    let date = std::process::Command::new("date").args(["-u", "+%Y-"]).output().unwrap();
    let year = String::from_utf8(date.stdout).unwrap();
    let opened_at = shown["opened_at"].as_str().unwrap();
    assert!(opened_at.starts_with(year.trim()) && opened_at.ends_with('Z'), "{opened_at}");
    assert!(shown["age_seconds"].as_f64() >= shown["idle_seconds"].as_f64(), "{shown}");
    assert_eq!(shown.get("last_rtt_seconds"), None, "no ping was answered yet");
    let ping = client.read_frame().unwrap();
    client.send_frame(10, &ping.payload);
    let path = format!("{CONNECTIONS}/{}", shown["id"].as_str().unwrap());
    let rtt = wait_for("a round-trip time", || {
        api.well("GET", &path, "").get("last_rtt_seconds").and_then(Value::as_f64)
    });
    assert!(rtt > 0.0, "{rtt}");
}

#[test]
fn a_client_of_which_little_is_known_is_shown_without_guesses() {
    let gateway = Settings::new().set("server.trusted_proxies=[]").start();
    let client = Raw::open(gateway.public, BROADCAST);
    let shown = only(&mut Api::of(&gateway));
    assert_eq!(shown["remote"], client.stream.local_addr().unwrap().to_string());
    for absent in ["user", "nginx", "request_id", "last_rtt_seconds", "extensions"] {
        assert_eq!(shown.get(absent), None, "{absent}");
    }
}

#[test]
fn the_list_is_paged_in_the_order_of_ids() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let paths = ["/ws?id=a", "/ws?id=b", "/im?user_id=a", "/ws-notifications"];
    let _clients: Vec<_> =
        (0..23).map(|index| Raw::open(gateway.public, paths[index % paths.len()])).collect();
    gateway.wait_for_connections(23);
    let all = ids(&api.well("GET", CONNECTIONS, ""));
    assert_eq!(all.len(), 23);
    assert!(all.is_sorted(), "{all:?}");
    let mut paged = Vec::new();
    let mut query = "limit=5".to_owned();
    loop {
        let answer = api.well("GET", &format!("{CONNECTIONS}?{query}"), "");
        let page = ids(&answer);
        assert!(page.len() == 5 || answer["next"].is_null(), "{answer}");
        paged.extend(page);
        match answer["next"].as_str() {
            Some(next) => query = format!("limit=5&after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    let mut count =
        |query: &str| ids(&api.well("GET", &format!("{CONNECTIONS}?{query}"), "")).len();
    assert_eq!(count("user=a"), 12);
    assert_eq!(count("endpoint=/ws"), 12);
    assert_eq!(count("endpoint=%2Fws%2F&user=a"), 6);
    assert_eq!(count("user=nobody"), 0);
    assert_eq!(count("limit=23"), 23);
    assert_eq!(count(&format!("after={}", all[22])), 0);
    let last = api.well("GET", &format!("{CONNECTIONS}?limit=23"), "");
    assert!(last["next"].is_null(), "nothing follows: {last}");
}

#[test]
fn one_that_is_not_there_is_not_found() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let path = format!("{CONNECTIONS}/0198f3a0-7c1b-7d3e-9a4f-2b6c8d0e1f35");
    for method in ["GET", "DELETE"] {
        api.call(method, &path, "").refused(method, 404, "not_found");
    }
    assert_eq!(api.well("DELETE", "/api/v1/users/nobody/connections", "")["disconnected"], 0);
}

/// One client that is disconnected with this query gets this Close, and is counted with this code.
#[track_caller]
fn check_kick(query: &str, code: u16, reason: &str, label: &str) {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let mut client = Raw::open(gateway.public, ECHO);
    let path = format!("{CONNECTIONS}/{}", only(&mut api)["id"].as_str().unwrap());
    let answer = api.well("DELETE", &format!("{path}{query}"), "");
    assert_eq!(answer, json!({ "disconnected": 1 }), "{query}");
    let close = client.read_close().unwrap();
    assert_eq!(close.close_code(), Some(code), "{query}");
    assert_eq!(String::from_utf8_lossy(&close.payload[2..]), reason, "{query}");
    // It is on its way out, and not told twice.
    let again = api.call("DELETE", &path, "");
    assert!(again.status == 404 || again.body == r#"{"disconnected":0}"#, "{again:?}");
    client.send_close(code);
    assert_eq!(client.read_frame(), None);
    let labels = [("initiator", "gateway"), ("cause", "kicked"), ("code", label)];
    gateway.wait_for_metric("disconnects_total", &labels, 1.0);
    gateway.wait_for_connections(0);
    let line = &gateway.log("connections kicked")[0];
    assert_eq!(
        (&line["by"], &line["count"], &line["code"]),
        (&json!("anonymous"), &json!(1), &json!(code))
    );
}

#[test]
fn a_disconnected_client_gets_the_code_and_the_reason() {
    check_kick("", 1008, "", "1008");
    check_kick("?code=1000&reason=bye", 1000, "bye", "1000");
    check_kick("?reason=zur%C3%BCck+bald", 1008, "zur\u{fc}ck bald", "1008");
    let longest = "x".repeat(123);
    check_kick(&format!("?code=4999&reason={longest}"), 4999, &longest, "4xxx");
    check_kick("?code=3000", 3000, "", "3000");
}

#[test]
fn all_connections_of_a_user_end_and_no_others() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let mut of_anna: Vec<_> = ["/ws?id=anna%2Fb", "/im?user_id=anna%2Fb", "/ws?id=anna%2Fb"]
        .map(|path| Raw::open(gateway.public, path))
        .into();
    let mut other = Raw::open(gateway.public, "/ws-notifications?id=anna");
    let path = "/api/v1/users/anna%2Fb/connections?code=4000&reason=signed%20out";
    assert_eq!(api.well("DELETE", path, ""), json!({ "disconnected": 3 }));
    for client in &mut of_anna {
        assert_eq!(client.read_close().unwrap().close_code(), Some(4000));
        client.send_close(4000);
    }
    other.echo(1, b"still here");
    gateway.wait_for_metric("disconnects_total", &[("cause", "kicked")], 3.0);
    gateway.wait_for_connections(1);
    assert_eq!(gateway.log("connections kicked")[0]["user"], "anna/b");
}

#[test]
fn what_was_published_before_arrives_before_the_close() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    for round in 0..50 {
        let mut client = Raw::open(gateway.public, "/ws?id=anna");
        let publish = json!({ "to": { "user": "anna" }, "data": round }).to_string();
        let publish = api.request("POST", "/api/v1/publish", &publish, &[]);
        // Both in one go: the second is served as soon as the first is answered.
        let kick = api.request("DELETE", "/api/v1/users/anna/connections", "", &[]);
        wait_for("the client", || {
            (api.well("GET", "/api/v1/stats", "")["users"] == 1).then_some(())
        });
        api.raw.send((publish + &kick).as_bytes());
        assert_eq!(client.read_frame().unwrap().payload, round.to_string().as_bytes());
        assert_eq!(client.read_frame().unwrap().close_code(), Some(1008));
        client.send_close(1008);
        assert_eq!([api.raw.read_answer().status, api.raw.read_answer().status], [200, 200]);
        gateway.wait_for_metric("connections", &[], 0.0);
    }
}

#[test]
fn stats_say_what_there_is() {
    let gateway = Settings::new().set("server.shards=3").start();
    let mut api = Api::of(&gateway);
    let _clients = ["/ws?id=a", "/ws?id=b", "/im?user_id=a", "/ws"]
        .map(|path| Raw::open(gateway.public, path));
    gateway.wait_for_connections(4);
    api.publish(&json!({ "to": { "user": "nobody" }, "text": "x" }));
    let stats = api.well("GET", "/api/v1/stats", "");
    assert!(stats["uptime_seconds"].as_f64().unwrap() > 0.0);
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": stats["revision"],
        "uptime_seconds": stats["uptime_seconds"],
        "stage": "serving",
        "seq": 1,
        "shards": 3,
        "users": 2,
        "connections": {
            "total": 4,
            "by_endpoint": { "/ws-notifications": 0, "/ws": 3, "/im": 1 },
        },
        "queues": { "backlogged_connections": 0, "bytes": 0, "max_bytes": 0 },
    });
    assert_eq!(stats, expected);
}
