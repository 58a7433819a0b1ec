//! `host[:port]` as it stands in `Host` and in an origin (RFC 3986 §3.2.2 and §3.2.3).

use std::net::Ipv6Addr;

/// A host and, where it was written, its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    pub host: Host<&'a str>,
    pub port: Option<u16>,
}

/// A host; `S` is borrowed from a request or owned by the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host<S> {
    /// A registered name or an IPv4 address, as written.
    Name(S),
    /// An IPv6 address: it can be written in many ways, so it is compared as a number.
    V6(Ipv6Addr),
}

/// The text is not what RFC 3986 allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Authority<'a> {
    /// Reads a whole header value. User information, as in `user@host`, is not part of it.
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
        if let Some(bracketed) = text.strip_prefix('[') {
            let (address, rest) = bracketed.split_once(']').ok_or(Malformed)?;
            let host = Host::V6(address.parse().map_err(|_| Malformed)?);
            let port = match rest.strip_prefix(':') {
                Some(digits) => parse_port(digits)?,
                None if rest.is_empty() => None,
                None => return Err(Malformed),
            };
            return Ok(Self { host, port });
        }
        let (name, port) = match text.split_once(':') {
            Some((name, digits)) => (name, parse_port(digits)?),
            None => (text, None),
        };
        if !is_registered_name(name.as_bytes()) {
            return Err(Malformed);
        }
        Ok(Self { host: Host::Name(name), port })
    }
}

impl<S: AsRef<str>> Host<S> {
    /// Whether both name the same host; names compare without regard to case.
    pub fn same<T: AsRef<str>>(&self, other: &Host<T>) -> bool {
        match (self, other) {
            (Self::Name(one), Host::Name(two)) => one.as_ref().eq_ignore_ascii_case(two.as_ref()),
            (Self::V6(one), Host::V6(two)) => one == two,
            (Self::Name(_), Host::V6(_)) | (Self::V6(_), Host::Name(_)) => false,
        }
    }
}

impl Host<&str> {
    /// A copy that outlives the text it was read from.
    pub fn into_owned(self) -> Host<Box<str>> {
        match self {
            Self::Name(name) => Host::Name(name.into()),
            Self::V6(address) => Host::V6(address),
        }
    }
}

/// An empty port (`host:`) is legal and means none (RFC 3986 §3.2.3).
fn parse_port(digits: &str) -> Result<Option<u16>, Malformed> {
    if digits.is_empty() {
        return Ok(None);
    }
    // `u16::from_str` alone would take a leading plus sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    digits.parse().map(Some).map_err(|_| Malformed)
}

/// `reg-name` of RFC 3986 §3.2.2, but not empty: a WebSocket needs a host.
fn is_registered_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                tail
            }
            (b'%', _) => return false,
            _ if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) => tail,
            _ => return false,
        };
    }
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &[u8], expected: Result<(&str, Option<u16>), Malformed>) {
        let parsed = Authority::parse(value).map(|authority| {
            let host = match authority.host {
                Host::Name(name) => name.to_owned(),
                Host::V6(address) => address.to_string(),
            };
            (host, authority.port)
        });
        let expected = expected.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(parsed, expected, "{}", value.escape_ascii());
    }

    #[test]
    fn hosts_and_ports_are_read() {
        check(b"example.com", Ok(("example.com", None)));
        check(b"example.com:8443", Ok(("example.com", Some(8443))));
        check(b"example.com:", Ok(("example.com", None)));
        check(b"127.0.0.1:80", Ok(("127.0.0.1", Some(80))));
        check(b"a_b~c%2D", Ok(("a_b~c%2D", None)));
        check(b"[::1]", Ok(("::1", None)));
        check(b"[0:0:0:0:0:0:0:1]:9", Ok(("::1", Some(9))));
        check(b"[::1]:", Ok(("::1", None)));
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        for value in [
            &b""[..],
            b":80",
            b"a b",
            b"user@host",
            b"host/path",
            b"host:80:80",
            b"host:+80",
            b"host:65536",
            b"host:http",
            b"host%",
            b"host%2",
            b"host%zz",
            b"[::1",
            b"[::1]80",
            b"[1.2.3.4]",
            b"[fe80::1%25eth0]",
            b"::1",
            b"\xff\xfe",
            "b\u{fc}cher.example".as_bytes(),
            b"a\"b",
            b"a,b\0",
        ] {
            check(value, Err(Malformed));
        }
    }
}
