//! A socket's error, kept small.

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

/// During what it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `recv`.
    Read,
    /// `send`.
    Write,
}

impl Operation {
    /// For a log line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The first error of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketError {
    /// What it tells.
    pub kind: SocketErrorKind,
    /// During what.
    pub operation: Operation,
    /// The system's number of it, 0 where there is none.
    pub errno: i32,
}

impl SocketError {
    /// Keeps what matters of an error.
    pub fn of(operation: Operation, error: &io::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::ConnectionReset => SocketErrorKind::Reset,
            ErrorKind::BrokenPipe => SocketErrorKind::Pipe,
            _ => SocketErrorKind::Network,
        };
        Self { kind, operation, errno: error.raw_os_error().unwrap_or(0) }
    }

    /// The error again, for a message.
    pub fn to_io_error(self) -> io::Error {
        match self.errno {
            0 => io::Error::other("socket error without a number"),
            errno => io::Error::from_raw_os_error(errno),
        }
    }
}
