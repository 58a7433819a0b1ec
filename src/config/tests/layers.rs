//! Defaults, file, environment, flags, and the way back to TOML.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use super::super::{Config, Flags, Inbound, LogFormat, Origin, Sources, effective, example, load};
use super::{load_text, shown, sources};

#[test]
fn nothing_at_all_is_the_default() {
    let loaded = load(&Sources::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.origin, Origin::Defaults);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(loaded.config.server.listen.ip().is_loopback());
    for empty in ["", "\n", "# nothing\n", "\u{feff}", "[server]\n[limits]\n"] {
        assert_eq!(load_text(empty).unwrap().config, Config::default(), "{empty:?}");
    }
}

#[test]
fn every_setting_can_be_set() {
    let text = r#"
        compression = { enabled = false, level = 9, min_bytes = 0, context_takeover = true }
        telemetry.log = 'gaugeway=debug,warn'
        telemetry.log_format = "pretty"
        [server]
        listen = "[::1]:9000"
        trusted_proxies = ["10.0.0.0/8", "192.168.1.7", "fd00::/8"]
        max_connections = 1_000
        max_connections_per_ip = 0x10
        shards = 4
        [heartbeat]
        ping_interval = "100ms"
        pong_wait = "250ms"
        [auth]
        mode = "none"
        allowed_origins = ["https://a.example", "http://localhost:3000"]
        [[endpoint]]
        path = "/"
        inbound = "echo"
        max_message_bytes = 16777216
        allowed_origins = ["*"]
        context_takeover = false
        [[endpoint]]
        path = "/b"
        require_user = true
    "#;
    let config = load_text(text).unwrap().config;
    assert_eq!(config.compression.level, 9);
    assert_eq!(config.telemetry.log_format, LogFormat::Pretty);
    assert_eq!(config.server.max_connections_per_ip, 16);
    assert_eq!(config.server.trusted_proxies[1].to_string(), "192.168.1.7/32");
    assert_eq!(config.heartbeat.ping_interval, Duration::from_millis(100));
    assert_eq!(config.endpoints.len(), 2);
    assert_eq!(config.endpoints[0].inbound, Inbound::Echo);
    assert_eq!(config.endpoints[0].max_message_bytes, Some(16_777_216));
    assert_eq!(config.endpoints[0].context_takeover, Some(false));
    assert_eq!(config.endpoints[1].inbound, Inbound::Ignore);
    assert_eq!(config.endpoints[1].allowed_origins, None);
    let printed = effective(&config);
    assert_eq!(load_text(&printed).unwrap().config, config, "{printed}");
}

#[test]
fn what_is_printed_loads_back() {
    let printed = effective(&Config::default());
    assert_eq!(load_text(&printed).unwrap().config, Config::default(), "{printed}");
    let log = "a\\b\"[é]=info,\u{9b}\u{202e}\u{7f}=off";
    let mut config = Config::default();
    log.clone_into(&mut config.telemetry.log);
    let printed = effective(&config);
    assert!(!printed.contains(['\u{9b}', '\u{202e}', '\u{7f}']), "{printed:?}");
    let root: toml::Table = printed.parse().unwrap();
    assert_eq!(root["telemetry"]["log"].as_str(), Some(log));
}

#[test]
fn the_shipped_example_is_generated_and_true() {
    let example = example();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/gaugeway.example.toml");
    assert_eq!(
        std::fs::read_to_string(shipped).unwrap_or_default(),
        example,
        "renew it: gaugeway config --example > gaugeway.example.toml"
    );
    assert_eq!(load_text(&example).unwrap().config, Config::default());
    // A comment's text begins with a blank, a setting that is commented out does not.
    let uncommented: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let mut expected = Config::default();
    // The first endpoint shows what the three would inherit.
    expected.endpoints[0].max_message_bytes = Some(expected.limits.max_message_bytes);
    expected.endpoints[0].allowed_origins = Some(expected.auth.allowed_origins.clone());
    expected.endpoints[0].context_takeover = Some(expected.compression.context_takeover);
    assert!(uncommented.contains("\n[[endpoint]]\n"));
    assert_eq!(load_text(&uncommented).unwrap().config, expected);
}

