//! The TCP connection below a link.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream};

/// Connects, from `source` if there is one. `receive_buffer` is `SO_RCVBUF` in bytes, which the window
/// of the first segment depends on.
pub(super) async fn connect(
    address: SocketAddr,
    source: Option<IpAddr>,
    receive_buffer: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
    }
    if let Some(source) = source {
        // The port is then chosen by connect(), which knows the destination: each has all the ports,
        // and those in TIME_WAIT towards another do not count. Without it fewer connections fit.
        let _ = setsockopt(&socket, sockopt::IpBindAddressNoPort, &true);
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// What went wrong with it, in words from a closed list.
pub(super) fn reason_of(error: &io::Error) -> &'static str {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused",
        ErrorKind::ConnectionReset => "connect: reset",
        ErrorKind::TimedOut => "connect: timed out",
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => {
            "connect: address not available (too few source addresses?)"
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "connect: no route",
        ErrorKind::PermissionDenied => "connect: not permitted",
        _ if matches!(errno, Some(Errno::MFILE | Errno::NFILE)) => "connect: too many open files",
        _ if matches!(errno, Some(Errno::NOBUFS | Errno::NOMEM)) => "connect: out of memory",
        _ => "connect: failed",
    }
}
