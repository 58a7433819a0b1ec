//! Against servers that are not ours, and against none.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::super::support::{Gateway, part};
use super::load;

/// Node's `ws`: echoes, prints its port, and at the end of its stdin what it counted.
const NODE: &str = r#"
import { WebSocketServer } from "ws";
let messages = 0, bytes = 0, connections = 0, compressed = 0;
const options = { port: 0, host: "127.0.0.1", perMessageDeflate: { threshold: 0 } };
const server = new WebSocketServer(options, () => console.log(server.address().port));
server.on("connection", (socket) => {
  connections += 1;
  compressed += socket.extensions.includes("permessage-deflate") ? 1 : 0;
  socket.on("message", (data, binary) => {
    messages += 1;
    bytes += data.length;
    socket.send(data, { binary });
  });
});
process.stdin.on("end", () => {
  console.log(JSON.stringify({ messages, bytes, connections, compressed }));
  process.exit(0);
}).resume();
"#;

/// The same with Python's `websockets`.
const PYTHON: &str = r#"
import asyncio, json, sys
from websockets.asyncio.server import serve

counts = {"messages": 0, "bytes": 0, "connections": 0, "compressed": 0}

async def echo(socket):
    counts["connections"] += 1
    counts["compressed"] += 1 if socket.protocol.extensions else 0
    async for message in socket:
        counts["messages"] += 1
        counts["bytes"] += len(message)
        await socket.send(message)

async def main():
    async with serve(echo, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print(json.dumps(counts), flush=True)

asyncio.run(main())
"#;

/// A server of somebody else.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    #[track_caller]
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        stdout.read_line(&mut port).unwrap();
        Self { child, stdout, address: ([127, 0, 0, 1], port.trim().parse().unwrap()).into() }
    }

    /// What it counted; it ends.
    #[track_caller]
    fn counts(mut self) -> serde_json::Value {
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn node() -> Server {
    let mut command = Command::new(part("node"));
    // Modules are looked for from the working directory on.
    command.args(["--input-type=module", "-e", NODE]).current_dir(part("node-clients"));
    Server::start(command)
}

fn python() -> Server {
    let mut command = Command::new(part("python"));
    command.args(["-c", PYTHON]);
    Server::start(command)
}

#[test]
fn servers_of_others_count_the_same() {
    for server in [node, python] {
        for (flags, compressed) in [("", 0), ("--compression", 10), ("--compression --binary", 10)]
        {
            let server = server();
            let flags = format!("-n 10 --echo --rate 200 --duration 1s --size 10..2000 {flags}");
            let report = load(&format!("ws://{}/", server.address), &flags).undisturbed(10);
            assert_eq!((report.messages.sent, report.messages.received), (200, 200), "{report:?}");
            assert_eq!(report.messages.sent_bytes, report.messages.received_bytes, "{report:?}");
            assert_eq!(report.closes.get(&1000), Some(&10), "{report:?}");
            let counts = server.counts();
            assert_eq!(counts["messages"], 200, "{flags}: {counts}");
            assert_eq!(counts["bytes"], report.messages.sent_bytes, "{flags}: {counts}");
            assert_eq!(counts["connections"], 10, "{flags}: {counts}");
            assert_eq!(counts["compressed"], compressed, "{flags}: {counts}");
        }
    }
}

/// Nothing could be opened, and always for this reason.
#[track_caller]
fn check_refused(url: &str, reason: &str) {
    let refused = load(url, "-n 5 --hold --duration 300ms");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let report = refused.report;
    assert_eq!(report.connections.opened, 0, "{report:?}");
    assert!(report.connections.attempted >= 5, "{report:?}");
    let reasons: Vec<_> = report.errors.iter().collect();
    assert_eq!(reasons, [(&reason.to_owned(), &report.connections.attempted)], "{report:?}");
}

#[test]
fn where_nobody_listens_each_attempt_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    check_refused(&format!("ws://{address}/"), "connect: connection refused");
}

/// Takes each request whole, gives this answer and hangs up.
fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Unread bytes would make a reset of the end.
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                request.push(byte[0]);
            }
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[test]
fn a_server_that_is_no_websocket_server_is_named_by_what_it_answers() {
    for (answer, reason) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..], "upgrade: status 200"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", "upgrade: status 301"),
        (b"HTTP/1.1 101 Swit", "upgrade: closed"),
        (b"", "upgrade: closed"),
    ] {
        check_refused(&format!("ws://{}/", answering(answer)), reason);
    }
    let gateway = Gateway::start();
    check_refused(&format!("ws://{}/nowhere", gateway.public), "upgrade: status 404");
}
