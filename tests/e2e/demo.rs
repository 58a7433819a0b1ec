//! The demo page in a real Chromium, through the real nginx and TLS.

use std::process::Command;

use serde_json::{Value, json};

use super::support::{Raw, Route, Settings, Site, Visit};

const ECHO: &str = "/ws-notifications";

/// Where the page is.
fn url(site: &Site) -> String {
    site.url(Route::Tls, "/demo").replacen("wss", "https", 1)
}

/// The steps that connect to an endpoint, and these behind them.
fn connected(endpoint: &str, user: &str, then: &Value) -> Value {
    let mut steps = vec![
        json!({ "select": ["#endpoint", endpoint] }),
        json!({ "fill": ["#user", user] }),
        json!({ "click": "#toggle" }),
        json!({ "wait_text": ["#state", "Connected"] }),
    ];
    steps.extend(then.as_array().unwrap().iter().cloned());
    steps.into()
}

/// Visits the page, connects to the echo endpoint as anna, takes these steps; what they gave.
#[track_caller]
fn visit(site: &Site, then: &Value) -> Vec<Value> {
    Visit::start(&url(site), &json!({}), &connected(ECHO, "anna", then)).values()
}

#[track_caller]
fn assert_has(value: &Value, expected: &str) {
    let text = value.as_str().unwrap_or_else(|| panic!("not a text: {value}"));
    assert!(text.contains(expected), "{expected:?} is not in {text:?}");
}

