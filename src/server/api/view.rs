//! A connection as the API shows it.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::connection::{Peer, PeerState};
use crate::handshake::Endpoints;
use crate::state::Now;
use crate::telemetry::rfc3339;

/// An open connection at this moment.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Connection {
    /// The connection's id, a UUID of version 7: ids are in the order of their beginnings.
    #[schemars(extend("format" = "uuid"))]
    pub(super) id: String,
    /// The path it is connected to, as configured.
    endpoint: String,
    /// Whose it is, if it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The client's address, with its port where that is known.
    remote: String,
    /// `X-Request-ID` of its upgrade request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// The nginx connection through which it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    nginx: Option<Nginx>,
    /// When it was accepted, by the gateway's clock.
    #[schemars(extend("format" = "date-time"))]
    opened_at: String,
    /// Since its 101.
    age_seconds: f64,
    /// Since the last byte either way.
    idle_seconds: f64,
    /// The round-trip time of its last answered ping.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_rtt_seconds: Option<f64>,
    /// `closing`: a Close frame has gone or come.
    state: State,
    /// What `Sec-WebSocket-Extensions` of its 101 said.
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<String>,
    /// Text and binary messages that it sent.
    messages_in: u64,
    /// Text and binary messages handed over to it.
    messages_out: u64,
    /// Payload that it sent, after decompression.
    payload_bytes_in: u64,
    /// Payload handed over to it, before compression.
    payload_bytes_out: u64,
    /// Everything that was read from its socket.
    wire_bytes_in: u64,
    /// Everything that the kernel took for it.
    wire_bytes_out: u64,
    /// Bytes that wait for its socket.
    queued_bytes: u64,
}

/// What nginx calls a connection in its error log.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nginx {
    host: String,
    pid: u32,
    connection: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Open,
    Closing,
}

impl Connection {
    pub(super) fn of(peer: &Peer, now: Now, endpoints: &Endpoints) -> Self {
        let PeerState {
            age,
            idle,
            last_rtt,
            is_closing,
            received,
            messages_sent,
            payload_bytes_sent,
            wire_bytes_sent,
            queued_bytes,
        } = peer.state(now);
        let identity = &peer.identity;
        let client = identity.client();
        let endpoint = endpoints.get(identity.endpoint);
        Self {
            id: identity.id.to_string(),
            endpoint: endpoint.map_or_else(String::new, |endpoint| endpoint.path.to_string()),
            user: identity.user().map(str::to_owned),
            remote: match client.port {
                Some(port) => SocketAddr::new(client.address, port).to_string(),
                None => client.address.to_string(),
            },
            request_id: client.request_id.map(str::to_owned),
            nginx: client.nginx.map(|hop| Nginx {
                host: hop.host.to_owned(),
                pid: hop.pid,
                connection: hop.connection,
            }),
            opened_at: opened_at(identity.id),
            age_seconds: age.as_secs_f64(),
            idle_seconds: idle.as_secs_f64(),
            last_rtt_seconds: last_rtt.as_ref().map(Duration::as_secs_f64),
            state: if is_closing { State::Closing } else { State::Open },
            extensions: peer.deflate.map(|deflate| deflate.to_string()),
            messages_in: received.messages,
            messages_out: messages_sent,
            payload_bytes_in: received.payload_bytes,
            payload_bytes_out: payload_bytes_sent,
            wire_bytes_in: received.wire_bytes,
            wire_bytes_out: wire_bytes_sent,
            queued_bytes: queued_bytes as u64,
        }
    }
}

/// The id was made with the upgrade request, and holds the time in milliseconds (RFC 9562 §5.7).
fn opened_at(id: Uuid) -> String {
    let (seconds, nanoseconds) = id.get_timestamp().map_or((0, 0), |time| time.to_unix());
    rfc3339(seconds, nanoseconds / 1_000_000)
}
