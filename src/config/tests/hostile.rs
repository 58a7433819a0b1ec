//! Input that nobody would write, or that somebody writes on purpose.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::{Sources, load};
use super::{load_text, mistakes_in, refused};

fn refusal_of(path: &Path) -> String {
    let sources = Sources { file: Some(path.to_owned()), ..Sources::default() };
    load(&sources).unwrap_err().to_string()
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    let refusal = refusal_of(&missing);
    assert!(refusal.starts_with(missing.to_str().unwrap()), "{refusal}");
    assert!(refusal.contains("No such file") && refusal.contains("--example"), "{refusal}");
    let refusal = refusal_of(folder.path());
    assert!(refusal.contains("cannot be read: Is a directory; name the file in it"), "{refusal}");
    assert!(refusal_of(Path::new("/dev/zero")).contains("is larger than 4194304 bytes"));
    let hostile = folder.path().join("a\u{1b}[2J\n.toml");
    assert!(!refusal_of(&hostile).contains(char::is_control));

    let locked = folder.path().join("locked.toml");
    std::fs::write(&locked, "").unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o0)).unwrap();
    // Root may read everything: then there is nothing to refuse.
    if std::fs::File::open(&locked).is_err() {
        assert!(refusal_of(&locked).contains("Permission denied; let the gateway's user read it"));
    }
}

#[test]
fn not_utf8() {
    let found = mistakes_in(b"[server]\n# \xff\n");
    assert_eq!(found, ["f.toml:2: is not UTF-8 (at byte 11); save the file as UTF-8"]);
    assert!(mistakes_in(b"\xff\xfe[\0s\0")[0].contains("f.toml:1: is not UTF-8"));
}

#[test]
fn syntax_errors_have_line_and_column() {
    refused("[server\n", &[("f.toml:1:8: ", "")]);
    refused("[server]\nlisten = = 1\n", &[("f.toml:2:10: ", "")]);
    refused("[server]\nlisten = \"127.0.0.1:80", &[("f.toml:2:", "")]);
    refused("[limits]\nwrite_wait = 15s\n", &[("f.toml:2:", "")]);
    let null = mistakes_in(b"\0");
    assert!(null[0].starts_with("f.toml:1:"), "{null:?}");
}

#[test]
fn duplicates() {
    refused(
        "[compression]\nlevel = 1\nlevel = 20\n[limits]\nwrite_wait = 1\n",
        &[
            ("f.toml:3:1: duplicate key", "once"),
            ("f.toml:5: limits.write_wait: \"1\" has no unit", "\"1s\""),
        ],
    );
    refused("[server]\n[limits]\n[server]\n", &[("f.toml:3:", "duplicate key")]);
    assert!(!mistakes_in(b"[endpoint]\n[[endpoint]]\n").is_empty());
    assert!(!mistakes_in(b"server.shards = 1\n[server]\n").is_empty());
}

#[test]
fn wrong_types_of_each_kind() {
    for value in ["true", "1.5", "nan", "-inf", "1979-05-27", "[]", "{ a = 1 }"] {
        for setting in [
            "server.listen",
            "server.shards",
            "heartbeat.pong_wait",
            "compression.level",
            "auth.mode",
            "telemetry.log",
        ] {
            let found = mistakes_in(format!("{setting} = {value}").as_bytes());
            assert_eq!(found.len(), 1, "{found:?}");
            let line = &found[0];
            assert!(line.starts_with(&format!("f.toml:1: {setting}: is ")), "{line}");
            assert!(line.contains("; write "), "{line}");
        }
    }
    for (text, part) in [
        ("server.shards = \"4\"", "\"4\" is a string; write a whole number: 0 to 1024"),
        ("server.allow_insecure = \"true\"", "is a string; write true or false"),
        ("server.allow_insecure = 1", "is a whole number; write true or false"),
        ("server.trusted_proxies = \"10.0.0.1\"", "is a string; write a list"),
        ("server.trusted_proxies = [[\"10.0.0.1\"]]", "is a list; write a network"),
        ("heartbeat.pong_wait = 60", "\"60\" has no unit; write \"60s\""),
        ("telemetry.log = 5", "is a whole number; write a string in quotes"),
        ("server = 5", "server: is a whole number; write [server] on a line"),
        ("[[server]]", "server: is a list; write [server] on a line"),
        ("[endpoint]\npath = \"/a\"", "is a table, not a list of tables; write [[endpoint]]"),
    ] {
        refused(text, &[("f.toml:1: ", part)]);
    }
}

