//! What a single value must satisfy, beyond its type.

use std::fmt;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::duration;
use super::mistake::{Problem, quote};
use super::suggest::closest;

/// Paths of the public listener that no endpoint may take.
const RESERVED_PATHS: [&str; 3] = ["/ping", "/demo", "/client.js"];

/// Every endpoint's path is a label value of many time series.
const PATH_BYTES_MAX: usize = 128;

/// Every directive of a filter is compared with every new place that logs.
const LOG_FILTER_BYTES_MAX: usize = 1_000;

/// A bound or a syntax; [`fmt::Display`] says it in the words of the example file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Whatever the type accepts.
    Any,
    /// A whole number, both ends included.
    Number(u64, u64),
    /// A duration, both ends included.
    Time(Duration, Duration),
    /// The path of an endpoint.
    Path,
    /// An element of a list of origins.
    Origin,
    /// A `tracing` filter.
    LogFilter,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Any => f.write_str("any"),
            Self::Number(min, max) => write!(f, "{min} to {max}"),
            Self::Time(min, max) => {
                write!(f, "{} to {}", duration::show(min), duration::show(max))
            }
            Self::Path => write!(
                f,
                "letters, digits, `-`, `.`, `_`, `~` and `/`; begins with `/`, does not end with \
                 one; at most {PATH_BYTES_MAX} bytes; not {}",
                RESERVED_PATHS.join(", ")
            ),
            Self::Origin => f.write_str("`*` alone (any origin), or `scheme://host[:port]` each"),
            Self::LogFilter => f.write_str(
                "error, warn, info, debug, trace or off; or `target=level` pairs with commas",
            ),
        }
    }
}

