//! One WebSocket of the client: a non-blocking socket, its upgrade, and what it has not yet sent.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::rc::Rc;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::frame::{self, Found, Scanner};

/// The key and the answer that RFC 6455 §1.3 works out: one pair for all, so that no SHA-1 is needed here.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A response head longer than this is not one.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Source addresses 127.0.0.2 … 127.0.0.201: 28,000 ports each, and no address looks like an attacker.
const SOURCE_ADDRESSES: usize = 200;

/// What is asked of the server in every upgrade.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Path and query; `{n}` in it becomes the connection's number.
    pub path: String,
    /// Offer permessage-deflate (RFC 7692) and insist on it. Both sides without context takeover: that
    /// is the one form that all peers speak, and so the one form in which they do the same work.
    pub deflate: bool,
    /// A text message that the server wants first, and answers with one message: some servers speak a
    /// protocol of their own above RFC 6455. The connection is open when the answer has come.
    pub hello: Option<String>,
}

impl Target {
    fn request(&self, ordinal: usize) -> String {
        let extension = if self.deflate {
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
        } else {
            ""
        };
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extension}User-Agent: bench-client\r\n\r\n",
            self.path.replace("{n}", &ordinal.to_string()),
            self.address,
        )
    }

    /// Checks a whole response head. An error carries the answer's first line.
    fn check(&self, head: &str) -> io::Result<()> {
        let first_line = head.lines().next().unwrap_or_default();
        let has = |name: &str, value: &str| {
            head.lines().any(|line| {
                line.split_once(':').is_some_and(|(n, v)| {
                    n.eq_ignore_ascii_case(name) && v.trim().starts_with(value)
                })
            })
        };
        if !first_line.starts_with("HTTP/1.1 101") {
            return Err(io::Error::other(format!("the server refused the upgrade: {first_line}")));
        }
        if !has("Sec-WebSocket-Accept", ACCEPT) {
            return Err(io::Error::other(
                "the server's Sec-WebSocket-Accept is wrong (RFC 6455 §4.1)",
            ));
        }
        if self.deflate != has("Sec-WebSocket-Extensions", "permessage-deflate") {
            return Err(io::Error::other(format!(
                "permessage-deflate was {}",
                if self.deflate {
                    "offered, but not accepted"
                } else {
                    "accepted, but not offered"
                },
            )));
        }
        Ok(())
    }
}

/// How far a connection has come. Who ends it decides whether its end is a loss.
#[derive(Debug)]
enum Phase {
    Connecting,
    Upgrading { head: Vec<u8> },
    Greeting,
    Open,
    ClosedByUs,
}

/// What reading a socket brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to report, or only bytes of an unfinished message.
    Nothing,
    /// The upgrade is complete, and the first message answered where there is one.
    Opened,
    /// This many whole messages.
    Messages(u64),
    /// The stream is over; the code of the server's Close frame if there was one.
    Ended(Option<u16>),
}

/// A socket and its protocol state.
#[derive(Debug)]
pub struct Connection {
    target: Rc<Target>,
    stream: TcpStream,
    ordinal: usize,
    phase: Phase,
    scanner: Scanner,
    unsent: Vec<u8>,
    close_code: Option<u16>,
}

impl Connection {
    /// Starts a non-blocking connect from the source address that belongs to `ordinal`.
    pub fn start(target: &Rc<Target>, ordinal: usize) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let family =
            if target.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        if target.address.is_ipv4() && target.address.ip().is_loopback() {
            let source = Ipv4Addr::new(127, 0, 0, (2 + ordinal % SOURCE_ADDRESSES) as u8);
            bind(&socket, &SocketAddrV4::new(source, 0))?;
        }
        match connect(&socket, &target.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        Ok(Self {
            target: Rc::clone(target),
            stream,
            ordinal,
            phase: Phase::Connecting,
            scanner: Scanner::default(),
            unsent: Vec::new(),
            close_code: None,
        })
    }

    /// The socket, for epoll.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether it sends a first message of its own, which the server answers.
    pub fn has_hello(&self) -> bool {
        self.target.hello.is_some()
    }

    /// Whether frames may be sent.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether this side began the Close handshake, so that the end is no loss.
    pub fn is_closed_by_us(&self) -> bool {
        matches!(self.phase, Phase::ClosedByUs)
    }

    /// Whether epoll must tell when the socket takes bytes again.
    pub fn wants_to_write(&self) -> bool {
        matches!(self.phase, Phase::Connecting) || !self.unsent.is_empty()
    }