#[test]
fn numbers_at_and_beyond_the_edge() {
    for (text, part) in [
        ("server.shards = -1", "-1 is out of range; write 0 to 1024"),
        ("server.shards = 1025", "1025 is out of range"),
        ("server.shards = 99999999999999999999999999", "is out of range"),
        ("server.shards = 0xFFFFFFFFFFFFFFFFFF", "is out of range"),
        ("compression.level = 0", "0 is out of range; write 1 to 9"),
        ("compression.level = 4294967297", "is out of range"),
        ("limits.max_message_bytes = 0", "write 1 to 1073741824"),
        ("limits.max_message_bytes = 1073741825", "is out of range"),
        ("limits.send_queue_bytes = 1023", "is out of range"),
        ("limits.send_queue_messages = 0", "is out of range"),
        ("heartbeat.pong_wait = \"0s\"", "0s is out of range; write 10ms to 24h"),
        ("heartbeat.pong_wait = \"-5s\"", "is negative"),
        ("heartbeat.pong_wait = -5", "is negative"),
        ("limits.write_wait = \"9ms\"", "9ms is out of range"),
        ("limits.write_wait = \"86401s\"", "is out of range"),
        ("limits.write_wait = \"99999999999999999999s\"", "is too long"),
    ] {
        refused(text, &[("f.toml:1: ", part)]);
    }
    load_text("limits.max_message_bytes = 1073741824\nlimits.write_wait = \"1d\"").unwrap();
}

#[test]
fn unknown_names() {
    refused(
        "listen = 1\nfoo = 1\n[sever]\n[server]\nport = 1\nmax_conections = 1\n[server.tls]\n[bus]\n",
        &[
            ("f.toml:1: listen: is not a setting of the top level", "write listen below [server]"),
            ("f.toml:2: foo: ", "there are [server], [heartbeat]"),
            ("f.toml:3: sever: is not a section", "did you mean [server]?"),
            ("f.toml:5: server.port: is not a setting", "there are listen, admin_listen"),
            ("f.toml:6: server.max_conections: ", "did you mean max_connections?"),
            ("f.toml:7: server.tls: is not a setting", ""),
            ("f.toml:8: bus: is not a section", "there are"),
        ],
    );
    refused("[[endpoints]]\npath = \"/a\"", &[("f.toml:1: endpoints: ", "[[endpoint]]?")]);
    refused(
        "[telemetry]\npath = \"/a\"",
        &[("f.toml:2: telemetry.path: ", "it belongs below an [[endpoint]]")],
    );
    refused("[compression]\nping_interval = 1", &[("f.toml:2: ", "it belongs to [heartbeat]")]);
}

#[test]
fn unicode_and_control_characters_are_shown_harmlessly() {
    let text = "\"\\u001b[2J\" = 1\n[server]\n\"ключ\\u202e\" = 1\nlisten = \"\\u0007\\u009b31m\"\n\
                [auth]\nmode = \"ü\\n\\r\"\n";
    let found = mistakes_in(text.as_bytes());
    assert_eq!(found.len(), 4, "{found:?}");
    for line in &found {
        assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
    }
    assert!(found[1].contains("server.ключ"), "{found:?}");
    let raw = mistakes_in(b"[server]\nlisten = \"\x1b[2J\x07\"\n");
    assert!(raw.iter().all(|line| !line.contains(char::is_control)), "{raw:?}");
}

#[test]
fn large_and_deep_input_ends_soon_and_in_few_words() {
    let long = "a".repeat(1_000_000);
    for text in [
        long.clone(),
        format!("server.listen = \"{long}\""),
        format!("{long} = 1"),
        format!("[server]\n{long} = 1"),
        format!("server.shards = {}", "9".repeat(1_000_000)),
        format!("heartbeat.pong_wait = \"{}s\"", "9".repeat(1_000_000)),
        format!("heartbeat.pong_wait = {}", "9".repeat(1_000_000)),
        format!("server.trusted_proxies = [{}]", "\"10.0.0.1\",".repeat(100_000)),
        format!("server.trusted_proxies = [{}]", "1,".repeat(500_000)),
        format!("telemetry.log = \"{long}=\""),
        format!("server.listen = {}", "[".repeat(100_000)),
        format!("server.listen = {}1{}", "[".repeat(10_000), "]".repeat(10_000)),
        format!("server.listen = {}", "{a=".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("[{}a]", "a.".repeat(100_000)),
        "[".repeat(1_000_000),
        "= \n".repeat(300_000),
    ] {
        let started = Instant::now();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.toml");
        std::fs::write(&path, &text).unwrap();
        let refusal = refusal_of(&path);
        let start: String = text.chars().take(30).collect();
        assert!(refusal.len() < 40_000, "{start}: {} bytes", refusal.len());
        assert!(started.elapsed() < Duration::from_secs(20), "{start}: {:?}", started.elapsed());
    }
}
