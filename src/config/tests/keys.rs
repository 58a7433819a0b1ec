//! Keys of the API: which load, and that nothing ever says one.

use super::super::{ApiKey, Secret, effective, load};
use super::{load_text, mistakes_in, refused, sources};

/// It occurs in no message, whole or in part.
const HIDDEN: &str = "hunter2HUNTER2hunter2";

fn key(name: &str, secret: &str) -> ApiKey {
    ApiKey { name: name.to_owned(), secret: Secret::new(secret) }
}

#[track_caller]
fn hides(shown: &str) {
    assert!(!shown.to_lowercase().contains("hunter"), "{shown}");
}

#[test]
fn keys_load_from_every_source() {
    let expected = [key("backend", "0123456789abcdef"), key("a-b_c.D", "!#$%&()*+-./;<=>?@[]")];
    let text = r#"api.keys = ["backend:0123456789abcdef", "a-b_c.D:!#$%&()*+-./;<=>?@[]"]"#;
    assert_eq!(load_text(text).unwrap().config.api.keys, expected);
    let list = "backend:0123456789abcdef, a-b_c.D:!#$%&()*+-./;<=>?@[]";
    let variable = sources(&[("GAUGEWAY_API__KEYS", list)], &[]);
    assert_eq!(load(&variable).unwrap().config.api.keys, expected);
    let flag = sources(&[], &[&format!("api.keys={list}")]);
    assert_eq!(load(&flag).unwrap().config.api.keys, expected);
    for (name, secret) in [("n".repeat(64), "s".repeat(16)), ("n".to_owned(), "s".repeat(256))] {
        load_text(&format!("api.keys = [\"{name}:{secret}\"]")).unwrap();
    }
}

#[test]
fn a_wrong_key_is_refused_by_its_place_without_a_word_of_it() {
    let long = "hunter2".repeat(40);
    for (value, what) in [
        (HIDDEN, "has no `:`"),
        ("", "has no `:`"),
        ("backend:hunter2:hunter2hunter2hunter2", "more than one `:`"),
        ("hunter2hunter2hunter2:backend", "a secret of less than 16 characters"),
        ("backend:hunter2", "less than 16"),
        ("backend:", "less than 16"),
        (&format!("backend:{long}"), "more than 256"),
        (":hunter2hunter2hunter2", "a name that is not 1 to 64 characters long"),
        (&format!("{long}:hunter2hunter2hunter2"), "a name that is not 1 to 64"),
        ("back end:hunter2hunter2hunter2", "a name with other characters"),
        ("b\u{1b}[2J:hunter2hunter2hunter2", "a name with other characters"),
        ("backend:hunter2 hunter2 hunter2", "a space, a comma, a quote"),
        ("backend:hunter2hunter2\u{7}hunter2", "a space, a comma, a quote"),
        ("backend:hunter2hunter2\u{e9}hunter2", "beyond visible ASCII"),
        ("backend:hunter2'hunter2`hunter2", "a quote"),
        ("backend:***", "how `gaugeway config` hides it"),
    ] {
        let mut toml = toml::Table::new();
        toml.insert("keys".into(), vec!["ok:0123456789abcdef", value].into());
        let found = mistakes_in(format!("[api]\n{toml}").as_bytes());
        assert_eq!(found.len(), 1, "{found:?}");
        hides(&found[0]);
        assert!(
            found[0].contains("api.keys: element 2 has ") && found[0].contains(what),
            "{found:?}"
        );

        let list = format!("ok:0123456789abcdef,{value}");
        for source in [
            sources(&[("GAUGEWAY_API__KEYS", &list)], &[]),
            sources(&[], &[&format!("api.keys={list}")]),
        ] {
            let shown = load(&source).unwrap_err().to_string();
            hides(&shown);
            assert!(shown.contains("element 2 has ") && shown.contains(what), "{shown}");
        }
    }
}

#[test]
fn a_key_in_the_wrong_place_is_not_repeated_either() {
    for text in [
        "[api]\nkeys = \"backend:hunter2hunter2hunter2\"",
        "[api]\nkeys = [[\"backend:hunter2hunter2hunter2\"]]",
        "[api]\nkeys = [backend:hunter2hunter2hunter2]",
        "[api]\nkeys = backend:hunter2hunter2hunter2",
        "[api]\nkeys = [\"backend:hunter2hunter2hunter2\"",
        "[api]\nkeys = [\"backend:hunter2hunter2hunter2]",
        "[api]\nbackend:hunter2hunter2hunter2",
        "[api]\nkeys = [\"a:b\"]\nkeys = [\"backend:hunter2hunter2hunter2\"]",
        "[api]\n\"backend:hunter2hunter2hunter2\" = true",
        "[api.keys]\nbackend = \"hunter2hunter2hunter2\"",
        "[[api]]\nbackend = \"hunter2hunter2hunter2\"",
        "\"backend:hunter2hunter2hunter2\" = 1",
        "api = \"backend:hunter2hunter2hunter2\"",
    ] {
        hides(&mistakes_in(text.as_bytes()).join("\n"));
    }
    for set in [
        "api.keys=[\"backend:hunter2hunter2hunter2\"]",
        "api.keys:backend:hunter2hunter2hunter2",
        "backend:hunter2hunter2hunter2",
        "backend:hunter2hunter2hunter2==",
        "api.key=backend:hunter2hunter2hunter2",
    ] {
        hides(&load(&sources(&[], &[set])).unwrap_err().to_string());
    }
    for name in ["GAUGEWAY_API__KEY", "GAUGEWAY_API_KEYS"] {
        let source = sources(&[(name, "backend:hunter2hunter2hunter2")], &[]);
        let shown = load(&source).unwrap_err().to_string();
        hides(&shown);
        assert!(shown.contains("did you mean GAUGEWAY_API__KEYS?"), "{shown}");
    }
}

#[test]
fn what_is_printed_hides_secrets() {
    let text = format!("api.keys = [\"backend:{HIDDEN}\"]");
    let loaded = load_text(&text).unwrap();
    let printed = effective(&loaded.config);
    assert!(printed.contains("\n[api]\nkeys = [\"backend:***\"]\n"), "{printed}");
    for shown in [printed, format!("{loaded:?}"), format!("{}", loaded.config.api.keys[0].secret)] {
        hides(&shown);
    }
}

#[test]
fn names_and_secrets_occur_once() {
    refused(
        "[api]\nkeys = [\"a:hunter2hunter2hunter2\", \"b:1111111111111111\", \
         \"a:2222222222222222\", \"c:hunter2hunter2hunter2\"]",
        &[
            ("f.toml:2: api.keys: elements 1 and 3 have the same name", "once"),
            ("f.toml:2: api.keys: elements 1 and 4 have the same secret", "once"),
        ],
    );
}

#[test]
fn bodies_have_a_size() {
    refused("[api]\nmax_body_bytes = 1023", &[("f.toml:2: ", "write 1024 to 67108864")]);
    refused("[api]\nmax_body_bytes = 67108865", &[("f.toml:2: ", "out of range")]);
    let warnings = |text| load_text(text).unwrap().warnings;
    assert_eq!(warnings("limits.send_queue_bytes = 65536"), [""; 0]);
    assert_eq!(warnings("api.max_body_bytes = 1048576"), [""; 0]);
    let large = warnings("api.max_body_bytes = 1048577");
    assert!(
        large[0].contains("limits.send_queue_bytes = 1048576 is refused with 413"),
        "{large:?}"
    );
}
