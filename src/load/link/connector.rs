//! Opening links: everything up to the end of the upgrade.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::answer::{self, Asked, Upgraded};
use super::connection::Link;
use super::request::Template;
use super::transport::Transport;
use super::url::Url;
use super::{dial, end, tls};
use crate::load::Scenario;

/// Opens links to one URL: its addresses, its TLS, its request. One per process and URL.
pub struct Connector {
    template: Template,
    addresses: Vec<SocketAddr>,
    /// The address that answered last: of a name with several, those that do not are asked once.
    preferred: Cell<usize>,
    source_addresses: Vec<IpAddr>,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    compression: bool,
    subprotocols: Vec<String>,
    handshake_timeout: Duration,
    close_wait: Duration,
}

/// A connection that is open.
pub struct Opened {
    /// It reads only while [`Link::run`] runs.
    pub link: Rc<Link>,
    /// From the first byte of TCP to the end of the upgrade.
    pub took: Duration,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenError {
    /// `connect: …`, `tls: …` or `upgrade: …`, from a closed list, but for `upgrade: status N`.
    pub reason: String,
}

impl Connector {
    /// Looks the host up (within `scenario.handshake_timeout`) and, for `wss`, reads this machine's
    /// root certificates. `url` may be another than the scenario's: a publishing connection's.
    ///
    /// The error is one sentence that names what was given wrongly, and what to give instead.
    pub async fn new(scenario: &Scenario, url: &str) -> Result<Self, String> {
        let parsed = Url::parse(url)?;
        let addresses = look_up(&parsed, scenario.handshake_timeout).await?;
        for source in &scenario.source_addresses {
            check_source(*source, &addresses, &parsed.host)?;
        }
        let tls = if parsed.secure {
            let name = ServerName::try_from(parsed.host.clone())
                .map_err(|_| format!("{} is no name that a certificate can have", parsed.host))?;
            Some((tls::connector(scenario.insecure)?, name))
        } else {
            None
        };
        Ok(Self {
            template: Template::new(scenario, parsed)?,
            addresses,
            preferred: Cell::new(0),
            source_addresses: scenario.source_addresses.clone(),
            tls,
            compression: scenario.compression,
            subprotocols: scenario.subprotocols.clone(),
            handshake_timeout: scenario.handshake_timeout,
            close_wait: scenario.close_wait,
        })
    }

    /// Opens connection `number`: TCP from the source address whose turn it is, TLS, upgrade; all
    /// within the scenario's `handshake_timeout`.
    pub async fn open(&self, number: u32) -> Result<Opened, OpenError> {
        // Boxed: the task that opens a link goes on to run it, and keeps the size of its largest part.
        Box::pin(async {
            let started = Instant::now();
            let deadline = started + self.handshake_timeout;
            let mut transport = self.dial(number, None, deadline).await?;
            let upgraded = self.exchange(&mut transport, number, deadline).await?;
            let took = started.elapsed();
            Ok(Opened { link: Rc::new(Link::new(transport, upgraded, self.close_wait)), took })
        })
        .await
    }

    /// TCP and TLS alone, for a client that misbehaves; within `handshake_timeout`. `receive_buffer`
    /// is `SO_RCVBUF` in bytes, set before the connection is made.
    pub async fn transport(
        &self,
        number: u32,
        receive_buffer: Option<usize>,
    ) -> Result<Transport, OpenError> {
        let deadline = Instant::now() + self.handshake_timeout;
        Box::pin(self.dial(number, receive_buffer, deadline)).await
    }

    /// The upgrade request of connection `number` as it is sent, and the key in it, new each time.
    pub fn request(&self, number: u32) -> (Vec<u8>, String) {
        self.template.write(number)
    }

    /// Sends the upgrade request on a transport, reads and checks the answer, within
    /// `handshake_timeout`.
    pub async fn upgrade(
        &self,
        transport: &mut Transport,
        number: u32,
    ) -> Result<Upgraded, OpenError> {
        let deadline = Instant::now() + self.handshake_timeout;
        Box::pin(self.exchange(transport, number, deadline)).await
    }

