//! For each rule something that breaks it, and something like it that does not.

use crate::code::{File, Repository, without_comments, without_tests};
use crate::rules::RULES;

/// A repository of a few files.
fn repository() -> Repository {
    let files = [
        ("src/telemetry/families.rs", r#"C: Counter "gaugeway_good_total" [];"#),
        (
            "src/telemetry/recorder.rs",
            "impl R {\n    pub(crate) fn good(&self, n: u64) {}\n    pub(crate) fn read(&self, n: u64) -> u64 { n }\n}\n",
        ),
        ("src/wire/mod.rs", "//! Frames.\n"),
        ("docs/testing.md", ""),
    ];
    let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
    let files: Vec<_> = files.iter().map(|(path, text)| File::new(path, text)).collect();
    Repository::new(paths, &files)
}

/// The bad text breaks the rule, once, and the good one does not.
#[track_caller]
fn check(name: &str, path: &str, bad: &str, good: &str) {
    let rule = RULES.iter().find(|rule| rule.name == name).unwrap();
    assert!((rule.applies)(path), "{name} does not look at {path}");
    let find = |text: &str| (rule.find)(&File::new(path, text), &repository());
    assert_eq!(find(bad).len(), 1, "{name}: {bad:?}: {:?}", find(bad));
    assert!(find(good).is_empty(), "{name}: {good:?}: {:?}", find(good));
}

#[test]
fn imports_upwards_are_found_however_they_are_written() {
    let rule = "imports point downwards";
    check(rule, "src/wire/a.rs", "use crate::hub::Hub;", "use crate::config::Config;");
    check(rule, "src/wire/a.rs", "fn f(_: &crate::state::Now) {}", "fn f(_: crate::wire::A) {}");
    check(rule, "src/hub/a.rs", "use crate::{wire::A, server::B};", "use crate::{wire::A, state};");
    check(rule, "src/hub/a.rs", "use crate::{\n    bus::{a, b},\n    connection,\n};", "");
    check(rule, "src/hub/mod.rs", "use super::cli::A;", "use super::wire::A;");
    check(rule, "src/hub/a.rs", "use super::super::cli::A;", "use super::cli::A;");
    check(rule, "src/config/a.rs", "use crate::wire::A;", "// use crate::wire::A;");
    check(rule, "src/hub/a.rs", "#[cfg(test)]\nuse crate::server::A;", "let a = \"crate::cli::\";");
    let stray = File::new("src/stray/mod.rs", "//! Not in the list.");
    let found = RULES.iter().find(|it| it.name == rule).map(|it| (it.find)(&stray, &repository()));
    assert_eq!(found.unwrap(), ["stray has no layer"]);
}

#[test]
fn each_rule_can_fail() {
    let pure = "pure modules stay pure";
    check(pure, "src/wire/a.rs", "use std::time::Instant;", "use tokio_tungstenite::tungstenite;");
    check(pure, "src/state/a.rs", "tokio::spawn(a);", "#[cfg(test)]\nmod tests { use std::fs; }");
    let log = "events alone log";
    check(log, "src/hub/a.rs", "tracing::event!(Level::INFO, \"a\");", "// tracing::info!");
    let count = "events alone count";
    check(count, "src/hub/a.rs", "shard\n    .recorder\n    .good(1);", "shard.recorder.read(1);");
    check(count, "src/hub/a.rs", "telemetry.control_plane().any();", "let a = self.good(1);");
    let unwrap = "no unwrap outside tests";
    check(
        unwrap,
        "src/hub/a.rs",
        "a.unwrap();",
        "#[cfg(test)]\nmod tests { fn f() { a.unwrap() } }",
    );
    check(unwrap, "src/hub/a.rs", "\n\na\n    .unwrap();", "a.unwrap_or(1);");
    check("files stay short", "src/a.rs", &"a\n".repeat(401), &"a\n".repeat(400));
    check("files say what they are for", "src/a.rs", "use a;\n//! b", "//! A story.\n");
    let unfinished = "nothing is left unfinished";
    check(unfinished, "src/a.rs", concat!("// TO", "DO: b"), "// to do");
    check(unfinished, "docs/a.md", concat!("FIX", "ME"), "fixed");
    let private = "no path of anybody's machine";
    check(private, "nginx/a.conf", concat!("root /ho", "me/a;"), "root /var/www;");
}

#[test]
fn documents_are_compared_with_what_there_is() {
    let files = "documents name files that exist";
    check(files, "README.md", "see `src/wire/gone.rs`", "see `src/wire/mod.rs` and `wire/`");
    check(files, "README.md", "[here](docs/gone.md)", "[here](docs/testing.md#parts) `a/b` `-p .`");
    check(files, "docs/a.md", "`hub/`", "[this](testing.md), `target/parts/`");
    let metrics = "documents name metrics that exist";
    check(metrics, "docs/a.md", "gaugeway_gone_total", "`gaugeway_good_total{a=\"b\"}`");
}

#[test]
fn literals_comments_and_tests_are_blanked() {
    let check = |text: &str, expected: &str| assert_eq!(without_comments(text), expected, "{text}");
    check("a // b\nc", "a     \nc");
    check("a /* b\n */ c", "a     \n    c");
    check(r#"f("a\"b", 'c', '\'', "d")"#, "f(      ,    ,     ,    )");
    check("f::<'a>('b')", "f::<'a>(   )");
    check("r#\"a\"b\"# c", "         c");
    let tested = "a\n#[cfg(test)]\nmod tests { fn f() { {} } }\nb\n#[cfg(test)]\nmod c;\nd";
    assert_eq!(without_tests(tested), "a\n\nb\n\nd");
}
