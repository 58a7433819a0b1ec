//! What the tests of the events share.

mod lines;
mod ownership;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::state::{Cause, CloseLabel};
use crate::telemetry::EndpointIndex;
use crate::telemetry::labels::{Outcome, PongKind};
use crate::wire::Opcode;

const WS: EndpointIndex = EndpointIndex(0);
const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SECOND: Duration = Duration::from_secs(1);

fn connection() -> ConnectionFacts<'static> {
    ConnectionFacts {
        id: Uuid::from_u128(7),
        endpoint: WS,
        remote: REMOTE,
        remote_port: Some(4711),
        user: Some("ann"),
        request_id: Some("r-1"),
        nginx: Some(NginxHop { host: "edge-1", pid: 42, connection: 9 }),
    }
}

fn opened() -> ConnectionOpened<'static> {
    ConnectionOpened {
        connection: connection(),
        handshake: Duration::from_micros(40),
        extensions: Some("permessage-deflate"),
        user_agent: Some("Mozilla/5.0"),
    }
}

fn closed(cause: Cause, code: u16) -> ConnectionClosed<'static> {
    ConnectionClosed {
        connection: connection(),
        cause,
        code: CloseLabel::of(code),
        received_code: None,
        received_reason: None,
        sent_code: None,
        detail: None,
        lifetime: SECOND,
        idle: SECOND,
        traffic: Traffic::default(),
        queue_bytes: 0,
        socket_error: None,
        tcp: None,
    }
}

fn refused(outcome: Outcome) -> HandshakeRefused<'static> {
    HandshakeRefused {
        endpoint: WS,
        outcome,
        status: Some(403),
        duration: Duration::from_micros(30),
        why: "the origin is not allowed",
        remote: REMOTE,
        request_id: None,
    }
}

fn received(opcode: Opcode, compressed_bytes: Option<u64>) -> MessageReceived {
    MessageReceived { endpoint: WS, opcode, payload_bytes: 10, wire_bytes: 16, compressed_bytes }
}

fn sent(opcode: Opcode, compressed_bytes: Option<u64>) -> MessageSent {
    MessageSent { endpoint: WS, opcode, payload_bytes: 10, wire_bytes: 12, compressed_bytes }
}

fn pong(kind: PongKind, rtt: Option<Duration>) -> PongReceived {
    PongReceived { endpoint: WS, kind, rtt }
}
