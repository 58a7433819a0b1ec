//! Half of the world goes away at once: each connection that was there ends once, as what its end looks
//! like from the gateway, and no other ends.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, LocalSet};

use super::support::swarm::{self, Attempt, Peer};
use super::support::{
    Gateway, Metrics, Nginx, NginxSettings, Opening, Settings, in_namespace, masked_frame, wait_for,
};

const PATH: &str = "/ws-notifications";
const CLIENTS: usize = 60;

/// A healthy client: it answers pings until its connection ends, and says whether a Close came.
async fn live(mut peer: Peer) -> Option<u16> {
    while let Some(frame) = peer.read_frame().await {
        match frame.opcode() {
            8 => return frame.close_code(),
            9 => peer.stream.write_all(&masked_frame(0x8a, &frame.payload)).await.unwrap(),
            opcode => panic!("opcode {opcode}"),
        }
    }
    None
}

/// Opens clients and keeps them alive.
async fn open(count: usize, address: SocketAddr) -> Vec<JoinHandle<Option<u16>>> {
    let opening = Opening::new(PATH);
    let peers = join_all((0..count).map(|_| Peer::open(&opening, address))).await;
    peers.into_iter().map(|peer| tokio::task::spawn_local(live(peer))).collect()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    swarm::run(LocalSet::new().run_until(work))
}

/// Waits without keeping the clients from answering.
async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = super::support::PATIENCE;
    tokio::time::timeout(limit, looking)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

fn ended(metrics: &Metrics) -> usize {
    metrics.sum("disconnects_total", &[]) as usize
}

/// So many have ended, all by this cause, with this initiator and code, and each has its line.
#[track_caller]
fn check_ends(gateway: &Gateway, count: usize, [initiator, cause, code]: [&str; 3]) {
    let metrics = gateway.metrics();
    metrics.check_sums();
    let labels = [("initiator", initiator), ("cause", cause), ("code", code)];
    let seen = metrics.nonzero("disconnects_total");
    assert_eq!(metrics.sum("disconnects_total", &labels), count as f64, "{seen:?}");
    assert_eq!(ended(&metrics), count, "{seen:?}");
    let lines = wait_for("a line for each end", || {
        Some(gateway.log("connection closed")).filter(|lines| lines.len() >= count)
    });
    assert_eq!(lines.len(), count, "one line each");
    assert!(lines.iter().all(|line| line["cause"] == cause), "{lines:?}");
    assert_eq!(metrics.sum("panics_total", &[]), 0.0);
}

fn start(settings: Settings, workers: usize) -> (Gateway, Nginx) {
    let gateway = settings.set("server.shards=2").start();
    let workers = format!("worker_processes={workers}");
    let nginx = NginxSettings::new(gateway.public).option("--set", &workers).start();
    (gateway, nginx)
}

#[test]
fn killing_nginx_with_all_of_its_workers_ends_every_tunnel_as_peer_eof() {
    let (gateway, nginx) = start(Settings::new(), 2);
    run(async {
        let clients = open(CLIENTS, nginx.plain).await;
        let direct = open(1, gateway.public).await;
        gateway.wait_for_connections(CLIENTS + 1);
        nginx.kill();
        for client in clients {
            assert_eq!(client.await.unwrap(), None, "nobody could send a Close");
        }
        gateway.wait_for_connections(1);
        assert!(!direct[0].is_finished(), "who came past nginx stays");
        check_ends(&gateway, CLIENTS, ["peer", "peer_eof", "1006"]);
    });
}

#[test]
fn killing_one_worker_ends_its_tunnels_and_those_of_no_other() {
    let (gateway, nginx) = start(Settings::new(), 2);
    run(async {
        // How many a worker gets is the kernel's choice: more come until both have some.
        let mut clients = Vec::new();
        let of_each = loop {
            clients.extend(open(CLIENTS, nginx.plain).await);
            let lines = until("the opening lines", || {
                Some(gateway.log("connection opened")).filter(|lines| lines.len() == clients.len())
            })
            .await;
            let mut of_each = std::collections::BTreeMap::<u64, usize>::new();
            for line in lines {
                *of_each.entry(line["nginx_pid"].as_u64().unwrap()).or_default() += 1;
            }
            if of_each.len() == 2 {
                break of_each;
            }
        };
        let (&killed, lost) = of_each.first_key_value().unwrap();
        assert!(
            Command::new("kill")
                .args(["-s", "KILL", &killed.to_string()])
                .status()
                .unwrap()
                .success()
        );
        gateway.wait_for_connections(clients.len() - lost);
        check_ends(&gateway, *lost, ["peer", "peer_eof", "1006"]);
        let lines = gateway.log("connection closed");
        assert!(lines.iter().all(|line| line["nginx_pid"] == killed), "{lines:?}");
        until("the clients to see it", || {
            let finished = clients.iter().filter(|client| client.is_finished());
            (finished.count() == *lost).then_some(())
        })
        .await;
    });
}

