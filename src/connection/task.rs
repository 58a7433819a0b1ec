//! The task of one connection: opened once, closed exactly once on every way out.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;

use super::inbox::Inbox;
use super::life::Life;
use super::peer::Peer;
use super::shard::Shard;
use crate::config::Inbound;
use crate::events::{self, ConnectionClosed, ConnectionFacts, ConnectionOpened, Traffic};
use crate::handshake::{EndpointPolicy, Identity, Permit, Ticket};
use crate::hub::Member;
use crate::outbound::{Outbound, SocketError, signal};
use crate::state::{Cause, Input, Now};
use crate::wire::{Decoder, DecoderOptions, Role};

/// Clients that were told to reconnect spread it over so much time, each by a hint of its own.
const RECONNECT_AFTER_MS_MAX: u64 = 1_000;

const SHUTDOWN_REASON: &str = "gateway is shutting down";

/// A socket whose 101 has been written.
pub struct Opened {
    /// The socket.
    pub stream: TcpStream,
    /// Who it belongs to and what was agreed on.
    pub ticket: Ticket,
    /// Its place among the admitted.
    pub permit: Permit,
    /// What its endpoint said when it was admitted.
    pub rules: Rules,
    /// From the request's head to now.
    pub handshake: Duration,
    /// The client's `User-Agent`, for the log.
    pub user_agent: Option<Box<str>>,
    /// What came behind the request's head already.
    pub leftover: Vec<u8>,
    /// The newest publication when the 101 was on its way: what is published once the client can
    /// know of its connection is for it.
    pub joined_at_seq: u64,
}

/// What of its endpoint's configuration a connection keeps for its life, whatever is reloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What a message does.
    pub inbound: Inbound,
    /// Bytes of a message's payload, after inflating.
    pub max_message_bytes: usize,
}

impl Rules {
    /// Those of an endpoint as it is configured now.
    pub fn of(policy: &EndpointPolicy) -> Self {
        Self { inbound: policy.inbound, max_message_bytes: policy.max_message_bytes }
    }
}

/// A connection as a future; it is done when the connection has ended.
pub struct ConnectionTask {
    life: Life,
    inbox: Inbox,
    key: u32,
    member_key: usize,
    /// Given back when the connection has ended.
    _permit: Permit,
}

impl ConnectionTask {
    /// Opens the connection: from here on it will be closed, whatever happens.
    pub fn open(shard: &Rc<Shard>, opened: Opened) -> Self {
        let Opened {
            stream,
            ticket,
            permit,
            rules,
            handshake,
            user_agent,
            leftover,
            joined_at_seq,
        } = opened;
        let Ticket { identity, deflate, .. } = ticket;
        let endpoint = identity.endpoint;
        let now = shard.now();
        let outbound = Outbound::new(stream, now);
        let user = identity.user().map(|name| shard.hub.user_key(name));
        let takes_deflated = deflate.is_some_and(|one| one.our_window_bits(Role::Server) == 15);
        let member =
            Member::new(Rc::clone(&outbound), endpoint, user, takes_deflated, joined_at_seq);
        let peer = Peer::new(identity, outbound, deflate, now);
        let decoder = Decoder::new(DecoderOptions {
            role: Role::Server,
            max_message_bytes: rules.max_message_bytes,
            deflate,
        });
        ConnectionOpened {
            connection: facts(&peer.identity),
            handshake,
            extensions: deflate.map(|deflate| deflate.to_string()).as_deref(),
            user_agent: user_agent.as_deref(),
        }
        .emit(&shard.recorder);
        shard.count_opened();
        let key = shard.add(&peer);
        let member_key = shard.local.join(&member);
        let mut life = Life::new(Rc::clone(shard), member, peer, rules.inbound, now);
        life.note_bytes(leftover.len(), now);
        let inbox = Inbox::new(decoder, leftover);
        Self { life, inbox, key, member_key, _permit: permit }
    }

