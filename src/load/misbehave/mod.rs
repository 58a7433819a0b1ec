//! Clients that do one thing wrong, to see what a server makes of them.
//!
//! They speak on a bare [`Transport`], over TLS too, and keep next to nothing: what comes is read
//! into one buffer per thread, looked through for a Close frame, and forgotten. None of them answers
//! a Close; it leaves when one comes.

mod bad_frames;
mod ending;
mod leaving;
mod oversize;
mod silent;
mod slow_handshake;
#[cfg(test)]
mod tests;
mod watch;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::link::{Connector, Transport};
use super::scenario::Misconduct;
use ending::Ending;
use watch::Watch;

/// The receive buffer of a client that never reads, in bytes, as asked of the kernel, which doubles
/// it.
const SMALL_RECEIVE_BUFFER_BYTES: usize = 4_096;

/// How long a client stays before it leaves, and rests between two rounds: 0.1 s to 2 s.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_SPREAD: Duration = Duration::from_millis(1_900);

/// One client that does one thing wrong, once: to its end, or until `until` resolves.
///
/// `number` is the connection's, `round` counts how often it has been done before; every round but
/// the first begins with a rest of 0.1 s to 2 s, so that a server that refuses everybody is not
/// flooded. The two also draw what there is to draw: the same numbers do the same.
///
/// Gives how it ended, as a short bounded reason: `closed: 1008` (the server's Close frame, 1005 one
/// without a code), `closed: wrong` (a Close frame that is none), `eof`, `reset`, `timed out` or
/// `network` (without one), `status 408` (an HTTP answer to a handshake that was not over), what
/// [`Connector::transport`] and [`Connector::upgrade`] say (`connect: …`, `tls: …`, `upgrade: …`),
/// `left` (we left as planned) or `stopped` (`until` came first).
pub async fn misbehave(
    misconduct: Misconduct,
    connector: &Connector,
    number: u32,
    round: u32,
    until: impl Future<Output = ()>,
) -> String {
    let ending = tokio::select! {
        biased;
        () = until => Ending::Stopped,
        ending = one_round(misconduct, connector, number, round) => ending,
    };
    ending.to_string()
}

async fn one_round(
    misconduct: Misconduct,
    connector: &Connector,
    number: u32,
    round: u32,
) -> Ending {
    if round > 0 {
        tokio::time::sleep(drawn_pause("rest", number, round)).await;
    }
    let receive_buffer = match misconduct {
        Misconduct::NeverReads => Some(SMALL_RECEIVE_BUFFER_BYTES),
        Misconduct::Vanishes
        | Misconduct::Resets
        | Misconduct::NoPong
        | Misconduct::SlowHandshake
        | Misconduct::Oversize
        | Misconduct::BadFrames => None,
    };
    let mut transport = match connector.transport(number, receive_buffer).await {
        Ok(transport) => transport,
        Err(failed) => return Ending::NotOpened(failed.reason),
    };
    if misconduct == Misconduct::SlowHandshake {
        let (request, _key) = connector.request(number);
        return slow_handshake::run(transport, &request).await;
    }
    let mut upgraded = match connector.upgrade(&mut transport, number).await {
        Ok(upgraded) => upgraded,
        Err(failed) => return Ending::NotOpened(failed.reason),
    };
    let mut watch = Watch::new();
    if let Some(ending) = watch.take(&mut upgraded.rest) {
        return ending;
    }
    misconduct_after_upgrade(misconduct, transport, watch, (number, round)).await
}

async fn misconduct_after_upgrade(
    misconduct: Misconduct,
    transport: Transport,
    watch: Watch,
    (number, round): (u32, u32),
) -> Ending {
    let variety = number.wrapping_add(round);
    match misconduct {
        Misconduct::NeverReads => silent::never_reads(transport, watch).await,
        Misconduct::NoPong => silent::no_pong(transport, watch).await,
        Misconduct::Vanishes => {
            leaving::vanishes(transport, watch, drawn_pause("stay", number, round)).await
        }
        Misconduct::Resets => {
            leaving::resets(transport, watch, drawn_pause("stay", number, round)).await
        }
        Misconduct::Oversize => oversize::run(transport, watch, variety).await,
        Misconduct::BadFrames => bad_frames::run(transport, watch, variety).await,
        Misconduct::SlowHandshake => unreachable!("it never upgrades"),
    }
}

/// The same for the same arguments: a run can be repeated.
fn drawn_pause(what: &str, number: u32, round: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (what, number, round).hash(&mut hasher);
    let share = hasher.finish() as f64 / u64::MAX as f64;
    PAUSE_MIN + PAUSE_SPREAD.mul_f64(share)
}
