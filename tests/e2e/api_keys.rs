//! Who may use the API: with keys, whoever has one; without, programs of this machine.

use serde_json::json;

use super::support::{Api, Gateway, Raw, Settings};

const SECRET: &str = "0123456789abcdef";
const STATS: &str = "/api/v1/stats";
const PUBLISH: &str = "/api/v1/publish";

/// Every route of the API, and paths at which there is nothing.
const GUARDED: [(&str, &str); 10] = [
    ("POST", PUBLISH),
    ("GET", PUBLISH),
    ("GET", "/api/v1/connections"),
    ("GET", "/api/v1/connections/7"),
    ("DELETE", "/api/v1/connections/7"),
    ("DELETE", "/api/v1/users/7/connections"),
    ("GET", STATS),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/nothing"),
    ("GET", "/api"),
];

fn keyed() -> Gateway {
    Settings::new().file(&format!("[api]\nkeys = [\"backend:{SECRET}\"]\n")).start()
}

#[test]
fn with_keys_every_route_of_the_api_needs_one() {
    let gateway = keyed();
    let _witness = Raw::open(gateway.public, "/ws-notifications?id=7");
    let bad = [
        None,
        Some("Bearer 0123456789abcdeF"),
        Some("Bearer backend:0123456789abcdef"),
        Some("Basic YmFja2VuZDow"),
        Some(""),
    ];
    for authorization in bad {
        let mut api = Api::of(&gateway);
        if let Some(value) = authorization {
            api = api.header("Authorization", value);
        }
        for (method, path) in GUARDED {
            let body = r#"{"to":{"everyone":true},"text":"x"}"#;
            let answer = api.call(method, path, if method == "POST" { body } else { "" });
            let what = format!("{method} {path} {authorization:?}");
            assert_eq!(answer.refused(&what, 401, "unauthorized"), "Authorization", "{what}");
            assert!(answer.header("www-authenticate").is_some_and(|it| it.starts_with("Bearer")));
        }
    }
    let twice = Api::of(&gateway)
        .header("Authorization", &format!("Bearer {SECRET}"))
        .header("Authorization", &format!("Bearer {SECRET}"))
        .call("GET", STATS, "");
    twice.refused("two keys", 401, "unauthorized");
    for path in ["/metrics", "/health/live", "/health/ready"] {
        assert_eq!(gateway.admin_get(path).0, 200, "{path}");
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("auth_api_denied_total", &[]), (5 * GUARDED.len() + 1) as f64);
    assert_eq!(metrics.sum("publications_total", &[]), 0.0);
    let lines = gateway.log("API request denied");
    assert!(!lines.is_empty() && !format!("{lines:?}").contains("abcde"), "{lines:?}");
}

#[test]
fn a_key_opens_the_api_from_whatever_host() {
    let gateway = keyed();
    let mut api = Api::of(&gateway)
        .host("gateway.internal:8081")
        .header("Origin", "http://elsewhere.example")
        .header("authorization", &format!("bearer {SECRET}"));
    assert_eq!(api.publish(&json!({ "to": { "everyone": true }, "text": "x" }))["seq"], 1);
    assert_eq!(api.well("DELETE", "/api/v1/users/7/connections", "")["disconnected"], 0);
    let described = api.well("GET", "/api/v1/openapi.json", "");
    assert_eq!(described["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    assert_eq!(gateway.metrics().sum("auth_api_denied_total", &[]), 0.0);
}

#[test]
fn whoever_disconnects_is_named_by_the_key() {
    let gateway = keyed();
    let _client = Raw::open(gateway.public, "/ws?id=7");
    let mut api = Api::of(&gateway).header("Authorization", &format!("Bearer {SECRET}"));
    gateway.wait_for_connections(1);
    assert_eq!(api.well("DELETE", "/api/v1/users/7/connections", "")["disconnected"], 1);
    assert_eq!(gateway.log("connections kicked")[0]["by"], "backend");
}

#[test]
fn a_loop_of_denied_requests_does_not_flood_the_log() {
    const REQUESTS: usize = 2000;
    let gateway = keyed();
    let mut api = Api::of(&gateway);
    for _ in 0..REQUESTS {
        assert_eq!(api.call("GET", STATS, "").status, 401);
    }
    assert_eq!(gateway.metrics().sum("auth_api_denied_total", &[]), REQUESTS as f64);
    let lines = gateway.log("API request denied");
    assert!((1..REQUESTS / 20).contains(&lines.len()), "{} lines", lines.len());
    let told: u64 = lines.iter().map(|line| line["unlogged"].as_u64().unwrap() + 1).sum();
    assert!(told <= REQUESTS as u64, "{lines:?}");
}

#[test]
fn without_keys_no_web_page_gets_in() {
    let gateway = Gateway::start();
    let port = gateway.admin.port();
    let call = |host: &str, origin: Option<&str>| {
        let mut api = Api::of(&gateway).host(host);
        if let Some(origin) = origin {
            api = api.header("Origin", origin);
        }
        api.call("GET", STATS, "")
    };
    for host in ["127.0.0.1", &format!("localhost:{port}"), "[::1]:8081", "10.1.2.3"] {
        assert_eq!(call(host, None).status, 200, "{host}");
    }
    let answer = call("rebound.example", None);
    assert_eq!(answer.refused("DNS rebinding", 403, "forbidden_host"), "Host");
    for origin in ["null", "https://page.example", "http://localhost:3000"] {
        let answer = call(&format!("localhost:{port}"), Some(origin));
        assert_eq!(answer.refused(origin, 403, "forbidden_origin"), "Origin");
    }
    let own = format!("http://localhost:{port}");
    assert_eq!(call(&format!("localhost:{port}"), Some(&own)).status, 200);
    assert_eq!(gateway.metrics().sum("auth_api_denied_total", &[]), 4.0);
    assert_eq!(gateway.admin_get("/metrics").0, 200);
}

#[test]
fn keys_and_limits_change_with_a_reload() {
    let gateway = keyed();
    let with =
        |secret: &str| Api::of(&gateway).header("Authorization", &format!("Bearer {secret}"));
    let (mut old, mut new) = (with(SECRET), with("fedcba9876543210"));
    let body = json!({ "to": { "everyone": true }, "text": "x".repeat(5000) }).to_string();
    assert_eq!(old.call("POST", PUBLISH, &body).status, 200);
    assert_eq!(new.call("POST", PUBLISH, &body).status, 401);
    gateway.reload("[api]\nkeys = [\"backend:fedcba9876543210\"]\nmax_body_bytes = 4096\n");
    assert_eq!(old.call("GET", STATS, "").status, 401, "also on a kept connection");
    assert_eq!(new.call("GET", STATS, "").status, 200);
    new.call("POST", PUBLISH, &body).refused("a body over the new limit", 413, "body_too_large");
}
