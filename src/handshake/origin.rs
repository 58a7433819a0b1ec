//! Which pages may open a WebSocket: the `Origin` header (RFC 6454; RFC 6455 §4.2.2 and §10.2).
//!
//! A browser lets every page of the world connect to every server and sends cookies along; the
//! check of `Origin` is what keeps a stranger's page out. Programs that are not browsers may leave
//! the header out, and are let in.

use http::{HeaderMap, header};

use super::Occurrence;
use super::authority::{Authority, Host, Malformed};
use super::refusal::{Refusal, excerpt};
use crate::telemetry::labels::Outcome;

const HINT_SAME_HOST: &str = "add the origin to allowed_origins of [auth] or of the endpoint; \
    if the page is on this very host, let nginx pass on the Host that the browser sent: \
    proxy_set_header Host $http_host;";
const HINT_LISTED: &str = "add the origin, as scheme://host[:port], to allowed_origins of [auth] \
    or of the endpoint";

/// The origins that an endpoint lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigins(Rule);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// The host of the origin is the host of the request.
    SameHost,
    Any,
    Listed(Box<[Origin<Box<str>>]>),
}

/// `scheme://host[:port]`, the port filled in where the scheme has a default.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin<S> {
    scheme: S,
    host: Host<S>,
    port: Option<u16>,
}

impl AllowedOrigins {
    /// An empty list means the same host as `Host`; a list with `*` means any origin. An entry
    /// that is not an origin allows nothing; above all it does not turn the list into an empty one.
    pub fn compile(list: &[String]) -> Self {
        Self(if list.is_empty() {
            Rule::SameHost
        } else if list.iter().any(|entry| entry == "*") {
            Rule::Any
        } else {
            let origins = list.iter().filter_map(|entry| {
                let origin = Origin::parse(entry.as_bytes()).ok()?;
                Some(origin.into_owned())
            });
            Rule::Listed(origins.collect())
        })
    }

    /// Lets the request pass, or refuses it with 403 and the field `Origin`.
    ///
    /// With `*` the header is not even read: some application shells send `null` or `file://`.
    pub(super) fn check(&self, headers: &HeaderMap, host: &Authority<'_>) -> Result<(), Refusal> {
        if self.0 == Rule::Any {
            return Ok(());
        }
        let value = match Occurrence::of(headers, &header::ORIGIN) {
            Occurrence::Absent => return Ok(()),
            Occurrence::Once(value) => value.as_bytes().trim_ascii(),
            Occurrence::Repeated => return Err(refusal("Origin was sent more than once".into())),
        };
        let Ok(origin) = Origin::parse(value) else {
            return Err(refusal(if value == b"null" {
                "the origin \"null\" (a sandboxed or local page) is not allowed".into()
            } else {
                format!("{} is not an origin", excerpt(value))
            }));
        };
        let (allowed, hint) = match &self.0 {
            Rule::Any => (true, ""),
            Rule::SameHost => (origin.is_same_host(host), HINT_SAME_HOST),
            Rule::Listed(list) => (list.iter().any(|listed| origin.same(listed)), HINT_LISTED),
        };
        if allowed {
            return Ok(());
        }
        let message = format!("pages of the origin {} are not allowed", excerpt(value));
        Err(refusal(message).hint(hint))
    }
}

fn refusal(message: String) -> Refusal {
    Refusal::new(Outcome::OriginRefused, message).field("Origin")
}

impl<'a> Origin<&'a str> {
    fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
        let (scheme, authority) = text.split_once("://").ok_or(Malformed)?;
        if !is_scheme(scheme.as_bytes()) {
            return Err(Malformed);
        }
        let Authority { host, port } = Authority::parse(authority.as_bytes())?;
        Ok(Self { scheme, host, port: port.or_else(|| default_port(scheme)) })
    }

    fn into_owned(self) -> Origin<Box<str>> {
        Origin { scheme: self.scheme.into(), host: self.host.into_owned(), port: self.port }
    }

    fn same(&self, listed: &Origin<Box<str>>) -> bool {
        self.scheme.eq_ignore_ascii_case(&listed.scheme)
            && self.host.same(&listed.host)
            && self.port == listed.port
    }

    /// A `Host` without a port may belong to either scheme: behind an nginx that ends TLS the
    /// gateway cannot see which one the browser used.
    fn is_same_host(&self, host: &Authority<'_>) -> bool {
        let same_port = match host.port {
            Some(port) => self.port == Some(port),
            None => matches!(self.port, Some(80 | 443)),
        };
        same_port && self.host.same(&host.host)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else {
        None
    }
}

