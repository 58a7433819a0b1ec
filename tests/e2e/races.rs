//! Everything at once: clients come and go in every way, the API and clients publish, operators
//! disconnect users and connections, Prometheus scrapes without a pause, and the process is told to end
//! in the middle. Every connection is counted once, and every page adds up.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::many::{check_log, check_quiet};
use super::support::scrapes::Scrapes;
use super::support::swarm::{self, Attempt, Peer};
use super::support::{Frame, Gateway, Metrics, Opening, Settings, masked_frame, wait_for};

const CLIENTS: usize = 60;
const OPERATORS: usize = 3;
const USERS: usize = 12;
/// Connections after which the race ends, one way or the other.
const CONNECTIONS: usize = 1_200;
/// Frames after which a client only listens.
const SENDS_MAX: usize = 30;
const SEEDS: u64 = 4;

/// xorshift64: the same race for the same seed, as far as the threads allow.
struct Chance(Cell<u64>);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(Cell::new((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    fn below(&self, limit: usize) -> usize {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        (state >> 11) as usize % limit
    }
}

/// What all parts of a race know.
struct Race<'a> {
    gateway: &'a Gateway,
    chance: Chance,
    /// The process is told to end when enough connections have been opened.
    is_drained: bool,
    opened: Cell<usize>,
    /// Clients that the process's end has told to go.
    told: Cell<usize>,
    published: Cell<usize>,
    kicked: Cell<u64>,
    /// The process has been told to end.
    ending: &'a AtomicBool,
    /// No client is left, and none will come.
    over: &'a AtomicBool,
}

impl Race<'_> {
    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// One client after the other, until there were enough.
    async fn client(&self, index: usize) {
        for life in 0.. {
            if self.opened.get() >= CONNECTIONS && !self.is_drained {
                return;
            }
            let user = self.chance.below(USERS);
            let path = ["/ws", "/ws-notifications", "/im", "/ws"][self.chance.below(4)];
            let opening = Opening::new(&format!("{path}?user_id=u{user}"));
            let opening = if self.chance.below(2) == 0 { opening.deflate() } else { opening };
            match Peer::attempt(&opening, self.gateway.public).await {
                Attempt::Opened(peer) => {
                    self.opened.set(self.opened.get() + 1);
                    if self.is_drained && self.opened.get() == CONNECTIONS {
                        self.ending.store(true, Ordering::Relaxed);
                        self.gateway.signal("TERM");
                    }
                    // Some stay until they are told to go.
                    let stays = self.is_drained && index.is_multiple_of(3);
                    let frames = [0, 1, 3, 10, 30][self.chance.below(5)];
                    let frames = if stays { usize::MAX } else { frames };
                    self.live(peer, &format!("c{index}.{life}"), frames).await;
                }
                Attempt::Refused(status) => assert!(self.is_ending() && status == 503, "{status}"),
                Attempt::Failed(error) => {
                    assert!(self.is_ending(), "{error}");
                    return;
                }
            }
        }
    }

    /// Receives so many frames, sends now and then, and leaves in one of several ways.
    async fn live(&self, mut peer: Peer, name: &str, frames: usize) {
        let mut seen = Seen::default();
        for number in 0..frames {
            // Not for ever: each broadcast would be answered by several others.
            if number < SENDS_MAX && self.chance.below(2) == 0 {
                try_send(&mut peer, 1, format!("{name} {number}").as_bytes()).await;
            }
            let frame = peer.read_frame().await.expect("a Close before the end");
            if self.is_told(&mut peer, &frame).await {
                return;
            }
            seen.note(&frame);
        }
        match self.chance.below(4) {
            0 => drop(peer),
            1 => peer.reset(),
            _ => {
                try_send(&mut peer, 8, &1000_u16.to_be_bytes()).await;
                loop {
                    let frame = peer.read_frame().await.expect("an answer to the Close");
                    if frame.opcode() == 8 {
                        self.count_close(&frame);
                        assert!(peer.read_frame().await.is_none(), "nothing follows a Close");
                        return;
                    }
                    seen.note(&frame);
                }
            }
        }
    }

    /// Was that a Close of the gateway's own? It is answered.
    async fn is_told(&self, peer: &mut Peer, frame: &Frame) -> bool {
        let Some(code) = frame.close_code() else { return false };
        self.count_close(frame);
        try_send(peer, 8, &code.to_be_bytes()).await;
        assert!(peer.read_frame().await.is_none(), "nothing follows a Close");
        true
    }

    fn count_close(&self, frame: &Frame) {
        match frame.close_code() {
            Some(1000 | 4001) => {}
            Some(1001 | 1012) if self.is_ending() => self.told.set(self.told.get() + 1),
            code => panic!("a Close with {code:?}"),
        }
    }

    /// Publishes and disconnects until no client is left.
    async fn operator(&self, index: usize) {
        let mut number = 0;
        while !self.is_over() {
            let user = self.chance.below(USERS);
            let done = match self.chance.below(10) {
                0 => self.kick(&format!("/api/v1/users/u{user}/connections")).await,
                1 => self.kick_one().await,
                2..=6 => self.publish(&format!("op{index}"), &mut number, 1).await,
                _ => self.publish(&format!("op{index}"), &mut number, 4).await,
            };
            if let Err(error) = done {
                assert!(self.is_ending(), "the API is gone: {error}");
                return;
            }
        }
    }

    /// Messages of one source, numbered on: every receiver must get them in this order.
    async fn publish(&self, source: &str, number: &mut usize, count: usize) -> io::Result<()> {
        let messages: Vec<_> = (0..count)
            .map(|_| {
                *number += 1;
                let to = match self.chance.below(6) {
                    0 | 1 => json!({ "user": format!("u{}", self.chance.below(USERS)) }),
                    2 | 3 => json!({ "endpoint": (["/ws", "/im"][self.chance.below(2)]) }),
                    _ => json!({ "everyone": true }),
                };
                json!({ "to": to, "text": format!("{source} {number}") })
            })
            .collect();
        let (status, answer) = self.api("POST", "/api/v1/publish", Some(json!(messages))).await?;
        if status != 200 {
            self.check_refused(status, &answer);
            return Ok(());
        }
        let seqs: Vec<_> = answer.as_array().unwrap().iter().map(|one| &one["seq"]).collect();
        let first = seqs[0].as_u64().unwrap();
        assert!(seqs.iter().enumerate().all(|(at, seq)| **seq == first + at as u64), "{answer}");
        self.published.set(self.published.get() + count);
        Ok(())
    }

    async fn kick_one(&self) -> io::Result<()> {
        let (status, page) = self.api("GET", "/api/v1/connections?limit=50", None).await?;
        if status != 200 {
            self.check_refused(status, &page);
            return Ok(());
        }
        let open = page["connections"].as_array().unwrap();
        if open.is_empty() {
            return Ok(());
        }
        let id = open[self.chance.below(open.len())]["id"].as_str().unwrap();
        self.kick(&format!("/api/v1/connections/{id}")).await
    }

    async fn kick(&self, path: &str) -> io::Result<()> {
        let path = format!("{path}?code=4001&reason=race");
        let (status, answer) = self.api("DELETE", &path, None).await?;
        match status {
            200 => {
                let count = answer["disconnected"].as_u64().unwrap();
                self.kicked.set(self.kicked.get() + count);
            }
            // It has ended by itself meanwhile.
            404 => {}
            _ => self.check_refused(status, &answer),
        }
        Ok(())
    }

    /// Only a process that ends may refuse.
    fn check_refused(&self, status: u16, answer: &Value) {
        assert!(self.is_ending() && status == 503, "{status} {answer}");
    }

    async fn api(&self, method: &str, path: &str, body: Option<Value>) -> io::Result<(u16, Value)> {
        let (status, body) = request(self.gateway, method, path, body).await?;
        Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
    }
}

