//! A gateway with nginx before it, and every way to reach it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Gateway, Nginx, NginxSettings, Settings};

/// How a client reaches the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Straight to its own port.
    Direct,
    /// Through nginx without TLS.
    Plain,
    /// Through nginx with TLS.
    Tls,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Plain, Self::Tls];
}

/// A gateway and the nginx before it.
pub struct Site {
    pub nginx: Nginx,
    pub gateway: Gateway,
}

impl Site {
    /// Starts both.
    #[track_caller]
    pub fn start(settings: Settings) -> Self {
        let gateway = settings.start();
        Self { nginx: NginxSettings::new(gateway.public).start(), gateway }
    }

    /// Where a route begins.
    pub fn address(&self, route: Route) -> SocketAddr {
        match route {
            Route::Direct => self.gateway.public,
            Route::Plain => self.nginx.plain,
            Route::Tls => self.nginx.tls,
        }
    }

    /// The `ws:` or `wss:` address of a path by this route.
    pub fn url(&self, route: Route, path: &str) -> String {
        let scheme = if route == Route::Tls { "wss" } else { "ws" };
        format!("{scheme}://{}{path}", self.address(route))
    }

    /// A scenario for a stock client. A browser cannot be told of an authority: it takes any; the
    /// others check the certificate.
    pub fn scenario(&self, route: Route, path: &str, steps: &Value) -> Value {
        json!({
            "url": self.url(route, path),
            "ca": self.nginx.ca(),
            "timeout_ms": 20_000,
            "steps": steps,
        })
    }
}
