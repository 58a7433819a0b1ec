//! Where a client comes from, as the proxies in front of the gateway tell it.
//!
//! Anybody can send these headers, so they are believed only when the socket's peer is a trusted
//! proxy, and `X-Forwarded-For` only as far back as trusted proxies wrote it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header::HeaderName};
use ipnet::IpNet;

use super::Occurrence;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_NGINX_HOST: HeaderName = HeaderName::from_static("x-nginx-host");
const X_NGINX_PID: HeaderName = HeaderName::from_static("x-nginx-pid");
const X_NGINX_CONNECTION: HeaderName = HeaderName::from_static("x-nginx-connection");

/// Bytes of `X-Request-ID`; nginx' `$request_id` has 32.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Bytes of `X-Nginx-Host`: the longest name that DNS knows.
const NGINX_HOST_BYTES_MAX: usize = 255;
/// Proxies that `X-Forwarded-For` is followed through.
const HOPS_MAX: usize = 32;

/// The networks whose word is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies(Box<[IpNet]>);

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientOrigin<'a> {
    /// The client's address; an IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`) as IPv4.
    pub address: IpAddr,
    /// The client's port, where it is known.
    pub port: Option<u16>,
    /// `X-Request-ID`, at most 128 bytes of visible ASCII.
    pub request_id: Option<&'a str>,
    /// By which connection of which nginx worker it came.
    pub nginx: Option<NginxHop<'a>>,
}

/// What an error line of nginx calls this connection: `pid#tid: *connection`, on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NginxHop<'a> {
    /// `X-Nginx-Host` (`$hostname`), at most 255 bytes of visible ASCII.
    pub host: &'a str,
    /// `X-Nginx-Pid` (`$pid`): the worker; never 0.
    pub pid: u32,
    /// `X-Nginx-Connection` (`$connection`): counts from 1 again when nginx starts again.
    pub connection: u64,
}

impl Proxies {
    /// Trusts these networks; with none, every peer is the client itself.
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Whether the headers of this peer are believed.
    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Where the sender of these headers comes from. Never fails: what is not understood is left out.
    pub fn client<'h>(&self, headers: &'h HeaderMap, socket_peer: SocketAddr) -> ClientOrigin<'h> {
        let peer = (socket_peer.ip().to_canonical(), Some(socket_peer.port()));
        if !self.trust(peer.0) {
            return ClientOrigin { address: peer.0, port: peer.1, request_id: None, nginx: None };
        }
        let (address, port) = if headers.contains_key(&X_FORWARDED_FOR) {
            self.walk(headers).unwrap_or(peer)
        } else {
            let real = once(headers, &X_REAL_IP, usize::MAX);
            real.and_then(parse_hop).unwrap_or(peer)
        };
        ClientOrigin {
            address,
            port,
            request_id: once(headers, &X_REQUEST_ID, REQUEST_ID_BYTES_MAX),
            nginx: nginx_hop(headers),
        }
    }

    /// Walks `X-Forwarded-For` from the right, where the nearest proxy wrote, through trusted
    /// proxies to the first address that is none. What stands left of it is the client's own word;
    /// what cannot be read ends the walk at the last address that could.
    fn walk(&self, headers: &HeaderMap) -> Option<(IpAddr, Option<u16>)> {
        let lines = headers.get_all(&X_FORWARDED_FOR).into_iter().rev();
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let mut furthest = None;
        for hop in hops.take(HOPS_MAX) {
            let Some(known) = visible_ascii(hop.trim_ascii()).and_then(parse_hop) else {
                break;
            };
            furthest = Some(known);
            if !self.trust(known.0) {
                break;
            }
        }
        furthest
    }
}

