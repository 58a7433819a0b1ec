//! Links against real servers: a stock one, and hand-written ones that do what none should.

mod answers;
mod asking;
mod ends;
mod frames;
mod sending;
mod tls;

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, LocalSet};

use super::{Connector, End, Link, OpenError};
use crate::load::Scenario;
use crate::wire::{self, Decoder, DecoderOptions, Deflate, Deflater, Inflater, Opcode, Role};

/// Runs a test as a load client runs: on one thread. One that hangs has failed.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limit = Duration::from_mins(1);
    runtime.block_on(LocalSet::new().run_until(async {
        tokio::time::timeout(limit, test).await.expect("the test waits for what never comes");
    }));
}

/// A listener of a test, on a free port.
struct Server {
    listener: TcpListener,
    url: String,
}

impl Server {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        Self { listener, url }
    }

    fn scenario(&self) -> Scenario {
        Scenario::holding(&self.url)
    }

    /// Takes one connection and its upgrade request.
    async fn accept(&self) -> Peer<TcpStream> {
        Peer::new(self.listener.accept().await.unwrap().0).await
    }

    /// A link and its other end, upgraded with these header lines besides the usual ones.
    async fn opened(
        &self,
        scenario: &Scenario,
        headers: &str,
    ) -> (Result<Rc<Link>, OpenError>, Peer<TcpStream>) {
        let connector = Connector::new(scenario, &scenario.url).await.unwrap();
        let (opened, peer) = tokio::join!(connector.open(0), async {
            let mut peer = self.accept().await;
            peer.write(peer.answer(headers).as_bytes()).await;
            peer
        });
        (opened.map(|opened| opened.link), peer)
    }

    /// A plain link and its other end.
    async fn linked(&self) -> (Rc<Link>, Peer<TcpStream>) {
        let (link, peer) = self.opened(&self.scenario(), "").await;
        (link.unwrap(), peer)
    }
}

/// The server's side of one connection, in the test's hands.
struct Peer<S> {
    stream: S,
    /// The upgrade request.
    head: String,
    decoder: Decoder,
    inflater: Inflater,
    received: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    async fn new(mut stream: S) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let options = DecoderOptions {
            role: Role::Server,
            max_message_bytes: super::connection::MESSAGE_BYTES_MAX,
            deflate: None,
        };
        Self {
            stream,
            head: String::from_utf8(head).unwrap(),
            decoder: Decoder::new(options),
            inflater: Inflater::new(),
            received: Vec::new(),
        }
    }

    /// From here on as agreed.
    fn with_deflate(mut self, deflate: Deflate) -> Self {
        self.decoder = Decoder::new(DecoderOptions {
            role: Role::Server,
            max_message_bytes: super::connection::MESSAGE_BYTES_MAX,
            deflate: Some(deflate),
        });
        self
    }

    fn accept_key(&self) -> String {
        let key = self.head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.unwrap().as_bytes())
    }

    /// A good 101 with more header lines, each with its end.
    fn answer(&self, headers: &str) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{headers}\r\n",
            self.accept_key(),
        )
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn send(&mut self, opcode: Opcode, payload: &[u8], deflater: Option<&mut Deflater>) {
        let mut frame = Vec::new();
        let deflate = deflater.map(|deflater| (deflater, 0));
        wire::encode(&mut frame, Role::Server, opcode, payload, deflate, None);
        self.write(&frame).await;
    }

    /// The next message or control frame; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(Opcode, Vec<u8>)> {
        loop {
            let mut input = wire::Input::new(&mut self.received);
            let incoming = self.decoder.next(&mut input, &mut self.inflater).unwrap();
            let incoming = incoming.map(|incoming| (incoming.opcode, incoming.payload.to_vec()));
            self.received = input.rest().to_vec();
            if incoming.is_some() {
                return incoming;
            }
            if self.stream.read_buf(&mut self.received).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// The next Close frame's code and reason.
    async fn next_close(&mut self) -> Option<(u16, String)> {
        let (opcode, payload) = self.next().await.expect("a Close comes before the end");
        assert_eq!(opcode, Opcode::Close);
        wire::parse_close(&payload).unwrap().map(|(code, reason)| (code, reason.to_owned()))
    }
}

impl Peer<TcpStream> {
    fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

/// Runs a link beside the test; what it receives is dropped.
fn running(link: &Rc<Link>) -> JoinHandle<End> {
    let link = Rc::clone(link);
    tokio::task::spawn_local(async move { link.run(|_| {}).await })
}

fn ended(code: u16, by_us: bool, reason: &'static str) -> End {
    End { code, by_us, reason }
}
