//! One WebSocket connection of the load client: how it is opened, used and ended.
//!
//! A [`Connector`] opens [`Link`]s, each on a TCP (and TLS) connection of its own; [`Link::run`] reads
//! until the end, [`Link::send`] may be called meanwhile by whoever paces the messages. A client that
//! misbehaves takes the bare [`Transport`] instead.
//!
//! Everything of a link belongs to one thread. It holds what it cannot know again: buffers, the
//! compressor and the decompressor are the thread's (`scratch.rs`), so that tens of thousands of
//! idle links cost little. The one wait that a link must not have is reading for writing.

mod answer;
mod connection;
mod connector;
mod dial;
mod end;
mod reading;
mod request;
mod scratch;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod unsent;
mod url;

pub use answer::Upgraded;
pub use connection::{Link, NotSent};
pub use connector::{Connector, OpenError, Opened};
pub use end::End;
pub(super) use end::reason_of;
pub(super) use request::{check_header, check_subprotocols};
pub(super) use scratch::reading;
pub use transport::Transport;
pub(super) use url::Url;
