//! Every setting there is. The example file, `gaugeway config`, the loader and the defaults are
//! all made from these declarations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::key::ApiKey;
use super::mistake::{Problem, quote};
use super::rule::Rule;
use super::settings::{Field, Reload, Section, choices, settings};
use super::value::{Input, Value, Word};

const KIB: u64 = 1_024;
const GIB: u64 = KIB * KIB * KIB;
/// Beyond what Linux can give one process (`fs.nr_open` ends at 2^30, memory long before).
const CONNECTIONS_MAX: u64 = 10_000_000;

/// Shorter times are below the scheduler's own noise; longer ones are never meant.
const ANY_TIME: Rule = Rule::Time(Duration::from_millis(10), seconds(86_400));

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn loopback_networks() -> Vec<IpNet> {
    vec![IpAddr::V4(Ipv4Addr::LOCALHOST).into(), IpAddr::V6(Ipv6Addr::LOCALHOST).into()]
}

settings! {
    /// The listeners, who may connect, and how many.
    struct Server in "server";

    /// Where clients connect: the endpoints, `/ping`, `/client.js`, `/demo`.
    /// Beyond loopback without authentication the start is refused unless `allow_insecure` is set.
    listen: SocketAddr = loopback(8080),
        unit: "address:port",
        costs: "one listening socket";

    /// Where operators connect: `/metrics`, `/health`, `/api`, the console.
    /// Not for clients. Beyond loopback the start is refused unless `[api] keys` has one or `allow_insecure` is set. Keys
    /// guard `/api` and the console; `/metrics` and `/health` answer whoever reaches the port.
    admin_listen: SocketAddr = loopback(8081),
        unit: "address:port",
        costs: "one listening socket";

    /// Networks whose `X-Forwarded-For`, `X-Real-IP`, `X-Request-ID` and `X-Nginx-*` are believed.
    /// From anywhere else these headers are ignored, since every client can send them.
    trusted_proxies: Vec<IpNet> = loopback_networks(),
        unit: "networks",
        costs: "one comparison per network and handshake";

    /// Open WebSocket connections; beyond them a handshake gets 503.
    /// 0: the limit of open files minus 100. A larger number is cut to that.
    max_connections: usize = 0,
        unit: "connections",
        range: Rule::Number(0, CONNECTIONS_MAX),
        live: true,
        costs: "one open file per connection, and its memory (see limits.send_queue_bytes)";

    /// Open WebSocket connections of one client address (an IPv6 /64 counts as one); beyond them a handshake gets 429.
    /// 0: no limit. Many users can share one address behind a carrier's NAT.
    max_connections_per_ip: usize = 0,
        unit: "connections",
        range: Rule::Number(0, CONNECTIONS_MAX),
        live: true,
        costs: "one table entry per client address";

    /// From the TCP accept to the whole request head; a slower client is dropped.
    handshake_timeout: Duration = seconds(10),
        unit: "duration",
        range: ANY_TIME,
        costs: "a slow or hostile client holds one socket for so long";

    /// How long connections get to end after SIGTERM.
    /// Keep it below what the supervisor waits before it kills (Docker 10 s, Kubernetes 30 s).
    drain_timeout: Duration = seconds(30),
        unit: "duration",
        range: ANY_TIME,
        live: true,
        costs: "a restart may take so long";

    /// Threads that own connections; a connection never moves from one to another.
    /// 0: one per core.
    shards: usize = 0,
        unit: "threads",
        range: Rule::Number(0, 1_024),
        costs: "one thread with its buffers and one set of counters each";

    /// Permit listening beyond loopback without authentication or without a key of the API.
    /// For a container or a test network that nobody else reaches.
    allow_insecure: bool = false,
        unit: "switch",
        costs: "nothing; but whoever reaches the port may connect, publish and read";
}

settings! {
    /// How a dead client is found. The chain must hold:
    /// `ping_interval` < `pong_wait` < `proxy_read_timeout` of nginx.
    struct Heartbeat in "heartbeat";

    /// Between two pings to one client (each ±10 %, so that clients do not answer in step).
    ping_interval: Duration = seconds(30),
        unit: "duration",
        range: ANY_TIME,
        live: true,
        costs: "one frame of a few bytes each way per connection and interval, and a wake-up of the client's radio";

    /// A client without any byte for so long, while a ping was outstanding, is dead.
    pong_wait: Duration = seconds(60),
        unit: "duration",
        range: ANY_TIME,
        live: true,
        costs: "a vanished client is counted as connected for so long";
}

settings! {
    /// How much one connection may take, and how long it may take it.
    struct Limits in "limits";

    /// The head of a connection's queue must be wholly written within this time; otherwise the
    /// connection ends as `write_timeout`.
    write_wait: Duration = seconds(15),
        unit: "duration",
        range: ANY_TIME,
        live: true,
        costs: "a client that does not read holds its queue for so long";

    /// The Close handshake: from our Close frame to the client's.
    close_wait: Duration = seconds(5),
        unit: "duration",
        range: ANY_TIME,
        live: true,
        costs: "a client that does not answer a Close holds its socket for so long";

    /// A larger message ends its connection with 1009, compressed or not (the size is that after inflating).
    max_message_bytes: usize = 65_536,
        unit: "bytes",
        range: Rule::Number(1, GIB),
        live: true,
        costs: "so much memory per connection that is in the middle of a message";

    /// What may wait for one client that reads slowly; beyond it the connection ends as `queue_overflow`.
    send_queue_bytes: usize = 1_048_576,
        unit: "bytes",
        range: Rule::Number(KIB, GIB),
        live: true,
        costs: "so much memory per slow client at most; an idle connection has no queue (at most 1.5 KiB in all)";

    /// Messages that may wait for one client.
    send_queue_messages: usize = 256,
        unit: "messages",
        range: Rule::Number(1, 1_000_000),
        live: true,
        costs: "a little book-keeping per waiting message; its bytes are shared by all receivers";
}

