//! A name server that knows one name, as Docker's own does for a service.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// Answers every question for an address with these; ends with the process.
pub struct Names {
    /// Where it listens.
    pub address: SocketAddr,
    hosts: Arc<Mutex<Vec<Ipv4Addr>>>,
}

/// Type A (RFC 1035 §3.2.2).
const ADDRESS: [u8; 2] = [0, 1];

impl Names {
    /// Starts to answer with these addresses.
    pub fn start(hosts: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let hosts = Arc::new(Mutex::new(hosts.to_vec()));
        let known = Arc::clone(&hosts);
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let mut hosts = known.lock().unwrap();
                let answer = answer(&question[..length], &hosts);
                // As Docker does: nobody may count on the order.
                if !hosts.is_empty() {
                    hosts.rotate_left(1);
                }
                let _ = socket.send_to(&answer, from);
            }
        });
        Self { address, hosts }
    }

    /// From now on the name stands for these.
    pub fn set(&self, hosts: &[Ipv4Addr]) {
        *self.hosts.lock().unwrap() = hosts.to_vec();
    }
}

/// The answer to one question (RFC 1035 §4.1): the same head and question, then the addresses.
fn answer(question: &[u8], hosts: &[Ipv4Addr]) -> Vec<u8> {
    const HEAD: usize = 12;
    // The name ends with an empty label; type and class follow.
    let name = question[HEAD..].iter().position(|&byte| byte == 0).unwrap() + 1;
    let end = HEAD + name + 4;
    let hosts = if question[HEAD + name..][..2] == ADDRESS { hosts } else { &[] };
    let mut answer = question[..2].to_vec();
    // An answer, recursion wanted and available, no error; one question, so many answers.
    answer.extend([0x81, 0x80, 0, 1, 0, hosts.len() as u8, 0, 0, 0, 0]);
    answer.extend(&question[HEAD..end]);
    for host in hosts {
        // The name of the question, type A, class IN, one second, four bytes.
        answer.extend([0xc0, HEAD as u8, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(host.octets());
    }
    answer
}
