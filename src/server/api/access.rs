//! Who may use the API: whoever has a key; without keys, programs of this machine, but no web page.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};

use super::problem::{Code, Problem};
use crate::auth::ApiKeys;
use crate::events::ApiRequestDenied;
use crate::telemetry::Telemetry;

/// Who sends a request without a key, where none is needed.
pub(super) const ANONYMOUS: &str = "anonymous";

/// A denied request gets a line in the log if there was none for so long.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Sees to it that a loop of bad requests cannot flood the log. Each is counted.
#[derive(Default)]
pub(super) struct Denials(Mutex<Pace>);

#[derive(Default)]
struct Pace {
    last_line: Option<Instant>,
    unlogged: u64,
}

/// The name of the request's key, or [`ANONYMOUS`].
///
/// Without keys a web page must be kept out, which a browser on this machine would let in: a page
/// may send requests anywhere (then `Origin` tells), and may give its own name the address of this
/// machine (DNS rebinding; then `Host` is that name).
pub(super) fn check<'k>(
    keys: &'k ApiKeys,
    headers: &HeaderMap,
    is_on_loopback: bool,
) -> Result<&'k str, Problem> {
    if !keys.is_empty() {
        let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
        let (first, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(unauthorized("the Authorization header is sent twice: send it once"));
        }
        return keys.check(first).map_err(|denied| unauthorized(denied.message()));
    }
    let host = host(headers);
    let is_local = host.as_ref().is_some_and(|authority| {
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
    });
    if is_on_loopback && !is_local {
        let message = "without [api] keys the Host header must be an IP address or localhost";
        return Err(Problem::new(Code::ForbiddenHost, message)
            .field("Host")
            .hint("call the gateway by its address, or configure a key in [api] keys"));
    }
    let is_foreign = headers.get_all(header::ORIGIN).iter().any(|origin| {
        let own = host.as_ref().map(|host| format!("http://{host}"));
        let origin = origin.to_str().unwrap_or_default();
        own.is_none_or(|own| !own.eq_ignore_ascii_case(origin))
    });
    if is_foreign {
        let message = "without [api] keys no web page of another origin may use the API";
        return Err(Problem::new(Code::ForbiddenOrigin, message)
            .field("Origin")
            .hint("send no Origin header, or configure a key in [api] keys"));
    }
    Ok(ANONYMOUS)
}

/// The one `Host`, without user information.
fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut values = headers.get_all(header::HOST).into_iter();
    let (first, second) = (values.next()?, values.next());
    let authority: Authority = first.to_str().ok()?.parse().ok()?;
    (second.is_none() && !authority.as_str().contains('@')).then_some(authority)
}

fn unauthorized(message: &str) -> Problem {
    Problem::new(Code::Unauthorized, message)
        .field("Authorization")
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gaugeway\""))
}

impl Denials {
    /// A request was denied.
    pub(super) fn note(&self, problem: &Problem, peer: IpAddr, telemetry: &Telemetry) {
        let unlogged = self.pace(Instant::now());
        ApiRequestDenied { why: problem.message(), peer, unlogged }.emit(telemetry);
    }

    /// For a denial that gets a line: how many before it got none.
    fn pace(&self, now: Instant) -> Option<u64> {
        let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due =
            pace.last_line.is_none_or(|last| now.saturating_duration_since(last) >= LINE_INTERVAL);
        if !is_due {
            pace.unlogged += 1;
            return None;
        }
        pace.last_line = Some(now);
        Some(std::mem::take(&mut pace.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_keyless(host: &[&str], origin: Option<&str>, expected: Result<(), Code>) {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(header::HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let none = ApiKeys::default();
        let got = check(&none, &headers, true);
        let got = got.map(|name| assert_eq!(name, ANONYMOUS)).map_err(|problem| problem.code());
        assert_eq!(got, expected, "{host:?} {origin:?}");
    }

    #[test]
    fn without_keys_no_web_page_gets_in() {
        for local in ["127.0.0.1", "127.0.0.1:8081", "[::1]:8081", "LOCALHOST:8081", "10.0.0.7:1"] {
            check_keyless(&[local], None, Ok(()));
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "a@127.0.0.1",
            "[::1",
        ] {
            check_keyless(&[foreign], None, Err(Code::ForbiddenHost));
        }
        check_keyless(&[], None, Err(Code::ForbiddenHost));
        check_keyless(&["127.0.0.1", "127.0.0.1"], None, Err(Code::ForbiddenHost));
        check_keyless(&["127.0.0.1:8081"], Some("http://127.0.0.1:8081"), Ok(()));
        for origin in
            ["null", "", "http://evil.example", "http://127.0.0.1", "https://127.0.0.1:8081"]
        {
            check_keyless(&["127.0.0.1:8081"], Some(origin), Err(Code::ForbiddenOrigin));
        }
    }

    #[test]
    fn beyond_loopback_the_name_of_the_host_is_anything() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("gateway:8081"));
        assert!(check(&ApiKeys::default(), &headers, false).is_ok());
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert!(check(&ApiKeys::default(), &headers, false).is_err());
    }

    #[test]
    fn a_loop_of_bad_requests_gets_a_line_per_second() {
        let (denials, start) = (Denials::default(), Instant::now());
        let lines: Vec<_> =
            (0..2500).filter_map(|ms| denials.pace(start + Duration::from_millis(ms))).collect();
        assert_eq!(lines, [0, 999, 999]);
    }
}
