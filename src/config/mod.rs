//! The configuration: plain fields with defaults.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

/// Everything that can be set. Defaults are those of a bare `gaugeway`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub server: Server,
    pub heartbeat: Heartbeat,
    pub limits: Limits,
    pub compression: Compression,
    pub auth: Auth,
    pub telemetry: Telemetry,
    /// Paths that speak WebSocket, in the order of the file.
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    /// Networks whose `X-Forwarded-For`, `X-Real-IP`, `X-Request-ID` and `X-Nginx-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Open WebSockets; 0 = the limit of open files minus 100.
    pub max_connections: usize,
    /// Open WebSockets of one client address (an IPv6 /64 counts as one); 0 = no limit.
    pub max_connections_per_ip: usize,
    /// From the TCP accept to the whole request head.
    pub handshake_timeout: Duration,
    /// How long connections get to end after SIGTERM.
    pub drain_timeout: Duration,
    /// Threads that own connections; 0 = one per core.
    pub shards: usize,
    /// Permit listening beyond loopback without authentication.
    pub allow_insecure: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    pub ping_interval: Duration,
    pub pong_wait: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The head of a connection's queue must be wholly written within this time.
    pub write_wait: Duration,
    /// The Close handshake: from our Close to the peer's.
    pub close_wait: Duration,
    pub max_message_bytes: usize,
    pub send_queue_bytes: usize,
    pub send_queue_messages: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Compression {
    pub enabled: bool,
    /// 1 (fast) to 9 (small).
    pub level: u32,
    /// Smaller payloads are sent plain.
    pub min_bytes: usize,
    pub context_takeover: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Auth {
    pub mode: AuthMode,
    /// Empty: the same host as `Host`. `["*"]`: any.
    pub allowed_origins: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    None,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// A `tracing` filter: `info`, `gaugeway=debug,warn`.
    pub log: String,
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Pretty,
}

/// A path with its behaviour. `None` inherits the general setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    pub path: String,
    pub inbound: Inbound,
    pub require_user: bool,
    pub require_compression: bool,
    pub max_message_bytes: Option<usize>,
    pub allowed_origins: Option<Vec<String>>,
    pub context_takeover: Option<bool>,
}

/// What a plain client's message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbound {
    Ignore,
    Echo,
    Broadcast,
}
