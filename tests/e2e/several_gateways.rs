//! Three gateways behind one nginx: by either method a client that comes again finds the gateway
//! it had, and the clients are spread over all three.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;

use super::support::{Gateway, Names, Nginx, NginxSettings, Opening, Raw, Settings, wait_for};

const ECHO: &str = "/ws-notifications";
const GATEWAYS: usize = 3;

/// Which gateways each client's connections went to.
type Homes = BTreeMap<String, BTreeSet<usize>>;

/// The gateways and the nginx before them.
struct Stand {
    gateways: Vec<Gateway>,
    nginx: Nginx,
    /// How many lines `connection opened` of each gateway were looked at.
    seen: [usize; GATEWAYS],
}

fn settings() -> Settings {
    Settings::new().set("server.drain_timeout=1s")
}

impl Stand {
    /// With addresses that nginx is given one by one.
    #[track_caller]
    fn start(balance: &str) -> Self {
        let gateways: Vec<_> = (0..GATEWAYS).map(|_| settings().start()).collect();
        let addresses: Vec<_> = gateways.iter().map(|gateway| gateway.public).collect();
        let nginx = NginxSettings::before(&addresses).option("--balance", balance).start();
        Self { gateways, nginx, seen: [0; GATEWAYS] }
    }

    /// As in compose: one name for all, and one port.
    #[track_caller]
    fn start_named(names: &Names, options: impl FnOnce(NginxSettings) -> NginxSettings) -> Self {
        let mut port = 0;
        let gateways = HOSTS.map(|host| {
            let gateway = settings().set(&format!("server.listen={host}:{port}")).start();
            port = gateway.public.port();
            gateway
        });
        let nginx = options(NginxSettings::of_compose(names, port)).start();
        Self { gateways: gateways.into(), nginx, seen: [0; GATEWAYS] }
    }

    /// One connection for each user, and where they went.
    #[track_caller]
    fn open_users(&mut self, users: &[String]) -> (Vec<Raw>, Homes) {
        let open = |user| Raw::open(self.nginx.plain, &format!("{ECHO}?user_id={user}"));
        let clients: Vec<_> = users.iter().map(open).collect();
        let homes = self.homes(clients.len(), |line| line["user"].as_str().unwrap().to_owned());
        (clients, homes)
    }

    /// One connection from each address, and where their /24s went.
    #[track_caller]
    fn open_from(&mut self, sources: &[String]) -> (Vec<Raw>, Homes) {
        let open = |source: &String| open_from(source, self.nginx.plain);
        let clients: Vec<_> = sources.iter().map(open).collect();
        let homes = self.homes(clients.len(), |line| {
            let remote: Ipv4Addr = line["remote"].as_str().unwrap().parse().unwrap();
            let [a, b, c, _] = remote.octets();
            format!("{a}.{b}.{c}")
        });
        (clients, homes)
    }

    /// Where the last so many connections went, by what names their client.
    #[track_caller]
    fn homes(&mut self, opened: usize, client: impl Fn(&Value) -> String) -> Homes {
        let lines = wait_for("a line for each connection", || {
            let new = |(index, gateway): (usize, &Gateway)| {
                gateway.log("connection opened").split_off(self.seen[index])
            };
            let lines: Vec<_> = self.gateways.iter().enumerate().map(new).collect();
            (lines.iter().map(Vec::len).sum::<usize>() == opened).then_some(lines)
        });
        let mut homes = Homes::new();
        for (index, lines) in lines.iter().enumerate() {
            self.seen[index] += lines.len();
            for line in lines {
                homes.entry(client(line)).or_default().insert(index);
            }
        }
        homes
    }

    /// Waits until each gateway has counted the connections that are at home there.
    #[track_caller]
    fn wait_for_counts(&self, homes: &Homes, each: usize) {
        let mut total = 0;
        for (index, gateway) in self.gateways.iter().enumerate() {
            let here = homes.values().filter(|home| home.contains(&index)).count() * each;
            gateway.wait_for_connections(here);
            total += here;
        }
        assert_eq!(total, homes.len() * each, "each connection is counted by one gateway");
    }

    /// Drops all clients and waits until nobody is connected and all that were have their line.
    #[track_caller]
    fn all_leave(&mut self, clients: Vec<Raw>) {
        drop(clients);
        for (index, gateway) in self.gateways.iter().enumerate() {
            let opened = gateway.wait_for_connections(0).sum("connections_opened_total", &[]);
            self.seen[index] = wait_for("the lines of all that were connected", || {
                Some(gateway.log("connection opened").len()).filter(|&lines| lines as f64 == opened)
            });
        }
    }
}

#[track_caller]
fn open_from(source: &str, address: SocketAddr) -> Raw {
    let mut raw = Raw::connect_from(source, address);
    raw.send(&Opening::new(ECHO).bytes(address));
    let head = raw.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    raw
}

fn users(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("user-{number}")).collect()
}

/// Each client has one home, and every gateway is home to several.
#[track_caller]
fn check_sticky_and_spread(homes: &Homes, clients: usize) {
    assert_eq!(homes.len(), clients);
    let torn: Vec<_> = homes.iter().filter(|(_, home)| home.len() != 1).collect();
    assert!(torn.is_empty(), "at several gateways: {torn:?}");
    for gateway in 0..GATEWAYS {
        let here = homes.values().filter(|home| home.contains(&gateway)).count();
        // A third would be fair; a fifth of that is no spreading.
        assert!(here * 15 > clients, "gateway {gateway} has {here} of {clients}");
    }
}