/// With a short wait for pongs, but longer than a busy machine keeps the clients from answering.
fn quick() -> Settings {
    Settings::new().set("heartbeat.ping_interval=200ms").set("heartbeat.pong_wait=3s")
}

/// Every client has answered another ping since the counter stood there.
async fn until_all_answer(gateway: &Gateway, count: usize) {
    let matched = || gateway.metrics().sum("pongs_received_total", &[("kind", "matched")]);
    let before = matched();
    until("pongs", || (matched() >= before + 3.0 * count as f64).then_some(())).await;
}

#[test]
fn a_gateway_that_stood_still_for_longer_than_pong_wait_loses_nobody_behind_nginx() {
    let (gateway, nginx) = start(quick(), 2);
    run(async {
        let clients = open(CLIENTS, nginx.plain).await;
        gateway.wait_for_connections(CLIENTS);
        until_all_answer(&gateway, CLIENTS).await;
        // While this thread waits no client runs: each owes an answer when the gateway stops.
        wait_for("a ping on each that waits for its pong", || {
            let metrics = gateway.metrics();
            let [sent, answered] = ["pings_sent_total", "pongs_received_total"];
            let owed = metrics.sum(sent, &[]) - metrics.sum(answered, &[]);
            (owed >= CLIENTS as f64).then_some(())
        });
        gateway.signal("STOP");
        // Longer than a client may be silent.
        tokio::time::sleep(Duration::from_millis(4500)).await;
        gateway.signal("CONT");
        until_all_answer(&gateway, CLIENTS).await;
        gateway.wait_for_connections(CLIENTS);
        check_ends(&gateway, 0, ["gateway", "pong_timeout", "1006"]);
        assert!(clients.iter().all(|client| !client.is_finished()));
        let metrics = gateway.metrics();
        assert!(metrics.sum("tick_lag_seconds_sum", &[]) > 4.0, "the stall itself is seen");
    });
}

const TEST: &str =
    "network_loss::a_client_whose_network_vanishes_behind_nginx_is_given_up_and_no_other_is";
/// The address of those who will vanish. It goes, and with it every way to them.
const LOST: &str = "10.77.0.2";

/// In a namespace of its own, whose addresses may be taken away.
#[test]
fn a_client_whose_network_vanishes_behind_nginx_is_given_up_and_no_other_is() {
    in_namespace(TEST, inside);
}

fn address(verb: &str) {
    let set =
        Command::new("ip").args(["address", verb, &format!("{LOST}/32"), "dev", "lo"]).status();
    assert!(set.unwrap().success());
}

fn inside() {
    const VANISHING: usize = 10;
    address("add");
    let (gateway, nginx) = start(quick().set("limits.close_wait=200ms"), 2);
    run(async {
        let healthy = open(CLIENTS, nginx.plain).await;
        let vanishing = join_all((0..VANISHING).map(|_| open_from(nginx.plain))).await;
        let vanishing: Vec<_> =
            vanishing.into_iter().map(|peer| tokio::task::spawn_local(live(peer))).collect();
        gateway.wait_for_connections(CLIENTS + VANISHING);
        until_all_answer(&gateway, CLIENTS + VANISHING).await;
        address("delete");
        until("those who vanished to be given up", || {
            (ended(&gateway.metrics()) >= VANISHING).then_some(())
        })
        .await;
        until_all_answer(&gateway, CLIENTS).await;
        gateway.wait_for_connections(CLIENTS);
        check_ends(&gateway, VANISHING, ["gateway", "pong_timeout", "1006"]);
        assert!(healthy.iter().all(|client| !client.is_finished()), "nobody else is touched");
        assert!(vanishing.iter().all(|client| !client.is_finished()), "they cannot know");
    });
}

/// A client at the address that will go.
async fn open_from(nginx: SocketAddr) -> Peer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{LOST}:0").parse().unwrap()).unwrap();
    let stream: TcpStream = socket.connect(nginx).await.unwrap();
    match Peer::over(stream, &Opening::new(PATH), nginx).await {
        Attempt::Opened(peer) => peer,
        Attempt::Refused(status) => panic!("refused with {status}"),
        Attempt::Failed(error) => panic!("not opened: {error}"),
    }
}
