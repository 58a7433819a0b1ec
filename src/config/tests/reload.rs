//! What a reload changes: each setting is live or not, and none is forgotten.

use super::super::draft::Draft;
use super::super::settings::Section;
use super::super::{Change, Config, Endpoint, changes, merge_live};
use super::load_text;

/// Another value than the default for each setting that has one, and whether a reload changes it.
const OTHER: &[(&str, &str, bool)] = &[
    ("server.listen", "\"127.0.0.1:1\"", false),
    ("server.admin_listen", "\"127.0.0.1:2\"", false),
    ("server.trusted_proxies", "[]", false),
    ("server.max_connections", "1", true),
    ("server.max_connections_per_ip", "1", true),
    ("server.handshake_timeout", "\"1s\"", false),
    ("server.drain_timeout", "\"1s\"", true),
    ("server.shards", "1", false),
    ("server.allow_insecure", "true", false),
    ("heartbeat.ping_interval", "\"20s\"", true),
    ("heartbeat.pong_wait", "\"70s\"", true),
    ("limits.write_wait", "\"1s\"", true),
    ("limits.close_wait", "\"1s\"", true),
    ("limits.max_message_bytes", "1", true),
    ("limits.send_queue_bytes", "1024", true),
    ("limits.send_queue_messages", "1", true),
    ("compression.enabled", "false", false),
    ("compression.level", "2", false),
    ("compression.min_bytes", "1", true),
    ("compression.context_takeover", "true", false),
    ("auth.allowed_origins", "[\"*\"]", true),
    ("api.keys", "[\"a:0123456789abcdef\"]", true),
    ("api.max_body_bytes", "1024", true),
    ("telemetry.log", "\"debug\"", true),
    ("telemetry.log_format", "\"pretty\"", false),
];

/// The same for an endpoint.
const OTHER_OF_ENDPOINT: &[(&str, &str)] = &[
    ("inbound", "\"echo\""),
    ("require_user", "true"),
    ("require_compression", "true"),
    ("max_message_bytes", "1"),
    ("allowed_origins", "[\"*\"]"),
    ("context_takeover", "true"),
];

/// The one setting with a single possible value.
const FIXED: &str = "auth.mode";

fn config(text: &str) -> Config {
    load_text(text).unwrap().config
}

fn change(setting: &str, live: bool) -> Change {
    Change { setting: setting.to_owned(), live }
}

/// From one file to the other these settings change, and what is in force then is the third.
#[track_caller]
fn check(old: &str, new: &str, expected: &[(&str, bool)], in_force: &str) {
    let (old, new) = (config(old), config(new));
    let expected: Vec<_> = expected.iter().map(|(name, live)| change(name, *live)).collect();
    assert_eq!(changes(&old, &new), expected);
    let merged = merge_live(&old, &new);
    assert_eq!(merged, config(in_force));
    // What is left waits for a restart, and all of it was said to.
    let waiting: Vec<_> = expected.into_iter().filter(|change| !change.live).collect();
    assert_eq!(changes(&merged, &new), waiting);
}

#[test]
fn each_setting_is_live_or_waits_for_a_restart() {
    let mut named: Vec<_> = OTHER.iter().map(|(name, ..)| (*name).to_owned()).collect();
    named.push(FIXED.to_owned());
    let mut known: Vec<_> =
        Draft::default().setting_names().map(|(section, key)| format!("{section}.{key}")).collect();
    named.sort();
    known.sort();
    assert_eq!(named, known);
    for (name, value, live) in OTHER {
        let new = format!("{name} = {value}");
        let in_force = if *live { &new } else { "" };
        check("", &new, &[(name, *live)], in_force);
        check(&new, "", &[(name, *live)], if *live { "" } else { &new });
        check(&new, &new, &[], &new);
    }
}

#[test]
fn of_an_endpoint_everything_is_live_but_its_path() {
    let endpoint = Endpoint::default();
    let keys = endpoint.fields().iter().map(|field| field.key);
    assert!(keys.eq(["path"].into_iter().chain(OTHER_OF_ENDPOINT.iter().map(|(key, _)| *key))));
    let old = "[[endpoint]]\npath = \"/a\"\n[[endpoint]]\npath = \"/b\"\n";
    for (key, value) in OTHER_OF_ENDPOINT {
        let new = format!("{old}{key} = {value}");
        check(old, &new, &[(&format!("endpoint /b: {key}"), true)], &new);
        check(&new, old, &[(&format!("endpoint /b: {key}"), true)], old);
    }
}

#[test]
fn another_list_of_paths_waits_as_a_whole() {
    let old = "[[endpoint]]\npath = \"/a\"\n[[endpoint]]\npath = \"/b\"\n";
    for new in [
        "",
        "[[endpoint]]\npath = \"/a\"\ninbound = \"echo\"",
        "[[endpoint]]\npath = \"/b\"\n[[endpoint]]\npath = \"/a\"\nrequire_user = true",
        "[[endpoint]]\npath = \"/a\"\n[[endpoint]]\npath = \"/c\"\n",
        "[[endpoint]]\npath = \"/a\"\n[[endpoint]]\npath = \"/b\"\n[[endpoint]]\npath = \"/c\"\n",
    ] {
        check(old, new, &[("endpoint", false)], old);
        let with_limit = format!("limits.write_wait = \"1s\"\n{new}");
        let in_force = format!("limits.write_wait = \"1s\"\n{old}");
        check(old, &with_limit, &[("limits.write_wait", true), ("endpoint", false)], &in_force);
    }
}

#[test]
fn another_secret_of_the_same_name_is_a_change_that_shows_no_secret() {
    let [old, new] = ["1111111111111111", "2222222222222222"]
        .map(|secret| format!("api.keys = [\"a:{secret}\"]"));
    check(&old, &new, &[("api.keys", true)], &new);
    assert_eq!(format!("{:?}", changes(&config(&old), &config(&new))).matches("11").count(), 0);
}

#[test]
fn a_reload_never_opens_what_a_start_would_refuse() {
    let exposed = "server.admin_listen = \"10.0.0.1:1\"\napi.keys = [\"a:0123456789abcdef\"]";
    check(exposed, "", &[("server.admin_listen", false), ("api.keys", false)], exposed);
    // Another key guards as well.
    let other = "server.admin_listen = \"10.0.0.1:1\"\napi.keys = [\"b:ffffffffffffffff\"]";
    check(exposed, other, &[("api.keys", true)], other);
    // Who permitted it at the start keeps the permission.
    let permitted = format!("server.allow_insecure = true\n{exposed}");
    let keyless = "server.allow_insecure = true\nserver.admin_listen = \"10.0.0.1:1\"";
    check(&permitted, keyless, &[("api.keys", true)], keyless);
}

#[test]
fn compression_that_is_off_until_the_restart_is_not_required_before() {
    let off = "compression.enabled = false\n[[endpoint]]\npath = \"/a\"\n";
    let required = "[[endpoint]]\npath = \"/a\"\nrequire_compression = true";
    let waiting = [("compression.enabled", false), ("endpoint /a: require_compression", false)];
    check(off, required, &waiting, off);
}
