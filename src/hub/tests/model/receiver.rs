//! A receiver of the model: the product's member on one end of a socket, the client on the other.

use std::io::{ErrorKind, Read};
use std::rc::{Rc, Weak};
use std::task::Poll;

use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::bus::UserKey;
use crate::hub::{Local, Member};
use crate::outbound::{Backlogs, Outbound};
use crate::telemetry::EndpointIndex;
use crate::wire::Opcode;

use super::super::NOW;

/// What a client reads: a message, in the form in which it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) opcode: Opcode,
    pub(super) payload: Vec<u8>,
}

pub(super) const CLOSE: &[u8] = b"\x88\x02\x03\xe8";

/// Makes sockets with buffers of a few kilobytes, all through one listener: thousands of listeners
/// would use up the ports.
pub(super) struct Pairs(TcpListener);

impl Pairs {
    pub(super) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket.listen(8).unwrap())
    }

    pub(super) async fn make(&self) -> (TcpStream, TcpStream) {
        let ours = TcpSocket::new_v4().unwrap();
        ours.set_send_buffer_size(4096).unwrap();
        // Loopback's own segments are larger than the window: the sender would wait for its timer.
        SockRef::from(&ours).set_tcp_mss(1000).unwrap();
        let connecting = ours.connect(self.0.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(connecting, self.0.accept());
        let ours = ours.unwrap();
        ours.set_nodelay(true).unwrap();
        ours.writable().await.unwrap();
        (ours, theirs.unwrap().0)
    }
}

/// How a receiver is addressed and what it understands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) endpoint: EndpointIndex,
    pub(super) user: Option<UserKey>,
    pub(super) deflated: bool,
    /// It reads whenever it may.
    pub(super) reads: bool,
}

pub(super) struct Receiver {
    /// What errands call it.
    pub(super) number: usize,
    pub(super) kind: Kind,
    pub(super) shard: usize,
    pub(super) member: Rc<Member>,
    key: usize,
    peer: TcpStream,
    received: Vec<u8>,
    /// Places of the publications that were accepted for it, by the reference.
    pub(super) accepted: Vec<usize>,
    /// Our Close has been sent.
    pub(super) is_closed: bool,
}

impl Receiver {
    pub(super) fn join(
        number: usize,
        kind: Kind,
        (shard, local): (usize, &Local),
        (ours, peer): (TcpStream, TcpStream),
        last_seq: u64,
    ) -> Self {
        let Kind { endpoint, user, deflated, .. } = kind;
        let member = Member::new(Outbound::new(ours, NOW), endpoint, user, deflated, last_seq);
        let key = local.join(&member);
        let (received, accepted) = Default::default();
        Self { number, kind, shard, member, key, peer, received, accepted, is_closed: false }
    }

    fn outbound(&self) -> &Rc<Outbound> {
        &self.member.outbound
    }

    /// Sends our Close, as for a connection that is told to end.
    pub(super) fn close(&mut self, drop_unstarted: bool, backlogs: &Backlogs) {
        if !self.is_closed {
            self.is_closed = true;
            self.outbound().close(CLOSE, drop_unstarted, NOW, backlogs);
        }
    }

    /// The client reads until nothing is on its way any more.
    pub(super) async fn read_all(&mut self, backlogs: &Backlogs) {
        loop {
            self.read_now();
            if !self.outbound().has_backlog() {
                return;
            }
            std::future::poll_fn(|cx| {
                let _ = self.outbound().poll_flush(cx, NOW, backlogs);
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
    }

    fn read_now(&mut self) {
        let mut buffer = [0; 16384];
        match (&*SockRef::from(&self.peer)).read(&mut buffer) {
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    /// The connection ends, with what is queued or without.
    pub(super) async fn leave(mut self, gently: bool, local: &Local, backlogs: &Backlogs) -> Left {
        if gently {
            self.read_all(backlogs).await;
        }
        local.leave(&self.member, self.key);
        self.outbound().end(false, backlogs);
        self.peer.read_to_end(&mut self.received).await.unwrap();
        // No port is kept busy after the test.
        self.peer.set_zero_linger().unwrap();
        let unsent = u64::from(self.outbound().unsent_publications());
        let totals = self.outbound().totals();
        let Self { accepted, received, is_closed, member, .. } = self;
        assert_eq!(totals.messages, accepted.len() as u64);
        let weak = (Rc::downgrade(&member.outbound), Rc::downgrade(&member));
        drop(member);
        Left { accepted, unsent, received, is_closed, payload_bytes: totals.payload_bytes, weak }
    }
}

/// What is left of a receiver that has gone.
pub(super) struct Left {
    pub(super) accepted: Vec<usize>,
    pub(super) unsent: u64,
    received: Vec<u8>,
    is_closed: bool,
    pub(super) payload_bytes: u64,
    weak: (Weak<Outbound>, Weak<Member>),
}

impl Left {
    /// The messages that the client got, whole, and how many of them came compressed. Behind them
    /// there is nothing but our Close, or the beginning of one more.
    pub(super) fn messages(&self) -> (Vec<Message>, u64) {
        let (mut messages, mut deflated) = (Vec::new(), 0);
        let mut rest = &self.received[..];
        while let Some((first_byte, payload, behind)) = first_frame(rest) {
            if first_byte == CLOSE[0] {
                assert!(self.is_closed, "a Close that nobody has sent");
                assert_eq!((payload, behind), (&CLOSE[2..], &[][..]), "nothing follows our Close");
                break;
            }
            let opcode = if first_byte & 15 == 1 { Opcode::Text } else { Opcode::Binary };
            let payload = if first_byte & 0x40 == 0 {
                payload.to_vec()
            } else {
                deflated += 1;
                inflated(payload)
            };
            messages.push(Message { opcode, payload });
            rest = behind;
        }
        (messages, deflated)
    }

    /// Nothing holds it any more.
    pub(super) fn is_gone(&self) -> bool {
        let (outbound, member) = &self.weak;
        outbound.upgrade().is_none() && member.upgrade().is_none()
    }
}

/// The first byte, the payload, and what is behind the first frame.
fn first_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (length, header) = match *bytes.get(1)? {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(header..header + length)?;
    Some((bytes[0], payload, &bytes[header + length..]))
}

/// By the library alone (RFC 7692 §7.2.2): the gateway's own code is under test.
fn inflated(payload: &[u8]) -> Vec<u8> {
    let bytes = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut out = Vec::with_capacity(8192);
    let mut inflater = flate2::Decompress::new(false);
    inflater.decompress_vec(&bytes, &mut out, flate2::FlushDecompress::Sync).unwrap();
    out
}
