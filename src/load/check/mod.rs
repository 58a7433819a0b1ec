//! From what was asked to a [`Scenario`], or to every mistake in it at once.

mod draft;
mod keys;
mod room;
#[cfg(test)]
mod tests;
mod trouble;
mod values;
mod work;

use std::net::IpAddr;
use std::time::Duration;

pub use draft::Draft;
pub use keys::{KEYS, Key, THRESHOLDS, Takes};

use super::engine::MARKER_BYTES;
use super::link::check_subprotocols;
use super::scenario::{Kind, Payload, Scenario, Sizes, Work};
use super::thresholds::Thresholds;
use crate::config::{Mistakes, Place, Problem, Secret};

/// More connections than all ports of a thousand addresses would be worth.
const CONNECTIONS_MAX: u32 = 10_000_000;

const DAY: Duration = Duration::from_hours(24);

/// What a scenario becomes, with what it is judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What to do.
    pub scenario: Scenario,
    /// What makes it a success.
    pub thresholds: Thresholds,
}

/// What the machine and the caller's environment give. The two secrets are read before, so that
/// what is wrong with them is told with the rest.
pub struct Surroundings<'a> {
    /// The token for the upgrade request.
    pub token: Result<Option<Secret>, String>,
    /// The API's key.
    pub api_key: Result<Option<Secret>, String>,
    /// How many files a process may open at the most.
    pub open_files_max: u64,
    /// How many ports one source address has towards one server.
    pub ports: u32,
    /// The addresses of a host and a port; none if they cannot be found out.
    pub addresses: &'a dyn Fn(&str, u16) -> Vec<IpAddr>,
    /// The user says that the server is theirs to disturb.
    pub owned: bool,
}

/// Checks everything. What is wrong is told at once, each with its key and what to write.
pub fn check(mut draft: Draft, around: Surroundings<'_>) -> Result<Plan, Mistakes> {
    let url = draft.text("url");
    let server = draft.value("url", values::url);
    if url.is_none() && draft.is_sound("url") {
        let what = "is missing".to_owned();
        let advice = "write gaugeway load ws://HOST:PORT/PATH, or url = \"…\" in the scenario file";
        draft.mistake(Place::Flag("URL".to_owned()), "url", what, advice.to_owned());
    }
    let connections = draft.number("connections", 0..=CONNECTIONS_MAX).unwrap_or(1);
    let misbehaviour = trouble::misbehaviour(&mut draft, connections);
    let storm = trouble::storm(&mut draft);
    let lifetime = draft.value("lifetime", values::lifetime);
    let work = work::work(&mut draft, around.api_key);
    let payload = payload(&mut draft, &work);
    let addresses = draft.values("source-addresses", values::addresses);
    let headers = draft.values("header", values::header);
    let scenario = Scenario {
        url: url.unwrap_or_default(),
        connections,
        misbehaviour,
        processes: draft.number("processes", 1..=256).map_or(0, |processes| processes as u16),
        source_addresses: addresses.into_iter().flatten().collect(),
        ramp: draft.time("ramp", Duration::ZERO..=DAY).unwrap_or_default(),
        opening: draft.number("opening", 1..=100_000).unwrap_or(256),
        warm_up: time(&mut draft, "warm-up", Duration::ZERO..=DAY, 1),
        duration: time(&mut draft, "duration", Duration::from_millis(10)..=7 * DAY, 10),
        handshake_timeout: time(&mut draft, "handshake-timeout", TIMEOUTS, 10),
        close_wait: time(&mut draft, "close-wait", TIMEOUTS, 5),
        headers,
        token: token(&mut draft, around.token),
        subprotocols: subprotocols(&mut draft),
        insecure: draft.is_on("insecure"),
        compression: draft.is_on("compression"),
        work,
        payload,
        lifetime,
        storm,
    };
    let thresholds = thresholds(&mut draft, &scenario.work);
    if let Some(server) = server {
        trouble::check_permission(&mut draft, &scenario, &server, around.owned, around.addresses);
        room::check_sources(&mut draft, &scenario, &server, around.ports);
    }
    let processes = room::processes(&mut draft, &scenario, around.open_files_max);
    draft.finish()?;
    Ok(Plan { scenario: Scenario { processes, ..scenario }, thresholds })
}

