//! What operators and backends do to the gateway: reload, drain, the admin API.

use std::net::IpAddr;
use std::time::Duration;

use tracing::Level;

use super::text::{NAME_CHARS_MAX, PROSE_CHARS_MAX, bounded};
use crate::telemetry::Telemetry;
use crate::telemetry::labels::ReloadOutcome;

/// The configuration was read again and is valid; what can change live is in force.
#[derive(Debug, Clone, Copy)]
pub struct ConfigReloaded<'a> {
    /// The fields that have changed and are in force.
    pub applied: &'a [String],
    /// The fields that have changed in the file and only a restart can apply.
    pub needs_restart: &'a [String],
}

impl ConfigReloaded<'_> {
    /// Counts and logs it; a warning if something needs a restart.
    pub fn emit(self, telemetry: &Telemetry) {
        let Self { applied, needs_restart } = self;
        let outcome = match (applied, needs_restart) {
            ([], []) => ReloadOutcome::Unchanged,
            (_, []) => ReloadOutcome::Applied,
            (_, _) => ReloadOutcome::Partial,
        };
        telemetry.control_plane().config_reloaded(outcome);
        let outcome = outcome.as_str();
        let (applied, restart) = (applied.join(", "), needs_restart.join(", "));
        if needs_restart.is_empty() {
            tracing::event!(
                Level::INFO,
                outcome,
                applied,
                needs_restart = restart,
                "configuration reloaded"
            );
        } else {
            tracing::event!(
                Level::WARN,
                outcome,
                applied,
                needs_restart = restart,
                "configuration reloaded"
            );
        }
    }
}

/// The configuration was read again and cannot be used; the old one stays in force.
#[derive(Debug, Clone, Copy)]
pub struct ConfigReloadFailed<'a> {
    /// All mistakes, as `gaugeway check` tells them.
    pub why: &'a str,
}

impl ConfigReloadFailed<'_> {
    /// Counts and logs it.
    pub fn emit(self, telemetry: &Telemetry) {
        let Self { why } = self;
        telemetry.control_plane().config_reloaded(ReloadOutcome::Failed);
        tracing::event!(
            Level::ERROR,
            outcome = ReloadOutcome::Failed.as_str(),
            why,
            "configuration not reloaded"
        );
    }
}

/// A request to the admin API had no valid key; where none is needed, a web page sent it.
#[derive(Debug, Clone, Copy)]
pub struct ApiRequestDenied<'a> {
    /// Absent, malformed, unknown; never the key itself.
    pub why: &'a str,
    /// The other end of the socket.
    pub peer: IpAddr,
    /// How many were counted since the last line without a line of their own. `None`: nor does
    /// this one get a line, since there was one just now.
    pub unlogged: Option<u64>,
}

impl ApiRequestDenied<'_> {
    /// Counts it, and logs it in its turn.
    pub fn emit(self, telemetry: &Telemetry) {
        let Self { why, peer, unlogged } = self;
        telemetry.control_plane().api_request_denied();
        let why = &*bounded(why, PROSE_CHARS_MAX);
        if let Some(unlogged) = unlogged {
            tracing::event!(Level::WARN, why, peer = %peer, unlogged, "API request denied");
        }
    }
}

/// The `Idempotency-Key` of a publish request had been answered already: the same answer again, and
/// no second publication.
#[derive(Debug, Clone, Copy)]
pub struct PublishReplayed;

impl PublishReplayed {
    /// Counts it.
    pub fn emit(self, telemetry: &Telemetry) {
        telemetry.control_plane().publish_replayed();
    }
}

/// The admin API told connections to end. Each is counted by its own
/// [`ConnectionClosed`](super::ConnectionClosed), with cause `kicked`.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionsKicked<'a> {
    /// The name of the API key, or `anonymous`.
    pub by: &'a str,
    /// Whose connections, if they were chosen by user.
    pub user: Option<&'a str>,
    /// How many.
    pub count: u64,
    /// The Close code that they get.
    pub code: u16,
}

impl ConnectionsKicked<'_> {
    /// Logs it.
    pub fn emit(self) {
        let Self { by, user, count, code } = self;
        tracing::event!(
            Level::INFO,
            by = &*bounded(by, NAME_CHARS_MAX),
            user = user.map(|user| bounded(user, NAME_CHARS_MAX)).as_deref(),
            count,
            code,
            "connections kicked"
        );
    }
}

/// Connections get their Close one after the other, spread over a time.
#[derive(Debug, Clone, Copy)]
pub struct GatewayDraining<'a> {
    /// The signal or the error that says so.
    pub why: &'a str,
    /// Open connections.
    pub connections: u64,
    /// Over how long they are spread.
    pub over: Duration,
}

impl GatewayDraining<'_> {
    /// Logs it.
    pub fn emit(self) {
        let Self { why, connections, over } = self;
        let over_seconds = over.as_secs_f64();
        tracing::event!(Level::INFO, why, connections, over_seconds, "draining");
    }
}