/// `a.b.c.d`, `a.b.c.d:port`, `v6`, `[v6]` or `[v6]:port`.
fn parse_hop(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let (address, port) = if let Ok(address) = text.parse::<IpAddr>() {
        (address, None)
    } else if let Ok(socket) = text.parse::<SocketAddr>() {
        (socket.ip(), Some(socket.port()))
    } else {
        let bracketed = text.strip_prefix('[')?.strip_suffix(']')?;
        (IpAddr::V6(bracketed.parse().ok()?), None)
    };
    Some((address.to_canonical(), port))
}

fn nginx_hop(headers: &HeaderMap) -> Option<NginxHop<'_>> {
    Some(NginxHop {
        host: once(headers, &X_NGINX_HOST, NGINX_HOST_BYTES_MAX)?,
        pid: number(headers, &X_NGINX_PID)
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid != 0)?,
        connection: number(headers, &X_NGINX_CONNECTION)?,
    })
}

/// Decimal digits only: `parse` alone would take a leading plus sign.
fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let digits = once(headers, name, 20)?;
    let decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    decimal.then(|| digits.parse().ok()).flatten()
}

/// The value of a header that was sent once, is not empty, not too long and visible ASCII.
fn once<'h>(headers: &'h HeaderMap, name: &HeaderName, bytes_max: usize) -> Option<&'h str> {
    match Occurrence::of(headers, name) {
        Occurrence::Once(value) => {
            visible_ascii(value.as_bytes().trim_ascii()).filter(|text| text.len() <= bytes_max)
        }
        Occurrence::Absent | Occurrence::Repeated => None,
    }
}