    /// The socket takes bytes: the connect is done, or what is left over can go.
    pub fn on_writable(&mut self) -> io::Result<()> {
        if matches!(self.phase, Phase::Connecting) {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            self.phase = Phase::Upgrading { head: Vec::new() };
            let request = self.target.request(self.ordinal);
            return self.send(request.as_bytes());
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.send(&unsent)
    }

    /// Writes now what the socket takes and keeps the rest. Order is kept. When the server is gone the
    /// bytes are dropped without an error: reading tells how it went, and is counted once, there.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_peer_gone(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends Close 1000; the connection ends when the server has answered and closed.
    pub fn close(&mut self) -> io::Result<()> {
        self.phase = Phase::ClosedByUs;
        self.send(&frame::close())
    }

    /// Reads once into `buffer` (level-triggered epoll calls again for the rest) and reports; the
    /// second value is the number of bytes. Errors are protocol violations and refused upgrades.
    pub fn on_readable(&mut self, buffer: &mut [u8]) -> io::Result<(Progress, usize)> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Ok((self.ended(), 0)),
            Ok(count) => count,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                    return Ok((Progress::Nothing, 0));
                }
                _ if is_peer_gone(&error) => return Ok((self.ended(), 0)),
                _ => return Err(error),
            },
        };
        Ok((self.take(&buffer[..count])?, count))
    }

    fn ended(&self) -> Progress {
        Progress::Ended(self.close_code)
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<Progress> {
        let Phase::Upgrading { head } = &mut self.phase else {
            return self.take_frames(bytes);
        };
        head.extend_from_slice(bytes);
        let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if head.len() > HEAD_BYTES_MAX {
                Err(io::Error::other("the response head does not end"))
            } else {
                Ok(Progress::Nothing)
            };
        };
        self.target.check(&String::from_utf8_lossy(&head[..end]))?;
        if head.len() > end + 4 {
            // No peer of this bench greets. Counting frames before "opened" would need a queue.
            return Err(io::Error::other("the server sent frames together with its 101"));
        }
        let Some(hello) = &self.target.hello else {
            self.phase = Phase::Open;
            return Ok(Progress::Opened);
        };
        let frame = frame::text(hello.as_bytes());
        self.phase = Phase::Greeting;
        self.send(&frame)?;
        Ok(Progress::Nothing)
    }

    fn take_frames(&mut self, bytes: &[u8]) -> io::Result<Progress> {
        let mut found = Found::default();
        self.scanner.scan(bytes, &mut found).map_err(io::Error::other)?;
        for payload in &found.pings {
            self.send(&frame::pong(payload))?;
        }
        if let Some(code) = found.close {
            self.close_code = Some(code);
            if self.is_open() {
                // Answer, as RFC 6455 §5.5.1 asks; the server closes the socket (§7.1.1).
                self.send(&frame::close())?;
            }
        }
        match (&self.phase, found.messages) {
            (_, 0) => Ok(Progress::Nothing),
            (Phase::Greeting, 1) => {
                self.phase = Phase::Open;
                Ok(Progress::Opened)
            }
            (Phase::Greeting, _) => {
                Err(io::Error::other("the server sent more than an answer to the first message"))
            }
            (_, messages) => Ok(Progress::Messages(messages)),
        }
    }
}

fn is_peer_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(deflate: bool, head: &str, expected: Result<(), &str>) {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let target = Target { address, path: "/".into(), deflate, hello: None };
        let result = target.check(head).map_err(|error| error.to_string());
        assert_eq!(result, expected.map_err(String::from), "{head:?}");
    }

    #[test]
    fn an_upgrade_is_believed_only_when_complete() {
        let ok = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {ACCEPT}\r\n");
        let deflated = format!(
            "{ok}Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
        );
        check(false, &ok, Ok(()));
        check(true, &deflated, Ok(()));
        check(true, &ok, Err("permessage-deflate was offered, but not accepted"));
        check(false, &deflated, Err("permessage-deflate was accepted, but not offered"));
        check(
            false,
            "HTTP/1.1 403 Forbidden\r\n",
            Err("the server refused the upgrade: HTTP/1.1 403 Forbidden"),
        );
        let wrong = "HTTP/1.1 101 x\r\nSec-WebSocket-Accept: x\r\n";
        check(false, wrong, Err("the server's Sec-WebSocket-Accept is wrong (RFC 6455 §4.1)"));
    }
}