/// The last number of each source.
#[derive(Default)]
struct Seen(RefCell<HashMap<String, usize>>);

impl Seen {
    fn note(&mut self, frame: &Frame) {
        if frame.opcode() != 1 {
            return;
        }
        let text = str::from_utf8(&frame.payload).unwrap();
        let (source, number) = text.split_once(' ').unwrap();
        let number = number.parse().unwrap();
        let before = self.0.get_mut().insert(source.to_owned(), number);
        assert!(before.is_none_or(|before| before < number), "{text} after {before:?}");
    }
}

/// Sends what the gateway may not want any more.
async fn try_send(peer: &mut Peer, opcode: u8, payload: &[u8]) {
    let _ = peer.stream.write_all(&masked_frame(0x80 | opcode, payload)).await;
}

/// One request on a connection of its own: status and body.
async fn request(
    gateway: &Gateway,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> io::Result<(u16, String)> {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        gateway.admin,
        body.len()
    );
    let mut stream = TcpStream::connect(gateway.admin).await?;
    stream.write_all((head + &body).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let cut_off = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut_off)?;
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
}

/// Checks page after page until the race is over, or the process has ended as it was told to.
async fn scrape(gateway: &Gateway, ending: &AtomicBool, over: &AtomicBool) -> usize {
    let mut scrapes = Scrapes::default();
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        match request(gateway, "GET", "/metrics", None).await {
            Ok((200, page)) => {
                scrapes.take(&page);
                Metrics::parse(&page).check_sums();
                count += 1;
            }
            Ok((status, _)) => panic!("a scrape got {status}"),
            Err(error) => {
                assert!(ending.load(Ordering::Relaxed), "a scrape failed: {error}");
                break;
            }
        }
    }
    count
}

