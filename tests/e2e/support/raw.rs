//! A client made of a socket and bytes, for what no library would send.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// An upgrade request.
pub struct Opening {
    path: String,
    headers: String,
}

impl Opening {
    /// A plain one for this path.
    pub fn new(path: &str) -> Self {
        Self { path: path.to_owned(), headers: String::new() }
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend([name, ": ", value, "\r\n"]);
        self
    }

    /// With an offer of permessage-deflate.
    pub fn deflate(self) -> Self {
        self.header("Sec-WebSocket-Extensions", "permessage-deflate")
    }

    /// The request's bytes.
    pub fn bytes(&self, host: SocketAddr) -> Vec<u8> {
        format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
            self.path, self.headers
        )
        .into_bytes()
    }

    /// Connects and expects 101.
    #[track_caller]
    pub fn open(&self, address: SocketAddr) -> Raw {
        let mut raw = Raw::connect(address);
        raw.send(&self.bytes(address));
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// FIN and RSV bits and the opcode.
    pub first_byte: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    /// 1 text, 2 binary, 8 Close, 9 Ping, 10 Pong.
    pub fn opcode(&self) -> u8 {
        self.first_byte & 15
    }

    /// The code of a Close frame.
    pub fn close_code(&self) -> Option<u16> {
        let code = self.payload.get(..2)?;
        (self.opcode() == 8).then(|| u16::from_be_bytes([code[0], code[1]]))
    }
}

/// An unmasked frame.
pub fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    build(first_byte, payload, None)
}

/// A frame as a client sends it.
pub fn masked_frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    build(first_byte, payload, Some([0x37, 0xfa, 0x21, 0x3d]))
}

fn build(first_byte: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mask_bit = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first_byte];
    match payload.len() {
        length @ 0..=125 => bytes.push(mask_bit | length as u8),
        length @ 126..=0xffff => {
            bytes.push(mask_bit | 0x7e);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(mask_bit | 0x7f);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| bytes.extend(mask)).unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The first header of this name (in small letters).
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name)?;
        Some(&found.1)
    }

    /// What `{"error":{…}}` of the body says.
    #[track_caller]
    pub fn error(&self) -> serde_json::Value {
        let body: serde_json::Value = serde_json::from_str(&self.body)
            .unwrap_or_else(|_| panic!("the body is not JSON: {self:?}"));
        body["error"].clone()
    }
}

/// The socket of a raw client.
pub struct Raw {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl From<TcpStream> for Raw {
    /// A client on a socket that is connected already, a second handle to one for instance.
    fn from(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: Vec::new() }
    }
}

impl Raw {
    /// A TCP connection, nothing more.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        TcpStream::connect(address).unwrap().into()
    }

    /// A TCP connection from another address of this machine (any 127.x.y.z).
    #[track_caller]
    pub fn connect_from(source: &str, address: SocketAddr) -> Self {
        let source: IpAddr = source.parse().unwrap();
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        TcpStream::from(socket).into()
    }

    /// A WebSocket on this path.
    #[track_caller]
    pub fn open(address: SocketAddr, path: &str) -> Self {
        Opening::new(path).open(address)
    }

    /// Writes bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Writes bytes, as far as the other end takes them.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends one masked frame with FIN.
    #[track_caller]
    pub fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        self.send(&masked_frame(0x80 | opcode, payload));
    }

    /// Sends a Close frame.
    #[track_caller]
    pub fn send_close(&mut self, code: u16) {
        self.send_frame(8, &code.to_be_bytes());
    }

    /// Reads an HTTP answer's head.
    #[track_caller]
    pub fn read_head(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let rest = self.unread.split_off(end + 4);
                let head = std::mem::replace(&mut self.unread, rest);
                return String::from_utf8(head).unwrap();
            }
            assert!(self.fill().unwrap() > 0, "EOF within the head: {:?}", self.unread);
        }
    }

    /// Reads an HTTP answer with its body, of which `Content-Length` tells the length.
    #[track_caller]
    pub fn read_answer(&mut self) -> Answer {
        let head = self.read_head();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let mut answer = Answer {
            status: status.parse().unwrap(),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.into())).collect(),
            body: String::new(),
        };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            assert!(self.fill().unwrap() > 0, "EOF within the body of {answer:?}");
        }
        let rest = self.unread.split_off(length);
        answer.body = String::from_utf8(std::mem::replace(&mut self.unread, rest)).unwrap();
        answer
    }

    /// The next frame; `None` at the end of the stream, by FIN or RST.
    #[track_caller]
    pub fn read_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.unread_frame() {
                return Some(frame);
            }
            match self.fill() {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("waiting for a frame: {error}"),
            }
        }
    }

    /// Frames until a Close comes (pings and messages are passed over); `None` at the stream's end.
    #[track_caller]
    pub fn read_close(&mut self) -> Option<Frame> {
        std::iter::from_fn(|| self.read_frame()).find(|frame| frame.opcode() == 8)
    }

    /// Reads to the end of the stream; true for FIN, false for RST.
    #[track_caller]
    pub fn reads_fin(&mut self) -> bool {
        loop {
            match self.fill() {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("waiting for the end: {error}"),
            }
        }
    }

    /// Everything up to the end of the stream: the whole frames, and true for FIN, false for RST.
    #[track_caller]
    pub fn read_rest(&mut self) -> (Vec<Frame>, bool) {
        let fin = self.reads_fin();
        (std::iter::from_fn(|| self.unread_frame()).collect(), fin)
    }

    /// Sends a message and expects it back as the next frame.
    #[track_caller]
    pub fn echo(&mut self, opcode: u8, payload: &[u8]) {
        self.send_frame(opcode, payload);
        let back = self.read_frame().expect("an echo");
        assert_eq!((back.opcode(), back.payload.as_slice()), (opcode, payload));
    }

    /// What is left of the stream, by FIN or RST.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        self.reads_fin();
        std::mem::take(&mut self.unread)
    }

    /// Ends the socket with RST.
    pub fn reset(self) {
        let linger = Some(Duration::ZERO);
        socket2::SockRef::from(&self.stream).set_linger(linger).unwrap();
    }

    /// Sends FIN; reading goes on.
    pub fn shut_down_write(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// A whole frame among the bytes that were read already.
    fn unread_frame(&mut self) -> Option<Frame> {
        let (header, length) = self.header()?;
        if self.unread.len() < header + length {
            return None;
        }
        let rest = self.unread.split_off(header + length);
        let bytes = std::mem::replace(&mut self.unread, rest);
        Some(Frame { first_byte: bytes[0], payload: bytes[header..].to_vec() })
    }

    fn header(&self) -> Option<(usize, usize)> {
        let bytes = &self.unread;
        let short = *bytes.get(1)?;
        assert_eq!(short & 0x80, 0, "a server does not mask");
        match short {
            126 => {
                let length = bytes.get(2..4)?;
                Some((4, usize::from(u16::from_be_bytes([length[0], length[1]]))))
            }
            127 => {
                let length = bytes.get(2..10)?.try_into().unwrap();
                Some((10, usize::try_from(u64::from_be_bytes(length)).unwrap()))
            }
            length => Some((2, usize::from(length))),
        }
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 16384];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(count) => {
                    self.unread.extend_from_slice(&buffer[..count]);
                    return Ok(count);
                }
                // A socket with a time-out says so when the process stood still (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
