//! How the values of single keys are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::draft::time_within;
use crate::config::{Problem, quote};
use crate::load::scenario::{Lifetime, Misbehaviour, Misconduct, Sizes};

/// The longest message: what the client itself would accept of a server.
pub(super) const SIZE_MAX: u32 = 64 * 1024 * 1024;

/// More source addresses than one machine has for this.
const ADDRESSES_MAX: usize = 4_096;

/// Lengths in a list of weights.
const WEIGHTS_MAX: usize = 1_000;

/// No connection of a run lives longer.
const LIFETIME_MAX: Duration = Duration::from_hours(24 * 7);

/// `128`, `64..1024` or `64:9,1024:1`.
pub(super) fn sizes(text: &str) -> Result<Sizes, Problem> {
    let wrong = |what: String| {
        Err(Problem::new(what, "write bytes: 128, a range 64..1024, or weights 64:9,1024:1"))
    };
    let bytes = |digits: &str| {
        digits.trim().parse::<u32>().ok().filter(|bytes| *bytes <= SIZE_MAX)
    };
    if let Some((least, most)) = text.split_once("..") {
        return match (bytes(least), bytes(most)) {
            (Some(least), Some(most)) if least <= most => Ok(Sizes::Range(least, most)),
            (Some(_), Some(_)) => wrong(format!("{} runs backwards", quote(text))),
            _ => wrong(format!("{} is no range of at most {SIZE_MAX} bytes", quote(text))),
        };
    }
    if !text.contains(':') {
        return match bytes(text) {
            Some(size) => Ok(Sizes::Range(size, size)),
            None => wrong(format!("{} is no length of at most {SIZE_MAX} bytes", quote(text))),
        };
    }
    let mut weighted = Vec::new();
    let mut sum = 0_u32;
    for element in text.split(',') {
        let pair = element.split_once(':').and_then(|(size, weight)| {
            Some((bytes(size)?, weight.trim().parse::<u32>().ok().filter(|weight| *weight > 0)?))
        });
        let Some((size, weight)) = pair else {
            return wrong(format!("{} is no BYTES:WEIGHT", quote(element)));
        };
        let Some(more) = sum.checked_add(weight) else {
            return wrong(format!("the weights of {} add up to too much", quote(text)));
        };
        sum = more;
        weighted.push((size, weight));
    }
    if weighted.len() > WEIGHTS_MAX {
        return wrong(format!("has {} weights, more than {WEIGHTS_MAX}", weighted.len()));
    }
    Ok(Sizes::Weighted(weighted))
}

/// `5s..30s`, or one time for both.
pub(super) fn lifetime(text: &str) -> Result<Lifetime, Problem> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let range = Duration::ZERO..=LIFETIME_MAX;
    let (min, max) = (time_within(min.trim(), &range)?, time_within(max.trim(), &range)?);
    if min > max {
        let what = format!("{} runs backwards", quote(text));
        return Err(Problem::new(what, "write the shorter time first: 5s..30s"));
    }
    Ok(Lifetime { min, max })
}

/// Addresses and ranges of them, with commas between.
pub(super) fn addresses(text: &str) -> Result<Vec<IpAddr>, Problem> {
    let mut addresses = Vec::new();
    for element in text.split(',').map(str::trim) {
        let wrong = |what: &str| {
            Err(Problem::new(
                format!("{} {what}", quote(element)),
                "write IP addresses and ranges: 127.0.0.2-127.0.0.9,10.0.0.7",
            ))
        };
        let (first, last) = element.split_once('-').unwrap_or((element, element));
        let (first, last) = match (first.trim().parse(), last.trim().parse()) {
            (Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last))) => {
                (u128::from(first.to_bits()), u128::from(last.to_bits()))
            }
            (Ok(IpAddr::V6(first)), Ok(IpAddr::V6(last))) => (first.to_bits(), last.to_bits()),
            (Ok::<IpAddr, _>(_), Ok::<IpAddr, _>(_)) => return wrong("mixes IPv4 and IPv6"),
            _ => return wrong("is neither an IP address nor a range of them"),
        };
        if first > last {
            return wrong("runs backwards");
        }
        if last - first >= ADDRESSES_MAX as u128 {
            return wrong("has more addresses than any machine");
        }
        let is_v4 = !element.contains(':');
        addresses.extend((first..=last).map(|bits| match u32::try_from(bits) {
            Ok(bits) if is_v4 => IpAddr::V4(Ipv4Addr::from_bits(bits)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }));
    }
    Ok(addresses)
}

