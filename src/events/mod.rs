//! Everything that can happen, one named type each. `emit` alone counts and logs it, so that what
//! the log says and what the metrics count cannot drift apart; each metric is counted by exactly one
//! event (a test says so).
//!
//! Levels: `info` for what every connection does once (open, close, refusal) and for the process'
//! own life; `warn` for what an operator should look into; `error` for a defect of the gateway;
//! `debug` for what strangers on the network can cause at will.
//!
//! With the feature `without-telemetry` ([`OFF`](crate::telemetry::OFF)) whatever happens per
//! connection, message or tick is emitted into nothing; the fields stay, so that who emits need not
//! know.

mod connection;
mod control;
mod handshake;
mod heartbeat;
mod listener;
mod message;
mod process;
mod publication;
#[cfg(test)]
mod tests;
mod text;

pub use connection::{
    ConnectionClosed, ConnectionFacts, ConnectionOpened, NginxHop, SocketError, TcpFacts, Traffic,
};
pub use control::{
    ApiRequestDenied, ConfigReloadFailed, ConfigReloaded, ConnectionsKicked, GatewayDraining,
    PublishReplayed,
};
pub use handshake::HandshakeRefused;
pub use heartbeat::{PingSent, PongReceived, TickLagged};
pub use listener::{AcceptFailed, AdminRequestServed, HttpConnectionFailed};
pub use message::{MessageReceived, MessageSent};
pub use process::{ConfigWarned, GatewayStarted, GatewayStopped, GatewayStopping, TaskPanicked};
pub use publication::{
    DeliveriesDropped, DeliverySampled, FanOutFinished, PublicationDelivered, PublicationSequenced,
};
