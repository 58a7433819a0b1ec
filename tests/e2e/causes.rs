//! Each way a connection ends, produced for real and seen at every end: what the client gets (Close
//! code, FIN or RST), and what the log line and `/metrics` say.

mod closes;
mod endings;
mod first_error;
mod limits;
mod network;
mod shutdown;
mod slow;
mod violations;

use flate2::{Compress, Compression, FlushCompress};

use super::support::Settings;

/// The default endpoint that echoes.
const ECHO: &str = "/ws-notifications";
/// The default endpoint that sends every message to everybody.
const BROADCAST: &str = "/ws";

/// For clients that do not answer our Close: the socket goes soon. One that does might be too slow
/// for it on a busy machine.
fn hasty() -> Settings {
    Settings::new().set("limits.close_wait=25ms")
}

/// A compressed payload as it crosses the wire (RFC 7692 §7.2.1).
fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut stream = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(payload.len() + 1024);
    stream.compress_vec(payload, &mut out, FlushCompress::Sync).unwrap();
    assert_eq!(stream.total_in(), payload.len() as u64);
    assert_eq!(out.split_off(out.len() - 4), [0, 0, 0xff, 0xff]);
    out
}