#[test]
fn a_message_goes_out_and_comes_back_and_everything_about_it_is_shown() {
    let site = Site::start(Settings::new());
    let mut seen = visit(
        &site,
        &json!([
            { "evaluate": "getComputedStyle(document.getElementById('toggle')).color !=
                getComputedStyle(document.querySelector('.card')).backgroundColor" },
            { "fill": ["#text", "grüße"] }, { "press": "Enter" }, { "wait_count": ["#log .in", 1] },
            { "read": "#log .in" }, { "read": "#rtt" }, { "read": "#compression" },
            { "read": "#sent" }, { "read": "#received" }, { "read": "#state" },
            { "click": "#toggle" }, { "wait_text": ["#end-code", "1000"] }, { "read": "#end" },
            { "read": "#state" }, { "read": "#toggle" },
        ]),
    );
    assert_eq!(seen.remove(0), true, "the button under the mouse cannot be read");
    for expected in ["received · text", "grüße", "7 B · back after ", " ms"] {
        assert_has(&seen[0], expected);
    }
    assert_has(&seen[1], " ms");
    assert_eq!(seen[2], "permessage-deflate");
    assert_eq!((&seen[3], &seen[4]), (&"1 · 7 B".into(), &"1 · 7 B".into()));
    assert_eq!(seen[5], "Connected as anna");
    for expected in ["1000", "Normal closure", "you", "yes", "none given"] {
        assert_has(&seen[6], expected);
    }
    assert_eq!((&seen[7], &seen[8]), (&"Disconnected".into(), &"Connect".into()));
    site.gateway.wait_for_metric("disconnects_total", &[("code", "1000")], 1.0);
    assert_eq!(site.gateway.log("connection opened")[0]["user"], "anna");
}

#[test]
fn after_a_crash_of_the_gateway_1006_is_shown_and_explained() {
    let mut site = Site::start(Settings::new());
    let steps = json!([
        { "mark": "open" }, { "wait_stdin": true }, { "wait_text": ["#end-code", "1006"] },
        { "read": "#end" }, { "read": "#state" },
    ]);
    let mut visit = Visit::start(&url(&site), &json!({}), &connected(ECHO, "anna", &steps));
    visit.wait_for_mark("open");
    site.gateway.signal("KILL");
    site.gateway.wait_for_exit();
    visit.go_on();
    let seen = visit.values();
    for expected in [
        "Abnormal closure",
        "No Close frame came: the network, a proxy or a crash.",
        "gaugeway_disconnects_total",
        "unknown from here",
        "no",
    ] {
        assert_has(&seen[0], expected);
    }
    assert_eq!(seen[1], "Disconnected");
}

#[test]
fn a_connection_that_was_refused_is_not_taken_for_one_that_broke() {
    let site = Site::start(Settings::new().set("auth.allowed_origins=https://other.example"));
    let steps = json!([
        { "click": "#toggle" }, { "wait_text": ["#state", "Could not connect"] }, { "read": "#end" },
    ]);
    let result = Visit::start(&url(&site), &json!({}), &steps).result();
    for expected in ["1006", "Never opened", "gaugeway_handshakes_total"] {
        assert_has(&result["values"][0], expected);
    }
    // The browser's own line, which is about the handshake.
    assert_has(&result["problems"][0], "403");
}

#[test]
fn everything_can_be_done_by_keyboard() {
    let site = Site::start(Settings::new());
    let steps = json!([
        { "tab_to": "#endpoint" }, { "press": "ArrowDown" },
        { "tab_to": "#user" }, { "type": "anna" }, { "press": "Enter" },
        { "wait_text": ["#state", "Connected as anna"] },
        // Enter in the user's field connects; once connected it does nothing.
        { "press": "Enter" },
        { "tab_to": "#text" }, { "type": "first" }, { "press": "Shift+Enter" },
        { "type": "second" }, { "press": "Enter" }, { "wait_count": ["#log .in", 1] },
        { "read": "#log .in pre" },
        { "tab_to": "#clear" }, { "press": "Enter" }, { "read": "#empty" },
        { "tab_to": "#log" }, { "tab_to": "[data-copies=curl]" }, { "tab_to": "[data-copies=cli]" },
        { "tab_to": "#toggle" }, { "press": "Space" }, { "wait_text": ["#end-code", "1000"] },
        { "read": "#state" },
        { "evaluate": "document.activeElement.id" },
    ]);
    let seen = Visit::start(&url(&site), &json!({}), &steps).values();
    assert_eq!(seen[0], "first\nsecond");
    assert_has(&seen[1], "Nothing yet");
    assert_eq!((&seen[2], &seen[3]), (&"Disconnected".into(), &"toggle".into()));
    // The arrow key has chosen the second endpoint.
    assert_eq!(site.gateway.log("connection opened")[0]["endpoint"], "/ws");
}

#[test]
fn a_hostile_message_is_text() {
    const HOSTILE: &str =
        "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>";
    let site = Site::start(Settings::new());
    let seen = visit(
        &site,
        &json!([
            { "fill": ["#text", HOSTILE] }, { "click": "#send" },
            { "wait_count": ["#log .in", 1] }, { "read": "#log .in pre" },
            { "evaluate": "document.title" },
            { "evaluate": "document.querySelectorAll('img, #log script').length" },
        ]),
    );
    assert_eq!(seen, [json!(HOSTILE), json!("Gaugeway demo"), json!(0)]);
}

#[test]
fn the_policy_stops_what_would_get_into_the_page_all_the_same() {
    let site = Site::start(Settings::new());
    let steps = json!([
        { "evaluate": "(() => { try { document.body.innerHTML = 'a' } catch (e) { return e.name } })()" },
        { "evaluate": "document.body.append(Object.assign(document.createElement('style'), { textContent: 'a{}' }))" },
        { "evaluate": "document.body.append(Object.assign(document.createElement('img'), { src: '/ping' }))" },
        { "evaluate": "fetch('https://elsewhere.invalid/').catch((error) => error.name)" },
    ]);
    let result = Visit::start(&url(&site), &json!({}), &steps).result();
    assert_eq!(result["values"][0], "TypeError", "{result}");
    let problems = result["problems"].to_string();
    for directive in ["TrustedHTML", "style-src", "img-src", "connect-src"] {
        assert!(problems.contains(directive), "{directive}: {problems}");
    }
}

#[test]
fn a_message_of_100_kib_is_refused_with_1009_and_the_reason() {
    let site = Site::start(Settings::new());
    let seen = visit(
        &site,
        &json!([
            { "fill_length": ["#text", 100 << 10] }, { "click": "#send" },
            { "wait_text": ["#end-code", "1009"] }, { "read": "#end" },
        ]),
    );
    for expected in ["Message too big", "the other end, with a Close frame", "65536"] {
        assert_has(&seen[0], expected);
    }
}

#[test]
fn im_asks_for_a_user_before_it_connects() {
    let site = Site::start(Settings::new());
    let steps = json!([
        { "select": ["#endpoint", "/im"] }, { "read": "#user-need" }, { "click": "#toggle" },
        { "wait_text": ["#user-error", "without a user name"] },
        { "evaluate": "document.activeElement.id" },
        { "type": "bob" }, { "press": "Enter" }, { "wait_text": ["#state", "Connected as bob"] },
        { "evaluate": "document.getElementById('user-error').hidden" },
    ]);
    let seen = Visit::start(&url(&site), &json!({}), &steps).values();
    assert_eq!(seen, [json!("(required)"), json!("user"), json!(true)]);
    assert_eq!(
        site.gateway.metrics().sum("handshakes_total", &[("outcome", "user_required")]),
        0.0
    );
}

#[test]
fn a_name_that_every_endpoint_refuses_is_told_before_it_is_sent() {
    let site = Site::start(Settings::new());
    for (name, told) in [("ö".repeat(65), "has 130"), ("an\tna".to_owned(), "control characters")]
    {
        let steps = json!([
            { "fill": ["#user", name] }, { "click": "#toggle" }, { "wait_text": ["#user-error", told] },
            { "fill": ["#user", "ö".repeat(64)] }, { "click": "#toggle" },
            { "wait_text": ["#state", "Connected"] },
        ]);
        Visit::start(&url(&site), &json!({}), &steps).values();
    }
}

#[test]
fn nothing_scrolls_sideways_whatever_is_in_it() {
    let site = Site::start(Settings::new());
    // The longest name there is, without any place to break it.
    let steps = connected(
        ECHO,
        &"m".repeat(128),
        &json!([
            { "fill_length": ["#text", 3000] }, { "click": "#send" },
            { "wait_count": ["#log .in", 1] }, { "click": "#toggle" },
            { "wait_text": ["#end-code", "1000"] },
            { "evaluate": "[document.scrollingElement, ...document.querySelectorAll('.card, #log')]
                .every((box) => box.scrollWidth <= box.clientWidth)" },
            { "evaluate": "[...document.querySelectorAll('input, select, textarea')]
                .every((field) => parseFloat(getComputedStyle(field).fontSize) >= 16)" },
        ]),
    );
    for width in [320, 360, 700, 1280] {
        let options = json!({ "viewport": { "width": width, "height": 640 } });
        let seen = Visit::start(&url(&site), &options, &steps).values();
        assert_eq!(seen, [json!(true), json!(true)], "{width}");
    }
}

#[test]
fn the_log_keeps_the_newest_and_says_how_many_there_were() {
    const BROADCASTS: usize = 250;
    let site = Site::start(Settings::new());
    let steps = json!([
        { "mark": "open" },
        { "wait_text": ["#received", "251"] }, { "read_all": "#log .in pre" }, { "read": "#kept" },
        { "read": "#log .what" },
    ]);
    let mut visit = Visit::start(&url(&site), &json!({}), &connected("/ws", "anna", &steps));
    visit.wait_for_mark("open");
    let mut sender = Raw::open(site.gateway.public, "/ws");
    for number in 0..BROADCASTS {
        sender.send_frame(1, format!("number {number}").as_bytes());
    }
    sender.send_frame(2, &[0xc0; 100]);
    let seen = visit.values();
    let kept = seen[0].as_array().unwrap();
    assert_eq!(kept.len(), 200);
    assert_eq!(kept[0], format!("{}…", "c0 ".repeat(64)));
    assert_eq!(kept[1], "number 249");
    assert_eq!(kept[199], "number 51");
    // Two notes, about the way to the open connection, were the first.
    assert_eq!(seen[1], "Newest first; the last 200 of 253 are kept.");
    assert_eq!(seen[2], "received · binary");
}

#[test]
fn the_commands_for_a_push_survive_a_shell_whatever_the_users_name() {
    let site = Site::start(Settings::new());
    let words = |command: &str, program: &str| -> Vec<String> {
        let script = format!("{program}() {{ printf '%s\\0' \"$@\"; }}\n{command}");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_terminator('\0').map(ToOwned::to_owned).collect()
    };
    for user in ["anna", "o'brien & \"co\" $(touch x) \\ `y`", "größe"] {
        let seen = visit_without_connecting(&site, user);
        let [curl, cli] = [&seen[0], &seen[1]].map(|text| text.as_str().unwrap());
        let curl = words(curl, "curl");
        assert!(curl[0].ends_with("/api/v1/publish"), "{curl:?}");
        let body: Value = serde_json::from_str(curl.last().unwrap()).unwrap();
        assert_eq!(body, json!({ "to": { "user": user }, "text": format!("Hello, {user}!") }));
        let cli = words(cli, "gaugeway");
        let expected = ["--to".to_owned(), format!("user:{user}"), format!("Hello, {user}!")];
        assert_eq!((cli[0].as_str(), &cli[cli.len() - 3..]), ("publish", &expected[..]));
    }
}

#[track_caller]
fn visit_without_connecting(site: &Site, user: &str) -> Vec<Value> {
    let steps = json!([{ "fill": ["#user", user] }, { "read": "#curl" }, { "read": "#cli" }]);
    Visit::start(&url(site), &json!({}), &steps).values()
}

#[test]
fn the_page_is_one_file_with_or_without_its_body() {
    let site = Site::start(Settings::new());
    let ask = |route: Route, method: &str, path: &str| {
        let address = site.address(route);
        let mut client = Raw::connect(address);
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        client.send(request.as_bytes());
        String::from_utf8(client.read_to_end()).unwrap()
    };
    for route in [Route::Direct, Route::Plain] {
        let get = ask(route, "GET", "/demo");
        let (head, body) = get.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && body.starts_with("<!DOCTYPE html>"), "{head}");
        let head = head.to_lowercase();
        for expected in [
            "content-type: text/html; charset=utf-8",
            "content-security-policy: default-src 'none'; script-src 'sha256-",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-cache",
            &format!("content-length: {}", body.len()),
        ] {
            assert!(head.contains(expected), "{expected}: {head}");
        }
        let with_slash = ask(route, "GET", "/demo/");
        assert_eq!(with_slash.split_once("\r\n\r\n").unwrap().1, body);
        let without_body = ask(route, "HEAD", "/demo");
        let (head, nothing) = without_body.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("ength: {}", body.len())) && nothing.is_empty(), "{head}");
        assert!(ask(route, "POST", "/demo").starts_with("HTTP/1.1 405 "));
    }
}
