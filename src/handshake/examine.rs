//! The judgement of one upgrade request (RFC 6455 §4.2.1), check by check in the order in which
//! the answers help most: first what shows that this is no WebSocket client at all.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};
use sha1::{Digest, Sha1};
use uuid::Uuid;

use super::Occurrence;
use super::authority::Authority;
use super::endpoints::EndpointPolicy;
use super::forwarded::Proxies;
use super::refusal::{Refusal, excerpt};
use super::ticket::{Identity, Ticket};
use super::user::{user_of, user_required};
use crate::telemetry::labels::Outcome;
use crate::wire::{self, Deflate};

/// RFC 6455 §1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key has 128 bits, its base64 132: what the last four are is nobody's concern (RFC 6455
/// §4.2.1 counts decoded bytes only), and people type keys by hand.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

const HINT_HTTP_1_1: &str = "behind nginx set: proxy_http_version 1.1;";
const HINT_UPGRADE: &str = "open it with a WebSocket client; behind nginx set: \
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";

/// Judges a request head. `id` becomes the connection's id (a version 7 UUID, of which the caller has the
/// clock); `socket_peer` is the other end of the TCP connection, which may be nginx.
///
/// It reads no clock, waits for nothing and does not panic, whatever bytes the headers hold.
pub fn examine(
    parts: &Parts,
    socket_peer: SocketAddr,
    endpoint: &EndpointPolicy,
    proxies: &Proxies,
    id: Uuid,
) -> Result<Ticket, Refusal> {
    let headers = &parts.headers;
    check_method(&parts.method)?;
    check_http_version(parts.version)?;
    let host = host_of(parts)?;
    check_upgrade(headers)?;
    check_version(headers)?;
    let key = key_of(headers)?;
    check_no_body(headers)?;
    endpoint.origins.check(headers, &host)?;
    let user = user_of(parts.uri.query())?;
    if endpoint.require_user && user.is_none() {
        return Err(user_required());
    }
    let deflate = deflate_of(headers, endpoint)?;
    let client = proxies.client(headers, socket_peer);
    Ok(Ticket {
        identity: Identity::new(id, endpoint.index, user.as_deref(), client),
        deflate,
        accept_key: accept_key(key),
    })
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    if method == Method::GET {
        return Ok(());
    }
    let method = excerpt(method.as_str().as_bytes());
    let message = format!("a WebSocket is opened with GET, not with {method}");
    Err(Refusal::new(Outcome::BadMethod, message))
}

/// HTTP/1.0 knows no upgrade; nginx speaks it to upstreams unless it is told otherwise.
fn check_http_version(version: Version) -> Result<(), Refusal> {
    if version >= Version::HTTP_11 {
        return Ok(());
    }
    let message = format!("a WebSocket needs HTTP/1.1, this request came as {version:?}");
    Err(Refusal::new(Outcome::BadHttpVersion, message).hint(HINT_HTTP_1_1))
}

fn host_of(parts: &Parts) -> Result<Authority<'_>, Refusal> {
    let refusal = |message: String| Refusal::new(Outcome::BadHost, message).field("Host");
    let parse = |bytes| {
        let parsed = Authority::parse(bytes);
        parsed.map_err(|_| refusal(format!("{} is not a host", excerpt(bytes))))
    };
    let host = match Occurrence::of(&parts.headers, &HOST) {
        Occurrence::Once(value) => parse(value.as_bytes().trim_ascii())?,
        Occurrence::Absent => return Err(refusal("Host is missing".into())),
        Occurrence::Repeated => return Err(refusal("Host was sent more than once".into())),
    };
    // A target in absolute form replaces Host (RFC 9112 §3.2.2).
    match parts.uri.authority() {
        Some(authority) => parse(authority.as_str().as_bytes()),
        None => Ok(host),
    }
}

