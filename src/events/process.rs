//! The life of the process.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::Level;

use super::text::{PROSE_CHARS_MAX, bounded};
use crate::telemetry::Telemetry;
use crate::telemetry::labels::TaskKind;

/// The listeners are open: the one line with what a user wants to know first.
#[derive(Debug, Clone, Copy)]
pub struct GatewayStarted<'a> {
    /// Where the endpoints are; the port is the real one.
    pub public: SocketAddr,
    /// Where `/metrics` and the admin API are.
    pub admin: SocketAddr,
    /// `auth.mode`.
    pub auth: &'a str,
    /// `bus.kind`.
    pub bus: &'a str,
    /// The program's version.
    pub version: &'a str,
    /// Threads that own connections.
    pub shards: usize,
    /// The limit of open connections.
    pub max_connections: usize,
}

impl GatewayStarted<'_> {
    /// Logs it.
    pub fn emit(self) {
        let Self { public, admin, auth, bus, version, shards, max_connections } = self;
        tracing::event!(
            Level::INFO,
            public = %public,
            admin = %admin,
            auth,
            bus,
            version,
            shards,
            max_connections,
            "listening"
        );
    }
}

/// Connections get their Close at once: the process was told to end without delay, or the time for
/// draining is over.
#[derive(Debug, Clone, Copy)]
pub struct GatewayStopping<'a> {
    /// The signal, the time-out or the error that says so.
    pub why: &'a str,
    /// Open connections.
    pub connections: u64,
}

impl GatewayStopping<'_> {
    /// Logs it.
    pub fn emit(self) {
        let Self { why, connections } = self;
        tracing::event!(Level::INFO, why, connections, "stopping");
    }
}

/// Everything has ended.
#[derive(Debug, Clone, Copy)]
pub struct GatewayStopped {
    /// Since the process was told to end.
    pub duration: Duration,
    /// Connections that were cut off.
    pub connections_left: u64,
    /// Connections that were ever opened.
    pub opened: u64,
    /// Connections that have ended, those cut off included: all of them, or something is wrong.
    pub ended: u64,
}

impl GatewayStopped {
    /// Logs it; a warning if connections were cut off.
    pub fn emit(self) {
        let Self { duration, connections_left, opened, ended } = self;
        let duration_seconds = duration.as_secs_f64();
        if connections_left == 0 && opened == ended {
            tracing::event!(
                Level::INFO,
                duration_seconds,
                connections_left,
                connections_opened = opened,
                connections_ended = ended,
                "stopped"
            );
        } else {
            tracing::event!(
                Level::WARN,
                duration_seconds,
                connections_left,
                connections_opened = opened,
                connections_ended = ended,
                "stopped"
            );
        }
    }
}

/// The configuration is valid, but something in it deserves a look.
#[derive(Debug, Clone, Copy)]
pub struct ConfigWarned<'a> {
    /// The field: `server.allow_insecure`.
    pub field: &'a str,
    /// What, and what to do.
    pub why: &'a str,
}

impl ConfigWarned<'_> {
    /// Logs it.
    pub fn emit(self) {
        let Self { field, why } = self;
        tracing::event!(Level::WARN, field, why, "configuration");
    }
}

/// A panic was caught: a defect of the gateway.
#[derive(Debug, Clone, Copy)]
pub struct TaskPanicked<'a> {
    /// What is gone: one connection, a whole shard, a task of the control runtime.
    pub task: TaskKind,
    /// The panic's message.
    pub message: &'a str,
}

impl TaskPanicked<'_> {
    /// Counts and logs it.
    pub fn emit(self, telemetry: &Telemetry) {
        let Self { task, message } = self;
        telemetry.control_plane().panicked(task);
        tracing::event!(
            Level::ERROR,
            task = task.as_str(),
            panic = &*bounded(message, PROSE_CHARS_MAX),
            "panicked"
        );
    }
}
