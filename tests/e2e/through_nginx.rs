//! The same ends through the real nginx, plain and over TLS: what the client sees, what the gateway
//! makes of it, and how its line joins with nginx's own.

mod codes;
mod draining;
mod endings;
mod proxy;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::support::{Ends, Gateway, Nginx, NginxSettings, Opening, Raw, Settings, part};

const ECHO: &str = "/ws-notifications";
const BROADCAST: &str = "/ws";

/// Plain TCP on the near side, TLS towards nginx.
struct Bridge {
    child: Child,
    address: SocketAddr,
}

impl Bridge {
    #[track_caller]
    fn to(nginx: &Nginx) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parts/python/tls_bridge.py");
        let mut child = Command::new(part("python"))
            .arg(script)
            .arg(nginx.tls.port().to_string())
            .arg(nginx.ca())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, address: ([127, 0, 0, 1], port.trim().parse().unwrap()).into() }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway behind an nginx, and the two ways to it.
struct Stand {
    ends: Ends,
    nginx: Nginx,
    bridge: Bridge,
}

impl Stand {
    #[track_caller]
    fn start(settings: Settings, nginx: impl FnOnce(NginxSettings) -> NginxSettings) -> Self {
        let gateway: Gateway = settings.start();
        let nginx = nginx(NginxSettings::new(gateway.public)).start();
        let bridge = Bridge::to(&nginx);
        Self { ends: Ends::of(gateway), nginx, bridge }
    }

    /// Plain and over TLS.
    fn ways(&self) -> [(&'static str, SocketAddr); 2] {
        [("plain", self.nginx.plain), ("TLS", self.bridge.address)]
    }
}

/// A WebSocket that says the right host: nginx passes it on, whatever the way.
#[track_caller]
fn open(way: SocketAddr, path: &str) -> Raw {
    Opening::new(path).open(way)
}