/// `Connection` and `Upgrade` are hop-by-hop: a proxy that does not know WebSocket drops both, and
/// both are missing from a plain visit too. That deserves another answer than a bad header.
fn check_upgrade(headers: &HeaderMap) -> Result<(), Refusal> {
    let connection = has_token(headers, &CONNECTION, b"upgrade");
    let upgrade = has_token(headers, &UPGRADE, b"websocket");
    if connection && upgrade {
        return Ok(());
    }
    if !connection && !headers.contains_key(UPGRADE) {
        let message = if headers.contains_key(SEC_WEBSOCKET_KEY) {
            "this is a WebSocket endpoint, and a proxy dropped the headers Upgrade and Connection"
        } else {
            "this is a WebSocket endpoint"
        };
        let refusal = Refusal::new(Outcome::BadUpgrade, message).field("Upgrade");
        return Err(Refusal { status: StatusCode::UPGRADE_REQUIRED, ..refusal.hint(HINT_UPGRADE) });
    }
    let (outcome, field, message) = if connection {
        let message = "Upgrade does not say websocket";
        (Outcome::BadUpgrade, "Upgrade", message)
    } else {
        let message = "Connection does not say upgrade";
        (Outcome::BadConnection, "Connection", message)
    };
    Err(Refusal::new(outcome, message).field(field).hint(HINT_UPGRADE))
}

fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    let message = match Occurrence::of(headers, &SEC_WEBSOCKET_VERSION) {
        Occurrence::Once(value) if value.as_bytes().trim_ascii() == b"13" => return Ok(()),
        Occurrence::Once(value) => {
            let version = excerpt(value.as_bytes());
            format!("Sec-WebSocket-Version must be 13, not {version}")
        }
        Occurrence::Absent => "Sec-WebSocket-Version is missing; it must be 13".into(),
        Occurrence::Repeated => "Sec-WebSocket-Version was sent more than once".into(),
    };
    Err(Refusal::new(Outcome::BadVersion, message).field("Sec-WebSocket-Version"))
}

fn key_of(headers: &HeaderMap) -> Result<&[u8], Refusal> {
    let message = match Occurrence::of(headers, &SEC_WEBSOCKET_KEY) {
        Occurrence::Once(value) => {
            let key = value.as_bytes().trim_ascii();
            if is_key(key) {
                return Ok(key);
            }
            "Sec-WebSocket-Key is not the base64 of 16 bytes"
        }
        Occurrence::Absent => "Sec-WebSocket-Key is missing",
        Occurrence::Repeated => "Sec-WebSocket-Key was sent more than once",
    };
    Err(Refusal::new(Outcome::BadKey, message).field("Sec-WebSocket-Key"))
}

fn is_key(key: &[u8]) -> bool {
    let mut decoded = [0; 18];
    key.len() == 24 && KEY_BASE64.decode_slice(key, &mut decoded) == Ok(16)
}

/// What followed the head would be read as frames, and HTTP would call it a body: one of the two
/// readers would be wrong, so there is none.
fn check_no_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let refusal = |field| {
        let message = "an upgrade request has no body";
        Refusal::new(Outcome::BadRequest, message).field(field)
    };
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(refusal("Transfer-Encoding"));
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).into_iter();
    if lengths.any(|length| length.as_bytes().trim_ascii() != b"0") {
        return Err(refusal("Content-Length"));
    }
    Ok(())
}

fn deflate_of(headers: &HeaderMap, endpoint: &EndpointPolicy) -> Result<Option<Deflate>, Refusal> {
    let offers = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
    let deflate = endpoint
        .deflate
        .and_then(|policy| wire::negotiate(offers.map(http::HeaderValue::as_bytes), policy));
    if endpoint.require_compression && deflate.is_none() {
        let message = "this endpoint needs permessage-deflate, and the client made no offer of it \
            that can be accepted";
        return Err(Refusal::new(Outcome::CompressionRequired, message)
            .field("Sec-WebSocket-Extensions")
            .hint("switch permessage-deflate on in the client; browsers and wscat offer it"));
    }
    Ok(deflate)
}

/// Whether one of the headers' comma lists has the token, in whatever case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &[u8]) -> bool {
    headers.get_all(name).into_iter().any(|value| {
        let mut tokens = value.as_bytes().split(|byte| *byte == b',');
        tokens.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(token))
    })
}

/// RFC 6455 §4.2.2, step 5.4.
fn accept_key(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    let mut accept_key = [0; 28];
    let written = STANDARD.encode_slice(digest, &mut accept_key);
    debug_assert_eq!(written, Ok(28), "20 bytes are 28 characters of base64");
    accept_key
}
