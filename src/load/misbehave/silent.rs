//! Clients that are there and say nothing.

use std::io::ErrorKind;

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::ending::Ending;
use super::watch::Watch;
use crate::load::link::Transport;

/// Answers no ping; reads everything else, to no purpose.
pub(super) async fn no_pong(mut transport: Transport, mut watch: Watch) -> Ending {
    watch.until_ended(&mut transport).await
}

/// Reads nothing until the server's side has ended; then what lies in the socket says how.
///
/// A server that closes while its own buffer is full leaves an end that never arrives: nothing
/// tells this client, and it stays to the end of the run.
pub(super) async fn never_reads(mut transport: Transport, mut watch: Watch) -> Ending {
    if let Err(error) = hung_up(transport.tcp()).await {
        return Ending::of(&error);
    }
    watch.until_ended(&mut transport).await
}

/// Waits for FIN or RST without taking a byte out of the socket.
async fn hung_up(stream: &TcpStream) -> std::io::Result<()> {
    loop {
        let ready = stream.ready(Interest::READABLE | Interest::ERROR).await?;
        if ready.is_read_closed() || ready.is_error() {
            return Ok(());
        }
        // Bytes came. They stay where they are: tokio is told to wait for the next event, which is
        // never the same one again (its epoll is edge-triggered; closed states outlast this).
        let nothing = stream.try_io(Interest::READABLE, || {
            std::io::Result::<()>::Err(ErrorKind::WouldBlock.into())
        });
        debug_assert!(nothing.is_err());
    }
}
