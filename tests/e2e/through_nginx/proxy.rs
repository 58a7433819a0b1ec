//! What nginx itself does to a tunnel, and how its log lines join with the gateway's.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::super::support::{NginxSettings, Opening, Raw, Settings, wait_for};
use super::{ECHO, Stand, open};

const EOF: [&str; 3] = ["peer", "peer_eof", "1006"];

/// Opens two connections on each way, lets nginx end them, and returns the gateway's lines.
#[track_caller]
fn check(
    nginx: impl FnOnce(NginxSettings) -> NginxSettings,
    act: impl FnOnce(&Stand, &mut [Raw]),
) -> (Stand, Vec<Value>) {
    let mut stand = Stand::start(Settings::new(), nginx);
    let mut clients: Vec<_> = stand
        .ways()
        .into_iter()
        .flat_map(|(_, address)| [open(address, ECHO), open(address, ECHO)])
        .collect();
    for client in &mut clients {
        client.echo(1, b"open");
    }
    act(&stand, &mut clients);
    for client in &mut clients {
        assert_eq!(client.read_rest(), (vec![], true), "FIN without Close: 1006");
    }
    let lines: Vec<_> = clients
        .iter()
        .map(|_| {
            let line = stand.ends.next_line("ended by nginx");
            let said = ["initiator", "cause", "code"].map(|field| line[field].as_str().unwrap());
            assert_eq!(said, EOF, "{line}");
            line
        })
        .collect();
    stand.ends.check_counts("ended by nginx");
    (stand, lines)
}

/// The workers that the gateway's lines name, once there are so many of these.
#[track_caller]
fn workers(stand: &Stand, connections: usize) -> BTreeSet<String> {
    wait_for("the opening lines", || {
        let lines = stand.ends.gateway.log("connection opened");
        let pids = lines.iter().map(|line| line["nginx_pid"].to_string());
        (lines.len() == connections).then(|| pids.collect())
    })
}

#[test]
fn an_idle_time_out_of_nginx_shows_as_a_fin_after_that_silence() {
    let (stand, lines) = check(|nginx| nginx.option("--read-timeout", "3s"), |_, _| {});
    for line in lines {
        let idle_seconds = line["idle_seconds"].as_f64().unwrap();
        // nginx's lazy timer fires up to 0.3 s early; a busy machine may see it late.
        assert!((2.6..10.0).contains(&idle_seconds), "{line}");
        assert!(line["socket_error"].is_null(), "{line}");
    }
    let metrics = stand.ends.gateway.metrics();
    assert!(metrics.sum("idle_at_close_seconds_sum", &[]) >= 4.0 * 2.6);
    assert!(stand.nginx.error_log().contains("upstream timed out (110: Connection timed out)"));
}

#[test]
fn an_nginx_that_is_told_to_end_takes_its_tunnels_with_it() {
    let (stand, _) = check(|nginx| nginx, |stand, _| stand.nginx.signal("TERM"));
    assert!(stand.nginx.access_log().is_empty(), "it writes no line of them");
}

#[test]
fn a_killed_worker_takes_its_tunnels_with_it() {
    let (stand, lines) = check(
        |nginx| nginx.option("--set", "worker_processes=2"),
        |stand, clients| {
            for pid in workers(stand, clients.len()) {
                assert!(
                    Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success()
                );
            }
        },
    );
    for line in lines {
        let said = format!("worker process {} exited on signal 9", line["nginx_pid"]);
        wait_for(&said, || stand.nginx.error_log().contains(&said).then_some(()));
    }
}

#[test]
fn a_reload_ends_the_tunnels_of_the_old_workers_after_their_time() {
    let (stand, lines) = check(
        |nginx| nginx.option("--set", "worker_shutdown_timeout=1s"),
        |stand, clients| {
            stand.nginx.signal("HUP");
            wait_for("the reload", || {
                stand.nginx.error_log().contains("gracefully shutting down").then_some(())
            });
            // Old tunnels go on in the old worker for a while.
            for client in clients {
                client.echo(1, b"still here");
            }
        },
    );
    for line in lines {
        let said = format!("{}#{0}: exiting", line["nginx_pid"]);
        wait_for(&said, || stand.nginx.error_log().contains(&said).then_some(()));
    }
}

#[test]
fn the_lines_of_nginx_and_the_gateway_join() {
    let mut stand = Stand::start(Settings::new(), |nginx| nginx);
    for (way, address) in stand.ways() {
        let mut client = open(address, ECHO);
        client.echo(2, &[1; 500]);
        client.send_close(1000);
        assert!(client.reads_fin());
        let closed = stand.ends.expect(way, ["client", "client_close", "1000"]);
        let access = wait_for("the access line", || {
            let lines = stand.nginx.access_log();
            lines.into_iter().find(|line| line["request_id"] == closed["request_id"])
        });
        assert_eq!(access["hostname"], closed["nginx_host"], "{way}");
        assert_eq!(access["pid"], closed["nginx_pid"], "{way}");
        assert_eq!(access["connection"], closed["nginx_connection"], "{way}");
        assert_eq!(access["remote_addr"], closed["remote"], "{way}");
        assert_eq!(access["status"], 101, "{way}");
        assert_eq!(access["scheme"], if way == "TLS" { "https" } else { "http" });
        // The gateway's bytes of the tunnel are those that nginx got, behind the answer's head.
        let received: u64 = access["upstream_bytes_received"].as_str().unwrap().parse().unwrap();
        assert!(received > closed["wire_bytes_out"].as_u64().unwrap(), "{access} {closed}");
        // The closing line is there, so the opening one is.
        let opened = stand.ends.gateway.log("connection opened");
        let opened = opened.last().unwrap();
        for field in ["request_id", "nginx_host", "nginx_pid", "nginx_connection"] {
            assert_eq!(opened[field], closed[field], "{way}: {field}");
            assert!(!closed[field].is_null(), "{way}: {field}");
        }
    }
}

#[test]
fn a_client_cannot_say_where_it_comes_from() {
    let mut stand = Stand::start(Settings::new(), |nginx| nginx);
    let opening = Opening::new(ECHO)
        .header("X-Request-ID", "forged")
        .header("X-Nginx-Host", "forged")
        .header("X-Nginx-Pid", "1")
        .header("X-Nginx-Connection", "1")
        .header("X-Real-IP", "192.0.2.1");
    drop(opening.open(stand.nginx.plain));
    let line = stand.ends.expect("a liar", EOF);
    assert_eq!(line["remote"], "127.0.0.1", "{line}");
    for field in ["request_id", "nginx_host"] {
        assert_ne!(line[field], "forged", "{line}");
    }
    assert_ne!(line["nginx_pid"], 1, "{line}");
}

#[test]
fn a_client_that_nginx_sees_in_a_trusted_network_cannot_choose_its_address_where_nginx_is_first() {
    // As with Docker's own proxy, from whose address such clients come: the gateway trusts 127.0.0.1.
    for (how, address) in [("append", "203.0.113.9"), ("replace", "127.0.0.1")] {
        let stand = Stand::start(Settings::new(), |nginx| nginx.option("--forwarded", how));
        let opening = Opening::new(ECHO).header("X-Forwarded-For", "203.0.113.9");
        for (_, way) in stand.ways() {
            opening.open(way);
        }
        let lines = || stand.ends.gateway.log("connection opened");
        let lines = wait_for("both to be logged", || Some(lines()).filter(|all| all.len() == 2));
        assert!(lines.iter().all(|line| line["remote"] == address), "{how}: {lines:?}");
    }
}
