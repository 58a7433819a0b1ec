//! The road not taken: an echo on tokio's multi-thread runtime, one task per connection, with the
//! gateway's own frame code. It has no telemetry, no log, no heartbeat and no limits, and its
//! handshake is made by hand: whatever it costs, the gateway on such a runtime would cost more.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gaugeway::wire::{Decoder, DecoderOptions, Inflater, Input, Opcode, Role, encode};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// RFC 6455 §1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const READ_BYTES: usize = 4096;

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        let counts = Arc::new(Counts::default());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream, Arc::clone(&counts)));
        }
    })
}

/// An error ends the connection, which is all that there is to it.
async fn serve(mut stream: TcpStream, counts: Arc<Counts>) -> std::io::Result<()> {
    let head = read_head(&mut stream).await?;
    let Some(key) = header(&head, "sec-websocket-key") else {
        return answer_counts(&mut stream, &counts).await;
    };
    let accept = STANDARD.encode(Sha1::digest(format!("{key}{GUID}")));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    counts.connections.fetch_add(1, Relaxed);
    drop((head, answer, accept));
    echo(stream, counts).await
}

async fn echo(mut stream: TcpStream, counts: Arc<Counts>) -> std::io::Result<()> {
    let options = DecoderOptions { role: Role::Server, max_message_bytes: 64 << 10, deflate: None };
    let mut decoder = Decoder::new(options);
    loop {
        stream.readable().await?;
        // On the stack between two waits only: an idle connection holds no buffer.
        let answers = {
            let mut buffer = [0; READ_BYTES];
            let count = match stream.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            answer(&mut decoder, &mut buffer[..count], &counts)
        };
        match answers {
            Answers::Messages(answers) => stream.write_all(&answers).await?,
            Answers::Close(answers) => return stream.write_all(&answers).await,
        }
    }
}

enum Answers {
    Messages(Vec<u8>),
    /// Ending with the answer to a Close.
    Close(Vec<u8>),
}

fn answer(decoder: &mut Decoder, bytes: &mut [u8], counts: &Counts) -> Answers {
    thread_local! {
        static INFLATER: RefCell<Inflater> = RefCell::new(Inflater::new());
    }
    INFLATER.with_borrow_mut(|inflater| {
        let mut answers = Vec::new();
        let mut input = Input::new(bytes);
        while let Ok(Some(incoming)) = decoder.next(&mut input, inflater) {
            let opcode = match incoming.opcode {
                Opcode::Ping => Opcode::Pong,
                other => other,
            };
            encode(&mut answers, Role::Server, opcode, incoming.payload, None, None);
            match incoming.opcode {
                Opcode::Text | Opcode::Binary => {
                    counts.received.fetch_add(1, Relaxed);
                    counts.sent.fetch_add(1, Relaxed);
                }
                Opcode::Close => return Answers::Close(answers),
                Opcode::Ping | Opcode::Pong => {}
            }
        }
        Answers::Messages(answers)
    })
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::with_capacity(1024);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

async fn answer_counts(stream: &mut TcpStream, counts: &Counts) -> std::io::Result<()> {
    let body = format!(
        r#"{{"connections":{},"received":{},"sent":{}}}"#,
        counts.connections.load(Relaxed),
        counts.received.load(Relaxed),
        counts.sent.load(Relaxed)
    );
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).await
}
