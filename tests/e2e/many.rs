//! Thousands of connections come and go, and every number adds up.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};

use super::support::scrapes::{Scrapes, check_page, while_scraped};
use super::support::swarm::{self, Attempt, Peer};
use super::support::{Gateway, Metrics, Opening, Settings, masked_frame, part, wait_for};

const PATH: &str = "/ws-notifications";
const WAVE: usize = 2_000;
/// Handshakes at a time.
const AT_ONCE: usize = 100;

/// A way in which a client ends its connection, and what the gateway must call it.
#[derive(Debug, Clone, Copy)]
struct End {
    act: Act,
    cause: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Close(u16),
    Fin,
    Reset,
    HalfFrame,
    /// A message over the limit; the client answers the gateway's Close.
    Oversize,
    /// Bytes for which the gateway sends a Close, which the client answers.
    Offend(&'static [u8], u16),
    /// The same, but the client leaves without an answer.
    OffendAndReset(&'static [u8], u16),
}

/// The header of a message of 65,537 bytes: one too many.
const OVERSIZE: &[u8] = b"\x82\xff\0\0\0\0\0\x01\0\x01\0\0\0\0";
const UNMASKED: &[u8] = b"\x81\x01x";
const NOT_UTF8: &[u8] = b"\x81\x81\0\0\0\0\xff";

const ENDS: [End; 10] = [
    End { act: Act::Close(1000), cause: "client_close", code: "1000" },
    End { act: Act::Close(1001), cause: "client_close", code: "1001" },
    End { act: Act::Close(4321), cause: "client_close", code: "4xxx" },
    End { act: Act::Fin, cause: "peer_eof", code: "1006" },
    End { act: Act::Reset, cause: "peer_reset", code: "1006" },
    End { act: Act::HalfFrame, cause: "peer_eof_in_frame", code: "1006" },
    End { act: Act::Oversize, cause: "message_too_big", code: "1009" },
    End { act: Act::Offend(UNMASKED, 1002), cause: "protocol_error", code: "1002" },
    End { act: Act::Offend(NOT_UTF8, 1007), cause: "invalid_utf8", code: "1007" },
    End { act: Act::OffendAndReset(OVERSIZE, 1009), cause: "message_too_big", code: "1006" },
];

async fn echo(peer: &mut Peer, payload: &[u8]) {
    peer.send_frame(1, payload).await;
    let frame = peer.read_frame().await.expect("an echo");
    assert_eq!((frame.opcode(), &*frame.payload), (1, payload));
}

async fn end(mut peer: Peer, act: Act) {
    match act {
        Act::Close(code) => assert_eq!(peer.close(code).await, Some(code)),
        Act::Fin => drop(peer),
        Act::Reset => peer.reset(),
        Act::HalfFrame => peer.send(&masked_frame(0x81, b"hello")[..7]).await,
        Act::Oversize => {
            peer.send(&masked_frame(0x82, &vec![0; 65_537])).await;
            assert_eq!(peer.read_close().await, Some(1009));
            peer.answer_close(1009).await;
        }
        Act::Offend(bytes, code) => {
            peer.send(bytes).await;
            assert_eq!(peer.read_close().await, Some(code));
            peer.answer_close(code).await;
        }
        Act::OffendAndReset(bytes, code) => {
            peer.send(bytes).await;
            assert_eq!(peer.read_close().await, Some(code));
            peer.reset();
        }
    }
}

/// Opens a wave, echoes once on each, and ends them all. Returns when the gateway has nothing left.
fn wave(gateway: &Gateway, number: usize) -> Metrics {
    let openings = [Opening::new(PATH), Opening::new(PATH).deflate()];
    swarm::run(async {
        let opening = (0..WAVE).map(|index| Peer::open(&openings[index % 2], gateway.public));
        let peers: Vec<_> = stream::iter(opening).buffer_unordered(AT_ONCE).collect().await;
        let open = gateway.wait_for_connections(WAVE);
        assert!(open.sum("process_open_fds", &[]) > WAVE as f64);
        let ending = peers.into_iter().enumerate().map(|(index, mut peer)| async move {
            echo(&mut peer, format!("{number} {index}").as_bytes()).await;
            end(peer, ENDS[index % ENDS.len()].act).await;
        });
        join_all(ending).await;
    });
    gateway.wait_for_connections(0)
}

#[test]
fn waves_of_connections_leave_nothing_behind_but_counts_that_add_up() {
    let gateway = Settings::new().set("server.shards=2").start();
    let mut resident_bytes = Vec::new();
    let scrapes = while_scraped(&gateway, || {
        for number in 1..=3 {
            let metrics = wave(&gateway, number);
            check_ends(&metrics, number);
            resident_bytes.push(metrics.sum("process_resident_memory_bytes", &[]));
        }
    });
    assert!(scrapes > 10, "{scrapes} scrapes beside the waves");
    let [first, _, last] = resident_bytes[..] else { unreachable!("three waves") };
    assert!(last < 1.2 * first, "memory grows from wave to wave: {resident_bytes:?}");
    check_quiet(&gateway);
    check_log(&gateway, 3 * WAVE);
}

/// After so many waves each cause has its share, and there is no other.
#[track_caller]
fn check_ends(metrics: &Metrics, waves: usize) {
    let each = (waves * WAVE / ENDS.len()) as f64;
    for End { cause, code, .. } in ENDS {
        let count = metrics.sum("disconnects_total", &[("cause", cause), ("code", code)]);
        assert_eq!(count, each, "{cause} {code}: {:?}", metrics.nonzero("disconnects_total"));
    }
    let all = (waves * WAVE) as f64;
    assert_eq!(metrics.sum("disconnects_total", &[]), all);
    assert_eq!(metrics.sum("connection_duration_seconds_count", &[]), all);
    assert_eq!(metrics.sum("idle_at_close_seconds_count", &[]), all);
    assert_eq!(metrics.sum("handshake_duration_seconds_count", &[]), all);
    for direction in ["in", "out"] {
        let labels = [("direction", direction), ("opcode", "text")];
        assert_eq!(metrics.sum("messages_total", &labels), all, "one message {direction} each");
    }
    let payload_bytes = ["in", "out"]
        .map(|direction| metrics.sum("payload_bytes_total", &[("direction", direction)]));
    assert_eq!(payload_bytes[0], payload_bytes[1], "what came in was echoed");
}

/// Every gauge that connections move is back at zero.
#[track_caller]
pub fn check_quiet(gateway: &Gateway) {
    for gauge in ["connections", "backlogged_connections", "send_queue_bytes"] {
        gateway.wait_for_metric(gauge, &[], 0.0);
    }
    let metrics = gateway.wait_for_metric("send_queue_max_bytes", &[], 0.0);
    assert_eq!(metrics.sum("panics_total", &[]), 0.0);
    assert_eq!(metrics.sum("log_lines_dropped_total", &[]), 0.0);
    // Listeners, runtimes, standard streams, and this scrape.
    wait_for("closed files", || {
        (gateway.metrics().sum("process_open_fds", &[]) < 64.0).then_some(())
    });
}

/// The log has one line `opened` and one line `closed` for each of so many connections.
#[track_caller]
pub fn check_log(gateway: &Gateway, connections: usize) {
    let ids = |message: &str| -> Vec<String> {
        let lines = gateway.log(message).into_iter();
        lines.map(|line| line["connection_id"].as_str().unwrap().to_owned()).collect()
    };
    let closed = wait_for("all lines `connection closed`", || {
        Some(ids("connection closed")).filter(|ids| ids.len() >= connections)
    });
    let opened = ids("connection opened");
    assert_eq!((opened.len(), closed.len()), (connections, connections));
    let unique: HashSet<_> = opened.iter().collect();
    assert_eq!(unique.len(), connections, "each once");
    assert_eq!(unique, closed.iter().collect());
    assert_eq!(gateway.unreadable_lines(), [0; 0].map(serde_json::Value::from));
    assert_eq!(gateway.stderr(), "");
}

/// Connections on a socket each, held by a process that can be killed.
const HOLDER: &str = r#"
import socket, sys
host, port, path, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
held = []
for _ in range(count):
    held.append(socket.create_connection((host, port)))
    held[-1].sendall((f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
    assert b" 101 " in held[-1].recv(4096)
print("held", flush=True)
sys.stdin.read()
"#;

struct Holder(Child);

impl Holder {
    fn start(gateway: &Gateway, count: usize) -> Self {
        let mut command = Command::new(part("python"));
        command.args(["-c", HOLDER, "127.0.0.1", &gateway.public.port().to_string(), PATH]);
        command.arg(count.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = Self(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(holder.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        holder
    }
}

impl Drop for Holder {
    /// SIGKILL, as the test wants it.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn killing_half_of_the_clients_ends_their_connections_and_no_other() {
    let gateway = Gateway::start();
    let mut holders: Vec<_> = (0..4).map(|_| Holder::start(&gateway, 100)).collect();
    gateway.wait_for_connections(400);
    holders.truncate(2);
    let metrics = gateway.wait_for_connections(200);
    let killed = metrics.sum("disconnects_total", &[("cause", "peer_eof"), ("code", "1006")]);
    assert_eq!(killed, 200.0, "{:?}", metrics.nonzero("disconnects_total"));
    assert_eq!(metrics.sum("disconnects_total", &[]), 200.0);
    swarm::run(async {
        let mut peer = Peer::open(&Opening::new(PATH), gateway.public).await;
        echo(&mut peer, b"still there?").await;
    });
    drop(holders);
    gateway.wait_for_connections(0);
}

/// Opens, and closes unless it stays, until the gateway is gone. The connections that were opened,
/// and those that the gateway closed.
async fn churn(gateway: &Gateway, stays: bool, told_by: u16, all: &Cell<usize>) -> (usize, usize) {
    let opening = Opening::new(PATH);
    let (mut opened, mut told) = (0, 0);
    loop {
        let mut peer = match Peer::attempt(&opening, gateway.public).await {
            Attempt::Opened(peer) => peer,
            Attempt::Refused(status) => {
                assert_eq!(status, 503);
                continue;
            }
            // The listener is closed, or closes with this socket in its backlog.
            Attempt::Failed(_) => return (opened, told),
        };
        opened += 1;
        all.set(all.get() + 1);
        if stays {
            let code = peer.read_close().await.expect("a Close");
            assert_eq!(code, told_by);
            peer.answer_close(code).await;
            told += 1;
        } else {
            peer.send_frame(8, &1000_u16.to_be_bytes()).await;
            let code = peer.read_close().await.expect("an answer, or the gateway's own Close");
            assert!([1000, told_by].contains(&code), "{code}");
            told += usize::from(code == told_by);
        }
    }
}

#[test]
fn connections_that_race_with_the_end_are_each_counted_once() {
    let ends = [("INT", 1001, "shutdown"), ("TERM", 1012, "draining")];
    for (signal, code, cause) in [ends, ends].concat() {
        let settings = Settings::new().set("server.shards=2").set("server.drain_timeout=4s");
        let mut gateway = settings.start();
        let all = Cell::new(0);
        let totals = swarm::run(async {
            let stopping = async {
                while all.get() < 500 {
                    tokio::task::yield_now().await;
                }
                gateway.signal(signal);
            };
            let clients = (0..60).map(|index| churn(&gateway, index % 3 == 0, code, &all));
            tokio::join!(join_all(clients), stopping).0
        });
        assert_eq!(gateway.wait_for_exit(), Some(0));
        let opened: usize = totals.iter().map(|(opened, _)| opened).sum();
        let told: usize = totals.iter().map(|(_, told)| told).sum();
        let stopped = wait_for("the line `stopped`", || gateway.log("stopped").pop());
        assert_eq!(stopped["connections_left"], 0, "{stopped}");
        check_log(&gateway, opened);
        let closed = gateway.log("connection closed");
        let causes = |cause: &str| closed.iter().filter(|line| line["cause"] == cause).count();
        assert!(told > 0 && opened > told, "{told} of {opened}");
        assert_eq!(causes(cause), told);
        assert_eq!(causes("client_close"), opened - told);
    }
}

#[test]
#[should_panic(expected = "not cumulative")]
fn a_page_whose_buckets_fall_is_noticed() {
    check_page(
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_count 1\n",
    );
}

#[test]
#[should_panic(expected = "fell from 2 to 1")]
fn a_counter_that_falls_is_noticed() {
    let page = |count| format!("# HELP a_total x\n# TYPE a_total counter\na_total {count}\n");
    let mut scrapes = Scrapes::default();
    for count in [2, 1] {
        let sums = "# HELP gaugeway_connections x\n# TYPE gaugeway_connections gauge\ngaugeway_connections 0\n";
        let zeros = ["handshakes", "connections_opened", "disconnects"].map(|name| {
            format!("# HELP gaugeway_{name}_total x\n# TYPE gaugeway_{name}_total counter\ngaugeway_{name}_total 0\n")
        });
        let durations = "# HELP gaugeway_handshake_duration_seconds x\n# TYPE gaugeway_handshake_duration_seconds histogram\ngaugeway_handshake_duration_seconds_count 0\n";
        scrapes.take(&(page(count) + sums + durations + &zeros.concat()));
    }
}
