//! What can change while the gateway runs.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::signal::unix::{Signal, SignalKind};
use tokio::sync::oneshot;

use super::drain::listen_for;
use super::shards::ShardThreads;
use super::{Gateway, connections_max, timers};
use crate::auth::ApiKeys;
use crate::config::{Config, Loaded, Sources, changes, load, merge_live};
use crate::connection::Settings;
use crate::events::{ConfigReloadFailed, ConfigReloaded, ConfigWarned};
use crate::handshake::Endpoints;
use crate::telemetry::logging::{Logging, check_filter};

/// The configuration in force at one moment, and what is made from it. A request or a handshake
/// takes it once and holds to it, whatever is reloaded meanwhile.
pub(crate) struct Live {
    /// Every setting as it is in force: those that only a restart changes are as at the start.
    pub(crate) config: Config,
    /// The endpoints of this configuration. Their paths and indices never change.
    pub(crate) endpoints: Endpoints,
    /// Who may use the API.
    pub(crate) api_keys: ApiKeys,
}

impl Live {
    /// Compiles what the handshake and the API need.
    pub(super) fn new(config: Config) -> Self {
        Self {
            endpoints: Endpoints::compile(&config),
            api_keys: ApiKeys::new(&config.api.keys),
            config,
        }
    }
}

/// The one place where the configuration in force is kept. Read for each handshake and each
/// request, never for a message.
pub(super) struct InForce(RwLock<Arc<Live>>);

impl InForce {
    pub(super) fn new(live: Live) -> Self {
        Self(RwLock::new(Arc::new(live)))
    }

    pub(super) fn get(&self) -> Arc<Live> {
        // Nothing can panic while the lock is held: a poisoned one still guards a whole value.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, live: Live) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }
}

/// What a reload works on.
pub(super) struct Reloading<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) shards: &'a ShardThreads,
    pub(super) logging: &'a Logging,
    /// What the configuration was loaded from.
    pub(super) sources: &'a Sources,
}

/// The signal that asks for a new configuration, from now on; to be called within the control
/// runtime.
pub(super) fn hangups() -> Signal {
    listen_for(SignalKind::hangup())
}

/// Reloads whenever SIGHUP asks for it. Several that come during a reload are one.
pub(super) async fn answer_hangups(mut hangups: Signal, reloading: &Reloading<'_>) {
    while hangups.recv().await.is_some() {
        reloading.reload().await;
    }
}

impl Reloading<'_> {
    /// Loads the same sources again and puts in force what can change live. A mistake anywhere
    /// changes nothing.
    async fn reload(&self) {
        let telemetry = &self.gateway.telemetry;
        match load_apart(self.sources.again()).await {
            Ok(loaded) => self.apply(&loaded).await,
            Err(why) => ConfigReloadFailed { why: &why }.emit(telemetry),
        }
    }

    async fn apply(&self, loaded: &Loaded) {
        let telemetry = &self.gateway.telemetry;
        let old = self.gateway.live();
        let changes = changes(&old.config, &loaded.config);
        let merged = merge_live(&old.config, &loaded.config);
        if let Err(error) = check_filter(&merged.telemetry.log) {
            ConfigReloadFailed { why: &error.to_string() }.emit(telemetry);
            return;
        }
        for why in &loaded.warnings {
            ConfigWarned { field: "", why }.emit();
        }
        let filter = merged.telemetry.log.clone();
        self.put_in_force(merged).await;
        let named = |live: bool| -> Vec<_> {
            let of_kind = changes.iter().filter(|change| change.live == live);
            of_kind.map(|change| change.setting.clone()).collect()
        };
        let (applied, needs_restart) = (named(true), named(false));
        let report = || {
            ConfigReloaded { applied: &applied, needs_restart: &needs_restart }.emit(telemetry);
        };
        if let Err(error) = self.logging.set_filter(&filter, report) {
            ConfigWarned { field: "telemetry.log", why: &error.to_string() }.emit();
        }
    }

    /// New handshakes and requests see all of it at once; the open connections, when their shard
    /// has. Done when every shard has.
    async fn put_in_force(&self, config: Config) {
        let gateway = self.gateway;
        gateway.telemetry.set_timers(&timers(&config));
        let connections_max = connections_max(&config.server, gateway.room);
        gateway.admission.set_limits(connections_max, config.server.max_connections_per_ip);
        let settings = Settings::of(&config);
        gateway.in_force.set(Live::new(config));
        self.shards.adopt(settings).await;
    }
}

/// Loads on a thread of its own: a file on a disk that does not answer must not hold up the signals
/// and the scrapes. The error is all mistakes, or that there is no thread.
async fn load_apart(sources: Sources) -> Result<Loaded, String> {
    let (loaded, loading) = oneshot::channel();
    std::thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || {
            // Whoever asked may be ending.
            let _ = loaded.send(load(&sources).map_err(|mistakes| mistakes.to_string()));
        })
        .map_err(|error| format!("cannot start a thread for it: {error}"))?;
    loading.await.unwrap_or_else(|_| Err("the thread that loads it has panicked".to_owned()))
}