#[test]
fn all_connections_of_a_user_land_on_one_gateway_and_a_stop_moves_only_its_own() {
    const STOPPED: usize = 1;
    let mut stand = Stand::start("user");
    let users = users(60);
    let twice = [users.clone(), users.clone()].concat();
    let (clients, homes) = stand.open_users(&twice);
    check_sticky_and_spread(&homes, users.len());
    stand.wait_for_counts(&homes, 2);
    stand.all_leave(clients);
    let (mut clients, again) = stand.open_users(&users);
    assert_eq!(again, homes, "who comes again finds the same gateway");

    stand.gateways[STOPPED].signal("TERM");
    for (user, client) in users.iter().zip(&mut clients) {
        if homes[user].contains(&STOPPED) {
            let close = client.read_close().expect("the one that stops says goodbye");
            client.send_close(close.close_code().unwrap());
        } else {
            client.echo(1, b"still here");
        }
    }
    assert_eq!(stand.gateways[STOPPED].wait_for_exit(), Some(0));
    let (_moved_clients, moved) = stand.open_users(&users);
    for (user, home) in &moved {
        if homes[user].contains(&STOPPED) {
            assert!(!home.contains(&STOPPED), "{user} went to a gateway that is gone");
        } else {
            assert_eq!(home, &homes[user], "{user} did not have to move");
        }
    }
    // Both others take some of them over.
    let heirs: BTreeSet<_> = users
        .iter()
        .filter(|user| homes[*user].contains(&STOPPED))
        .flat_map(|user| moved[user].clone())
        .collect();
    assert_eq!(heirs, BTreeSet::from([0, 2]));
}

#[test]
fn all_clients_of_one_network_land_on_one_gateway_and_networks_are_spread() {
    let mut stand = Stand::start("ip");
    let networks = 45;
    let sources: Vec<_> =
        (1..=networks).flat_map(|n| [format!("127.0.{n}.1"), format!("127.0.{n}.200")]).collect();
    let (clients, homes) = stand.open_from(&sources);
    check_sticky_and_spread(&homes, networks);
    stand.wait_for_counts(&homes, 2);
    stand.all_leave(clients);
    let (_clients, again) = stand.open_from(&sources);
    assert_eq!(again, homes, "who comes again finds the same gateway");
}

const HOSTS: [Ipv4Addr; GATEWAYS] =
    [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4)];

/// Opens one connection after the other until every gateway has had one: nginx has read the name.
#[track_caller]
fn wait_until_all_are_found(stand: &mut Stand) {
    let before = stand.seen;
    let mut number = 0;
    wait_for("all gateways to be found", || {
        number += 1;
        open_from(&format!("127.0.{}.9", number % 250), stand.nginx.plain);
        Raw::open(stand.nginx.plain, &format!("{ECHO}?user_id=probe-{number}"));
        let found = |(gateway, before): (&Gateway, &usize)| {
            gateway.log("connection opened").len() > *before
        };
        stand.gateways.iter().zip(&before).all(found).then_some(())
    });
    stand.all_leave(Vec::new());
}

/// nginx as in compose, of whose gateways only the first is there at the start.
#[track_caller]
fn scaled_up(options: impl FnOnce(NginxSettings) -> NginxSettings) -> Stand {
    let names = Names::start(&HOSTS[..1]);
    let mut stand = Stand::start_named(&names, options);
    wait_for("the first gateway to be found", || {
        let mut probe = Raw::connect(stand.nginx.plain);
        probe.send(&Opening::new(ECHO).bytes(stand.nginx.plain));
        probe.read_head().starts_with("HTTP/1.1 101 ").then_some(())
    });
    stand.all_leave(Vec::new());
    let (clients, homes) = stand.open_users(&users(10));
    assert!(homes.values().flatten().all(|&home| home == 0), "there is only one: {homes:?}");
    stand.all_leave(clients);
    names.set(&HOSTS);
    wait_until_all_are_found(&mut stand);
    stand
}

#[test]
fn gateways_of_one_name_are_found_without_a_reload_and_users_stick_to_them() {
    let mut stand = scaled_up(|nginx| nginx.option("--balance", "user"));
    let users = users(60);
    let (clients, homes) = stand.open_users(&[users.clone(), users.clone()].concat());
    check_sticky_and_spread(&homes, users.len());
    stand.wait_for_counts(&homes, 2);
    stand.all_leave(clients);
    assert_eq!(stand.open_users(&users).1, homes, "who comes again finds the same gateway");
}

#[test]
fn gateways_of_one_name_are_found_without_a_reload_and_networks_stick_to_them() {
    let mut stand = scaled_up(|nginx| nginx);
    let networks = 45;
    let sources: Vec<_> =
        (1..=networks).flat_map(|n| [format!("127.0.{n}.1"), format!("127.0.{n}.200")]).collect();
    let (_clients, homes) = stand.open_from(&sources);
    check_sticky_and_spread(&homes, networks);
}

/// Why `nginx/compose/upstream.conf` does not say `consistent`.
#[test]
fn a_consistent_hash_tears_users_apart_when_gateways_share_one_name() {
    let mut stand = scaled_up(|nginx| {
        nginx.option("--balance", "user").option("--set", "hash=$arg_user_id consistent")
    });
    let users = users(20);
    let thrice = [users.clone(), users.clone(), users].concat();
    let (_clients, homes) = stand.open_users(&thrice);
    assert!(homes.values().any(|home| home.len() > 1), "{homes:?}");
}
