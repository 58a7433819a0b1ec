//! Upgrade requests that are refused. Each is accepted or refused, once; an accepted one is a
//! [`ConnectionOpened`](super::ConnectionOpened).

use std::net::IpAddr;
use std::time::Duration;

use tracing::Level;

use super::text::{NAME_CHARS_MAX, PROSE_CHARS_MAX, bounded};
use crate::telemetry::labels::Outcome;
use crate::telemetry::{EndpointIndex, OFF, Recorder};

/// An upgrade request did not become a connection.
#[derive(Debug, Clone, Copy)]
pub struct HandshakeRefused<'a> {
    /// The endpoint asked for; [`EndpointIndex::UNKNOWN`] if the path is none, or unknown.
    pub endpoint: EndpointIndex,
    /// Why, from the closed list.
    pub outcome: Outcome,
    /// The answer's status; `None` if none was sent, because the client was gone.
    pub status: Option<u16>,
    /// From the request's head to the refusal; from the accept where no head came.
    pub duration: Duration,
    /// Why, in words, as the client was told.
    pub why: &'a str,
    /// The client's address, as far as it is known.
    pub remote: IpAddr,
    /// nginx' `X-Request-ID`.
    pub request_id: Option<&'a str>,
}

impl HandshakeRefused<'_> {
    /// Counts and logs it.
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { endpoint, outcome, status, duration, why, remote, request_id } = self;
        debug_assert_ne!(outcome, Outcome::Accepted, "that is ConnectionOpened");
        recorder.handshake_refused(endpoint, outcome, duration);
        tracing::event!(
            Level::INFO,
            endpoint = recorder.endpoint_name(endpoint),
            outcome = outcome.as_str(),
            status,
            why = &*bounded(why, PROSE_CHARS_MAX),
            remote = %remote,
            request_id = request_id.map(|id| bounded(id, NAME_CHARS_MAX)).as_deref(),
            duration_seconds = duration.as_secs_f64(),
            "handshake refused"
        );
    }
}
