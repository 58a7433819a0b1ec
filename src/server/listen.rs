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
    open(address, false)
}

/// One listening socket for each shard, on the same address: the kernel spreads the connections
/// over them (`SO_REUSEPORT`), so that no thread accepts for another.
pub(super) fn bind_for_shards(
    address: SocketAddr,
    shards: usize,
) -> io::Result<Vec<std::net::TcpListener>> {
    // `SO_REUSEPORT` would let a second gateway share the port unnoticed: whoever is there already
    // is found by a bind without it, which also draws the port if it is 0.
    let probe = open(address, false)?;
    let address = probe.local_addr()?;
    drop(probe);
    (0..shards).map(|_| open(address, true)).collect()
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
            Ok((stream, peer)) => {
                // A notification must not wait for an acknowledgement of the one before it. The
                // call fails only on a socket that is dead already.
                let _ = stream.set_nodelay(true);
                serve(stream, peer);
            }
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

fn open(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart may bind while old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
