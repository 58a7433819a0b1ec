//! A connection's opening and its end: one wide line each.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tracing::Level;
use uuid::Uuid;

use super::text::{NAME_CHARS_MAX, PROSE_CHARS_MAX, bounded};
use crate::state::{Cause, CloseLabel};
use crate::telemetry::{End, EndpointIndex, OFF, Recorder};

/// Who is at the other end. It is repeated on both lines, so that each can be read alone and joined
/// with nginx' logs: an access line by request id, an error line by host, pid and connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionFacts<'a> {
    /// The connection's own id.
    pub id: Uuid,
    /// Where it is.
    pub endpoint: EndpointIndex,
    /// The client's address: behind a trusted proxy the one that it reports.
    pub remote: IpAddr,
    /// The client's port, where it is known.
    pub remote_port: Option<u16>,
    /// Whom it belongs to.
    pub user: Option<&'a str>,
    /// nginx' `X-Request-ID`.
    pub request_id: Option<&'a str>,
    /// nginx' own name for the connection.
    pub nginx: Option<NginxHop<'a>>,
}

/// `X-Nginx-Host`, `X-Nginx-Pid`, `X-Nginx-Connection`, from a trusted proxy.
#[derive(Debug, Clone, Copy)]
pub struct NginxHop<'a> {
    /// The machine's name.
    pub host: &'a str,
    /// The worker.
    pub pid: u32,
    /// `$connection`.
    pub connection: u64,
}

/// A connection is open: its handshake was accepted, the 101 was written and the socket is ours.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionOpened<'a> {
    /// Whose.
    pub connection: ConnectionFacts<'a>,
    /// From the request's head to the 101.
    pub handshake: Duration,
    /// The answered `Sec-WebSocket-Extensions`; `None` = uncompressed.
    pub extensions: Option<&'a str>,
    /// The client's `User-Agent`.
    pub user_agent: Option<&'a str>,
}

impl ConnectionOpened<'_> {
    /// Counts and logs it.
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { connection, handshake, extensions, user_agent } = self;
        recorder.connection_opened(connection.endpoint, handshake);
        tracing::event!(
            Level::INFO,
            connection_id = %connection.id,
            request_id = name(connection.request_id).as_deref(),
            endpoint = recorder.endpoint_name(connection.endpoint),
            remote = %connection.remote,
            remote_port = connection.remote_port,
            user = name(connection.user).as_deref(),
            extensions,
            user_agent = user_agent.map(|agent| bounded(agent, PROSE_CHARS_MAX)).as_deref(),
            nginx_host = name(connection.nginx.map(|nginx| nginx.host)).as_deref(),
            nginx_pid = connection.nginx.map(|nginx| nginx.pid),
            nginx_connection = connection.nginx.map(|nginx| nginx.connection),
            "connection opened"
        );
    }
}

fn name(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.map(|text| bounded(text, NAME_CHARS_MAX))
}

/// What crossed a connection in its life.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Text and binary messages from the client.
    pub messages_in: u64,
    /// Text and binary messages to the client.
    pub messages_out: u64,
    /// Their payload, uncompressed.
    pub payload_bytes_in: u64,
    /// Their payload, uncompressed.
    pub payload_bytes_out: u64,
    /// Frames of the client, headers included.
    pub wire_bytes_in: u64,
    /// Frames to the client, headers included.
    pub wire_bytes_out: u64,
    /// Publications that were queued for it and never left: they had been counted as delivered.
    pub unsent_publications: u64,
    /// Pings of the gateway.
    pub pings_sent: u64,
    /// Pongs of the client that matched a ping.
    pub pongs_received: u64,
    /// From the last matched pong.
    pub last_rtt: Option<Duration>,
}

/// The first error that the socket gave; later ones are its consequences.
#[derive(Debug, Clone, Copy)]
pub struct SocketError<'a> {
    /// `read`, `write`, `shutdown`.
    pub operation: &'static str,
    /// The operating system's word.
    pub error: &'a io::Error,
}

/// What the kernel knew of the socket at its end (`TCP_INFO`): it tells a lost path from a hung
/// client.
#[derive(Debug, Clone, Copy)]
pub struct TcpFacts {
    /// Smoothed round trip to the next hop (nginx).
    pub rtt: Duration,
    /// Segments sent and not acknowledged.
    pub unacknowledged: u32,
    /// Retransmissions of the segment that is due.
    pub retransmits: u32,
    /// Since the last acknowledgement.
    pub last_ack_received: Duration,
}

