//! What concerns several settings at once, and the safe start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::draft::{Draft, Name};
use super::mistake::{Place, quote};
use super::{ApiKey, AuthMode, Inbound, duration};

const LISTEN: Name = ("server", "listen");
const ADMIN_LISTEN: Name = ("server", "admin_listen");
const TRUSTED_PROXIES: Name = ("server", "trusted_proxies");
const MAX_CONNECTIONS: Name = ("server", "max_connections");
const MAX_PER_IP: Name = ("server", "max_connections_per_ip");
const ALLOW_INSECURE: Name = ("server", "allow_insecure");
const PING_INTERVAL: Name = ("heartbeat", "ping_interval");
const PONG_WAIT: Name = ("heartbeat", "pong_wait");
const MAX_MESSAGE: Name = ("limits", "max_message_bytes");
const QUEUE_BYTES: Name = ("limits", "send_queue_bytes");
const COMPRESSION: Name = ("compression", "enabled");
const AUTH_MODE: Name = ("auth", "mode");
const ORIGINS: Name = ("auth", "allowed_origins");
const API_KEYS: Name = ("api", "keys");
const API_BODY: Name = ("api", "max_body_bytes");

/// Files that the process needs beside its connections: listeners, logs, epoll, the bus, the admin
/// side, and handshakes that are refused.
const RESERVED_FILES: u64 = 100;

/// nginx's own default for `proxy_read_timeout`.
const NGINX_READ_TIMEOUT: Duration = Duration::from_mins(1);

/// How many connections so many open files leave room for; of a small limit a quarter.
pub fn connections_within(open_files: u64) -> u64 {
    open_files.saturating_sub(RESERVED_FILES).max(open_files / 4)
}

/// Notes every mistake between settings in the draft; returns the warnings. A setting that already
/// has a mistake is left out: its value is not what the user wrote.
pub(super) fn check(draft: &mut Draft, open_files_max: Option<u64>) -> Vec<String> {
    let mut warnings = Vec::new();
    listeners_differ(draft);
    start_is_safe(draft);
    heartbeat_holds(draft, &mut warnings);
    connections_fit(draft, open_files_max, &mut warnings);
    proxies_are_few(draft, &mut warnings);
    any_origin_stands_alone(draft);
    endpoint_paths_differ(draft);
    required_compression_is_on(draft);
    broadcasts_fit_the_queue(draft, &mut warnings);
    keys_differ(draft);
    publications_fit_the_queue(draft, &mut warnings);
    warnings
}

fn report(draft: &mut Draft, place: Place, (section, key): Name, what: String, advice: String) {
    draft.mistake(place, format!("{section}.{key}"), what, advice);
}

fn listeners_differ(draft: &mut Draft) {
    let (public, admin) = (draft.config.server.listen, draft.config.server.admin_listen);
    if draft.sound(&[LISTEN, ADMIN_LISTEN]) && overlap(public, admin) {
        let place = draft.place(&[ADMIN_LISTEN, LISTEN]);
        let what = format!("{admin} clashes with server.listen = \"{public}\"");
        let advice = "write another port".to_owned();
        report(draft, place, ADMIN_LISTEN, what, advice);
    }
}

/// Whether the system would refuse to bind both. `[::]` takes the IPv4 addresses too (Linux' default).
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: SocketAddr, other: SocketAddr| {
        wide.ip().is_unspecified() && (wide.is_ipv6() || other.is_ipv4())
    };
    a.port() != 0
        && a.port() == b.port()
        && (a.ip().to_canonical() == b.ip().to_canonical() || covers(a, b) || covers(b, a))
}

