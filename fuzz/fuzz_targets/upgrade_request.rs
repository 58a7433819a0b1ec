//! Any request head against every kind of endpoint, from a trusted and from a strange peer.
//!
//! The input is text: `METHOD TARGET`, then one header per line. Nothing may panic; a ticket must
//! keep its promises, and a refusal must be small, valid JSON without raw control characters.

#![no_main]

use std::net::SocketAddr;

use gaugeway::config::Inbound;
use gaugeway::handshake::{
    AllowedOrigins, EndpointPolicy, Identity, Proxies, Refusal, Ticket, examine,
};
use gaugeway::telemetry::EndpointIndex;
use gaugeway::wire::DeflatePolicy;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

const TRUSTED: &str = "127.0.0.1:40000";
const STRANGER: &str = "203.0.113.9:40000";

fuzz_target!(|data: &[u8]| {
    let Some(parts) = read_head(data) else {
        return;
    };
    let proxies = Proxies::new(&["127.0.0.1/32".parse().expect("a network")]);
    for endpoint in endpoints() {
        for peer in [TRUSTED, STRANGER] {
            let peer: SocketAddr = peer.parse().expect("an address");
            match examine(&parts, peer, &endpoint, &proxies, Uuid::nil()) {
                Ok(ticket) => check_ticket(&ticket, &endpoint, peer),
                Err(refusal) => check_refusal(&refusal),
            }
        }
    }
});

fn read_head(data: &[u8]) -> Option<Parts> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.splitn(2, |byte| *byte == b' ');
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(words.next()?).ok()?;
    parts.uri = Uri::try_from(words.next()?).ok()?;
    for line in lines {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(halves.next()?).ok()?;
        let value = HeaderValue::from_bytes(halves.next()?.trim_ascii()).ok()?;
        parts.headers.try_append(name, value).ok()?;
    }
    Some(parts)
}

fn endpoints() -> [EndpointPolicy; 3] {
    let endpoint = |origins: &[&str]| EndpointPolicy {
        index: EndpointIndex(0),
        path: "/ws".into(),
        inbound: Inbound::Echo,
        require_user: false,
        require_compression: false,
        max_message_bytes: 65_536,
        origins: AllowedOrigins::compile(&origins.iter().map(|&o| o.into()).collect::<Vec<_>>()),
        deflate: Some(DeflatePolicy {
            context_takeover: false,
        }),
    };
    [
        endpoint(&[]),
        endpoint(&["https://app.example", "http://[::1]:3000"]),
        EndpointPolicy {
            require_user: true,
            require_compression: true,
            ..endpoint(&["*"])
        },
    ]
}

fn check_ticket(ticket: &Ticket, endpoint: &EndpointPolicy, peer: SocketAddr) {
    let identity: &Identity = &ticket.identity;
    let user = identity.user();
    assert!(user.is_some() || !endpoint.require_user);
    assert!(ticket.deflate.is_some() || !endpoint.require_compression);
    if let Some(user) = user {
        assert!((1..=128).contains(&user.len()));
        assert!(!user.contains(char::is_control));
    }
    let client = identity.client();
    if peer.to_string() == STRANGER {
        assert_eq!(
            (client.address, client.port),
            (peer.ip(), Some(peer.port()))
        );
        assert_eq!((client.request_id, client.nginx), (None, None));
    }
    let response: http::Response<()> = ticket.response();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-accept"].len(), 28);
}

fn check_refusal(refusal: &Refusal) {
    let response = refusal.response();
    assert!(response.status().is_client_error());
    assert!(response.body().len() < 1024);
    assert!(!response.body().contains(char::is_control));
    let body: serde_json::Value = serde_json::from_str(response.body()).expect("JSON");
    assert_eq!(body["error"]["code"], refusal.outcome.as_str());
}
