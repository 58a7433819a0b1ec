//! The process: listeners, shards, the admin side, and how it ends.
//!
//! ```text
//! main thread     admin listener, signals, upkeep       (control runtime)
//! shard threads   public listener -> http -> connection (one runtime each; nothing migrates)
//! ```

mod admin;
mod api;
mod demo;
mod drain;
mod files;
mod listen;
mod public;
mod reload;
mod shards;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::config::{AuthMode, Config, Server, Sources, connections_within};
use crate::connection::{Errands, Pace};
use crate::events::{ConfigWarned, GatewayStarted};
use crate::handshake::Admission;
use crate::hub::Hub;
use crate::telemetry::labels::RuntimeKind;
use crate::telemetry::logging::{self, Logging};
use crate::telemetry::{
    AllShardGauges, Runtimes, ShardGauges, Telemetry, TelemetryOptions, UsersGauge,
};

pub use drain::Stage;
pub use files::raise_limit;
pub(crate) use reload::Live;

use reload::{InForce, Reloading};
use shards::ShardThreads;

/// How often what the `metrics` facade holds is folded, and nothing else.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Public sockets beyond the open WebSockets, over all shards: handshakes, and requests that are
/// refused for want of room. With the admin side's they fit into the files kept for such things.
const SOCKETS_BESIDE_MAX: usize = 64;