#[test]
fn flags_override_the_environment_and_that_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.toml");
    std::fs::write(&file, "[compression]\nlevel = 2\nmin_bytes = 2\n[limits]\nwrite_wait = \"2s\"")
        .unwrap();
    let mut sources = sources(
        &[
            ("GAUGEWAY_COMPRESSION__LEVEL", "3"),
            ("GAUGEWAY_COMPRESSION__MIN_BYTES", "3"),
            ("GAUGEWAY_COMPRESSION__ENABLED", "false"),
            ("GAUGEWAY_HEARTBEAT__PING_INTERVAL", "\"20s\""),
            ("GAUGEWAY_AUTH__ALLOWED_ORIGINS", "https://a, https://b"),
            ("GAUGEWAY_SERVER__TRUSTED_PROXIES", ""),
            ("GAUGEWAY_CONFIG", "not a setting"),
            ("GAUGEWAY_HEALTH_URL", "not a setting"),
            ("GAUGEWAY_ADMIN_URL", "not a setting"),
            ("GAUGEWAY_API_KEY", "not a setting"),
            ("GAUGEWAY_REVISION", "not a setting"),
            ("GAUGEWAY_SERVICE_HOST", "10.0.0.1"),
            ("GAUGEWAY_SERVICE_PORT_ADMIN", "8081"),
            ("GAUGEWAY_PORT", "tcp://10.0.0.1:8080"),
            ("GAUGEWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("PATH", "/bin"),
        ],
        &["compression.level=4", "server.max_connections=7", "server.max_connections = 8"],
    );
    sources.file = Some(file.clone());
    sources.flags.listen = Some("127.0.0.1:0".into());
    sources.flags.admin_listen = Some("127.0.0.1:0".into());
    let loaded = load(&sources).unwrap();
    let config = loaded.config;
    assert_eq!(loaded.origin, Origin::File(file));
    assert_eq!(config.compression.level, 4);
    assert_eq!(config.compression.min_bytes, 3);
    assert_eq!(config.limits.write_wait, Duration::from_secs(2));
    assert_eq!(config.heartbeat.ping_interval, Duration::from_secs(20));
    assert_eq!(config.auth.allowed_origins, ["https://a", "https://b"]);
    assert!(config.server.trusted_proxies.is_empty());
    assert_eq!(config.server.max_connections, 8);
    assert_eq!(config.server.listen.port(), 0);
    assert_eq!(config.endpoints, Config::default().endpoints);
}

#[test]
fn mistakes_of_all_sources_come_together_each_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.toml");
    std::fs::write(&file, "[compression]\n\nlevel = 12\n").unwrap();
    let mut sources = sources(
        &[
            ("GAUGEWAY_HEARTBEAT__PING_INTERVAL", "30"),
            ("GAUGEWAY_SERVER_LISTEN", "x"),
            ("GAUGEWAY_ENDPOINT__PATH", "/x"),
            ("GAUGEWAY_SERVER_PORT", "9000"),
            ("GAUGEWAY_MIN_BYTES", "1"),
            ("GAUGEWAY_COMPRESSION__ENABLED", "yes"),
            ("GAUGEWAY_AUTH__ALLOWED_ORIGINS", "[\"https://a\"]"),
        ],
        &[
            "limits.write_wiat=1s",
            "min_bytes=1",
            "level",
            "endpoint.path=/x",
            "server.shards=-1",
            "=",
            "x=\u{1b}",
        ],
    );
    sources
        .environment
        .push((OsString::from("GAUGEWAY_TELEMETRY__LOG"), OsString::from_vec(vec![0xff])));
    sources.file = Some(file);
    sources.flags = Flags { listen: Some(":8080".into()), ..sources.flags };
    let found = shown(&load(&sources).unwrap_err());
    let expected = [
        "f.toml:3: compression.level: 12 is out of range; write 1 to 9",
        "environment GAUGEWAY_AUTH__ALLOWED_ORIGINS: \"[\"https://a\"]\" has brackets; write",
        "environment GAUGEWAY_COMPRESSION__ENABLED: \"yes\" is not a switch; write true or false",
        "environment GAUGEWAY_ENDPOINT__PATH: is not a setting; write [[endpoint]] tables in a file",
        "environment GAUGEWAY_HEARTBEAT__PING_INTERVAL: \"30\" has no unit; write \"30s\"",
        "environment GAUGEWAY_MIN_BYTES: is not a setting; did you mean GAUGEWAY_COMPRESSION__MIN_BYTES?",
        "environment GAUGEWAY_SERVER_LISTEN: is not a setting; did you mean GAUGEWAY_SERVER__LISTEN?",
        "environment GAUGEWAY_SERVER_PORT: is not a setting",
        "environment GAUGEWAY_TELEMETRY__LOG: is not UTF-8",
        "--listen: \":8080\" is not an address with a port; write \"127.0.0.1:8080\", or",
        "--set: \"level\" has no `=`; write --set section.key=value",
        "--set : is not a setting",
        "--set endpoint.path: is not a setting; write [[endpoint]] tables in a file",
        "--set limits.write_wiat: is not a setting; did you mean limits.write_wait?",
        "--set min_bytes: is not a setting; did you mean compression.min_bytes?",
        "--set server.shards: -1 is out of range; write 0 to 1024",
        "--set x: is not a setting",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (line, start) in found.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}\nnot: {start}");
    }
}
