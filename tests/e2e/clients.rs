//! The stock clients that run scenarios (Node's `ws`, Chromium, Python's `websockets`) on every
//! route to the gateway, compressed and plain.

use serde_json::{Value, json};

use super::support::{Client, Route, Settings, Site};

const ECHO: &str = "/ws-notifications";
/// `limits.max_message_bytes`.
const LIMIT: usize = 65536;

/// Runs a scenario on every route, with and without compression where the client can choose.
/// Returns how many connections there were.
#[track_caller]
fn on_every_route(
    site: &Site,
    client: Client,
    path: &str,
    steps: &Value,
    check: impl Fn(&Value, bool, &str),
) -> usize {
    let compression: &[bool] = if client == Client::Chromium { &[true] } else { &[true, false] };
    for route in Route::ALL {
        for &compression in compression {
            let mut scenario = site.scenario(route, path, steps);
            match client {
                // A browser cannot be told of an authority, nor to offer no compression.
                Client::Chromium => scenario["insecure"] = true.into(),
                Client::Ws | Client::Python => scenario["compression"] = compression.into(),
            }
            let result = client.run(&scenario);
            check(&result, compression, &format!("{client:?} {route:?} {compression}: {result}"));
        }
    }
    Route::ALL.len() * compression.len()
}

/// Text and binary of the sizes where a frame's header changes, up to the limit; then Close.
fn echo_steps(client: Client) -> Value {
    let mut steps = Vec::new();
    for size in [0, 1, 125, 126, 127, 65535, LIMIT] {
        for payload in [json!({ "text_length": size }), json!({ "bytes": size })] {
            steps.extend([json!({ "send": payload }), json!({ "expect": payload })]);
        }
    }
    // UTF-8 of one to four bytes, NUL among them.
    steps.extend([json!({ "send": "aä€🦀\0" }), json!({ "expect": "aä€🦀\0" })]);
    if client != Client::Chromium {
        // Multiples of the patterns' periods, so that the whole is a pattern again.
        let text = json!({ "text_length": 37 * 60 });
        let bytes = json!({ "bytes": 251 * 10 });
        steps.extend([
            json!({ "send_fragments": ["a", "", "bc", ""] }),
            json!({ "expect": "abc" }),
            json!({ "send_fragments": [text, text, text] }),
            json!({ "expect": { "text_length": 37 * 180 } }),
            json!({ "send_fragments": [bytes, bytes] }),
            json!({ "expect": { "bytes": 251 * 20 } }),
            json!({ "ping": "are you there?" }),
        ]);
    }
    steps.extend([
        json!({ "close": { "code": 4999, "reason": "enough – gut" } }),
        json!({ "wait_close": true }),
    ]);
    steps.into()
}

#[track_caller]
fn check_echo(client: Client) {
    let site = Site::start(Settings::new());
    let steps = echo_steps(client);
    let connections =
        on_every_route(&site, client, ECHO, &steps, |result, compression, context| {
            assert_eq!(result["ok"], true, "{context}");
            let negotiated = result["extensions"].as_str().unwrap();
            assert_eq!(negotiated.contains("permessage-deflate"), compression, "{context}");
            let close = json!({ "code": 4999, "reason": "enough – gut", "clean": true });
            // The answer to a Close carries its code alone; some report the code they sent.
            assert_eq!(result["close"]["code"], close["code"], "{context}");
            assert_eq!(result["close"]["clean"], close["clean"], "{context}");
        });
    let closed = [("cause", "client_close"), ("code", "4xxx")];
    let metrics = site.gateway.wait_for_metric("disconnects_total", &closed, connections as f64);
    metrics.check_sums();
    for line in site.gateway.log("connection closed") {
        assert_eq!(line["received_code"], 4999, "{line}");
        assert_eq!(line["received_reason"], "enough – gut", "{line}");
        assert_eq!(line["messages_in"], line["messages_out"], "{line}");
        assert_eq!(line["payload_bytes_in"], line["payload_bytes_out"], "{line}");
    }
}

#[test]
fn ws_gets_everything_back_on_every_route() {
    check_echo(Client::Ws);
}

#[test]
fn chromium_gets_everything_back_on_every_route() {
    check_echo(Client::Chromium);
}

#[test]
fn python_gets_everything_back_on_every_route() {
    check_echo(Client::Python);
}

#[track_caller]
fn check_one_byte_too_many(client: Client) {
    let site = Site::start(Settings::new());
    let steps = json!([
        { "send": { "bytes": LIMIT } }, { "expect": { "bytes": LIMIT } },
        { "send": { "bytes": LIMIT + 1 } }, { "wait_close": true },
    ]);
    let connections =
        on_every_route(&site, client, ECHO, &steps, |result, compression, context| {
            assert_eq!(result["close"]["code"], 1009, "{context}");
            assert_eq!(result["close"]["clean"], true, "{context}");
            let reason = result["close"]["reason"].as_str().unwrap();
            // The pattern shrinks: only after inflating it is too big.
            let expected =
                if compression { "inflates to more than" } else { "message of 65537 bytes" };
            assert!(reason.contains(expected) && reason.contains("65536"), "{context}");
        });
    let labels = [("initiator", "gateway"), ("code", "1009")];
    site.gateway.wait_for_metric("disconnects_total", &labels, connections as f64).check_sums();
    let plain = if client == Client::Chromium { 0 } else { Route::ALL.len() };
    let metrics = site.gateway.metrics();
    for (cause, count) in [("message_too_big", plain), ("inflated_too_big", connections - plain)] {
        assert_eq!(metrics.sum("disconnects_total", &[("cause", cause)]), count as f64, "{cause}");
    }
}

