//! What scenarios become, and every mistake with its words.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::Text;
use crate::load::scenario::{Lifetime, Misconduct, Publishing, Storm};

const FILES: u64 = 20_000;

fn around() -> Surroundings<'static> {
    Surroundings {
        token: Ok(None),
        api_key: Ok(None),
        open_files_max: FILES,
        ports: 28_000,
        addresses: &|host, _| match host {
            "inside" => vec![IpAddr::from([10, 0, 0, 7])],
            "both" => vec![IpAddr::from([10, 0, 0, 7]), IpAddr::from([192, 0, 2, 1])],
            "outside" => vec![IpAddr::from([192, 0, 2, 1])],
            _ => Vec::new(),
        },
        owned: false,
    }
}

/// A line of flags as a shell would give it, without quotes; a bare word is the URL.
fn give_flags(draft: &mut Draft, line: &str) {
    let mut words = line.split_whitespace().peekable();
    let mut lists: Vec<(&'static Key, Vec<String>)> = Vec::new();
    while let Some(word) = words.next() {
        let (key, value) = match word.strip_prefix("--") {
            None => (Key::named("url").unwrap(), word.to_owned()),
            Some(name) => {
                let key = Key::named(name).unwrap_or_else(|| panic!("{name} is no key"));
                let value = match key.takes {
                    Takes::Switch => "true",
                    _ => words.next().unwrap(),
                };
                (key, value.replace('~', " "))
            }
        };
        match lists.iter_mut().find(|(known, _)| known.name == key.name) {
            Some((_, values)) => values.push(value),
            None => lists.push((key, vec![value])),
        }
    }
    for (key, values) in lists {
        draft.give_flag(key, values);
    }
}

fn both(file: &str, flags: &str) -> Result<Plan, Mistakes> {
    let mut draft = Draft::default();
    draft.read_text(&Text::new(Arc::from("s.toml"), file.to_owned()));
    give_flags(&mut draft, flags);
    check(draft, around())
}

#[track_caller]
fn accepted(flags: &str) -> Scenario {
    both("", flags).unwrap_or_else(|mistakes| panic!("{flags}: {mistakes}")).scenario
}

#[track_caller]
fn refused(result: Result<Plan, Mistakes>, parts: &[&str]) {
    let said = result.expect_err("it is wrong").to_string();
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn a_bare_url_holds_one_connection() {
    let plan = both("", "ws://h/p").unwrap();
    assert_eq!(plan.thresholds, Thresholds::default());
    let scenario = plan.scenario;
    assert_eq!(scenario.url, "ws://h/p");
    assert_eq!((scenario.connections, scenario.processes, scenario.opening), (1, 1, 256));
    assert_eq!(scenario.work, Work::Hold);
    assert_eq!(scenario.duration, Duration::from_secs(10));
    assert_eq!(scenario.warm_up, Duration::from_secs(1));
    assert_eq!(scenario.payload.sizes, Sizes::Range(128, 128));
}

#[test]
fn each_flag_reaches_its_field() {
    let all = accepted(
        "wss://127.0.0.1:8443/a?id={n} --connections 1_000 --processes 2 --ramp 2s --opening 64 \
         --source-addresses 127.0.0.2-127.0.0.4,127.0.0.9 --warm-up 0s --duration 1m \
         --handshake-timeout 3s --close-wait 1s --header X-A:~1 --header X-B:~2:3 --subprotocol a \
         --subprotocol b --insecure --compression --echo --rate 12.5 --size 64:9,1024:1 --binary \
         --lifetime 5s..30s --storm 30s --storm-fraction 0.25 --storm-spread 2s --storm-abrupt \
         --misbehave never-reads=10,vanishes=5%",
    );
    assert_eq!((all.connections, all.processes, all.opening), (1_000, 2, 64));
    let last: Vec<_> = all.source_addresses.iter().map(ToString::to_string).collect();
    assert_eq!(last, ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.9"]);
    assert_eq!(all.ramp, Duration::from_secs(2));
    assert_eq!(all.duration, Duration::from_mins(1));
    assert_eq!(all.headers, [("X-A", "1"), ("X-B", "2:3")].map(|(n, v)| (n.into(), v.into())));
    assert_eq!(all.subprotocols, ["a", "b"]);
    assert!(all.insecure && all.compression);
    assert_eq!(all.work, Work::Echo { rate: 12.5 });
    assert_eq!(all.payload.sizes, Sizes::Weighted(vec![(64, 9), (1024, 1)]));
    assert_eq!(all.payload.kind, Kind::Binary);
    let [min, max] = [5, 30].map(Duration::from_secs);
    assert_eq!(all.lifetime, Some(Lifetime { min, max }));
    let storm = Storm { every: max, fraction: 0.25, spread: Duration::from_secs(2), abrupt: true };
    assert_eq!(all.storm, Some(storm));
    let misbehaving: Vec<_> =
        all.misbehaviour.iter().map(|one| (one.misconduct, one.connections)).collect();
    assert_eq!(misbehaving, [(Misconduct::NeverReads, 10), (Misconduct::Vanishes, 50)]);
}

#[test]
fn every_work_can_be_asked() {
    let in_flight = Work::EchoClosed { in_flight: 3 };
    assert_eq!(accepted("ws://h --echo --in-flight 3").work, in_flight);
    let publishing = |url: Option<&str>| Publishing::Connection { url: url.map(str::to_owned) };
    for (flags, url) in [("", None), ("--publish-url ws://p/x", Some("ws://p/x"))] {
        let work = accepted(&format!("ws://h --fan-out --rate 10 {flags}")).work;
        assert_eq!(work, Work::FanOut { publishing: publishing(url), rate: 10.0 });
    }
    let mut draft = Draft::default();
    give_flags(&mut draft, "ws://h --fan-out --rate 10 --api http://127.0.0.1:8081 --to everyone");
    let key = Some(Secret::new("s"));
    let plan = check(draft, Surroundings { api_key: Ok(key.clone()), ..around() }).unwrap();
    let (url, to) = ("http://127.0.0.1:8081".to_owned(), "everyone".to_owned());
    let publishing = Publishing::Api { url, to, key };
    assert_eq!(plan.scenario.work, Work::FanOut { publishing, rate: 10.0 });
}

#[test]
fn a_file_says_the_same_and_flags_stand_above_it() {
    let file = "url = \"ws://h\"\nconnections = 7\necho = true\nrate = 100.5\nsize = 64\n\
                header = [\"A: 1\", \"B: 2\"]\nmisbehave = \"resets=3\"\nbinary = false\n\
                max_p99 = \"50ms\"\nhold = false\n";
    let plan = both(file, "").err().map(|mistakes| mistakes.to_string());
    // A host that nobody can look up is nobody's own.
    assert!(plan.is_some_and(|said| said.contains("--i-own-this-server")));
    let file = file.replace("//h", "//[::1]:80");
    let plan = both(&file, "").unwrap();
    assert_eq!(plan.scenario.work, Work::Echo { rate: 100.5 });
    assert_eq!(plan.scenario.headers.len(), 2);
    assert_eq!(plan.scenario.payload.kind, Kind::Text);
    assert_eq!(plan.thresholds.max_p99, Some(Duration::from_millis(50)));

    let plan = both(&file, "ws://127.0.0.1 --connections 9 --header C:3 --in-flight 2").unwrap();
    assert_eq!(plan.scenario.url, "ws://127.0.0.1");
    assert_eq!((plan.scenario.connections, plan.scenario.headers.len()), (9, 1));
    assert_eq!(plan.scenario.work, Work::EchoClosed { in_flight: 2 });
    // The file's rate, size and threshold lie idle where a flag asks for other work.
    assert_eq!(both(&file, "--hold").unwrap().scenario.work, Work::Hold);
}

#[test]
fn wrong_flags_are_refused_with_the_fix() {
    for (flags, parts) in [
        ("", &["URL: is missing", "gaugeway load ws://HOST:PORT/PATH"][..]),
        ("http://h", &["URL: ", "ws://"]),
        ("ws://", &["URL: "]),
        ("ws://a:b@h", &["URL: ", "--token-file"]),
        ("ws://h#x", &["URL: ", "fragment"]),
        ("ws://{n}/", &["URL: ", "host"]),
        ("ws://h:0", &["URL: ", "port"]),
        ("ws://h:70000", &["URL: ", "port"]),
        ("ws://h --connections -1", &["--connections: \"-1\"", "from 0 to 10000000"]),
        ("ws://h --connections 1e9", &["--connections: \"1e9\""]),
        ("ws://h --connections 0", &["--connections: leaves nothing to do", "write 1 or more"]),
        ("ws://h --duration 10", &["--duration: \"10\" has no unit", "\"10s\""]),
        ("ws://h --duration 0s", &["--duration: ", "write a time from 10ms to"]),
        ("ws://h --echo", &["--echo: needs", "--rate 1000, or --in-flight 1"]),
        ("ws://h --echo --rate 0", &["--rate: \"0\"", "above 0"]),
        ("ws://h --echo --rate NaN", &["--rate: \"NaN\""]),
        ("ws://h --echo --rate inf", &["--rate: \"inf\""]),
        ("ws://h --echo --rate 1 --in-flight 1", &["--in-flight: ", "leave one of them away"]),
        ("ws://h --echo --hold --rate 1", &["--echo: stands beside --hold"]),
        ("ws://h --rate 5", &["--rate: means nothing with hold", "--echo or --fan-out"]),
        ("ws://h --size 64", &["--size: means nothing", "add --echo"]),
        ("ws://h --echo --rate 1 --api http://h", &["--api: means nothing with echo", "--fan-out"]),
        ("ws://h --fan-out", &["--fan-out: needs a rate", "--rate 10"]),
        ("ws://h --fan-out --rate 1 --to everyone", &["--to: means nothing without an API"]),
        ("ws://h --fan-out --rate 1 --api http://h", &["--api: needs to know", "--to endpoint:"]),
        (
            "ws://h --fan-out --rate 1 --api https://h --to room:7",
            &["--api: ", "http://HOST:PORT", "--to: ", "user:NAME"],
        ),
        ("ws://h --fan-out --rate 1 --size 8", &["--size: is too short", "bytes or more"]),
        ("ws://h --echo --rate 1 --size 9..8", &["--size: ", "runs backwards"]),
        ("ws://h --echo --rate 1 --size 1:0", &["--size: ", "BYTES:WEIGHT"]),
        ("ws://h --echo --rate 1 --size 99999999999", &["--size: ", "at most"]),
        ("ws://h --lifetime 5s..1s", &["--lifetime: ", "runs backwards"]),
        ("ws://h --header X", &["--header: has no `:`"]),
        ("ws://h --header Upgrade:x", &["--header: Upgrade: the load client"]),
        ("ws://h --header Sec-WebSocket-Protocol:x", &["--header: ", "--subprotocol"]),
        ("ws://h --header a~b:x", &["--header: 'a b'", "no name of a header"]),
        ("ws://h --subprotocol a,b", &["--subprotocol: 'a,b' is no token"]),
        ("ws://h --subprotocol a --subprotocol a", &["--subprotocol: ", "twice"]),
        ("ws://h --storm-fraction 0.5", &["--storm-fraction: ", "add --storm 30s"]),
        ("ws://127.0.0.1 --storm 1s --storm-spread 1s", &["--storm-spread: ", "shorter"]),
        ("ws://127.0.0.1 --storm 1s --storm-fraction 2", &["--storm-fraction: ", "at most 1"]),
        ("ws://127.0.0.1 --misbehave x=1", &["--misbehave: \"x\"", "never-reads, vanishes"]),
        ("ws://127.0.0.1 --misbehave resets", &["--misbehave: ", "resets=10"]),
        ("ws://127.0.0.1 --misbehave resets=101%", &["--misbehave: ", "100%"]),
        ("ws://127.0.0.1 --misbehave resets=1,resets=2", &["--misbehave: has resets twice"]),
        ("ws://h --max-p99 5ms", &["--max-p99: ", "--echo"]),
        ("ws://h --max-errors -1", &["--max-errors: "]),
        ("ws://h --processes 0", &["--processes: ", "from 1 to 256"]),
        ("ws://h --processes 5 --connections 4", &["--processes: ", "write at most 4"]),
    ] {
        let result = both("", flags);
        assert!(result.is_err(), "{flags} was accepted");
        refused(result, parts);
    }
}

#[test]
fn all_mistakes_of_file_and_flags_are_told_at_once() {
    let file = "conections = 5\nrate = \"fast\"\nduration = 10\nheader = [\"A: 1\", 2]\n\
                echo = \"yes\"\n[storm]\n";
    refused(
        both(file, "http://h --lifetime 1"),
        &[
            "s.toml:1: \"conections\" is no key of a scenario; did you mean connections?",
            "s.toml:2: rate: is a string; write a number without quotes",
            "s.toml:3: duration: is a whole number; write a text in quotes",
            "s.toml:4: header: is a list",
            "s.toml:5: echo: is a string; write true or false",
            "s.toml:6: storm: is a table",
            "--lifetime: \"1\" has no unit",
            "URL: ",
        ],
    );
    refused(both("rate = = 1", "ws://h"), &["s.toml:1:8: ", "correct the TOML"]);
    refused(both("echo = true", "ws://h"), &["s.toml:1: echo: ", "rate = 1000, or in_flight = 1"]);
    refused(both("binary = true", "ws://h"), &["s.toml:1: binary: ", "add echo = true"]);
}

#[test]
fn secrets_that_cannot_be_read_are_mistakes_like_others() {
    let mut draft = Draft::default();
    give_flags(&mut draft, "ws://h --duration 1");
    let token = Err("there is none".to_owned());
    let result = check(draft, Surroundings { token, ..around() });
    refused(result, &["--token-file: there is none", "--duration: "]);
    let mut draft = Draft::default();
    give_flags(&mut draft, "ws://h --header authorization:x");
    let token = Ok(Some(Secret::new("t")));
    refused(check(draft, Surroundings { token, ..around() }), &["--header: ", "Authorization"]);
}

#[test]
fn only_what_is_near_is_troubled_without_being_asked_by_name() {
    for (host, allowed) in [
        ("127.0.0.1", true),
        ("127.8.0.1:99", true),
        ("[::1]", true),
        ("10.1.2.3", true),
        ("192.168.0.9", true),
        ("172.31.0.1", true),
        ("[fd00::1]", true),
        ("[::ffff:10.0.0.1]", true),
        ("inside", true),
        ("172.32.0.1", false),
        ("8.8.8.8", false),
        ("[2001:db8::1]", false),
        ("[::ffff:8.8.8.8]", false),
        ("outside", false),
        ("both", false),
        ("nowhere", false),
    ] {
        for trouble in ["--misbehave vanishes=1", "--storm 5s"] {
            let flags = format!("ws://{host}/ {trouble}");
            assert_eq!(both("", &flags).is_ok(), allowed, "{flags}");
            let mut draft = Draft::default();
            give_flags(&mut draft, &flags);
            assert!(check(draft, Surroundings { owned: true, ..around() }).is_ok(), "{flags}");
        }
        assert!(both("", &format!("ws://{host}/ --lifetime 1s")).is_ok());
    }
}

#[test]
fn ports_files_and_processes_suffice_or_the_line_to_add_is_said() {
    for (flags, processes) in [
        ("ws://h --connections 15000", 1),
        ("ws://h --connections 15001", 2),
        ("ws://h --connections 28000", 2),
        ("ws://127.0.0.1 --connections 60000 --source-addresses 127.0.0.2-127.0.0.4", 4),
        ("ws://h --connections 28000 --processes 3", 3),
    ] {
        assert_eq!(accepted(flags).processes, processes, "{flags}");
    }
    for (flags, parts) in [
        (
            "ws://127.0.0.1 --connections 28001",
            &["28001 connections", "28000 ports", "--source-addresses 127.0.0.2-127.0.0.3"][..],
        ),
        ("ws://[::1] --connections 28001", &["--source-addresses ADDRESS,ADDRESS"]),
        (
            "ws://127.0.0.1 --connections 90000 --source-addresses 127.0.0.2",
            &["--source-addresses: 90000 connections", "--source-addresses 127.0.0.2-127.0.0.5"],
        ),
        ("ws://h --connections 28000 --processes 1", &["--processes: ", "--processes 2"]),
        ("ws://h --source-addresses 127.0.0.1,::1", &["mix IPv4 and IPv6"]),
        ("ws://10.0.0.1 --source-addresses ::1", &["not of the same kind as 10.0.0.1"]),
        ("ws://10.0.0.1 --source-addresses 127.0.0.2", &["do not reach 10.0.0.1"]),
        ("ws://h --source-addresses 10.0.0.9-10.0.0.2", &["runs backwards"]),
        ("ws://h --source-addresses 10.0.0.0-11.0.0.0", &["more addresses than any machine"]),
        ("ws://h --source-addresses localhost", &["\"localhost\" is neither"]),
    ] {
        refused(both("", flags), parts);
    }
    let mut draft = Draft::default();
    give_flags(&mut draft, "ws://h");
    refused(check(draft, Surroundings { open_files_max: 64, ..around() }), &["ulimit -Hn"]);
}

#[test]
fn keys_are_declared_once_and_their_help_is_short() {
    for (index, key) in KEYS.iter().enumerate() {
        assert!(KEYS[..index].iter().all(|other| other.name != key.name), "{}", key.name);
        assert!(
            key.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b.is_ascii_digit())
        );
        assert_eq!(key.takes == Takes::Switch, key.value_name.is_empty(), "{}", key.name);
    }
}
