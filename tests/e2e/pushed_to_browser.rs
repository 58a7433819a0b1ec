//! What a backend publishes reaches a page in a real Chromium, through the real nginx and TLS.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::support::{Client, Gateway, Raw, Route, Settings, Site, Visit, part};

const ECHO: &str = "/ws-notifications";
const NOTIFICATIONS: usize = 100;

/// Publishes by the HTTP API; the answer.
#[track_caller]
fn publish(gateway: &Gateway, publication: &Value) -> Value {
    let body = publication.to_string();
    let mut backend = Raw::connect(gateway.admin);
    backend.send(
        format!(
            "POST /api/v1/publish HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            gateway.admin,
            body.len()
        )
        .as_bytes(),
    );
    let answer = backend.read_answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// The wall clock, which the browser shares: milliseconds since 1970.
fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[test]
fn a_browser_sees_every_notification_in_order_and_within_a_second() {
    let site = Site::start(Settings::new());
    let steps = json!([{ "mark": "open" }, { "expect_messages": NOTIFICATIONS }]);
    let mut scenario = site.scenario(Route::Tls, &format!("{ECHO}?user_id=anna"), &steps);
    scenario["insecure"] = true.into();
    let mut browser = Visit::of(Client::Chromium.command(&scenario));
    browser.wait_for_mark("open");
    // Somebody else, who must get none of it.
    let mut other = Raw::open(site.gateway.public, &format!("{ECHO}?user_id=bob"));
    let mut published = Vec::new();
    for number in 0..NOTIFICATIONS {
        let at_ms = now_ms();
        let text = format!("notification {number}");
        let answer = publish(&site.gateway, &json!({ "to": { "user": "anna" }, "text": text }));
        assert_eq!(answer["receivers"], 1, "{answer}");
        published.push((text, at_ms, answer["seq"].as_u64().unwrap()));
    }
    assert!(published.is_sorted_by_key(|(_, _, seq)| *seq), "{published:?}");
    let result = browser.result();
    assert_eq!(result["ok"], true, "{result}");
    let messages = result["messages"].as_array().unwrap();
    let heads: Vec<_> = messages.iter().map(|message| message["head"].as_str().unwrap()).collect();
    let texts: Vec<_> = published.iter().map(|(text, ..)| text.as_str()).collect();
    assert_eq!(heads, texts);
    assert!(messages.iter().all(|message| message["type"] == "text"), "{result}");
    let mut lags_ms: Vec<_> = published
        .iter()
        .zip(messages)
        .map(|((_, at_ms, _), message)| message["at_ms"].as_u64().unwrap().saturating_sub(*at_ms))
        .collect();
    lags_ms.sort_unstable();
    // The promise is about time, so this once a time is looked at: not the slowest, which a busy
    // machine may hold up, but the one in the middle.
    assert!(lags_ms[NOTIFICATIONS / 2] < 1000, "{lags_ms:?}");
    other.echo(1, b"nothing came before this");
    site.gateway.wait_for_connections(1);
}

#[test]
fn each_page_of_a_user_gets_a_push_and_an_echo_looks_the_same() {
    let site = Site::start(Settings::new());
    let page = site.url(Route::Tls, "/demo").replacen("wss", "https", 1);
    let steps = json!([
        { "fill": ["#user", "anna"] }, { "click": "#toggle" },
        { "wait_text": ["#state", "Connected as anna"] },
        { "fill": ["#text", "mine"] }, { "press": "Enter" }, { "wait_text": ["#log .in", "mine"] },
        { "mark": "open" },
        { "wait_text": ["#log .in", "<b>pushed</b> – grüße"] }, { "read_all": "#log .in pre" },
        { "read_all": "#log .in .what" }, { "read": "#log .in .facts" },
    ]);
    let mut pages = [(); 2].map(|()| Visit::start(&page, &json!({}), &steps));
    for page in &mut pages {
        page.wait_for_mark("open");
    }
    let text = "<b>pushed</b> – grüße";
    let answer = publish(&site.gateway, &json!({ "to": { "user": "anna" }, "text": text }));
    assert_eq!(answer["receivers"], 2, "{answer}");
    for page in pages {
        let seen = page.values();
        assert_eq!(seen[0], json!([text, "mine"]));
        assert_eq!(seen[1], json!(["received · text", "received · text"]));
        // A push answers nothing: no round trip is made up for it.
        assert!(!seen[2].as_str().unwrap().contains("back after"), "{seen:?}");
    }
}

#[test]
fn the_command_that_the_page_shows_pushes_to_this_page() {
    let site = Site::start(Settings::new());
    let page = site.url(Route::Tls, "/demo").replacen("wss", "https", 1);
    let steps = json!([
        { "fill": ["#user", "o'brien"] }, { "click": "#toggle" },
        { "wait_text": ["#state", "Connected"] },
        { "mark": "open" }, { "wait_stdin": true },
        { "wait_text": ["#log .in", "Hello, o'brien!"] }, { "read": "#received" },
    ]);
    let shown = json!([{ "fill": ["#user", "o'brien"] }, { "read": "#curl" }, { "read": "#cli" }]);
    let commands = Visit::start(&page, &json!({}), &shown).values();
    for command in commands {
        let mut page = Visit::start(&page, &json!({}), &steps);
        page.wait_for_mark("open");
        // The page knows the configured port, which is any free one here.
        let admin = site.gateway.admin.to_string();
        let command = command.as_str().unwrap().replace("127.0.0.1:0", &admin);
        assert!(command.contains(&admin), "{command}");
        let ran = Command::new("sh").arg("-ec").arg(with_our_programs(&command)).output().unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
        page.go_on();
        assert_eq!(page.values(), ["1 · 15 B"]);
        site.gateway.wait_for_connections(0);
    }
}

#[test]
fn a_restart_of_the_gateway_is_shown_with_the_moment_to_come_back() {
    let site = Site::start(Settings::new().set("server.drain_timeout=2s"));
    let page = site.url(Route::Tls, "/demo").replacen("wss", "https", 1);
    let steps = json!([
        { "click": "#toggle" }, { "wait_text": ["#state", "Connected"] },
        { "mark": "open" }, { "wait_text": ["#end-code", "1012"] },
        { "read": "#end-title" }, { "read": "#end-next" }, { "read": "#end-reason" },
    ]);
    let mut page = Visit::start(&page, &json!({}), &steps);
    page.wait_for_mark("open");
    site.gateway.signal("TERM");
    let seen = page.values();
    assert_eq!(seen[0], "Service restart");
    let reason = seen[2].as_str().unwrap();
    let after_ms: f64 = reason.rsplit_once("reconnect_after_ms=").unwrap().1.parse().unwrap();
    let shown = seen[1].as_str().unwrap().strip_prefix("Yes, after ").unwrap();
    let shown_s: f64 = shown.split(' ').next().unwrap().parse().unwrap();
    assert!((shown_s * 1000.0 - after_ms).abs() <= 51.0, "{reason}: {shown}");
}

/// The same command with the programs under test, wherever they are.
fn with_our_programs(command: &str) -> String {
    let (curl, gaugeway) = (part("curl"), env!("CARGO_BIN_EXE_gaugeway"));
    format!(
        "curl() {{ '{}' --silent --show-error --fail \"$@\"; }}\ngaugeway() {{ '{gaugeway}' \"$@\"; }}\n{command}",
        curl.display()
    )
}
