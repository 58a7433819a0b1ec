//! A socket's error, kept small.

use std::fmt;
use std::io::{self, ErrorKind};

/// What kind of end a socket error tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketErrorKind {
    /// `ECONNRESET`: the peer sent RST.
    Reset,
    /// `EPIPE`: the peer had sent FIN, and answered a later byte of ours with RST.
    Pipe,
    /// Anything else: `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH` …
    Network,
}

/// The first error of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketError {
    /// What it tells.
    pub kind: SocketErrorKind,
    /// The system's number of it, 0 where there is none.
    pub errno: i32,
}

impl SocketError {
    /// Keeps what matters of an error.
    pub fn of(error: &io::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::ConnectionReset => SocketErrorKind::Reset,
            ErrorKind::BrokenPipe => SocketErrorKind::Pipe,
            _ => SocketErrorKind::Network,
        };
        Self { kind, errno: error.raw_os_error().unwrap_or(0) }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            0 => f.write_str("socket error without a number"),
            errno => io::Error::from_raw_os_error(errno).fmt(f),
        }
    }
}
