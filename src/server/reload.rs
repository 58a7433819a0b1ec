//! What can change while the gateway runs.

use std::sync::{Arc, PoisonError, RwLock};

use crate::auth::ApiKeys;
use crate::config::Config;
use crate::handshake::Endpoints;

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
}
