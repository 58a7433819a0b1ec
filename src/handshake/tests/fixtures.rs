//! A browser's request behind nginx, edits of it, and a configuration with an endpoint per rule.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Request, header::HeaderName};
use uuid::Uuid;

use crate::config::*;
use crate::handshake::*;

pub const ID: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
pub const NGINX: &str = "127.0.0.1:40000";
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What Chromium sends, and what nginx adds.
pub const BROWSER: &[(&str, &str)] = &[
    ("Host", "app.example"),
    ("Connection", "upgrade"),
    ("Upgrade", "websocket"),
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0.0.0"),
    ("Origin", "https://app.example"),
    ("Sec-WebSocket-Version", "13"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("Cookie", "session=0123456789abcdef0123456789abcdef"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
    ("X-Real-IP", "203.0.113.9"),
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Request-ID", "4f00c2f3a1b2c3d4e5f60718293a4b5c"),
    ("X-Nginx-Host", "edge-1"),
    ("X-Nginx-Pid", "4711"),
    ("X-Nginx-Connection", "9"),
];

pub fn config() -> Config {
    let endpoint = |path: &str| Endpoint {
        path: path.into(),
        inbound: Inbound::Echo,
        require_user: false,
        require_compression: false,
        max_message_bytes: None,
        allowed_origins: None,
        context_takeover: None,
    };
    let second = std::time::Duration::from_secs(1);
    Config {
        api: Api::default(),
        server: Server {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
            max_connections: 0,
            max_connections_per_ip: 0,
            handshake_timeout: second,
            drain_timeout: second,
            shards: 0,
            allow_insecure: false,
        },
        heartbeat: Heartbeat { ping_interval: second, pong_wait: second },
        limits: Limits {
            write_wait: second,
            close_wait: second,
            max_message_bytes: 65_536,
            send_queue_bytes: 1 << 20,
            send_queue_messages: 256,
        },
        compression: Compression {
            enabled: true,
            level: 1,
            min_bytes: 128,
            context_takeover: false,
        },
        auth: Auth { mode: AuthMode::None, allowed_origins: Vec::new() },
        telemetry: Telemetry { log: "info".into(), log_format: LogFormat::Json },
        endpoints: vec![
            endpoint("/ws"),
            Endpoint { require_user: true, ..endpoint("/im") },
            Endpoint {
                require_compression: true,
                max_message_bytes: Some(100),
                allowed_origins: Some(vec!["https://other.example".into()]),
                context_takeover: Some(true),
                ..endpoint("/strict")
            },
            Endpoint { allowed_origins: Some(vec!["*".into()]), ..endpoint("/open") },
        ],
    }
}

/// A browser's request with edits: `("Name", "value")` replaces, `("+Name", …)` adds,
/// `("-Name", "")` removes.
pub fn request(target: &str, edits: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = target.parse().unwrap();
    let headers = request.headers_mut();
    for (name, value) in BROWSER.iter().chain(edits) {
        edit(headers, name, value.as_bytes());
    }
    request
}

pub fn edit(headers: &mut HeaderMap, name: &str, value: &[u8]) {
    let (operation, name) = match name.split_at(1) {
        (sign @ ("+" | "-"), name) => (sign, name),
        _ => ("", name),
    };
    let name: HeaderName = name.parse().unwrap();
    match operation {
        "-" => drop(headers.remove(name)),
        "+" => drop(headers.append(name, HeaderValue::from_bytes(value).unwrap())),
        _ => drop(headers.insert(name, HeaderValue::from_bytes(value).unwrap())),
    }
}

pub fn judge(request: Request<()>) -> Result<Ticket, Refusal> {
    let config = config();
    let endpoints = Endpoints::compile(&config);
    let proxies = Proxies::new(&config.server.trusted_proxies);
    let (parts, ()) = request.into_parts();
    let (_, endpoint) = endpoints.find(parts.uri.path()).unwrap();
    let peer: SocketAddr = NGINX.parse().unwrap();
    let verdict = examine(&parts, peer, endpoint, &proxies, ID);
    if let Err(refusal) = &verdict {
        let response = refusal.response();
        let body: serde_json::Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(body["error"]["code"], refusal.outcome.as_str());
        assert_eq!(body["error"]["message"], refusal.message.as_str());
        assert_eq!(body["error"]["field"].as_str(), refusal.field);
        assert_eq!(body["error"]["hint"].as_str(), refusal.hint.as_deref());
        assert!(response.body().len() < 1024, "{body}");
        assert!(!response.body().contains(char::is_control), "{body}");
    }
    verdict
}