    fn take_signals(&mut self, now: Now) {
        let signals = self.life.outbound.take_signals();
        if signals & signal::OVERFLOW != 0 {
            self.life.give_up(Cause::QueueOverflow, "send queue overflow", now);
        }
        if signals & signal::KICK != 0
            && let Some(kick) = self.life.peer.take_kick()
        {
            self.life.give_up_by(Input::Kick(kick.code), &kick.reason, now);
        }
        if signals & signal::SHUTDOWN != 0 {
            self.life.give_up(Cause::Shutdown, SHUTDOWN_REASON, now);
        }
        if signals & signal::DRAIN != 0 {
            let after_ms = self.life.machine.pings().jitter(RECONNECT_AFTER_MS_MAX);
            let reason = format!("restarting; reconnect_after_ms={after_ms}");
            self.life.give_up(Cause::Draining, &reason, now);
        }
        if signals & signal::NEW_TIMES != 0 {
            self.life.step(Input::TimesChanged, now);
        }
        if signals & signal::TICK != 0 {
            let head_since_us = self.life.outbound.head_since_us();
            let reading_paused = self.life.reading_paused;
            self.life.step(Input::Tick { head_since_us, reading_paused }, now);
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>, now: Now) {
        if !self.life.outbound.has_backlog() {
            return;
        }
        let shard = Rc::clone(&self.life.shard);
        let flushed = self.life.outbound.poll_flush(cx, now, &shard.backlogs);
        if flushed.is_ready() && self.life.outbound.close_is_written() {
            self.life.step(Input::CloseWritten, now);
        }
    }

    fn wake_me_when_due(&self) {
        let Life { machine, outbound, shard, .. } = &self.life;
        let due_us = machine.next_due_us(&shard.times(), outbound.head_since_us());
        shard.wake_at(self.key, outbound, due_us);
    }
}

impl Future for ConnectionTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.life.outbound.set_waker(cx.waker());
        let now = this.life.shard.now();
        this.take_signals(now);
        this.flush(cx, now);
        if this.life.machine.ending().is_none() {
            this.inbox.poll(&mut this.life, cx, now);
        }
        if this.life.machine.ending().is_some() {
            return Poll::Ready(());
        }
        // What reading has queued must find the socket's writability registered.
        this.flush(cx, now);
        if this.life.machine.ending().is_some() {
            return Poll::Ready(());
        }
        this.wake_me_when_due();
        Poll::Pending
    }
}

impl Drop for ConnectionTask {
    /// The only place where a connection is closed: its end, a panic in it, its cancellation.
    fn drop(&mut self) {
        let shard = Rc::clone(&self.life.shard);
        let now = shard.now();
        if self.life.machine.ending().is_none() {
            let (cause, reason) = if shard.is_stopping() {
                (Cause::Shutdown, SHUTDOWN_REASON)
            } else {
                (Cause::InternalError, "internal error")
            };
            self.life.give_up(cause, reason, now);
        }
        let ending = self.life.machine.end_now(Cause::InternalError);
        let Life { outbound, machine, member, peer, .. } = &self.life;
        let received = peer.received.get();
        outbound.end(false, &shard.backlogs);
        shard.local.leave(member, self.member_key);
        shard.remove(self.key);
        let last_byte_us = peer.last_byte_us();
        let sent = outbound.totals();
        let socket_error = outbound.first_error();
        let error = socket_error.map(SocketError::to_io_error);
        ConnectionClosed {
            connection: facts(&peer.identity),
            cause: ending.cause,
            code: ending.label(),
            received_code: self.life.received_code,
            received_reason: self.life.received_reason.as_deref(),
            sent_code: self.life.sent_code,
            detail: self.life.detail.as_deref(),
            lifetime: Duration::from_micros(now.real_us.saturating_sub(peer.opened_us)),
            idle: Duration::from_micros(now.real_us.saturating_sub(last_byte_us)),
            traffic: Traffic {
                messages_in: received.messages,
                messages_out: sent.messages,
                payload_bytes_in: received.payload_bytes,
                payload_bytes_out: sent.payload_bytes,
                wire_bytes_in: received.wire_bytes,
                wire_bytes_out: outbound.written_bytes(),
                unsent_publications: outbound.unsent_publications().into(),
                pings_sent: machine.pings().sent().into(),
                pongs_received: machine.pings().answered().into(),
                last_rtt: machine.pings().last_rtt_us().map(|us| Duration::from_micros(us.into())),
            },
            queue_bytes: outbound.unsent_bytes(),
            socket_error: socket_error.zip(error.as_ref()).map(|(known, error)| {
                events::SocketError { operation: known.operation.as_str(), error }
            }),
            tcp: None,
        }
        .emit(&shard.recorder);
        shard.count_closed();
    }
}

/// What the log says of a connection.
fn facts(identity: &Identity) -> ConnectionFacts<'_> {
    let client = identity.client();
    ConnectionFacts {
        id: identity.id,
        endpoint: identity.endpoint,
        remote: client.address,
        remote_port: client.port,
        user: identity.user(),
        request_id: client.request_id,
        nginx: client.nginx.map(|hop| events::NginxHop {
            host: hop.host,
            pid: hop.pid,
            connection: hop.connection,
        }),
    }
}
