//! Clients that leave without a Close frame. While they stay, for 2 s at the most, they answer no
//! ping: a server that is less patient ends them first.

use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;
use tokio::time::timeout;

use super::ending::Ending;
use super::watch::Watch;
use crate::load::link::Transport;

/// How long the server has to end its side after our FIN.
const SERVERS_END_MAX: Duration = Duration::from_secs(5);

/// Sends FIN, as the kernel does for a process that was killed; over TLS without a `close_notify`.
pub(super) async fn vanishes(mut transport: Transport, mut watch: Watch, stay: Duration) -> Ending {
    if let Ok(ended) = timeout(stay, watch.until_ended(&mut transport)).await {
        return ended;
    }
    if let Err(error) = SockRef::from(transport.tcp()).shutdown(Shutdown::Write) {
        return Ending::of(&error);
    }
    // A socket that is closed with unread bytes sends RST, which would be another misconduct.
    let _ = timeout(SERVERS_END_MAX, watch.until_ended(&mut transport)).await;
    Ending::Left
}

/// Sends RST.
pub(super) async fn resets(mut transport: Transport, mut watch: Watch, stay: Duration) -> Ending {
    if let Ok(ended) = timeout(stay, watch.until_ended(&mut transport)).await {
        return ended;
    }
    match transport.tcp().set_zero_linger() {
        Ok(()) => Ending::Left,
        Err(error) => Ending::of(&error),
    }
}
