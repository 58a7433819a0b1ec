//! How a client that misbehaves came to its end.

use std::fmt;
use std::io::Error;

use crate::load::link::reason_of;

/// The first thing that ended it. Its text goes into the report; there are few of them, whatever a
/// server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The server's Close frame, with this code (1005: without one).
    Closed(u16),
    /// The server's Close frame, with a payload that RFC 6455 §5.5.1 forbids.
    ClosedWrongly,
    /// Without a Close frame, in the words of [`reason_of`]: `eof`, `reset`, `timed out` and others.
    Unclosed(&'static str),
    /// The server answered a handshake that was not over.
    Status(u16),
    /// What it answered was not HTTP.
    NotHttp,
    /// It could not be opened, for this reason.
    NotOpened(String),
    /// We left, as planned.
    Left,
    /// The run was over first.
    Stopped,
}

impl Ending {
    /// The end of the stream, without a Close frame.
    pub(super) const EOF: Self = Self::Unclosed("eof");

    /// What a failed read or write says.
    pub(super) fn of(error: &Error) -> Self {
        Self::Unclosed(reason_of(error))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => write!(f, "closed: {code}"),
            Self::ClosedWrongly => f.write_str("closed: wrong"),
            Self::Unclosed(how) => f.write_str(how),
            Self::Status(status) => write!(f, "status {status}"),
            Self::NotHttp => f.write_str("not an HTTP answer"),
            Self::NotOpened(reason) => f.write_str(reason),
            Self::Left => f.write_str("left"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}