/// `never-reads=10,vanishes=5%`, the percentages of `connections`.
pub(super) fn misbehaviour(text: &str, connections: u32) -> Result<Vec<Misbehaviour>, Problem> {
    let names = || Misconduct::ALL.map(Misconduct::as_str).join(", ");
    let mut all = Vec::new();
    for element in text.split(',').map(str::trim) {
        let Some((name, number)) = element.split_once('=') else {
            let what = format!("{} has no number", quote(element));
            return Err(Problem::new(what, format!("write such as {element}=10 or {element}=5%")));
        };
        let Some(misconduct) =
            Misconduct::ALL.into_iter().find(|misconduct| misconduct.as_str() == name.trim())
        else {
            let what = format!("{} is no misbehaviour", quote(name));
            return Err(Problem::new(what, format!("write one of {}", names())));
        };
        let counted = match number.trim().strip_suffix('%') {
            None => number.trim().parse::<u32>().ok().filter(|count| *count <= 1_000_000),
            Some(percent) => {
                let percent = percent.parse::<u32>().ok().filter(|percent| *percent <= 100);
                // Of few connections at least one.
                percent.map(|percent| {
                    (u64::from(connections) * u64::from(percent)).div_ceil(100) as u32
                })
            }
        };
        let Some(connections) = counted else {
            let what = format!("{} is no number of connections", quote(number));
            return Err(Problem::new(what, "write at most 1000000, or at most 100%"));
        };
        all.push(Misbehaviour { misconduct, connections });
    }
    Ok(all)
}

/// `Name: value`, as RFC 9110 §5 has them, without the line ends that would begin another.
pub(super) fn header(text: &str) -> Result<(String, String), Problem> {
    let advice = "write 'Name: value'";
    let Some((name, value)) = text.split_once(':') else {
        // It may be a secret without its name.
        return Err(Problem::new("has no `:`", advice));
    };
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(Problem::new(format!("{} is no name of a header", quote(name)), advice));
    }
    let value = value.trim();
    if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
        let what = format!("the value of {} is not plain ASCII", quote(name));
        return Err(Problem::new(what, "write visible ASCII and spaces; encode anything else"));
    }
    let ours = [
        "host",
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
        "content-length",
        "transfer-encoding",
    ];
    let taken = ours.iter().find(|ours| name.eq_ignore_ascii_case(ours));
    match taken.copied() {
        None | Some("host") => Ok((name.to_owned(), value.to_owned())),
        Some("sec-websocket-protocol") => {
            let what = format!("{} is written by the client", quote(name));
            Err(Problem::new(what, "use --subprotocol NAME"))
        }
        Some("sec-websocket-extensions") => {
            let what = format!("{} is written by the client", quote(name));
            Err(Problem::new(what, "use --compression"))
        }
        Some(_) => {
            let what = format!("{} is written by the client", quote(name));
            Err(Problem::new(what, "leave it away"))
        }
    }
}

/// A token of RFC 9110 §5.6.2.
pub(super) fn subprotocol(text: &str) -> Result<String, Problem> {
    let is_token = http::HeaderName::from_bytes(text.as_bytes()).is_ok();
    if is_token {
        return Ok(text.to_owned());
    }
    let what = format!("{} is no name of a subprotocol", quote(text));
    Err(Problem::new(what, "write one word such as gaugeway.v1; repeat for more"))
}

/// A time that a threshold allows, down to microseconds: `50ms`, `800us`.
pub(super) fn threshold(text: &str) -> Result<Duration, Problem> {
    let micros = text.strip_suffix("us").and_then(|digits| digits.parse::<u64>().ok());
    match micros {
        Some(micros) => Ok(Duration::from_micros(micros)),
        None => time_within(text, &(Duration::ZERO..=Duration::from_hours(1))),
    }
}

/// What `ws` and `wss` URLs say of their server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// Without the brackets of IPv6.
    pub host: String,
    pub port: u16,
}

/// A `ws://` or `wss://` URL (RFC 6455 §3) in which `{n}` may stand behind the host.
pub(super) fn url(text: &str) -> Result<Server, Problem> {
    const ADVICE: &str = "write ws://HOST:PORT/PATH or wss://HOST:PORT/PATH";
    let wrong = |what: &str, advice: &str| {
        Err(Problem::new(format!("{} {what}", quote(text)), advice))
    };
    let lower = text.to_ascii_lowercase();
    let (default_port, rest) = if lower.starts_with("ws://") {
        (80, &text[5..])
    } else if lower.starts_with("wss://") {
        (443, &text[6..])
    } else if lower.starts_with("http") {
        return wrong("is no WebSocket URL", "write ws:// for http://, wss:// for https://");
    } else {
        return wrong("is no WebSocket URL", ADVICE);
    };
    if text.contains('#') {
        return wrong("has a fragment", "leave `#` and what follows away (RFC 6455 §3)");
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        // What stands before it may be a password.
        let what = "has a user or a password before its host";
        return Err(Problem::new(what, "send -H 'Authorization: Basic …' instead"));
    }
    if authority.contains(['{', '}']) {
        return wrong("has {n} in its host", "write {n} behind the host, in path or query");
    }
    let parsed: Option<http::Uri> = lower.replace("{n}", "0").parse().ok();
    let Some(uri) = parsed.filter(|uri| uri.host().is_some_and(|host| !host.is_empty())) else {
        return wrong("is no URL", ADVICE);
    };
    let port_is_wrong =
        authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']') && uri.port_u16().is_none());
    if port_is_wrong || uri.port_u16() == Some(0) {
        return wrong("has no port from 1 to 65535 behind its `:`", ADVICE);
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    Ok(Server { host, port: uri.port_u16().unwrap_or(default_port) })
}
