//! Listening sockets and the loop that accepts from them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::events::AcceptFailed;
use crate::telemetry::labels::AcceptFailure;

/// Connections that the kernel keeps until they are accepted (it cuts this at `somaxconn`).
const BACKLOG: i32 = 4096;

/// The pause after an accept that failed for want of something, and when no place is free.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listening socket.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    open(address, false, None)
}

/// One listening socket for each shard, on the same address: the kernel spreads the connections
/// over them (`SO_REUSEPORT`), so that no thread accepts for another. What is sent on the accepted
/// sockets must be acknowledged within `user_timeout`.
pub(super) fn bind_for_shards(
    address: SocketAddr,
    shards: usize,
    user_timeout: Duration,
) -> io::Result<Vec<std::net::TcpListener>> {
    // `SO_REUSEPORT` would let a second gateway share the port unnoticed: whoever is there already
    // is found by a bind without it, which also draws the port if it is 0.
    let probe = open(address, false, None)?;
    let address = probe.local_addr()?;
    drop(probe);
    (0..shards).map(|_| open(address, true, Some(user_timeout))).collect()
}

/// What [`accept_loop`] asks, and tells of failures.
pub(super) trait AcceptObserver {
    /// A connection could not be accepted, or none may be any more.
    fn accept_failed(&self, failed: AcceptFailed<'_>);
    /// May another connection be accepted?
    fn has_room(&self) -> bool;
}

/// Accepts for ever. Errors never end it: `EMFILE` and its like back off.
pub(super) async fn accept_loop(
    listener: TcpListener,
    observer: &impl AcceptObserver,
    serve: impl FnMut(TcpStream, SocketAddr),
) {
    accept_from(&listener, observer, serve).await;
}

/// Accepts until `stop` is ready, then whoever has connected already: closing the listener on those
/// would reset them, although they may have sent their request.
pub(super) async fn accept_until(
    stop: impl Future<Output = ()>,
    listener: TcpListener,
    observer: &impl AcceptObserver,
    mut serve: impl FnMut(TcpStream, SocketAddr),
) {
    tokio::select! {
        biased;
        () = stop => {}
        () = accept_from(&listener, observer, &mut serve) => {}
    }
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..BACKLOG {
        if !observer.has_room() {
            return;
        }
        // The first error is that nobody waits any more; any other leaves nothing to be done.
        let Ok((stream, peer)) = listener.accept() else { return };
        let adopted = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = adopted {
            serve(stream, peer);
        }
    }
}

async fn accept_from(
    listener: &TcpListener,
    observer: &impl AcceptObserver,
    mut serve: impl FnMut(TcpStream, SocketAddr),
) {
    let mut is_paused = false;
    loop {
        if !observer.has_room() {
            if !is_paused {
                let error = &"as many sockets are open as there is room for";
                let reason = AcceptFailure::NoRoom;
                observer.accept_failed(AcceptFailed { reason, error, pause: ACCEPT_PAUSE });
            }
            is_paused = true;
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        }
        is_paused = false;
        match listener.accept().await {
            Ok((stream, peer)) => serve(stream, peer),
            Err(error) => {
                let pause = if is_about_one_client(&error) { Duration::ZERO } else { ACCEPT_PAUSE };
                let reason = AcceptFailure::of(&error);
                observer.accept_failed(AcceptFailed { reason, error: &error, pause });
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What is set here on the listening socket, the accepted ones inherit (Linux copies the whole
/// socket): that spares two system calls per connection.
fn open(
    address: SocketAddr,
    shared: bool,
    user_timeout: Option<Duration>,
) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart may bind while old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    // A notification must not wait for an acknowledgement of the one before it.
    socket.set_tcp_nodelay(true)?;
    if user_timeout.is_some() {
        socket.set_tcp_user_timeout(user_timeout)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_inherit_what_was_set_on_the_listening_one() {
        let patience = Duration::from_secs(7);
        let listeners = bind_for_shards(([127, 0, 0, 1], 0).into(), 1, patience).unwrap();
        let address = listeners[0].local_addr().unwrap();
        listeners[0].set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (accepted, _) = listeners[0].accept().unwrap();
        let accepted = Socket::from(accepted);
        assert!(accepted.tcp_nodelay().unwrap());
        assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(patience));
    }

    #[test]
    fn a_port_in_use_is_an_error_although_shards_share_one() {
        let address = ([127, 0, 0, 1], 0).into();
        let first = bind_for_shards(address, 2, ACCEPT_PAUSE).unwrap();
        let taken = first[0].local_addr().unwrap();
        let error = bind_for_shards(taken, 2, ACCEPT_PAUSE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