#[test]
fn ws_is_told_1009_for_one_byte_too_many() {
    check_one_byte_too_many(Client::Ws);
}

#[test]
fn chromium_is_told_1009_for_one_byte_too_many() {
    check_one_byte_too_many(Client::Chromium);
}

#[test]
fn python_is_told_1009_for_one_byte_too_many() {
    check_one_byte_too_many(Client::Python);
}

#[test]
fn a_close_of_any_kind_comes_back_with_its_code() {
    let site = Site::start(Settings::new());
    let mut expected = 0.0;
    for (code, label) in [(1000, "1000"), (1001, "1001"), (1011, "1011"), (3500, "3xxx")] {
        for client in [Client::Ws, Client::Python] {
            // `ws` takes no 1004-1006 and 1015 from its own side; 1001 and 1011 it does.
            let steps = json!([{ "close": code }, { "wait_close": true }]);
            let result = client.run(&site.scenario(Route::Tls, ECHO, &steps));
            assert_eq!(result["close"]["code"], code, "{client:?}: {result}");
            assert_eq!(result["close"]["clean"], true, "{client:?}: {result}");
            expected += 1.0;
        }
        let labels = [("cause", "client_close"), ("code", label)];
        let metrics = site.gateway.wait_for_metric("disconnects_total", &labels, 2.0);
        assert_eq!(metrics.sum("disconnects_total", &[]), expected);
    }
}

#[test]
fn a_stop_reaches_every_client_on_every_route() {
    check_end("INT", "shutdown", 1001);
}

#[test]
fn a_drain_reaches_every_client_on_every_route() {
    check_end("TERM", "draining", 1012);
}

#[track_caller]
fn check_end(signal: &str, cause: &str, code: u16) {
    let mut site = Site::start(Settings::new().set("server.drain_timeout=6s"));
    let steps = json!([{ "wait_close": true }]);
    let running: Vec<_> = Client::ALL
        .into_iter()
        .flat_map(|client| Route::ALL.map(|route| (client, route)))
        .map(|(client, route)| {
            let mut scenario = site.scenario(route, ECHO, &steps);
            scenario["insecure"] = (client == Client::Chromium).into();
            let child = client.command(&scenario).spawn().unwrap();
            (client, route, child)
        })
        .collect();
    site.gateway.wait_for_metric("connections", &[("endpoint", ECHO)], running.len() as f64);
    site.gateway.signal(signal);
    for (client, route, child) in running {
        let output = child.wait_with_output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["close"]["code"], code, "{client:?} {route:?}: {result}");
        assert_eq!(result["close"]["clean"], true, "{client:?} {route:?}: {result}");
    }
    assert_eq!(site.gateway.wait_for_exit(), Some(0));
    let lines = site.gateway.log("connection closed");
    assert_eq!(lines.len(), Client::ALL.len() * Route::ALL.len());
    for line in lines {
        assert_eq!(line["cause"], cause, "{line}");
        assert_eq!(line["code"], code.to_string(), "{line}");
    }
}

#[test]
fn im_needs_a_user_and_says_so_to_each_client() {
    let site = Site::start(Settings::new());
    let steps = json!([{ "send": "hello" }, { "expect": "hello" }]);
    for client in [Client::Ws, Client::Python] {
        for route in Route::ALL {
            let result = client.run(&site.scenario(route, "/im", &steps));
            let context = format!("{client:?} {route:?}: {result}");
            assert_eq!(result["opened"], false, "{context}");
            assert_eq!(result["refused"]["status"], 400, "{context}");
            let body: Value =
                serde_json::from_str(result["refused"]["body"].as_str().unwrap()).unwrap();
            assert_eq!(body["error"]["code"], "user_required", "{context}");
        }
    }
    let paths = ["/im?user_id=a", "/im/?user_id=a", "/im?x=y&user_id=a"];
    for (client, path) in Client::ALL.into_iter().zip(paths) {
        let mut scenario = site.scenario(Route::Tls, path, &steps);
        scenario["insecure"] = (client == Client::Chromium).into();
        let result = client.run(&scenario);
        assert_eq!(result["ok"], true, "{client:?} {path}: {result}");
    }
    let labels = |outcome| [("endpoint", "/im"), ("outcome", outcome)];
    let metrics = site.gateway.metrics();
    assert_eq!(metrics.sum("handshakes_total", &labels("user_required")), 6.0);
    assert_eq!(metrics.sum("handshakes_total", &labels("accepted")), 3.0);
    assert!(site.gateway.log("connection opened").iter().all(|line| line["user"] == "a"));
}