fn visible_ascii(bytes: &[u8]) -> Option<&str> {
    let visible = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic);
    visible.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn proxies() -> Proxies {
        let networks = ["127.0.0.1/32", "::1/128", "10.0.0.0/8", "fd00::/8"];
        Proxies::new(&networks.map(|network| network.parse().unwrap()))
    }

    /// The client of a request that came from `peer`, as `address` or `address:port`.
    fn check(peer: &str, lines: &[(&'static str, &[u8])], expected: &str) {
        let headers = headers(lines);
        let client = proxies().client(&headers, peer.parse().unwrap());
        let shown = match client.port {
            Some(port) => SocketAddr::new(client.address, port).to_string(),
            None => client.address.to_string(),
        };
        assert_eq!(shown, expected, "{peer} {headers:?}");
    }

    #[test]
    fn strangers_speak_for_themselves_only() {
        let lies: &[(&str, &[u8])] = &[
            ("x-forwarded-for", b"1.2.3.4"),
            ("x-real-ip", b"1.2.3.4"),
            ("x-request-id", b"abc"),
            ("x-nginx-host", b"edge"),
            ("x-nginx-pid", b"1"),
            ("x-nginx-connection", b"1"),
        ];
        check("203.0.113.9:5000", lies, "203.0.113.9:5000");
        check("[2001:db8::9]:5000", lies, "[2001:db8::9]:5000");
        check("[::ffff:203.0.113.9]:5000", lies, "203.0.113.9:5000");
        let headers = headers(lies);
        let client = proxies().client(&headers, "203.0.113.9:5000".parse().unwrap());
        assert_eq!((client.request_id, client.nginx), (None, None));
    }

    #[test]
    fn forwarded_for_is_walked_from_the_right() {
        let check_walk = |values: &[&'static [u8]], expected: &str| {
            let lines: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
            check("127.0.0.1:9", &lines, expected);
        };
        check_walk(&[], "127.0.0.1:9");
        check_walk(&[b"1.2.3.4"], "1.2.3.4");
        check_walk(&[b"6.6.6.6, 1.2.3.4"], "1.2.3.4");
        check_walk(&[b"6.6.6.6, 1.2.3.4, 10.0.0.2 , 10.0.0.1"], "1.2.3.4");
        check_walk(&[b"6.6.6.6", b"1.2.3.4,10.0.0.2"], "1.2.3.4");
        check_walk(&[b"10.0.0.3, 10.0.0.2"], "10.0.0.3");
        check_walk(&[b"1.2.3.4:4711"], "1.2.3.4:4711");
        check_walk(&[b"2001:db8::1"], "2001:db8::1");
        check_walk(&[b"[2001:db8::1]"], "2001:db8::1");
        check_walk(&[b"[2001:db8::1]:4711, fd00::7"], "[2001:db8::1]:4711");
        check_walk(&[b"::ffff:1.2.3.4"], "1.2.3.4");
        // What cannot be read ends the walk where it stands.
        check_walk(&[b"1.2.3.4, unknown"], "127.0.0.1:9");
        check_walk(&[b"1.2.3.4, unknown, 10.0.0.1"], "10.0.0.1");
        for garbage in [
            &b""[..],
            b",",
            b"1.2.3.4,",
            b"1.2.3",
            b"1.2.3.4:99999",
            b"[::1",
            b"[1.2.3.4]",
            b"fe80::1%eth0",
            b"localhost",
            b"\"1.2.3.4\"",
            b"\xff\xfe",
        ] {
            check_walk(&[garbage], "127.0.0.1:9");
        }
    }

    #[test]
    fn real_ip_counts_only_without_forwarded_for() {
        check("127.0.0.1:9", &[("x-real-ip", b"1.2.3.4")], "1.2.3.4");
        check("[::ffff:127.0.0.1]:9", &[("x-real-ip", b"1.2.3.4")], "1.2.3.4");
        check("127.0.0.1:9", &[("x-real-ip", b"nonsense")], "127.0.0.1:9");
        let both: &[(&str, &[u8])] = &[("x-real-ip", b"1.2.3.4"), ("x-forwarded-for", b"5.6.7.8")];
        check("127.0.0.1:9", both, "5.6.7.8");
        let twice: &[(&str, &[u8])] = &[("x-real-ip", b"1.2.3.4"), ("x-real-ip", b"5.6.7.8")];
        check("127.0.0.1:9", twice, "127.0.0.1:9");
    }

    #[test]
    fn a_trusted_proxy_names_request_and_connection() {
        let check = |lines: &[(&'static str, &[u8])], request_id, nginx| {
            let headers = headers(lines);
            let client = proxies().client(&headers, "127.0.0.1:9".parse().unwrap());
            assert_eq!(client.request_id, request_id, "{headers:?}");
            let hop = client.nginx.map(|hop| (hop.host, hop.pid, hop.connection));
            assert_eq!(hop, nginx, "{headers:?}");
        };
        let hop = |host: &'static [u8], pid: &'static [u8], connection: &'static [u8]| {
            [("x-nginx-host", host), ("x-nginx-pid", pid), ("x-nginx-connection", connection)]
        };
        check(&hop(b"edge-1", b"4711", b"9"), None, Some(("edge-1", 4711, 9)));
        let most = hop(b"e", b"4294967295", b"18446744073709551615");
        check(&most, None, Some(("e", u32::MAX, u64::MAX)));
        check(&hop(b"e", b"0", b"1"), None, None);
        check(&hop(b"e", b"4294967296", b"1"), None, None);
        check(&hop(b"e", b"1", b"18446744073709551616"), None, None);
        check(&hop(b"e", b"+1", b"1"), None, None);
        check(&hop(b"e", b"1", b"-"), None, None);
        check(&hop(b"a b", b"1", b"1"), None, None);
        check(&hop(b"e", b"1", b"1")[..2], None, None);
        check(&[("x-request-id", b" 4f00c2 ")], Some("4f00c2"), None);
        check(&[("x-request-id", &[b'a'; 129])], None, None);
        check(&[("x-request-id", b"a\tb")], None, None);
        check(&[("x-request-id", b"\xc3\xb6")], None, None);
        check(&[("x-request-id", b"")], None, None);
        check(&[("x-request-id", b"a"), ("x-request-id", b"b")], None, None);
    }
}