/// `scheme` of RFC 3986 §3.1.
fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(list: &[&str], host: &str, origins: &[&[u8]], allowed: bool) {
        let list: Vec<String> = list.iter().map(|&entry| entry.into()).collect();
        let rule = AllowedOrigins::compile(&list);
        let host = Authority::parse(host.as_bytes()).unwrap();
        for &origin in origins {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_bytes(origin).unwrap());
            let verdict = rule.check(&headers, &host);
            let shown = format!("{list:?} {host:?} {}", origin.escape_ascii());
            assert_eq!(verdict.is_ok(), allowed, "{shown}");
            if let Err(refusal) = verdict {
                assert_eq!(refusal.status.as_u16(), 403, "{shown}");
                assert_eq!(refusal.field, Some("Origin"), "{shown}");
            }
        }
    }

    #[test]
    fn an_empty_list_means_the_same_host() {
        check(&[], "example.com", &[b"https://example.com"], true);
        check(&[], "example.com", &[b"http://EXAMPLE.com:80"], true);
        check(&[], "Example.COM", &[b"HTTPS://example.com:443"], true);
        check(&[], "example.com:443", &[b"https://example.com"], true);
        check(&[], "example.com:8443", &[b"https://example.com:8443"], true);
        check(&[], "[::1]:8080", &[b"http://[0:0::1]:8080"], true);
        check(&[], "example.com", &[b"https://example.com:8443"], false);
        check(&[], "example.com:8443", &[b"https://example.com"], false);
        check(&[], "example.com:80", &[b"https://example.com"], false);
        check(
            &[],
            "example.com",
            &[
                b"https://evil.example",
                b"https://example.com.evil.example",
                b"https://notexample.com",
                b"https://www.example.com",
                b"chrome-extension://example.com",
            ],
            false,
        );
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        check(
            &[],
            "example.com",
            &[
                b"null",
                b"",
                b"example.com",
                b"https://",
                b"https:///example.com",
                b"https://example.com/",
                b"https://example.com/path",
                b"https://user@example.com",
                b"https://example.com#",
                b"https://example.com https://evil.example",
                b"https://example.com, https://evil.example",
                b"1http://example.com",
                b"://example.com",
                b"https://example.com:99999",
                b"\xff\xfe",
            ],
            false,
        );
    }

    #[test]
    fn a_list_compares_scheme_host_and_port() {
        let list = ["https://app.example", "http://localhost:3000"];
        check(&list, "gateway.example", &[b"https://app.example"], true);
        check(&list, "gateway.example", &[b"https://APP.example:443"], true);
        check(&list, "gateway.example", &[b"http://localhost:3000"], true);
        check(
            &list,
            "gateway.example",
            &[
                b"http://app.example",
                b"https://app.example:8443",
                b"http://localhost",
                b"https://gateway.example",
                b"null",
            ],
            false,
        );
    }

    #[test]
    fn a_star_lets_everything_in() {
        let origins: [&[u8]; 4] = [b"null", b"file://", b"https://any.example", b"\xff"];
        check(&["*"], "example.com", &origins, true);
    }

    #[test]
    fn a_list_of_nonsense_fails_closed() {
        check(&["example.com"], "example.com", &[b"https://example.com"], false);
    }

    #[test]
    fn absent_passes_and_repeated_does_not() {
        let host = Authority::parse(b"example.com").unwrap();
        let rule = AllowedOrigins::compile(&[]);
        let mut headers = HeaderMap::new();
        assert_eq!(rule.check(&headers, &host), Ok(()));
        for _ in 0..2 {
            headers.append(header::ORIGIN, HeaderValue::from_static("https://example.com"));
        }
        assert!(rule.check(&headers, &host).is_err());
    }
}