/// Within which time-outs make sense.
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_hours(1);

fn time(
    draft: &mut Draft,
    key: &'static str,
    range: std::ops::RangeInclusive<Duration>,
    default_secs: u64,
) -> Duration {
    draft.time(key, range).unwrap_or(Duration::from_secs(default_secs))
}

fn payload(draft: &mut Draft, work: &Work) -> Payload {
    // A flag's files stand above the file's sizes, and the other way round.
    if draft.has("size") && draft.has("payload-file") {
        match (draft.is_in_file("size"), draft.is_in_file("payload-file")) {
            (true, false) => draft.forget("size"),
            (false, true) => draft.forget("payload-file"),
            _ => {
                draft.wrong("size", "means nothing where files are sent", "leave one of them away");
            }
        }
    }
    for key in ["size", "binary", "payload-file"] {
        if matches!(work, Work::Hold) && draft.has(key) && work::is_chosen_with(draft, key) {
            let advice = format!("add {}", draft.spelled(key, "echo", "true"));
            draft.wrong(key, "means nothing where no messages are sent", advice);
        }
    }
    let sizes = draft.value("size", values::sizes).unwrap_or(Sizes::Range(128, 128));
    let shortest = match &sizes {
        Sizes::Range(least, _) => *least,
        Sizes::Weighted(weighted) => weighted.iter().map(|(size, _)| *size).min().unwrap_or(0),
    };
    let marker = MARKER_BYTES as u32;
    if matches!(work, Work::FanOut { .. }) && draft.has("size") && shortest < marker {
        let what = "is too short for the marker that each publication carries".to_owned();
        draft.wrong("size", what, format!("write {marker} bytes or more"));
    }
    Payload {
        kind: if draft.is_on("binary") { Kind::Binary } else { Kind::Text },
        sizes,
        files: draft.values("payload-file", |path| Ok(path.into())),
    }
}

fn token(draft: &mut Draft, token: Result<Option<Secret>, String>) -> Option<Secret> {
    let token = token.unwrap_or_else(|what| {
        draft.wrong("token-file", values::as_problem(&what).what, "");
        None
    });
    let authorizes = |text: &str| text.to_ascii_lowercase().starts_with("authorization:");
    let has_header = draft.values("header", |text| Ok(authorizes(text))).contains(&true);
    if token.is_some() && has_header {
        let what = "gives an Authorization beside the token's";
        draft.wrong("header", what, "leave the header or the token away");
    }
    token
}

fn subprotocols(draft: &mut Draft) -> Vec<String> {
    let names = draft.values("subprotocol", |name| Ok(name.to_owned()));
    if let Err(what) = check_subprotocols(&names) {
        let Problem { what, advice, .. } = values::as_problem(&what);
        draft.wrong("subprotocol", what, advice);
    }
    names
}

fn thresholds(draft: &mut Draft, work: &Work) -> Thresholds {
    let thresholds = Thresholds {
        max_p50: draft.value("max-p50", values::threshold),
        max_p99: draft.value("max-p99", values::threshold),
        max_p999: draft.value("max-p999", values::threshold),
        max_errors: draft.number("max-errors", 0..=u32::MAX).map(u64::from),
        min_opened: draft.number("min-opened", 0..=u32::MAX).map(u64::from),
    };
    for key in ["max-p50", "max-p99", "max-p999"] {
        if matches!(work, Work::Hold) && draft.has(key) && work::is_chosen_with(draft, key) {
            let advice = format!("add {}", draft.spelled(key, "echo", "true"));
            draft.wrong(key, "has no latency to judge where no messages are sent", advice);
        }
    }
    thresholds
}

/// The thresholds alone, as `gaugeway load merge` takes them.
pub fn check_thresholds(mut draft: Draft) -> Result<Thresholds, Mistakes> {
    let any = Work::Echo { rate: 1.0 };
    let thresholds = thresholds(&mut draft, &any);
    draft.finish().map(|()| thresholds)
}