impl Rule {
    /// Checks a number against its bounds.
    pub fn check_number(self, number: u64) -> Result<(), Problem> {
        match self {
            Self::Number(min, max) if !(min..=max).contains(&number) => {
                Err(self.out_of_range(&number.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Checks a duration against its bounds.
    pub fn check_time(self, time: Duration) -> Result<(), Problem> {
        match self {
            Self::Time(min, max) if !(min..=max).contains(&time) => {
                Err(self.out_of_range(&duration::show(time)))
            }
            _ => Ok(()),
        }
    }

    /// Checks a text against its syntax.
    pub fn check_text(self, text: &str) -> Result<(), Problem> {
        match self {
            Self::Any | Self::Number(..) | Self::Time(..) => Ok(()),
            Self::Path => check_path(text),
            Self::Origin => check_origin(text),
            Self::LogFilter => check_log_filter(text),
        }
    }

    /// The problem of a value that this rule's bounds exclude.
    pub fn out_of_range(self, value: &str) -> Problem {
        let value = quote(value);
        Problem::new(
            format!("{} is out of range", value.trim_matches('"')),
            format!("write {self}"),
        )
    }
}

/// Only characters that need no percent-encoding are accepted: two spellings of one path would
/// otherwise be two endpoints for the router and one for nginx.
fn check_path(path: &str) -> Result<(), Problem> {
    let problem =
        |what: &str, advice: String| Err(Problem::new(format!("{} {what}", quote(path)), advice));
    if !path.starts_with('/') {
        return problem("does not begin with `/`", "write a path such as \"/ws\"".into());
    }
    if path.len() > PATH_BYTES_MAX {
        return problem("is too long", format!("write at most {PATH_BYTES_MAX} bytes"));
    }
    if let Some(end) = path.find(['?', '#']) {
        return problem(
            "has a query or a fragment",
            format!("write the path alone: {}", quote(&path[..end])),
        );
    }
    if let Some(c) = path.chars().find(|c| !c.is_ascii_alphanumeric() && !"-._~/".contains(*c)) {
        return problem(
            &format!("contains {}", quote(&c.to_string())),
            "write letters, digits, `-`, `.`, `_`, `~` and `/` only".into(),
        );
    }
    if path.split('/').skip(1).any(|part| matches!(part, "." | "..")) || path.contains("//") {
        return problem(
            "has an empty, `.` or `..` part, which clients resolve before they send it",
            "write a path such as \"/ws\"".into(),
        );
    }
    if path != "/" && path.ends_with('/') {
        return problem(
            "ends with `/`",
            format!("write {}: both spellings are then served", quote(path.trim_end_matches('/'))),
        );
    }
    if RESERVED_PATHS.contains(&path) {
        return problem(
            "is served by the gateway itself",
            format!("write another path than {}", RESERVED_PATHS.join(", ")),
        );
    }
    Ok(())
}

/// RFC 6454 §6.2: an origin is a scheme, a host and perhaps a port; it never has a path.
fn check_origin(origin: &str) -> Result<(), Problem> {
    const ADVICE: &str = "write \"https://example.com\", \"http://localhost:3000\" or \"*\"";
    let problem = |what: &str| Err(Problem::new(format!("{} {what}", quote(origin)), ADVICE));
    if origin == "*" {
        return Ok(());
    }
    let Some((scheme, authority)) = origin.split_once("://") else {
        return problem("is not an origin");
    };
    let scheme_valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !scheme_valid {
        return problem("has no valid scheme");
    }
    if matches!(scheme.to_ascii_lowercase().as_str(), "ws" | "wss") {
        return problem("is not an origin: a browser sends the page's scheme, http or https");
    }
    if let Some(end) = authority.find(['/', '?', '#']) {
        let bare = &origin[..scheme.len() + "://".len() + end];
        return Err(Problem::new(
            format!("{} has a path", quote(origin)),
            format!("write {}", quote(bare)),
        ));
    }
    let Some((host, port)) = split_port(authority) else {
        return problem("has no valid host");
    };
    if host.contains('*') {
        return problem("has a wildcard in its host, which is not supported");
    }
    let host_valid = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        }
    };
    if !host_valid {
        return problem("has no valid host (a name beyond ASCII is written as punycode)");
    }
    match port {
        Some(port) if !port.parse::<u16>().is_ok_and(|number| number > 0) => {
            problem("has no valid port")
        }
        _ => Ok(()),
    }
}

/// Splits `host[:port]`, where an IPv6 host stands in brackets.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let (host, rest) = authority.split_at(authority.find(']')? + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    Some(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

/// `EnvFilter` takes every lone word for a target and then logs *everything* of it, so that
/// `"inof"` would silence the gateway: a lone word must be a level. The log's set-up says the same.
fn check_log_filter(filter: &str) -> Result<(), Problem> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    const ADVICE: &str = "write a level (error, warn, info, debug, trace, off) or \
                          \"gaugeway=debug,warn\"";
    if filter.len() > LOG_FILTER_BYTES_MAX {
        let what = format!("{} is too long", quote(filter));
        return Err(Problem::new(what, format!("write at most {LOG_FILTER_BYTES_MAX} bytes")));
    }
    if filter.trim().is_empty() {
        return Err(Problem::new("is empty: nothing would be logged", ADVICE));
    }
    for directive in filter.split(',').map(str::trim) {
        if directive.eq_ignore_ascii_case("warning") {
            return Err(Problem::new("\"warning\" is not a level", "write \"warn\""));
        }
        let is_level = LEVELS.iter().any(|l| directive.eq_ignore_ascii_case(l));
        if !is_level && !directive.contains(['=', '[', '{', ']', '}']) {
            let advice = match closest(directive, LEVELS) {
                Some(level) => format!("did you mean \"{level}\"? Write \"{level}\""),
                None => ADVICE.to_owned(),
            };
            return Err(Problem::new(format!("{} is not a level", quote(directive)), advice));
        }
    }
    match EnvFilter::builder().parse(filter) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Problem::new(format!("{} is not a log filter ({error})", quote(filter)), ADVICE))
        }
    }
}
