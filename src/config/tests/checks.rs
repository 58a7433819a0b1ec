//! What concerns several settings.

use super::super::{Sources, load};
use super::{load_text, refused, sources};

#[test]
fn the_heartbeat_chain() {
    refused(
        "[heartbeat]\nping_interval = \"60s\"",
        &[("f.toml:2: heartbeat.pong_wait: 60s is not longer than", "\"2m\"")],
    );
    refused(
        "[heartbeat]\npong_wait = \"5s\"\n\nping_interval = \"10s\"",
        &[("f.toml:2: heartbeat.pong_wait: 5s", "write at least twice the interval: \"20s\"")],
    );
    // A value that could not be read is not compared.
    refused(
        "[heartbeat]\nping_interval = \"5\"\npong_wait = \"10s\"",
        &[("f.toml:2: heartbeat.ping_interval: \"5\" has no unit", "\"5s\"")],
    );
    let slow = load_text("[heartbeat]\nping_interval = \"60s\"\npong_wait = \"2m\"").unwrap();
    assert!(slow.warnings[0].contains("proxy_read_timeout"), "{:?}", slow.warnings);
}

#[test]
fn beyond_loopback_only_when_asked_for_by_name() {
    refused(
        "[server]\nlisten = \"0.0.0.0:80\"\nadmin_listen = \"[::]:81\"",
        &[
            ("f.toml:2: server.listen: 0.0.0.0:80 is beyond loopback", "allow_insecure = true"),
            ("f.toml:3: server.admin_listen: [::]:81 is beyond loopback", "allow_insecure = true"),
        ],
    );
    load_text(
        "[server]\nlisten = \"0.0.0.0:80\"\nadmin_listen = \"[::]:81\"\nallow_insecure = true",
    )
    .unwrap();
    // The message about the admin listener names both remedies, and either is one.
    refused(
        "[server]\nadmin_listen = \"10.0.0.1:81\"",
        &[(
            "f.toml:2: server.admin_listen: 10.0.0.1:81 is beyond loopback, without a key",
            "[api]",
        )],
    );
    let key = "api.keys = [\"backend:0123456789abcdef\"]\n";
    load_text(&format!("{key}server.admin_listen = \"10.0.0.1:81\"")).unwrap();
    // A key of the API does not ask clients who they are.
    refused(
        &format!("{key}server.listen = \"10.0.0.1:80\""),
        &[("f.toml:2: server.listen: ", "without authentication")],
    );
    // A key with a mistake is the one thing to correct.
    refused(
        "api.keys = [\"backend:short\"]\nserver.admin_listen = \"10.0.0.1:81\"",
        &[("f.toml:1: api.keys: ", "less than 16")],
    );
    for loopback in ["127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
        load_text(&format!("[server]\nlisten = \"{loopback}\"")).unwrap();
    }
    let by_flag = sources(&[], &["server.listen=10.0.0.1:80"]);
    assert!(load(&by_flag).unwrap_err().to_string().starts_with("--set server.listen: "));
    let allowed =
        sources(&[("GAUGEWAY_SERVER__ALLOW_INSECURE", "true")], &["server.listen=10.0.0.1:80"]);
    load(&allowed).unwrap();
}