settings! {
    /// permessage-deflate (RFC 7692), used where the client offers it.
    struct Compression in "compression";

    /// Accept a client's offer.
    enabled: bool = true,
        unit: "switch",
        costs: "CPU per message; a publication is compressed once for all of its receivers";

    /// How hard to compress.
    level: u32 = 1,
        unit: "1 is fast, 9 is small",
        range: Rule::Number(1, 9),
        costs: "CPU and latency per message: 9 takes several times as long as 1 for a few per cent";

    /// Smaller payloads are sent plain: they would hardly shrink.
    min_bytes: usize = 128,
        unit: "bytes",
        range: Rule::Number(0, GIB),
        live: true,
        costs: "CPU per message when it is low, traffic when it is high";

    /// Keep the window from one message to the next: better ratios for small similar messages.
    context_takeover: bool = false,
        unit: "switch",
        costs: "about 20 KiB per connection for what it receives, some 260 KiB for what it is sent, and no sharing between receivers";
}

settings! {
    /// Who may connect.
    struct Auth in "auth";

    /// How a client proves who it is. `none`: it is believed (`?user_id=` or `?id=`).
    mode: AuthMode = AuthMode::None,
        unit: "word",
        costs: "nothing";

    /// Origins of pages that may connect. Empty: pages of the same host as `Host`.
    /// A client without an `Origin` header (not a browser) is not concerned.
    allowed_origins: Vec<String> = Vec::new(),
        unit: "origins",
        range: Rule::Origin,
        live: true,
        costs: "one comparison per origin and handshake";
}

settings! {
    /// The API of the admin listener: `/api` and the console.
    struct Api in "api";

    /// Keys of those who may use it, sent as `Authorization: Bearer SECRET`. Empty: whoever reaches
    /// the admin listener may. Keys are never printed; give them by the variable or a file that only
    /// the gateway reads, since a command line is visible to every process of the machine.
    keys: Vec<ApiKey> = Vec::new(),
        unit: "keys",
        live: true,
        costs: "one hash per request, and one comparison per key";

    /// A larger body of a request gets 413.
    max_body_bytes: usize = 1_048_576,
        unit: "bytes",
        range: Rule::Number(KIB, 64 * KIB * KIB),
        live: true,
        costs: "so much memory per request in flight";
}

settings! {
    /// What the gateway tells its operators beside `/metrics`.
    struct Telemetry in "telemetry";

    /// Which log lines are written to standard output.
    log: String = "info".to_owned(),
        unit: "tracing filter",
        range: Rule::LogFilter,
        live: true,
        costs: "one line per open, close and refusal at info; debug and trace cost CPU per message";

    /// How a log line looks: `json` for machines, `pretty` for people.
    log_format: LogFormat = LogFormat::Json,
        unit: "word",
        costs: "nothing";
}

settings! {
    /// A path that speaks WebSocket, with its behaviour. One table each; any such table replaces
    /// the default list as a whole. Not settable by environment or flags.
    struct Endpoint in "endpoint";

    /// The path, without query. It is served with and without a slash at the end.
    path: String = "/".to_owned(),
        unit: "path",
        range: Rule::Path,
        required: true,
        costs: "a set of time series of its own (each cause, outcome and histogram), whoever connects";

    /// What a plain client's message does: `ignore`, `echo` (back to the sender),
    /// `broadcast` (to everybody on this endpoint, the sender included).
    inbound: Inbound = Inbound::Ignore,
        unit: "word",
        live: true,
        costs: "broadcast: one delivery per connection of the endpoint and message";

    /// Refuse a client that names no user, with 400.
    require_user: bool = false,
        unit: "switch",
        live: true,
        costs: "nothing";

    /// Refuse a client that does not offer permessage-deflate, with 400.
    require_compression: bool = false,
        unit: "switch",
        live: true,
        costs: "CPU per message, see [compression]";

    /// Instead of the general limit.
    max_message_bytes: Option<usize> = None,
        unit: "bytes",
        range: Rule::Number(1, GIB),
        inherits: "limits.max_message_bytes",
        live: true,
        costs: "as the general setting";

    /// Instead of the general list.
    allowed_origins: Option<Vec<String>> = None,
        unit: "origins",
        range: Rule::Origin,
        inherits: "auth.allowed_origins",
        live: true,
        costs: "as the general setting";

    /// Instead of the general switch.
    context_takeover: Option<bool> = None,
        unit: "switch",
        inherits: "compression.context_takeover",
        live: true,
        costs: "as the general setting";
}

choices! {
    /// How clients are authenticated.
    enum AuthMode {
        /// Not at all: a client is believed.
        None = "none",
    }
    "\"none\""
}

choices! {
    /// How a log line looks.
    enum LogFormat {
        /// One JSON object per line.
        Json = "json",
        /// For people.
        Pretty = "pretty",
    }
    "\"json\" or \"pretty\""
}

choices! {
    /// What a plain client's message does.
    enum Inbound {
        /// It is read, counted and dropped.
        Ignore = "ignore",
        /// It goes back to its sender.
        Echo = "echo",
        /// It goes to everybody on the endpoint, the sender included.
        Broadcast = "broadcast",
    }
    "\"ignore\", \"echo\" or \"broadcast\""
}
