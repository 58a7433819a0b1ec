//! What a reload changes: two configurations compared, and put together into what can be in force
//! without a restart.

use super::settings::{Field, Reload, Section};
use super::{Config, Endpoint, check};

/// A setting that two configurations have differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `section.key`; of an endpoint `endpoint /path: key`; `endpoint` when the list of paths
    /// differs. Never a value: it might be a secret.
    pub setting: String,
    /// A reload puts it in force; otherwise only a restart does.
    pub live: bool,
}

/// Every setting that differs, in the order of the file. When the paths of the endpoints differ,
/// their order included, that is one change and the endpoints' other settings are not compared.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let Config { server, heartbeat, limits, compression, auth, api, telemetry, endpoints } = old;
    let mut found = Vec::new();
    add(&mut found, server, &new.server);
    add(&mut found, heartbeat, &new.heartbeat);
    add(&mut found, limits, &new.limits);
    add(&mut found, compression, &new.compression);
    add(&mut found, auth, &new.auth);
    for field in api.changed(&new.api) {
        let live = field.live && !(field.key == KEYS && keys_must_stay(old, new));
        found.push(Change { setting: format!("{}.{}", api.name(), field.key), live });
    }
    add(&mut found, telemetry, &new.telemetry);
    if !same_paths(endpoints, &new.endpoints) {
        found.push(Change { setting: "endpoint".to_owned(), live: false });
        return found;
    }
    for (own, other) in endpoints.iter().zip(&new.endpoints) {
        found.extend(own.changed(other).into_iter().map(|field| Change {
            setting: format!("endpoint {}: {}", own.path, field.key),
            live: field.live && !is_held_back(field, old, other),
        }));
    }
    found
}

/// What is in force after a reload: the old configuration with what of the new one is live.
pub fn merge_live(old: &Config, new: &Config) -> Config {
    let mut merged = old.clone();
    let Config { server, heartbeat, limits, compression, auth, api, telemetry, endpoints } =
        &mut merged;
    server.take_live(&new.server);
    heartbeat.take_live(&new.heartbeat);
    limits.take_live(&new.limits);
    compression.take_live(&new.compression);
    auth.take_live(&new.auth);
    api.take_live(&new.api);
    if keys_must_stay(old, new) {
        api.keys.clone_from(&old.api.keys);
    }
    telemetry.take_live(&new.telemetry);
    if same_paths(endpoints, &new.endpoints) {
        for (own, other) in endpoints.iter_mut().zip(&new.endpoints) {
            let required = own.require_compression;
            own.take_live(other);
            if must_not_require_compression(old, other) {
                own.require_compression = required;
            }
        }
    }
    merged
}

const KEYS: &str = "keys";
const REQUIRE_COMPRESSION: &str = "require_compression";

fn add<S: Section + Reload>(found: &mut Vec<Change>, old: &S, new: &S) {
    found.extend(old.changed(new).into_iter().map(|field| Change {
        setting: format!("{}.{}", old.name(), field.key),
        live: field.live,
    }));
}

fn same_paths(old: &[Endpoint], new: &[Endpoint]) -> bool {
    old.iter().map(|endpoint| &endpoint.path).eq(new.iter().map(|endpoint| &endpoint.path))
}

/// The new file may move the admin listener to loopback and drop the keys: each is safe together
/// with the other, but the listener stays where it is until the restart.
fn keys_must_stay(old: &Config, new: &Config) -> bool {
    new.api.keys.is_empty()
        && !old.api.keys.is_empty()
        && !old.server.allow_insecure
        && check::is_beyond_loopback(old.server.admin_listen)
}

/// The new file may switch compression on and require it: until the restart it stays off, and
/// every client of the endpoint would be refused.
fn must_not_require_compression(old: &Config, new: &Endpoint) -> bool {
    new.require_compression && !old.compression.enabled
}

fn is_held_back(field: &Field, old: &Config, new: &Endpoint) -> bool {
    field.key == REQUIRE_COMPRESSION && must_not_require_compression(old, new)
}