/// Whether others than this machine's own processes may reach it.
pub(super) fn is_beyond_loopback(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// A listener beyond loopback that asks nobody who he is must be wanted by name.
fn start_is_safe(draft: &mut Draft) {
    if draft.config.server.allow_insecure || !draft.sound(&[ALLOW_INSECURE]) {
        return;
    }
    let (listen, admin) = (draft.config.server.listen, draft.config.server.admin_listen);
    let AuthMode::None = draft.config.auth.mode;
    if draft.sound(&[LISTEN, AUTH_MODE]) && is_beyond_loopback(listen) {
        refuse_insecure(draft, LISTEN, listen, "authentication (auth.mode = \"none\")", "");
    }
    let keyless = draft.config.api.keys.is_empty();
    if draft.sound(&[ADMIN_LISTEN, API_KEYS]) && is_beyond_loopback(admin) && keyless {
        let keys = "or give the API a key: keys = [\"name:secret\"] below [api] (elsewhere: \
                    api.keys=name:secret), ";
        refuse_insecure(draft, ADMIN_LISTEN, admin, "a key for the API", keys);
    }
}

fn refuse_insecure(draft: &mut Draft, name: Name, at: SocketAddr, without: &str, remedy: &str) {
    let place = draft.place(&[name]);
    let what = format!("{at} is beyond loopback, without {without}");
    let advice = format!(
        "write \"127.0.0.1:{}\", {remedy}or, if that is meant, add this line below [server]: \
         allow_insecure = true (elsewhere: server.allow_insecure=true)",
        at.port()
    );
    report(draft, place, name, what, advice);
}

fn heartbeat_holds(draft: &mut Draft, warnings: &mut Vec<String>) {
    if !draft.sound(&[PING_INTERVAL, PONG_WAIT]) {
        return;
    }
    let heartbeat = &draft.config.heartbeat;
    let (interval, wait) = (heartbeat.ping_interval, heartbeat.pong_wait);
    let shown = duration::show(interval);
    if interval >= wait {
        let place = draft.place(&[PONG_WAIT, PING_INTERVAL]);
        let what = format!(
            "{} is not longer than heartbeat.ping_interval = \"{shown}\": every quiet client would \
             be taken for dead",
            duration::show(wait)
        );
        let advice =
            format!("write at least twice the interval: \"{}\"", duration::show(interval * 2));
        report(draft, place, PONG_WAIT, what, advice);
    } else if interval >= NGINX_READ_TIMEOUT {
        warnings.push(format!(
            "heartbeat.ping_interval = \"{shown}\": nginx's default proxy_read_timeout of 60s ends \
             every quiet connection before its next ping"
        ));
    }
}

fn connections_fit(draft: &Draft, open_files_max: Option<u64>, warnings: &mut Vec<String>) {
    if !draft.sound(&[MAX_CONNECTIONS, MAX_PER_IP]) {
        return;
    }
    let server = &draft.config.server;
    let (all, per_ip) = (server.max_connections, server.max_connections_per_ip);
    if let Some(files) = open_files_max
        && all as u64 > connections_within(files)
    {
        warnings.push(format!(
            "server.max_connections = {all}: this process may open {files} files, so at most {} \
             connections; raise the limit (ulimit -n, LimitNOFILE=) or lower the number",
            connections_within(files)
        ));
    }
    if all > 0 && per_ip > all {
        warnings.push(format!(
            "server.max_connections_per_ip = {per_ip} has no effect: server.max_connections is {all}"
        ));
    }
}

fn proxies_are_few(draft: &Draft, warnings: &mut Vec<String>) {
    let proxies = &draft.config.server.trusted_proxies;
    if !draft.sound(&[TRUSTED_PROXIES]) {
        return;
    }
    for network in proxies.iter().filter(|network| network.prefix_len() == 0) {
        warnings.push(format!(
            "server.trusted_proxies contains {network}: any client can claim any address"
        ));
    }
}

fn any_origin_stands_alone(draft: &mut Draft) {
    let mixed = |origins: &[String]| origins.len() > 1 && origins.iter().any(|o| o == "*");
    let mut places = Vec::new();
    if draft.sound(&[ORIGINS]) && mixed(&draft.config.auth.allowed_origins) {
        places.push((draft.place(&[ORIGINS]), ORIGINS));
    }
    for (index, endpoint) in draft.config.endpoints.iter().enumerate() {
        if let Some(origins) = &endpoint.allowed_origins
            && mixed(origins)
            && let Some(place) = draft.endpoint_place(index, "allowed_origins")
        {
            places.push((place, ("endpoint", "allowed_origins")));
        }
    }
    for (place, name) in places {
        let what = "has \"*\" beside other origins, which it makes pointless".to_owned();
        let advice = "write [\"*\"] alone, or the origins without it".to_owned();
        report(draft, place, name, what, advice);
    }
}

fn endpoint_paths_differ(draft: &mut Draft) {
    let mut first_of: BTreeMap<&str, Place> = BTreeMap::new();
    let mut doubles = Vec::new();
    for (index, endpoint) in draft.config.endpoints.iter().enumerate() {
        let Some(place) = draft.endpoint_place(index, "path") else {
            continue;
        };
        if let Some(first) = first_of.get(endpoint.path.as_str()) {
            let what = format!("{} is taken at {first}", quote(&endpoint.path));
            doubles.push((place, what));
        } else {
            first_of.insert(&endpoint.path, place);
        }
    }
    for (place, what) in doubles {
        let advice = "write another path".to_owned();
        report(draft, place, ("endpoint", "path"), what, advice);
    }
}

fn required_compression_is_on(draft: &mut Draft) {
    if draft.config.compression.enabled || !draft.sound(&[COMPRESSION]) {
        return;
    }
    for index in 0..draft.config.endpoints.len() {
        if draft.config.endpoints[index].require_compression
            && let Some(place) = draft.endpoint_place(index, "require_compression")
        {
            let what = "every client would be refused: compression.enabled is false".to_owned();
            let advice = "write one of the two otherwise".to_owned();
            report(draft, place, ("endpoint", "require_compression"), what, advice);
        }
    }
}

/// A message that is larger than a queue ends every receiver that cannot take it at once.
fn broadcasts_fit_the_queue(draft: &Draft, warnings: &mut Vec<String>) {
    if !draft.sound(&[MAX_MESSAGE, QUEUE_BYTES]) {
        return;
    }
    let limits = &draft.config.limits;
    for endpoint in &draft.config.endpoints {
        let message = endpoint.max_message_bytes.unwrap_or(limits.max_message_bytes);
        if endpoint.inbound == Inbound::Broadcast && message > limits.send_queue_bytes {
            warnings.push(format!(
                "endpoint {}: a broadcast of up to {message} bytes overflows a queue of \
                 limits.send_queue_bytes = {}, which ends the receiver",
                quote(&endpoint.path),
                limits.send_queue_bytes
            ));
        }
    }
}

/// One name for two secrets would make the log say the wrong thing, one secret for two names too.
/// Nothing is quoted: whoever swaps the two halves of a key has a secret for its name.
fn keys_differ(draft: &mut Draft) {
    if !draft.sound(&[API_KEYS]) {
        return;
    }
    let keys = &draft.config.api.keys;
    let mut doubles = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let same = |what, same: &dyn Fn(&ApiKey) -> bool| {
            let first = keys[..index].iter().position(same)?;
            Some(format!("elements {} and {} have the same {what}", first + 1, index + 1))
        };
        doubles.extend(same("name", &|other| other.name == key.name));
        doubles.extend(same("secret", &|other| other.secret == key.secret));
    }
    for what in doubles {
        let place = draft.place(&[API_KEYS]);
        report(draft, place, API_KEYS, what, "write each name and each secret once".to_owned());
    }
}

/// Said only to those who asked for larger bodies: they will not get larger publications by it.
fn publications_fit_the_queue(draft: &Draft, warnings: &mut Vec<String>) {
    if !draft.sound(&[API_BODY, QUEUE_BYTES]) || draft.place(&[API_BODY]) == Place::Default {
        return;
    }
    let (body, queue) = (draft.config.api.max_body_bytes, draft.config.limits.send_queue_bytes);
    if body > queue {
        warnings.push(format!(
            "api.max_body_bytes = {body}: a publication over limits.send_queue_bytes = {queue} is \
             refused with 413, since it would overflow the queue of each receiver"
        ));
    }
}