/// The commit that the program was built from.
pub(crate) const REVISION: &str = match option_env!("GAUGEWAY_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// What all parts of one gateway share.
pub(crate) struct Gateway {
    pub(crate) telemetry: Telemetry,
    in_force: InForce,
    pub(crate) admission: Admission,
    pub(crate) hub: Arc<Hub<Errands>>,
    pub(crate) gauges: Vec<Arc<ShardGauges>>,
    pub(crate) stage: watch::Sender<Stage>,
    /// Set before the stage says that the gateway drains.
    pub(crate) pace: OnceLock<Pace>,
    /// What the limit of open files leaves room for: connections, and the admin's sockets beyond
    /// those that are kept for it.
    room: usize,
    /// Public sockets in HTTP, which may be this many even where `max_connections` are taken.
    pub(crate) sockets_beside: usize,
    /// Public sockets in HTTP now, over all shards.
    pub(crate) http_sockets: AtomicUsize,
    /// Sockets of the admin side now.
    pub(crate) admin_sockets: AtomicUsize,
    /// Requests of the admin side that have no answer yet.
    pub(crate) admin_requests: AtomicUsize,
    pub(crate) began: Instant,
}

/// Runs a gateway until it is told to end. `warnings` are the configuration's, `sources` what it
/// was loaded from: SIGHUP loads it again.
pub fn run(config: Config, warnings: &[String], sources: &Sources) -> ExitCode {
    let logging = match logging::install(&config.telemetry.log, config.telemetry.log_format) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("gaugeway: {error}");
            return ExitCode::from(2);
        }
    };
    for why in warnings {
        ConfigWarned { field: "", why }.emit();
    }
    match serve(config, sources, &logging) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gaugeway: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config, sources: &Sources, logging: &Logging) -> Result<(), String> {
    let files = raise_limit();
    let gateway = Arc::new(Gateway::new(config, files)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the control runtime: {error}"))?;
    let live = gateway.live();
    let server = &live.config.server;
    let public = bind_public(server, gateway.gauges.len())
        .map_err(|error| cannot_listen("server.listen", server.listen, &error))?;
    let public_address = public[0].local_addr().map_err(|error| error.to_string())?;
    let admin = listen::bind(server.admin_listen)
        .map_err(|error| cannot_listen("server.admin_listen", server.admin_listen, &error))?;
    let admin_address = admin.local_addr().map_err(|error| error.to_string())?;
    drain::report_panics(&gateway);
    let shards = ShardThreads::start(&gateway, public)?;
    gateway.register_sources(&runtime, &shards, logging)?;
    let ended = runtime.block_on(async {
        // Before anybody is told that it listens, and may ask it to end.
        let (signals, hangups) = (drain::Signals::new(), reload::hangups());
        GatewayStarted {
            public: public_address,
            admin: admin_address,
            auth: match live.config.auth.mode {
                AuthMode::None => "none",
            },
            bus: "memory",
            version: env!("CARGO_PKG_VERSION"),
            shards: gateway.gauges.len(),
            max_connections: gateway.admission.connections_max(),
        }
        .emit();
        let reloading = Reloading { gateway: &gateway, shards: &shards, logging, sources };
        let admin = admin::serve(Arc::clone(&gateway), admin);
        let ended = tokio::select! {
            () = admin => Ok(()),
            () = upkeep(&gateway) => Ok(()),
            () = reload::answer_hangups(hangups, &reloading) => Ok(()),
            ended = drain::until_ended(&gateway, &shards, signals) => ended,
        };
        admin::answer_the_last(&gateway).await;
        ended
    });
    shards.join();
    ended
}

impl Gateway {
    fn new(config: Config, files: usize) -> Result<Self, String> {
        let live = Live::new(config);
        let config = &live.config;
        let shards = match config.server.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        };
        let room = usize::try_from(connections_within(files as u64)).unwrap_or(usize::MAX);
        let telemetry = Telemetry::new(&TelemetryOptions {
            endpoints: live.endpoints.names(),
            timers: timers(config),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: REVISION.to_owned(),
        });
        let hub = Arc::new(Hub::new(shards));
        let gauges: Vec<_> = (0..shards).map(|_| ShardGauges::new()).collect();
        telemetry
            .register(AllShardGauges::new(gauges.clone()))
            .and_then(|()| telemetry.register(UsersGauge::new(hub.users_gauge())))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            admission: admission(&config.server, room),
            hub,
            stage: watch::Sender::new(Stage::Serving),
            began: Instant::now(),
            pace: OnceLock::new(),
            room,
            sockets_beside: SOCKETS_BESIDE_MAX.min(files / 4),
            http_sockets: AtomicUsize::new(0),
            admin_sockets: AtomicUsize::new(0),
            admin_requests: AtomicUsize::new(0),
            telemetry,
            in_force: InForce::new(live),
            gauges,
        })
    }

    /// The configuration in force now. Take it once per request: a reload may come between two
    /// calls.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.in_force.get()
    }

    /// Open WebSockets, over all shards.
    pub(crate) fn connections(&self) -> u64 {
        self.gauges.iter().map(|gauges| gauges.connections()).sum()
    }

    /// Files for so many sockets, beside those that have a place of their own: is there one more?
    pub(crate) fn has_files_beside(&self, sockets: usize) -> bool {
        let admin = self.admin_sockets.load(Ordering::Relaxed);
        let beyond = admin.saturating_sub(admin::GUARANTEED_CONNECTIONS);
        sockets + beyond < self.room
    }

    fn register_sources(
        &self,
        control: &Runtime,
        shards: &ShardThreads,
        logging: &Logging,
    ) -> Result<(), String> {
        let mut runtimes = Runtimes::new().with(RuntimeKind::Control, control.metrics());
        for metrics in shards.runtime_metrics() {
            runtimes = runtimes.with(RuntimeKind::Shard, metrics);
        }
        self.telemetry
            .register(runtimes)
            .and_then(|()| self.telemetry.register(logging.dropped_lines()))
            .map_err(|error| error.to_string())
    }
}

fn admission(server: &Server, room: usize) -> Admission {
    Admission::new(connections_max(server, room), server.max_connections_per_ip)
}

/// The configured limit, or what there is room for, if that is less.
fn connections_max(server: &Server, room: usize) -> usize {
    match server.max_connections {
        0 => room,
        given => given.min(room),
    }
}

fn timers(config: &Config) -> Vec<(&'static str, Duration)> {
    vec![
        ("ping_interval", config.heartbeat.ping_interval),
        ("pong_wait", config.heartbeat.pong_wait),
        ("write_wait", config.limits.write_wait),
        ("close_wait", config.limits.close_wait),
        ("handshake_timeout", config.server.handshake_timeout),
        ("drain_timeout", config.server.drain_timeout),
    ]
}

/// Whoever asks and does not read the answers meets the same limit as who does not ask.
fn bind_public(server: &Server, shards: usize) -> std::io::Result<Vec<std::net::TcpListener>> {
    listen::bind_for_shards(server.listen, shards, server.handshake_timeout)
}

fn cannot_listen(field: &str, address: std::net::SocketAddr, error: &std::io::Error) -> String {
    format!("{field}: cannot listen on {address}: {error}")
}

async fn upkeep(gateway: &Gateway) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        gateway.telemetry.run_upkeep();
    }
}