/// Set when the clients have gone, also by a panic: the others must not wait for ever.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a race amounted to.
struct Total {
    opened: usize,
    told: usize,
    published: usize,
    kicked: u64,
}

fn race(gateway: &Gateway, seed: u64, is_drained: bool) -> Total {
    let (ending, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let race = Race {
        gateway,
        chance: Chance::new(seed),
        is_drained,
        opened: Cell::new(0),
        told: Cell::new(0),
        published: Cell::new(0),
        kicked: Cell::new(0),
        ending: &ending,
        over: &over,
    };
    std::thread::scope(|threads| {
        let scraping = threads.spawn(|| swarm::run(scrape(gateway, &ending, &over)));
        let guard = SetOnDrop(&over);
        swarm::run(async {
            let clients = async {
                join_all((0..CLIENTS).map(|index| race.client(index))).await;
                over.store(true, Ordering::Relaxed);
            };
            tokio::join!(clients, join_all((0..OPERATORS).map(|index| race.operator(index))))
        });
        drop(guard);
        assert!(scraping.join().unwrap() > 0, "no scrape beside the race");
    });
    let Race { opened, told, published, kicked, .. } = race;
    let (opened, told) = (opened.get(), told.get());
    Total { opened, told, published: published.get(), kicked: kicked.get() }
}

#[test]
fn after_a_race_every_gauge_is_back_at_zero_and_every_end_is_counted_once() {
    for seed in 0..SEEDS {
        let gateway = Settings::new().set("server.shards=2").start();
        let Total { opened, published, kicked, .. } = race(&gateway, seed, false);
        let metrics = gateway.wait_for_connections(0);
        assert_eq!(metrics.sum("connections_opened_total", &[]), opened as f64, "seed {seed}");
        assert_eq!(metrics.sum("disconnects_total", &[]), opened as f64, "seed {seed}");
        let by_api = metrics.sum("publications_total", &[("source", "api")]);
        assert_eq!(by_api, published as f64, "seed {seed}");
        assert!(metrics.sum("publications_total", &[("source", "client")]) > 0.0);
        // One that was told to go may have ended by itself at the same moment.
        let by_kick = metrics.sum("disconnects_total", &[("cause", "kicked")]);
        assert!(by_kick > 0.0 && by_kick <= kicked as f64, "seed {seed}: {by_kick} of {kicked}");
        assert_eq!(metrics.sum("disconnects_total", &[("cause", "internal_error")]), 0.0);
        gateway.wait_for_metric("users", &[], 0.0);
        check_quiet(&gateway);
        check_log(&gateway, opened);
    }
}

#[test]
fn a_race_that_sigterm_ends_counts_every_connection_once() {
    let mut told_in_all = 0;
    for seed in 0..SEEDS {
        let settings = Settings::new().set("server.shards=2").set("server.drain_timeout=5s");
        let mut gateway = settings.start();
        let Total { opened, told, .. } = race(&gateway, seed, true);
        assert_eq!(gateway.wait_for_exit(), Some(0), "seed {seed}");
        let stopped = wait_for("the line `stopped`", || gateway.log("stopped").pop());
        assert_eq!(stopped["connections_left"], 0, "seed {seed}: {stopped}");
        check_log(&gateway, opened);
        let closed = gateway.log("connection closed");
        let causes = |cause: &str| closed.iter().filter(|line| line["cause"] == cause).count();
        told_in_all += told;
        // Who was told and left before reading it is counted by the same cause.
        assert!(causes("shutdown") + causes("draining") >= told, "seed {seed}");
        assert_eq!(causes("internal_error"), 0, "seed {seed}");
    }
    assert!(told_in_all > 0, "nobody was there to be told");
}
