//! Each way a connection ends, produced for real and seen at both ends: the code that the client
//! got, and what `/metrics` and the log say.

use super::support::{Gateway, Opening, Raw, Settings, masked_frame};

const PATH: &str = "/ws-notifications";

/// Ends one connection by `act` and checks what the gateway made of it.
#[track_caller]
fn check(settings: Settings, act: impl FnOnce(&Gateway, Raw), [initiator, cause, code]: [&str; 3]) {
    let gateway = settings.start();
    let client = Opening::new(PATH).open(gateway.public);
    act(&gateway, client);
    let labels = [("endpoint", PATH), ("initiator", initiator), ("cause", cause), ("code", code)];
    let line = gateway.closed_line();
    assert_eq!((&line["cause"], &line["code"]), (&cause.into(), &code.into()), "{line}");
    let metrics = gateway.wait_for_metric("disconnects_total", &labels, 1.0);
    assert_eq!(
        metrics.sum("disconnects_total", &[]),
        1.0,
        "{:?}",
        metrics.nonzero("disconnects_total")
    );
    metrics.check_sums();
}

#[test]
fn a_close_of_the_client_is_answered_and_counted_with_its_code() {
    for (code, label) in [(1000, "1000"), (1001, "1001"), (3500, "3xxx"), (4999, "4xxx")] {
        check(
            Settings::new(),
            |_, mut client| {
                client.send_close(code);
                assert_eq!(client.read_close().unwrap().close_code(), Some(code));
                assert!(client.reads_fin(), "FIN, not RST");
            },
            ["client", "client_close", label],
        );
    }
}

#[test]
fn half_a_frame_is_told_from_none() {
    check(Settings::new(), |_, client| drop(client), ["peer", "peer_eof", "1006"]);
    check(
        Settings::new(),
        |_, mut client| client.send(&masked_frame(0x81, b"hello")[..7]),
        ["peer", "peer_eof_in_frame", "1006"],
    );
}

#[test]
fn a_reset_is_told_from_an_end() {
    check(Settings::new(), |_, client| client.reset(), ["peer", "peer_reset", "1006"]);
}
