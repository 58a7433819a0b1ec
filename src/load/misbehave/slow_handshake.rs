//! A client that needs for ever for its upgrade request.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{MissedTickBehavior, interval};

use super::ending::Ending;
use crate::load::link::Transport;

/// From one byte to the next.
const BYTE_INTERVAL: Duration = Duration::from_millis(200);

/// What follows the request's own headers, again and again: the empty line never comes.
const MORE: &[u8] = b"X-Slow: 1\r\n";

/// A status line begins with this many bytes: `HTTP/1.1 408`.
const STATUS_BYTES: usize = 12;

/// Sends `request` without its empty line, a byte at a time, and more headers behind it, until the
/// server has had enough.
pub(super) async fn run(mut transport: Transport, request: &[u8]) -> Ending {
    let mut bytes = endless(request);
    let mut turns = interval(BYTE_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answer = Answer::default();
    loop {
        tokio::select! {
            ended = answer.read(&mut transport) => return ended,
            _ = turns.tick() => {}
        }
        let next = bytes.next().expect("the headers go round for ever");
        let written = match transport.write_u8(next).await {
            Ok(()) => transport.flush().await,
            failed => failed,
        };
        if let Err(error) = written {
            // After a RST the write takes the error, and the read sees an end of the stream.
            return match answer.read(&mut transport).await {
                Ending::EOF => Ending::of(&error),
                ended => ended,
            };
        }
    }
}

/// A request's head without its end.
fn endless(request: &[u8]) -> impl Iterator<Item = u8> {
    let headers = request.strip_suffix(b"\r\n").unwrap_or(request);
    headers.iter().chain(MORE.iter().cycle()).copied()
}

/// As much of an HTTP answer as tells its status.
#[derive(Default)]
struct Answer {
    head: [u8; STATUS_BYTES],
    filled: usize,
}

impl Answer {
    /// Reads on; what it comes to. Can be given up at any moment and begun again.
    async fn read(&mut self, transport: &mut Transport) -> Ending {
        while self.filled < STATUS_BYTES {
            match transport.read(&mut self.head[self.filled..]).await {
                Ok(0) => return Ending::EOF,
                Ok(read) => self.filled += read,
                Err(error) => return Ending::of(&error),
            }
        }
        status(&self.head).map_or(Ending::NotHttp, Ending::Status)
    }
}

/// The status of `HTTP/1.1 408`.
fn status(head: &[u8]) -> Option<u16> {
    let code = head.strip_prefix(b"HTTP/1.")?.get(2..)?;
    let code = std::str::from_utf8(code).ok().filter(|code| code.len() == 3)?;
    code.parse().ok().filter(|code| (100..=999).contains(code))
}

#[cfg(test)]
mod tests {
    use super::{endless, status};

    #[test]
    fn the_request_begins_as_it_should_and_never_ends() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let sent: Vec<u8> = endless(request).take(1_000).collect();
        assert!(sent.starts_with(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 1\r\nX-Slow"));
        assert!(!sent.windows(4).any(|bytes| bytes == b"\r\n\r\n"));
    }

    #[test]
    fn the_status_is_read_or_there_is_none() {
        for (head, expected) in [
            ("HTTP/1.1 408", Some(408)),
            ("HTTP/1.0 200", Some(200)),
            ("HTTP/1.1 +08", None),
            ("HTTP/1.1 099", None),
            ("HTTP/2 408 R", None),
            ("SSH-2.0-Open", None),
            ("HTTP/1.1 4\u{e9}", None),
            ("HTTP/1.1", None),
            ("", None),
        ] {
            assert_eq!(status(head.as_bytes()), expected, "{head}");
        }
    }
}
