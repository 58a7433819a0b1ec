//! A refused message's code arrives, every time: 1009 must not be lost to a RST, whatever the client
//! has still on its way.

use std::net::SocketAddr;

use serde_json::json;

use super::super::support::{Client, Raw, Settings, masked_frame};
use super::{ECHO, Stand, open};

const TIMES: usize = 50;

/// A raw client that writes all of its message before it looks; the code that it gets.
fn refused(address: SocketAddr, message: &[u8]) -> Option<u16> {
    let mut client = open(address, ECHO);
    let mut writer = Raw::from(client.stream.try_clone().unwrap());
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || writer.try_send(message));
        let code = client.read_close().and_then(|close| close.close_code());
        writing.join().unwrap();
        client.try_send(&masked_frame(0x88, &1009_u16.to_be_bytes()));
        code
    })
}

/// So many refused messages of this size on each way.
#[track_caller]
fn check(bytes: usize, times: usize) {
    let mut stand = Stand::start(Settings::new(), |nginx| nginx);
    let message = masked_frame(0x82, &vec![7; bytes]);
    for (way, address) in stand.ways() {
        let codes: Vec<_> = (0..times).map(|_| refused(address, &message)).collect();
        let arrived = codes.iter().filter(|code| **code == Some(1009)).count();
        assert_eq!(arrived, times, "1009 arrived, {way}, {bytes} bytes: {codes:?}");
        for _ in 0..times {
            let line = stand.ends.next_line(way);
            assert_eq!(line["cause"], "message_too_big", "{line}");
            assert_eq!(line["sent_code"], 1009, "{line}");
        }
    }
    stand.ends.check_counts("refused messages");
}

#[test]
fn the_code_of_a_refused_message_of_100_kib_arrives_50_times_of_50() {
    check(100 << 10, TIMES);
}

#[test]
fn the_code_of_a_refused_message_of_8_mb_arrives_10_times_of_10() {
    check(8_000_000, 10);
}

#[test]
fn a_stock_client_reads_the_code_50_times_of_50() {
    let stand = Stand::start(Settings::new(), |nginx| nginx);
    let urls = [
        format!("ws://{}{ECHO}", stand.nginx.plain),
        format!("wss://localhost:{}{ECHO}", stand.nginx.tls.port()),
    ];
    let run = |url: &str, bytes: usize| {
        let steps = json!([{ "send": { "bytes": bytes } }, { "wait_close": true }]);
        // Uncompressed: a payload with a period would shrink to nothing.
        let scenario =
            json!({ "url": url, "ca": stand.nginx.ca(), "compression": false, "steps": steps });
        let result = Client::Ws.run(&scenario);
        assert_eq!(result["close"]["code"], 1009, "{url}, {bytes} bytes: {result}");
        assert_eq!(result["close"]["clean"], true, "{result}");
    };
    // Half of them plain, half over TLS; most of a run is Node's start.
    std::thread::scope(|scope| {
        for url in &urls {
            scope.spawn(|| {
                for _ in 0..TIMES / 2 {
                    run(url, 100 << 10);
                }
                run(url, 8_000_000);
            });
        }
    });
    let refused = [("cause", "message_too_big"), ("code", "1009")];
    let all = (TIMES + 2) as f64;
    stand.ends.gateway.wait_for_metric("disconnects_total", &refused, all).check_sums();
}
