//! A server for shares to run against, on a thread of its own, that counts for itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// What it does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Sends it back.
    Echo,
    /// Sends something else back.
    Wrong,
    /// Reads, and never answers anything.
    Mute,
    /// Sends it to everybody.
    Broadcast,
    /// The same, but every tenth message to nobody and every tenth twice.
    Lossy,
    /// Sends everybody who comes three messages, then nothing.
    Greets,
    /// Closes with this code at the first message.
    Closes(u16),
    /// Refuses the upgrade.
    Refuses,
    /// Takes the upgrade, then never reads again.
    Freezes,
    /// Takes TCP and never answers the upgrade.
    Hangs,
}

#[derive(Debug, Default)]
pub struct Counts {
    opened: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    tcp: AtomicU64,
}

/// Runs until it is dropped; then its connections are cut off.
pub struct Server {
    pub address: SocketAddr,
    runtime: Option<Runtime>,
    shared: Arc<Shared>,
}

struct Shared {
    manner: Manner,
    counts: Counts,
    receivers: Mutex<Vec<UnboundedSender<Message>>>,
}

impl Server {
    pub fn start(manner: Manner) -> Self {
        Self::start_at(manner, "127.0.0.1:0".parse().unwrap())
    }

    pub fn start_at(manner: Manner, address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // Bound here and not in the runtime, which may not be waited for inside another one.
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { manner, counts: Counts::default(), receivers: Mutex::default() });
        let served = Arc::clone(&shared);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                served.counts.tcp.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(Arc::clone(&served), stream));
            }
        });
        Self { address, runtime: Some(runtime), shared }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// An API that publishes to all connections, or refuses with 503 the requests (counted from 1)
    /// that `takes` does not want.
    pub fn api(&self, takes: fn(u64) -> bool) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&self.shared);
        let number = Arc::new(AtomicU64::new(0));
        self.runtime.as_ref().unwrap().spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, number) = (Arc::clone(&shared), Arc::clone(&number));
                tokio::spawn(publish(shared, stream, number, takes));
            }
        });
        format!("http://{address}")
    }

    pub fn opened(&self) -> u64 {
        self.shared.counts.opened.load(Ordering::SeqCst)
    }

    pub fn received(&self) -> u64 {
        self.shared.counts.received.load(Ordering::SeqCst)
    }

    pub fn sent(&self) -> u64 {
        self.shared.counts.sent.load(Ordering::SeqCst)
    }

    pub fn tcp_connections(&self) -> u64 {
        self.shared.counts.tcp.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits until all sockets are closed; a runtime does not allow that inside another one.
            let patience = std::time::Duration::from_secs(20);
            let shutdown = std::thread::spawn(move || runtime.shutdown_timeout(patience));
            shutdown.join().unwrap();
        }
    }
}

async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    if shared.manner == Manner::Refuses {
        let mut request = [0; 4_096];
        let _ = stream.read(&mut request).await;
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
        return;
    }
    if shared.manner == Manner::Hangs {
        return std::future::pending().await;
    }
    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else { return };
    shared.counts.opened.fetch_add(1, Ordering::SeqCst);
    if shared.manner == Manner::Freezes {
        // It stays open, and nobody looks at it.
        std::future::pending::<()>().await;
    }
    let (mut sink, mut stream) = socket.split();
    let (sender, mut receiver) = unbounded_channel::<Message>();
    shared.receivers.lock().unwrap().push(sender.clone());
    let counting = Arc::clone(&shared);
    let writer = tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            let is_close = message.is_close();
            if sink.send(message).await.is_err() || is_close {
                break;
            }
            counting.counts.sent.fetch_add(1, Ordering::SeqCst);
        }
        let _ = sink.flush().await;
        std::future::pending::<()>().await;
    });
    if shared.manner == Manner::Greets {
        for text in ["one", "two", "three"] {
            sender.send(Message::text(text)).unwrap();
        }
    }
    while let Some(Ok(message)) = stream.next().await {
        if message.is_text() || message.is_binary() {
            let number = shared.counts.received.fetch_add(1, Ordering::SeqCst) + 1;
            shared.answer(message, number, &sender);
        }
    }
    writer.abort();
}

/// Takes requests on one connection, one after the other.
async fn publish(
    shared: Arc<Shared>,
    mut stream: TcpStream,
    number: Arc<AtomicU64>,
    takes: fn(u64) -> bool,
) {
    let mut buffer = Vec::new();
    loop {
        let Some(head) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            match stream.read_buf(&mut buffer).await {
                Ok(1..) => continue,
                Ok(0) | Err(_) => return,
            }
        };
        let lines = String::from_utf8(buffer[..head].to_ascii_lowercase()).unwrap();
        let length = lines.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        while buffer.len() < head + 4 + length {
            assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0, "half a request");
        }
        let body: serde_json::Value =
            serde_json::from_slice(&buffer[head + 4..head + 4 + length]).unwrap();
        buffer.drain(..head + 4 + length);
        let status = if takes(number.fetch_add(1, Ordering::SeqCst) + 1) {
            shared.send_to_all(&Message::text(body["text"].as_str().unwrap()));
            "200 OK"
        } else {
            "503 Service Unavailable"
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

impl Shared {
    fn send_to_all(&self, message: &Message) {
        let mut receivers = self.receivers.lock().unwrap();
        receivers.retain(|receiver| receiver.send(message.clone()).is_ok());
    }

    fn answer(&self, message: Message, number: u64, sender: &UnboundedSender<Message>) {
        let answers = match (self.manner, number % 10) {
            (Manner::Lossy, 0) | (Manner::Mute | Manner::Greets, _) => vec![],
            (Manner::Lossy, 5) => vec![message; 2],
            (Manner::Echo | Manner::Broadcast | Manner::Lossy, _) => vec![message],
            (Manner::Wrong, _) => vec![Message::text(message.to_text().unwrap().to_uppercase())],
            (Manner::Closes(code), _) => {
                vec![Message::Close(Some(CloseFrame { code: code.into(), reason: "go".into() }))]
            }
            (Manner::Refuses | Manner::Freezes | Manner::Hangs, _) => {
                unreachable!("it never reads")
            }
        };
        for answer in answers {
            if matches!(self.manner, Manner::Broadcast | Manner::Lossy) {
                self.send_to_all(&answer);
            } else {
                let _ = sender.send(answer);
            }
        }
    }
}
