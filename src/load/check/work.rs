//! What open connections do: hold, echo or fan-out, and which keys belong to which.

use super::Draft;
use super::values::as_problem;
use crate::config::Secret;
use crate::load::publisher::{Target, To};
use crate::load::scenario::{Publishing, Work};

/// More messages per second than a machine sends.
const RATE_MAX: f64 = 100_000_000.0;

/// More is no question and answer.
const IN_FLIGHT_MAX: u32 = 10_000;

const WORKS: [&str; 3] = ["hold", "echo", "fan-out"];

/// Keys that only some work uses, and which.
const BELONGS: [(&str, &[&str]); 6] = [
    ("rate", &["echo", "fan-out"]),
    ("in-flight", &["echo"]),
    ("publish-url", &["fan-out"]),
    ("api", &["fan-out"]),
    ("to", &["fan-out"]),
    ("key-file", &["fan-out"]),
];

/// What connections do. Mistakes lead to some work with the values of the rest.
pub(super) fn work(draft: &mut Draft, api_key: Result<Option<Secret>, String>) -> Work {
    let chosen = chosen(draft);
    for (key, works) in BELONGS {
        if draft.has(key) && !works.contains(&chosen) {
            if is_chosen_with(draft, key) {
                let all = spelled_works(draft, works, key);
                draft.wrong(key, format!("means nothing with {chosen}"), format!("add {all}"));
            }
            draft.forget(key);
        }
    }
    let rate = draft.fraction("rate", 0.0, RATE_MAX);
    match chosen {
        "echo" => echo(draft, rate),
        "fan-out" => {
            if !draft.has("rate") {
                let advice = format!("add {}", draft.spelled("fan-out", "rate", "10"));
                draft.wrong("fan-out", "needs a rate, in publications per second", advice);
            }
            Work::FanOut { publishing: publishing(draft, api_key), rate: rate.unwrap_or(1.0) }
        }
        _ => Work::Hold,
    }
}

/// The one that was asked. Flags stand above the file; two of one source are a mistake.
fn chosen(draft: &mut Draft) -> &'static str {
    let flags = |draft: &Draft, in_file: bool| -> Vec<&'static str> {
        let on = |work: &&'static str| draft.is_on(work) && draft.is_in_file(work) == in_file;
        WORKS.into_iter().filter(on).collect()
    };
    let from_flags = flags(draft, false);
    let asked = if from_flags.is_empty() { flags(draft, true) } else { from_flags };
    if let [first, second, ..] = asked[..] {
        let first_spelled = draft.spelled(first, first, "true");
        draft.wrong(second, format!("stands beside {first_spelled}"), "choose one of them");
    }
    asked.first().copied().unwrap_or("hold")
}

/// The work was chosen where this key was written, or above; otherwise a flag has chosen another
/// work than the file, whose keys then lie idle.
pub(super) fn is_chosen_with(draft: &Draft, key: &'static str) -> bool {
    let by_flag = WORKS.into_iter().any(|work| draft.is_on(work) && !draft.is_in_file(work));
    !(by_flag && draft.is_in_file(key))
}

fn echo(draft: &mut Draft, rate: Option<f64>) -> Work {
    if draft.has("rate") && draft.has("in-flight") {
        match (draft.is_in_file("rate"), draft.is_in_file("in-flight")) {
            (true, false) => draft.forget("rate"),
            (false, true) => draft.forget("in-flight"),
            _ => {
                let what = "stands beside a rate, and either decides when a message is sent";
                draft.wrong("in-flight", what, "leave one of them away");
            }
        }
    }
    if !draft.has("rate") && !draft.has("in-flight") {
        let rate = draft.spelled("echo", "rate", "1000");
        let in_flight = draft.spelled("echo", "in-flight", "1");
        let advice = format!("add {rate}, or {in_flight} to send on each answer");
        draft.wrong("echo", "needs to know when to send", advice);
    }
    if draft.has("in-flight") {
        let in_flight = draft.number("in-flight", 1..=IN_FLIGHT_MAX).unwrap_or(1);
        return Work::EchoClosed { in_flight };
    }
    Work::Echo { rate: rate.unwrap_or(1.0) }
}

fn publishing(draft: &mut Draft, api_key: Result<Option<Secret>, String>) -> Publishing {
    if draft.has("api") && draft.has("publish-url") {
        match (draft.is_in_file("api"), draft.is_in_file("publish-url")) {
            (true, false) => {
                for key in ["api", "to", "key-file"] {
                    draft.forget(key);
                }
            }
            (false, true) => draft.forget("publish-url"),
            _ => draft.wrong("publish-url", "stands beside an API", "leave one of them away"),
        }
    }
    if !draft.has("api") {
        for key in ["to", "key-file"] {
            if draft.has(key) {
                let api = draft.spelled(key, "api", "http://127.0.0.1:8081");
                draft.wrong(key, "means nothing without an API", format!("add {api}"));
            }
        }
        let url = draft.text("publish-url");
        draft.value("publish-url", super::values::url);
        return Publishing::Connection { url };
    }
    if !draft.has("to") {
        let to = draft.spelled("api", "to", "endpoint:/ws");
        draft.wrong("api", "needs to know for whom", format!("add {to}"));
    }
    draft.value("api", |url| match Target::parse("--api", url) {
        Ok(target) if target.path().is_none() => Ok(()),
        Ok(_) => Err(as_problem(&format!("{url} has a path: write http://HOST:PORT alone"))),
        Err(what) => Err(as_problem(&what)),
    });
    draft.value("to", |to| To::parse(to).map(drop).map_err(|what| as_problem(&what)));
    let key = api_key.unwrap_or_else(|what| {
        draft.wrong("key-file", as_problem(&what).what, "");
        None
    });
    Publishing::Api {
        url: draft.text("api").unwrap_or_default(),
        to: draft.text("to").unwrap_or_default(),
        key,
    }
}

/// `--echo or --fan-out`, as the user would write them beside a key.
fn spelled_works(draft: &Draft, works: &[&'static str], near: &'static str) -> String {
    let all: Vec<_> = works.iter().map(|work| draft.spelled(near, work, "true")).collect();
    all.join(" or ")
}
