//! Where to connect: a `ws` or `wss` URL, judged strictly.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

/// What stands for the number of a connection.
const NUMBER: &str = "{n}";

/// A URL taken apart (RFC 6455 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::load) struct Url {
    /// `wss`.
    pub secure: bool,
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// As given, or the scheme's.
    pub port: u16,
    /// Path and query, as they go into the request, in the pieces between the `{n}`s.
    target: Vec<String>,
}

impl Url {
    /// Refuses what is not a URL to connect to; the error says what to write instead.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wrong = |what: String| {
            // Whatever it is, it goes to a terminal: escaped.
            format!("the URL {} {what}", url.escape_debug())
        };
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| wrong("has no scheme: write ws://HOST[:PORT]/PATH".to_owned()))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(wrong("is neither ws:// nor wss://".to_owned())),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let default_port = if secure { 443 } else { 80 };
        let (host, port) = parse_authority(authority, default_port).map_err(wrong)?;
        check_target(target).map_err(wrong)?;
        let target = if target.starts_with('/') { target.into() } else { format!("/{target}") };
        let target = target.split(NUMBER).map(str::to_owned).collect();
        Ok(Self { secure, host, port, target })
    }

    /// Path and query for connection `number`.
    pub fn write_target(&self, number: u32, out: &mut String) {
        for (index, piece) in self.target.iter().enumerate() {
            if index > 0 {
                write!(out, "{number}").expect("writing to a String does not fail");
            }
            out.push_str(piece);
        }
    }

    /// The value of the `Host` header: without the port if that is the scheme's (RFC 9110 §7.2).
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.secure, self.port) {
            (false, 80) | (true, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

fn parse_authority(authority: &str, default_port: u16) -> Result<(String, u16), String> {
    if authority.contains('@') {
        return Err("has a user before the host: send it by --header or --token-file".to_owned());
    }
    if authority.contains(NUMBER) {
        return Err(format!("has {NUMBER} in its host or port: only path and query may"));
    }
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("has no ] behind its IPv6 address")?;
        let address: Ipv6Addr = host.parse().map_err(|_| "has no IPv6 address in its brackets")?;
        (address.to_string(), port)
    } else {
        let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(named) {
            return Err("has no host of letters, digits, dots and hyphens".to_owned());
        }
        (host.to_ascii_lowercase(), port)
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default_port,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or("has a port that is not between 1 and 65535")?,
        None | Some(_) => return Err("has a port that is no number".to_owned()),
    };
    Ok((host, port))
}

/// Path and query may hold what RFC 3986 §3.3 and §3.4 let them, and `{n}`.
fn check_target(target: &str) -> Result<(), String> {
    let mut rest = target.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = match byte {
            b'#' => return Err("has a fragment (#), which no server sees: leave it out".to_owned()),
            b'%' if behind.iter().take(2).filter(|byte| byte.is_ascii_hexdigit()).count() == 2 => {
                &behind[2..]
            }
            b'%' => return Err("has a % without two hex digits: write %25".to_owned()),
            b'{' if rest.starts_with(NUMBER.as_bytes()) => &rest[NUMBER.len()..],
            b'{' | b'}' => {
                return Err(format!("has a brace that is not {NUMBER}: write %7B and %7D"));
            }
            _ if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte) => behind,
            _ => {
                let escaped = byte.escape_ascii();
                return Err(format!("has '{escaped}' in its path or query: write %{byte:02X}"));
            }
        };
    }
    Ok(())
}
