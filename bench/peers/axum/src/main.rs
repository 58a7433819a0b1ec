//! The stock Rust way: axum's `ws` (tokio-tungstenite underneath) on tokio's multi-thread runtime, one
//! task per connection, and tokio's broadcast channel as the hub, all with their default buffers.
//!
//! `/ws-notifications` echoes, `/ws` broadcasts to every client, `/stats` counts, so that the bench's
//! client can be checked. A ping every 30 s, a read limit of 64 KiB. tungstenite has no
//! permessage-deflate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Json, State};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::{Instant, Interval, interval_at};

const PING_INTERVAL: Duration = Duration::from_secs(30);
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Publications that a client may lag behind before it is dropped.
const QUEUE_LENGTH: usize = 256;

struct Server {
    connections: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    hub: broadcast::Sender<Message>,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let server = Arc::new(Server {
        connections: AtomicU64::new(0),
        received: AtomicU64::new(0),
        sent: AtomicU64::new(0),
        hub: broadcast::Sender::new(QUEUE_LENGTH),
    });
    let app = axum::Router::new()
        .route("/ws-notifications", get(echo))
        .route("/ws", get(broadcast))
        .route("/stats", get(stats))
        .with_state(server);
    // The other peers turn Nagle's algorithm off, too; an error of it is the connection's own.
    let listener = TcpListener::bind(address).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await
}

async fn echo(State(server): State<Arc<Server>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(async move |mut socket| {
        server.connections.fetch_add(1, Relaxed);
        let mut pings = pings();
        loop {
            tokio::select! {
                message = next(&mut socket, &server) => {
                    let Some(message) = message else { return };
                    if socket.send(message).await.is_err() {
                        return;
                    }
                    server.sent.fetch_add(1, Relaxed);
                }
                _ = pings.tick() => if socket.send(ping()).await.is_err() { return },
            }
        }
    })
}

async fn broadcast(State(server): State<Arc<Server>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(async move |mut socket| {
        server.connections.fetch_add(1, Relaxed);
        let mut publications = server.hub.subscribe();
        let mut pings = pings();
        loop {
            tokio::select! {
                message = next(&mut socket, &server) => {
                    let Some(message) = message else { return };
                    // Nobody can be missing: this connection listens itself.
                    let _ = server.hub.send(message);
                }
                publication = publications.recv() => {
                    // A client that lags too far behind is dropped.
                    let Ok(message) = publication else { return };
                    if socket.send(message).await.is_err() {
                        return;
                    }
                    server.sent.fetch_add(1, Relaxed);
                }
                _ = pings.tick() => if socket.send(ping()).await.is_err() { return },
            }
        }
    })
}

/// The next text or binary message; `None` when the connection is over. Safe to drop between two.
async fn next(socket: &mut WebSocket, server: &Server) -> Option<Message> {
    loop {
        let message = socket.recv().await?.ok()?;
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            server.received.fetch_add(1, Relaxed);
            return Some(message);
        }
    }
}

fn pings() -> Interval {
    interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL)
}

fn ping() -> Message {
    Message::Ping(Bytes::new())
}

async fn stats(State(server): State<Arc<Server>>) -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "connections": server.connections.load(Relaxed),
        "received": server.received.load(Relaxed),
        "sent": server.sent.load(Relaxed),
    }))
}
