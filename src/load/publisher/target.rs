//! Where an admin listener is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Uri;

/// An admin listener.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// `host:port`, IPv6 hosts in brackets.
    authority: String,
    /// The URL's path with its query, where it had one other than `/`.
    path: Option<String>,
}

impl Target {
    /// The loopback side of a listener on every interface.
    pub fn of_listener(listen: SocketAddr) -> Result<Self, String> {
        if listen.port() == 0 {
            return Err(
                "server.admin_listen has port 0, which the system chose: give --url http://HOST:PORT"
                    .to_owned(),
            );
        }
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Ok(Self { authority: SocketAddr::new(ip, listen.port()).to_string(), path: None })
    }

    /// An `http` URL, as `flag` gave it; the error names it, and what to write.
    pub fn parse(flag: &str, url: &str) -> Result<Self, String> {
        let advice =
            || format!("{flag} {url}: write http://HOST:PORT, such as http://127.0.0.1:8081");
        let uri: Uri = url.parse().map_err(|_| advice())?;
        let authority = uri.authority().ok_or_else(advice)?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return Err(advice());
        }
        let path =
            uri.path_and_query().map(http::uri::PathAndQuery::as_str).filter(|path| *path != "/");
        Ok(Self {
            authority: match authority.port_u16() {
                Some(port) => format!("{}:{port}", authority.host()),
                None => format!("{}:80", authority.host()),
            },
            path: path.map(str::to_owned),
        })
    }

    /// The URL's own path, if it had one.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// `host:port`, IPv6 hosts in brackets.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// As a user writes it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, expected) in [
            ("http://127.0.0.1:8081", Some(("127.0.0.1:8081", None))),
            ("http://127.0.0.1:8081/", Some(("127.0.0.1:8081", None))),
            ("http://gateway", Some(("gateway:80", None))),
            ("http://[::1]:1/health/live", Some(("[::1]:1", Some("/health/live")))),
            ("https://gateway", None),
            ("gateway:8081", None),
            ("/health", None),
            ("http://a@b", None),
            ("", None),
            ("http://a b", None),
        ] {
            let parsed = Target::parse("--url", url).ok();
            let shown = parsed.as_ref().map(|t| (t.authority.as_str(), t.path()));
            assert_eq!(shown, expected, "{url}");
        }
    }

    #[test]
    fn a_listener_on_every_interface_is_asked_on_loopback() {
        for (listen, expected) in [
            ("127.0.0.1:8081", Some("127.0.0.1:8081")),
            ("0.0.0.0:8081", Some("127.0.0.1:8081")),
            ("[::]:8081", Some("[::1]:8081")),
            ("10.0.0.7:1", Some("10.0.0.7:1")),
            ("127.0.0.1:0", None),
        ] {
            let target = Target::of_listener(listen.parse().unwrap()).ok();
            assert_eq!(target.map(|t| t.authority).as_deref(), expected);
        }
    }
}
