//! Many clients on one thread.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Frame, Opening, PATIENCE, masked_frame};

/// Runs a swarm to its end; what takes longer than [`PATIENCE`] allows for many has failed.
#[track_caller]
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(async { tokio::time::timeout(4 * PATIENCE, work).await });
    done.expect("the swarm ends")
}

/// A raw client, as [`Raw`](super::Raw), for many at a time.
pub struct Peer {
    pub stream: TcpStream,
    unread: BytesMut,
}

/// How an attempt to open went.
pub enum Attempt {
    Opened(Peer),
    /// An answer other than 101: its status.
    Refused(u16),
    /// No TCP connection, or its end before an answer.
    Failed(io::Error),
}

impl Peer {
    /// Connects and expects 101.
    pub async fn open(opening: &Opening, address: SocketAddr) -> Self {
        match Self::attempt(opening, address).await {
            Attempt::Opened(peer) => peer,
            Attempt::Refused(status) => panic!("refused with {status}"),
            Attempt::Failed(error) => panic!("not opened: {error}"),
        }
    }

    /// Connects and sees what comes.
    pub async fn attempt(opening: &Opening, address: SocketAddr) -> Attempt {
        match TcpStream::connect(address).await {
            Ok(stream) => Self::over(stream, opening, address).await,
            Err(error) => Attempt::Failed(error),
        }
    }

    /// Asks on a socket that the caller has set up.
    pub async fn over(stream: TcpStream, opening: &Opening, address: SocketAddr) -> Attempt {
        stream.set_nodelay(true).unwrap();
        let mut peer = Self { stream, unread: BytesMut::new() };
        if let Err(error) = peer.stream.write_all(&opening.bytes(address)).await {
            return Attempt::Failed(error);
        }
        loop {
            if let Some(end) = peer.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = String::from_utf8(peer.unread.split_to(end + 4).to_vec()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return if status == 101 {
                    Attempt::Opened(peer)
                } else {
                    Attempt::Refused(status)
                };
            }
            match peer.stream.read_buf(&mut peer.unread).await {
                Ok(0) => return Attempt::Failed(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => return Attempt::Failed(error),
            }
        }
    }

    /// Writes bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends one masked frame with FIN.
    pub async fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        self.send(&masked_frame(0x80 | opcode, payload)).await;
    }

    /// The next frame; `None` at the end of the stream, by FIN or RST.
    pub async fn read_frame(&mut self) -> Option<Frame> {
        let Self { stream, unread } = self;
        loop {
            if let Some(frame) = take_frame(unread) {
                return Some(frame);
            }
            match stream.read_buf(unread).await {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("waiting for a frame: {error}"),
            }
        }
    }

    /// Frames until a Close comes; `None` at the stream's end.
    pub async fn read_close(&mut self) -> Option<u16> {
        loop {
            let frame = self.read_frame().await?;
            if frame.opcode() == 8 {
                return frame.close_code();
            }
        }
    }

    /// Answers a Close with the same code, as far as the other end takes it; then reads to the end.
    pub async fn answer_close(&mut self, code: u16) {
        let _ = self.stream.write_all(&masked_frame(0x88, &code.to_be_bytes())).await;
        while self.read_frame().await.is_some() {}
    }

    /// Closes with a Close handshake; the code that came back.
    pub async fn close(mut self, code: u16) -> Option<u16> {
        self.send_frame(8, &code.to_be_bytes()).await;
        let answer = self.read_close().await;
        assert!(self.read_frame().await.is_none(), "nothing follows a Close");
        answer
    }

    /// Ends the socket with RST.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Writes bytes while reading so many frames.
    pub async fn send_while_reading(&mut self, bytes: &[u8], frames: usize) -> Vec<Frame> {
        let Self { stream, unread } = self;
        let (mut read, mut write) = stream.split();
        let reading = async {
            let mut got = Vec::with_capacity(frames);
            while got.len() < frames {
                if let Some(frame) = take_frame(unread) {
                    got.push(frame);
                } else if read.read_buf(unread).await.unwrap() == 0 {
                    break;
                }
            }
            got
        };
        let (written, got) = tokio::join!(write.write_all(bytes), reading);
        written.unwrap();
        got
    }
}

/// A backend's connection: publishes to an endpoint one message after the other, each once the one
/// before is answered; the sequence numbers. The messages are `NUMBER INDEX`.
pub async fn publish_each(
    admin: SocketAddr,
    endpoint: &str,
    number: usize,
    count: usize,
) -> Vec<u64> {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let (mut seqs, mut unread) = (Vec::new(), BytesMut::new());
    for index in 0..count {
        let body = format!(r#"{{"to":{{"endpoint":"{endpoint}"}},"text":"{number} {index}"}}"#);
        let head = "POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\n\
                    Content-Type: application/json\r\nContent-Length:";
        let request = format!("{head} {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        // The body of the answer is the only one with braces.
        while !unread.ends_with(b"}") {
            assert!(stream.read_buf(&mut unread).await.unwrap() > 0, "EOF: {unread:?}");
        }
        let answer = unread.split();
        let body = answer.iter().position(|byte| *byte == b'{').unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer[body..]).unwrap();
        seqs.push(answer["seq"].as_u64().unwrap_or_else(|| panic!("{answer}")));
    }
    seqs
}

fn take_frame(unread: &mut BytesMut) -> Option<Frame> {
    let short = *unread.get(1)?;
    assert_eq!(short & 0x80, 0, "a server does not mask");
    let (header, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(unread.get(2..4)?.try_into().unwrap()))),
        127 => (10, u64::from_be_bytes(unread.get(2..10)?.try_into().unwrap()) as usize),
        length => (2, usize::from(length)),
    };
    if unread.len() < header + length {
        return None;
    }
    let first_byte = unread[0];
    unread.advance(header);
    Some(Frame { first_byte, payload: unread.split_to(length).to_vec() })
}