#[test]
fn two_listeners_need_two_ports() {
    for (listen, admin, clash) in [
        ("127.0.0.1:80", "127.0.0.1:80", true),
        ("0.0.0.0:80", "127.0.0.1:80", true),
        ("127.0.0.1:80", "[::]:80", true),
        ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
        ("0.0.0.0:80", "[::1]:80", false),
        ("127.0.0.1:80", "127.0.0.2:80", false),
        ("127.0.0.1:80", "127.0.0.1:81", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
    ] {
        let text = format!(
            "[server]\nallow_insecure = true\nlisten = \"{listen}\"\nadmin_listen = \"{admin}\""
        );
        if clash {
            refused(&text, &[("f.toml:4: server.admin_listen: ", "clashes with server.listen")]);
        } else {
            load_text(&text).unwrap();
        }
    }
}

#[test]
fn endpoints() {
    refused(
        "[[endpoint]]\npath = \"/a\"\n[[endpoint]]\npath = \"/b\"\n[[endpoint]]\npath = \"/a\"",
        &[("f.toml:6: endpoint.path: \"/a\" is taken at ", "f.toml:2; write another path")],
    );
    refused(
        "[[endpoint]]\npath = \"/a/\"\n[[endpoint]]\npath = \"/a\"",
        &[("f.toml:2: endpoint.path: \"/a/\" ends with `/`", "write \"/a\"")],
    );
    refused(
        "\n[[endpoint]]\ninbound = \"echo\"",
        &[("f.toml:2: endpoint.path: is missing", "write path")],
    );
    refused(
        "[[endpoint]]\npath = \"/a\"\ninbound = \"rest\"\nrequire_usr = true\nlisten = 1",
        &[
            ("f.toml:3: endpoint.inbound: \"rest\" is not known", "\"echo\" or \"broadcast\""),
            ("f.toml:4: endpoint.require_usr: is not a setting", "did you mean require_user?"),
            ("f.toml:5: endpoint.listen: is not a setting", "it belongs to [server]"),
        ],
    );
    refused(
        "[compression]\nenabled = false\n[[endpoint]]\npath = \"/a\"\nrequire_compression = true",
        &[("f.toml:5: endpoint.require_compression: every client", "compression.enabled")],
    );
    refused("endpoint = []", &[("f.toml:1: endpoint: is empty", "[[endpoint]]")]);
    refused("endpoint = [1]", &[("f.toml:1: endpoint: is a whole number", "[[endpoint]]")]);
    refused(
        &(0..101).fold(String::new(), |text, n| text + &format!("[[endpoint]]\npath = \"/{n}\"\n")),
        &[("f.toml:1: endpoint: occurs 101 times", "write at most 100")],
    );
    assert_eq!(load_text("endpoint = [{ path = \"/a\" }]").unwrap().config.endpoints.len(), 1);
}

#[test]
fn origins_in_lists() {
    refused(
        "[auth]\nallowed_origins = [\n\"https://a\",\n\"https://b/\",\n3,\n\"*\",\n]",
        &[
            ("f.toml:4: auth.allowed_origins: \"https://b/\" has a path", "write \"https://b\""),
            ("f.toml:5: auth.allowed_origins: is a whole number", "string in quotes"),
        ],
    );
    refused(
        "[auth]\nallowed_origins = [\"*\", \"https://a\"]\n\
         [[endpoint]]\npath = \"/a\"\nallowed_origins = [\"https://a\", \"*\"]",
        &[
            ("f.toml:2: auth.allowed_origins: has \"*\" beside", "alone"),
            ("f.toml:5: endpoint.allowed_origins: has \"*\" beside", "alone"),
        ],
    );
}

#[test]
fn proxies() {
    refused(
        "[server]\ntrusted_proxies = [\"10.0.0.7/8\", \"10.0.0.0/33\", \"nginx\"]",
        &[
            ("f.toml:2: server.trusted_proxies: \"10.0.0.0/33\" is not a network", "10.0.0.0/8"),
            (
                "f.toml:2: server.trusted_proxies: \"10.0.0.7/8\" has bits",
                "\"10.0.0.0/8\" or \"10.0.0.7\"",
            ),
            ("f.toml:2: server.trusted_proxies: \"nginx\" is not a network", "write"),
        ],
    );
    let all = load_text("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]").unwrap();
    assert!(all.warnings[0].contains("any client can claim"), "{:?}", all.warnings);
}

#[test]
fn warnings_do_not_refuse() {
    let files = |set: &[&str], open_files_max| {
        let sources = Sources { open_files_max, ..sources(&[], set) };
        load(&sources).unwrap().warnings
    };
    assert_eq!(files(&["server.max_connections=1000"], None), [""; 0]);
    assert_eq!(files(&["server.max_connections=924"], Some(1_024)), [""; 0]);
    assert_eq!(files(&[], Some(10)), [""; 0]);
    let few = files(&["server.max_connections=925"], Some(1_024));
    assert!(few[0].contains("at most 924 connections"), "{few:?}");
    let pointless = files(&["server.max_connections=5", "server.max_connections_per_ip=6"], None);
    assert!(pointless[0].contains("has no effect"), "{pointless:?}");
    let large = files(&["limits.max_message_bytes=2000000"], None);
    assert_eq!(large.len(), 2, "the two broadcast endpoints: {large:?}");
}
