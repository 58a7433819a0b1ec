//! The listeners: below and beside the connections.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tracing::Level;

use super::text::{PROSE_CHARS_MAX, bounded};
use crate::telemetry::labels::{AcceptFailure, HttpFailure, Method, Route};
use crate::telemetry::{OFF, Recorder, Telemetry};

/// A TCP connection could not be accepted, or none may be for now. The pause that follows paces these lines, too.
pub struct AcceptFailed<'a> {
    /// Why, from the closed list.
    pub reason: AcceptFailure,
    /// The operating system's word, or ours.
    pub error: &'a dyn fmt::Display,
    /// How long the accept loop pauses; zero if it goes on at once.
    pub pause: Duration,
}

impl AcceptFailed<'_> {
    /// Counts it; logs it unless it is the client's doing.
    pub fn emit(self, recorder: &Recorder) {
        let Self { reason, error, pause } = self;
        recorder.accept_failed(reason);
        match reason {
            AcceptFailure::Aborted => {}
            AcceptFailure::FileLimit
            | AcceptFailure::Memory
            | AcceptFailure::NoRoom
            | AcceptFailure::Other => {
                tracing::event!(
                    Level::WARN,
                    reason = reason.as_str(),
                    error = %error,
                    pause_seconds = pause.as_secs_f64(),
                    "accept failed"
                );
            }
        }
    }
}

impl AcceptFailure {
    /// The closed list's word for what `accept(2)` said.
    pub fn of(error: &io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => Self::FileLimit,
            Some(Errno::NOBUFS | Errno::NOMEM) => Self::Memory,
            // accept(2) hands the new socket's pending network errors to the caller; they are
            // about that client alone.
            Some(
                Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NOPROTOOPT
                | Errno::NONET
                | Errno::OPNOTSUPP
                | Errno::TIMEDOUT,
            ) => Self::Aborted,
            _ => Self::Other,
        }
    }
}

/// An HTTP connection to the public listener failed before or between requests. A head that is
/// late, too large or unreadable is a [`HandshakeRefused`](super::HandshakeRefused) instead.
#[derive(Debug, Clone, Copy)]
pub struct HttpConnectionFailed<'a> {
    /// Why, from the closed list.
    pub reason: HttpFailure,
    /// In words.
    pub why: &'a str,
    /// The other end of the socket.
    pub peer: IpAddr,
}

impl HttpConnectionFailed<'_> {
    /// Counts it; the line is for debugging only, since any port scanner causes it.
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { reason, why, peer } = self;
        recorder.http_connection_failed(reason);
        tracing::event!(
            Level::DEBUG,
            reason = reason.as_str(),
            why = &*bounded(why, PROSE_CHARS_MAX),
            peer = %peer,
            "HTTP connection failed"
        );
    }
}

/// The admin listener answered a request.
#[derive(Debug, Clone, Copy)]
pub struct AdminRequestServed {
    /// The route that took it.
    pub route: Route,
    /// Its method.
    pub method: Method,
    /// The answer's status.
    pub status: u16,
    /// From the request to the answer.
    pub duration: Duration,
}

impl AdminRequestServed {
    /// Counts it.
    pub fn emit(self, telemetry: &Telemetry) {
        let Self { route, method, status, duration } = self;
        telemetry.control_plane().http_request(route, method, status, duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_accept_are_told_apart() {
        let check = |errno: rustix::io::Errno, expected| {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(AcceptFailure::of(&error), expected, "{error}");
        };
        check(rustix::io::Errno::MFILE, AcceptFailure::FileLimit);
        check(rustix::io::Errno::NFILE, AcceptFailure::FileLimit);
        check(rustix::io::Errno::NOBUFS, AcceptFailure::Memory);
        check(rustix::io::Errno::CONNABORTED, AcceptFailure::Aborted);
        check(rustix::io::Errno::PERM, AcceptFailure::Other);
        let no_errno = io::Error::other("made up");
        assert_eq!(AcceptFailure::of(&no_errno), AcceptFailure::Other);
    }
}
