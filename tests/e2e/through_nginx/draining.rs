//! A restart as clients behind nginx see it.

use super::super::support::{Settings, wait_for};
use super::{ECHO, Stand, open};

#[test]
fn a_drain_reaches_clients_behind_nginx_with_code_and_hint() {
    let mut stand = Stand::start(Settings::new().set("server.drain_timeout=4s"), |nginx| nginx);
    let ways = stand.ways();
    let clients = ways.map(|(way, address)| (way, open(address, ECHO)));
    stand.ends.gateway.signal("TERM");
    let clients = clients.map(|(way, mut client)| {
        std::thread::spawn(move || {
            let close = client.read_close().unwrap();
            assert_eq!(close.close_code(), Some(1012), "{way}");
            let reason = String::from_utf8(close.payload[2..].to_vec()).unwrap();
            assert!(reason.starts_with("restarting; reconnect_after_ms="), "{way}: {reason}");
            client.send_close(1012);
            assert_eq!(client.read_rest(), (vec![], true), "{way}");
        })
    });
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(stand.ends.gateway.wait_for_exit(), Some(0));
    for (way, _) in ways {
        let line = stand.ends.next_line(way);
        assert_eq!((&line["cause"], &line["code"]), (&"draining".into(), &"1012".into()), "{line}");
    }
}

#[test]
fn a_killed_gateway_shows_as_1006_and_its_successor_takes_the_clients_back() {
    let stand = Stand::start(Settings::new(), |nginx| nginx);
    let address = stand.ends.gateway.public;
    let ways = stand.ways();
    let mut clients: Vec<_> = ways.iter().map(|(_, way)| open(*way, ECHO)).collect();
    stand.ends.gateway.signal("KILL");
    for client in &mut clients {
        assert_eq!(client.read_rest(), (vec![], true), "FIN without Close: 1006");
    }
    let Stand { ends, nginx: _nginx, bridge: _bridge } = stand;
    drop(ends);
    let successor = Settings::new().set(&format!("server.listen={address}")).start();
    for (way, address) in ways {
        open(address, ECHO).echo(1, way.as_bytes());
    }
    let opened = successor.metrics().sum("connections_opened_total", &[]);
    assert_eq!(opened, 2.0);
    wait_for("both ends", || (successor.log("connection closed").len() == 2).then_some(()));
}
