//! A TCP relay that keeps what crosses: the wire as a third party sees it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::Frame;

/// Relays every connection to one address. It ends with its connections.
pub struct Relay {
    pub address: SocketAddr,
    sent_by_clients: Record,
    sent_by_server: Record,
}

type Record = Arc<Mutex<Vec<Vec<u8>>>>;

impl Relay {
    /// Begins to accept.
    pub fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (sent_by_clients, sent_by_server) = (Record::default(), Record::default());
        let relay = Self {
            address: listener.local_addr().unwrap(),
            sent_by_clients: Arc::clone(&sent_by_clients),
            sent_by_server: Arc::clone(&sent_by_server),
        };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(to).unwrap();
                copy(client.try_clone().unwrap(), server.try_clone().unwrap(), &sent_by_clients);
                copy(server, client, &sent_by_server);
            }
        });
        relay
    }

    /// Frames that clients sent so far, by connection, and the bytes that they took.
    pub fn sent_by_clients(&self) -> Vec<(Vec<Frame>, u64)> {
        self.sent_by_clients.lock().unwrap().iter().map(|bytes| frames(bytes)).collect()
    }

    /// Frames that the server sent so far, by connection, and the bytes that they took.
    pub fn sent_by_server(&self) -> Vec<(Vec<Frame>, u64)> {
        self.sent_by_server.lock().unwrap().iter().map(|bytes| frames(bytes)).collect()
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, record: &Record) {
    let record = Arc::clone(record);
    let index = record.lock().unwrap().len();
    record.lock().unwrap().push(Vec::new());
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            // Kept before it is passed on: who has received it finds it in the record.
            record.lock().unwrap()[index].extend_from_slice(&buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// The whole frames behind an HTTP head, unmasked, and the bytes that they took.
fn frames(bytes: &[u8]) -> (Vec<Frame>, u64) {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return (Vec::new(), 0);
    };
    let mut rest = &bytes[head + 4..];
    let (mut frames, all) = (Vec::new(), rest.len());
    while let Some((frame, taken)) = first_frame(rest) {
        frames.push(frame);
        rest = &rest[taken..];
    }
    (frames, (all - rest.len()) as u64)
}

fn first_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let number = |range: std::ops::Range<usize>| {
        let number = bytes.get(range)?.iter();
        Some(number.fold(0_usize, |number, byte| number << 8 | usize::from(*byte)))
    };
    let (length, mut header) = match bytes.get(1)? & 0x7f {
        126 => (number(2..4)?, 4),
        127 => (number(2..10)?, 10),
        short => (usize::from(short), 2),
    };
    let mask = if bytes[1] & 0x80 == 0 {
        [0; 4]
    } else {
        header += 4;
        bytes.get(header - 4..header)?.try_into().unwrap()
    };
    let payload = bytes.get(header..header + length)?.iter().zip(mask.iter().cycle());
    let payload = payload.map(|(byte, mask)| byte ^ mask).collect();
    Some((Frame { first_byte: bytes[0], payload }, header + length))
}