    async fn dial(
        &self,
        number: u32,
        receive_buffer: Option<usize>,
        deadline: Instant,
    ) -> Result<Transport, OpenError> {
        let connected = timeout_at(deadline, self.connect(number, receive_buffer)).await;
        let tcp = connected.unwrap_or(Err("connect: timed out"))?;
        let Some((connector, name)) = &self.tls else { return Ok(Transport::Plain(tcp)) };
        match timeout_at(deadline, connector.connect(name.clone(), tcp)).await {
            Ok(Ok(stream)) => Ok(Transport::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(tls::reason_of(&error).into()),
            Err(_) => Err("tls: timed out".into()),
        }
    }

    /// Tries the addresses one by one, those of the source's family alone.
    async fn connect(
        &self,
        number: u32,
        receive_buffer: Option<usize>,
    ) -> Result<TcpStream, &'static str> {
        let sources = &self.source_addresses;
        let source = sources.get(number as usize % sources.len().max(1)).copied();
        let (count, first) = (self.addresses.len(), self.preferred.get());
        let mut failed = "connect: no route";
        for index in (first..first + count).map(|index| index % count) {
            let address = self.addresses[index];
            if source.is_some_and(|source| source.is_ipv4() != address.is_ipv4()) {
                continue;
            }
            match dial::connect(address, source, receive_buffer).await {
                Ok(tcp) => {
                    self.preferred.set(index);
                    return Ok(tcp);
                }
                Err(error) => failed = dial::reason_of(&error),
            }
        }
        Err(failed)
    }

    async fn exchange(
        &self,
        transport: &mut Transport,
        number: u32,
        deadline: Instant,
    ) -> Result<Upgraded, OpenError> {
        let (request, key) = self.request(number);
        let asked =
            Asked { key: &key, compression: self.compression, subprotocols: &self.subprotocols };
        let exchanged = timeout_at(deadline, async {
            let mut written = transport.write_all(&request).await;
            if written.is_ok() {
                written = transport.flush().await;
            }
            // A server may refuse before it has read all of it: what it says is worth more.
            let answer = answer::read(transport, &asked).await;
            match (answer, written) {
                (Err(answer), Err(error)) if answer == "upgrade: closed" => {
                    Err(format!("upgrade: {}", end::reason_of(&error)))
                }
                (answer, _) => answer,
            }
        });
        let answer = exchanged.await.unwrap_or_else(|_| Err("upgrade: timed out".to_owned()));
        answer.map_err(|reason| OpenError { reason })
    }
}

impl From<&'static str> for OpenError {
    fn from(reason: &'static str) -> Self {
        Self { reason: reason.to_owned() }
    }
}

async fn look_up(url: &Url, limit: Duration) -> Result<Vec<SocketAddr>, String> {
    let host = &url.host;
    if let Ok(ip) = host.parse() {
        return Ok(vec![SocketAddr::new(ip, url.port)]);
    }
    let found = match timeout(limit, tokio::net::lookup_host((host.as_str(), url.port))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            return Err(format!("the host {host} was not found ({error}): check the URL"));
        }
        Err(_) => {
            return Err(format!(
                "the host {host} was not found within {limit:?}: check the URL and the resolver, \
                 or give an address in place of the name"
            ));
        }
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(format!("the host {host} has no address: check the URL"));
    }
    Ok(addresses)
}

/// Must be an address of this machine from which one of the server's can be reached.
fn check_source(source: IpAddr, addresses: &[SocketAddr], host: &str) -> Result<(), String> {
    if !addresses.iter().any(|address| address.is_ipv4() == source.is_ipv4()) {
        let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(format!(
            "--source-addresses {source}: {host} has no {family} address to reach from it: leave \
             it out, or give another URL"
        ));
    }
    UdpSocket::bind((source, 0)).map(drop).map_err(|error| {
        format!(
            "--source-addresses {source}: this machine cannot send from it ({error}): give \
             addresses that it has, such as 127.0.0.2 for a server on 127.0.0.1"
        )
    })
}