/// A connection has ended. Emitted exactly once per [`ConnectionOpened`].
#[derive(Debug, Clone, Copy)]
pub struct ConnectionClosed<'a> {
    /// Whose.
    pub connection: ConnectionFacts<'a>,
    /// The first thing that ended it.
    pub cause: Cause,
    /// The first Close code received, or sent and answered; else 1006.
    pub code: CloseLabel,
    /// The code of the client's Close frame, as it came; 1005 = a Close without code.
    pub received_code: Option<u16>,
    /// The reason in the client's Close frame.
    pub received_reason: Option<&'a str>,
    /// The code of the gateway's Close frame.
    pub sent_code: Option<u16>,
    /// The cause in detail: which rule was violated, which limit reached.
    pub detail: Option<&'a str>,
    /// Since it was opened.
    pub lifetime: Duration,
    /// Since the last byte either way.
    pub idle: Duration,
    /// What crossed it.
    pub traffic: Traffic,
    /// What its send queue held and nobody will get.
    pub queue_bytes: u64,
    /// The first error of its socket.
    pub socket_error: Option<SocketError<'a>>,
    /// What the kernel knew.
    pub tcp: Option<TcpFacts>,
}

impl ConnectionClosed<'_> {
    /// Whether it ended without a Close handshake: what a browser calls 1006.
    pub fn is_abnormal(&self) -> bool {
        self.code == CloseLabel::of(1006)
    }

    /// Counts and logs it.
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let abnormal = self.is_abnormal();
        let endpoint = self.connection.endpoint;
        let end = End {
            cause: self.cause,
            code: self.code,
            abnormal,
            lifetime: self.lifetime,
            idle: self.idle,
            unsent_publications: self.traffic.unsent_publications,
        };
        recorder.connection_closed(endpoint, end);
        self.log(recorder.endpoint_name(endpoint), abnormal);
    }

    fn log(self, endpoint: &str, abnormal: bool) {
        let Self {
            connection,
            cause,
            code,
            received_code,
            received_reason,
            sent_code,
            detail,
            lifetime,
            idle,
            traffic,
            queue_bytes,
            socket_error,
            tcp,
        } = self;
        tracing::event!(
            Level::INFO,
            connection_id = %connection.id,
            request_id = name(connection.request_id).as_deref(),
            endpoint,
            remote = %connection.remote,
            remote_port = connection.remote_port,
            user = name(connection.user).as_deref(),
            initiator = cause.initiator().as_str(),
            cause = cause.as_str(),
            code = code.as_str(),
            abnormal,
            received_code,
            received_reason = name(received_reason).as_deref(),
            sent_code,
            detail = detail.map(|detail| bounded(detail, PROSE_CHARS_MAX)).as_deref(),
            lifetime_seconds = lifetime.as_secs_f64(),
            idle_seconds = idle.as_secs_f64(),
            messages_in = traffic.messages_in,
            messages_out = traffic.messages_out,
            payload_bytes_in = traffic.payload_bytes_in,
            payload_bytes_out = traffic.payload_bytes_out,
            wire_bytes_in = traffic.wire_bytes_in,
            wire_bytes_out = traffic.wire_bytes_out,
            unsent_publications = Some(traffic.unsent_publications).filter(|unsent| *unsent > 0),
            pings_sent = traffic.pings_sent,
            pongs_received = traffic.pongs_received,
            last_rtt_seconds = traffic.last_rtt.map(|rtt| rtt.as_secs_f64()),
            queue_bytes,
            socket_operation = socket_error.map(|failed| failed.operation),
            socket_error = socket_error.map(|failed| tracing::field::display(failed.error)),
            tcp_rtt_seconds = tcp.map(|tcp| tcp.rtt.as_secs_f64()),
            tcp_unacknowledged = tcp.map(|tcp| tcp.unacknowledged),
            tcp_retransmits = tcp.map(|tcp| tcp.retransmits),
            tcp_last_ack_received_seconds = tcp.map(|tcp| tcp.last_ack_received.as_secs_f64()),
            nginx_host = name(connection.nginx.map(|nginx| nginx.host)).as_deref(),
            nginx_pid = connection.nginx.map(|nginx| nginx.pid),
            nginx_connection = connection.nginx.map(|nginx| nginx.connection),
            "connection closed"
        );
    }
}
