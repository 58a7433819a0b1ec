//! The process is told to end without delay: every client gets 1001, and the exit code is 0. How it
//! ends gently is in `drain.rs`.

use super::super::support::{Ends, Raw, Settings, wait_for};
use super::{BROADCAST, ECHO};

#[test]
fn sigint_sends_1001_to_everybody_and_ends_with_0() {
    let mut ends = Ends::of(Settings::new().start());
    let paths = [ECHO, BROADCAST, ECHO, ECHO, BROADCAST];
    let mut clients: Vec<_> =
        paths.iter().map(|path| Raw::open(ends.gateway.public, path)).collect();
    ends.gateway.signal("INT");
    for client in &mut clients {
        let close = client.read_frame().unwrap();
        assert_eq!(close.close_code(), Some(1001));
        assert_eq!(&close.payload[2..], b"gateway is shutting down");
    }
    // While one is open still, the others are counted already.
    for client in &mut clients[1..] {
        client.send_close(1001);
        assert_eq!(client.read_rest(), (vec![], true));
    }
    for _ in &clients[1..] {
        let line = ends.next_line("shutdown");
        let said = ["initiator", "cause", "code"].map(|field| line[field].as_str().unwrap());
        assert_eq!(said, ["gateway", "shutdown", "1001"], "{line}");
    }
    ends.check_counts("shutdown");
    clients[0].send_close(1001);
    assert_eq!(ends.gateway.wait_for_exit(), Some(0));
    let last = ends.next_line("the last one");
    assert_eq!(last["cause"], "shutdown", "{last}");
    assert_eq!(last["received_code"], 1001, "{last}");
    let stopped = wait_for("its last word", || ends.gateway.log("stopped").pop());
    assert_eq!(stopped["connections_left"], 0, "{stopped}");
    assert_eq!(stopped["connections_opened"], 5, "{stopped}");
    assert_eq!(stopped["connections_ended"], 5, "{stopped}");
}

/// A client that does not answer: `cut` ends what is left. It sees FIN behind its Close.
#[track_caller]
fn check_unanswered(settings: Settings, signal: &str, (cause, code): (&str, u16), cut: &[&str]) {
    let mut ends = Ends::of(settings.start());
    let mut client = Raw::open(ends.gateway.public, ECHO);
    ends.gateway.signal(signal);
    assert_eq!(client.read_frame().unwrap().close_code(), Some(code));
    for again in cut {
        assert_eq!(ends.gateway.metrics().sum("connections", &[]), 1.0, "it still waits");
        ends.gateway.signal(again);
    }
    assert_eq!(client.read_rest(), (vec![], true));
    assert_eq!(ends.gateway.wait_for_exit(), Some(0));
    let line = ends.next_line(signal);
    let said = ["initiator", "cause", "code"].map(|field| line[field].as_str().unwrap());
    assert_eq!(said, ["gateway", cause, "1006"], "{line}");
    assert_eq!(line["sent_code"], code, "{line}");
}

const SHUTDOWN: (&str, u16) = ("shutdown", 1001);
const DRAINING: (&str, u16) = ("draining", 1012);

#[test]
fn who_does_not_answer_is_cut_off_by_the_close_deadline() {
    let settings = || Settings::new().set("limits.close_wait=100ms").set("server.drain_timeout=1h");
    check_unanswered(settings(), "INT", SHUTDOWN, &[]);
    check_unanswered(settings(), "TERM", DRAINING, &[]);
}

#[test]
fn who_does_not_answer_is_cut_off_by_the_drain_timeout() {
    let settings = Settings::new().set("limits.close_wait=1h").set("server.drain_timeout=100ms");
    check_unanswered(settings, "TERM", DRAINING, &[]);
}

#[test]
fn who_does_not_answer_is_cut_off_by_a_second_signal_of_either_kind() {
    for (first, told) in [("TERM", DRAINING), ("INT", SHUTDOWN)] {
        for second in ["TERM", "INT"] {
            let patient =
                Settings::new().set("limits.close_wait=1h").set("server.drain_timeout=1h");
            check_unanswered(patient, first, told, &[second]);
        }
    }
}

#[test]
fn nothing_follows_the_1001_while_broadcasts_go_on() {
    let mut gateway = Settings::new().start();
    let clients: Vec<_> = (0..10).map(|_| Raw::open(gateway.public, BROADCAST)).collect();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                // Sends as long as it is taken, and goes on after the Close of the gateway.
                loop {
                    client.send_frame(1, b"to everybody");
                    match client.read_frame().expect("a message or the Close").opcode() {
                        1 => {}
                        8 => break,
                        other => panic!("opcode {other}"),
                    }
                }
                client.send_frame(1, b"too late");
                client.send_close(1001);
                assert_eq!(client.read_rest(), (vec![], true), "nothing after our Close");
            })
        })
        .collect();
    let sent = || gateway.metrics().sum("messages_total", &[("direction", "out")]);
    wait_for("broadcasts", || (sent() > 1000.0).then_some(()));
    gateway.signal("INT");
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(gateway.wait_for_exit(), Some(0));
    wait_for("all closing lines", || (gateway.log("connection closed").len() == 10).then_some(()));
    for line in gateway.log("connection closed") {
        assert_eq!((&line["cause"], &line["code"]), (&"shutdown".into(), &"1001".into()), "{line}");
    }
}

#[test]
fn a_gateway_that_is_killed_leaves_its_clients_without_a_close() {
    let gateway = Settings::new().start();
    let mut client = Raw::open(gateway.public, ECHO);
    gateway.signal("KILL");
    assert_eq!(client.read_rest(), (vec![], true), "FIN without Close: 1006");
}
