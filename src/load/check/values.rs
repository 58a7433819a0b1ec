//! How the values of single keys are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::draft::time_within;
use crate::config::{Problem, quote};
use crate::load::link::{Url, check_header};
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
    let bytes = |digits: &str| digits.trim().parse::<u32>().ok().filter(|bytes| *bytes <= SIZE_MAX);
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

/// `Name: value`, as RFC 9110 §5 has them.
pub(super) fn header(text: &str) -> Result<(String, String), Problem> {
    let Some((name, value)) = text.split_once(':') else {
        // Nothing of it is quoted: it may be a secret without its name.
        return Err(Problem::new("has no `:`", "write 'Name: value'"));
    };
    let value = value.trim_ascii();
    check_header(name, value).map_err(|what| as_problem(&what))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A `ws://` or `wss://` URL (RFC 6455 §3) in which `{n}` may stand behind the host.
pub(super) fn url(text: &str) -> Result<Url, Problem> {
    Url::parse(text).map_err(|what| as_problem(&what))
}

/// What another part says in one sentence; the flag that it may begin with is known from the place.
pub(super) fn as_problem(what: &str) -> Problem {
    let without_flag = what.strip_prefix("--").and_then(|rest| Some(rest.split_once(' ')?.1));
    let without_name = without_flag.or_else(|| what.strip_prefix("the URL "));
    Problem::new(without_name.unwrap_or(what), "")
}

/// A time that a threshold allows, down to microseconds: `50ms`, `800us`.
pub(super) fn threshold(text: &str) -> Result<Duration, Problem> {
    let micros = text.strip_suffix("us").and_then(|digits| digits.parse::<u64>().ok());
    match micros {
        Some(micros) => Ok(Duration::from_micros(micros)),
        None => time_within(text, &(Duration::ZERO..=Duration::from_hours(1))),
    }
}
