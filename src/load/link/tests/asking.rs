//! Where and how a link asks: URLs, headers, source addresses.

use std::mem::{size_of, size_of_val};

use super::{Server, run};
use crate::config::Secret;
use crate::load::Scenario;
use crate::load::link::{Connector, Link};

/// A connector's request for connection 7, without the key; or why there is none.
fn asked(change: impl FnOnce(&mut Scenario)) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut scenario = Scenario::holding("ws://127.0.0.1:8080/ws");
    change(&mut scenario);
    let connector = runtime.block_on(Connector::new(&scenario, &scenario.url))?;
    let (request, key) = connector.request(7);
    let request = String::from_utf8(request).unwrap();
    let end = format!("Sec-WebSocket-Key: {key}\r\n\r\n");
    Ok(request.strip_suffix(&end).expect("the key ends the request").to_owned())
}

#[test]
fn a_url_becomes_a_request_line_and_a_host() {
    let check = |url: &str, target: &str, host: &str| {
        let request = asked(|scenario| {
            scenario.url = url.to_owned();
            scenario.insecure = true;
        });
        let expected = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n");
        let request = request.unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(request.starts_with(&expected), "{url}: {request}");
    };
    check("ws://127.0.0.1", "/", "127.0.0.1");
    check("WS://127.0.0.1:80/", "/", "127.0.0.1");
    check("wss://127.0.0.1:443/a", "/a", "127.0.0.1");
    check("wss://127.0.0.1:80/a", "/a", "127.0.0.1:80");
    check("ws://127.0.0.1:8080?id=u{n}&n={n}", "/?id=u7&n=7", "127.0.0.1:8080");
    check("ws://LocalHost:1/{n}/%7Bn%7d", "/7/%7Bn%7d", "localhost:1");
    check("ws://[::1]/a//b?c=/?", "/a//b?c=/?", "[::1]");
    check("ws://[0:0::1]:8080/", "/", "[::1]:8080");
}

#[test]
fn a_url_that_is_none_is_refused_with_advice() {
    let check = |url: &str, expected: &str| {
        let error = asked(|scenario| scenario.url = url.to_owned()).unwrap_err();
        assert!(error.contains(expected) && !error.contains(['\r', '\n', '\u{1b}']), "{error}");
    };
    check("", "has no scheme: write ws://HOST");
    check("127.0.0.1:8080", "has no scheme");
    check("http://127.0.0.1/", "is neither ws:// nor wss://");
    check("ws://", "has no host");
    check("ws://:80/", "has no host");
    check("ws:///path", "has no host");
    check("ws://a b/", "has no host of letters");
    check("ws://a%41/", "has no host of letters");
    check("ws://b\u{fc}cher/", "has no host of letters");
    check("ws://u:p@127.0.0.1/", "has a user before the host");
    check("ws://a{n}/", "has {n} in its host or port");
    check("ws://127.0.0.1:{n}/", "has {n} in its host or port");
    check("ws://127.0.0.1:0/", "not between 1 and 65535");
    check("ws://127.0.0.1:65536/", "not between 1 and 65535");
    check("ws://127.0.0.1:/", "not between 1 and 65535");
    check("ws://127.0.0.1:+1/", "has a port that is no number");
    check("ws://[::1/", "has no ] behind its IPv6 address");
    check("ws://[fe80::1%25eth0]/", "has no IPv6 address in its brackets");
    check("ws://[::1]80/", "has a port that is no number");
    check("ws://127.0.0.1/#top", "has a fragment (#)");
    check("ws://127.0.0.1#top", "has a fragment (#)");
    check("ws://127.0.0.1/100%", "has a % without two hex digits");
    check("ws://127.0.0.1/%4", "has a % without two hex digits");
    check("ws://127.0.0.1/{name}", "has a brace that is not {n}");
    check("ws://127.0.0.1/a b", "write %20");
    check("ws://127.0.0.1/a HTTP/1.1\r\nX: y", "write %20");
    check("ws://127.0.0.1/\r\nX:y", "write %0D");
    check("ws://127.0.0.1/\u{1b}[2J", "write %1B");
    check("ws://127.0.0.1/\u{e9}", "write %C3");
    check("ws://name.invalid/", "the host name.invalid was not found");
}

#[test]
fn what_is_asked_for_is_in_the_request() {
    let request = asked(|scenario| {
        scenario.compression = true;
        scenario.subprotocols = vec!["gaugeway.v1".to_owned(), "chat".to_owned()];
        scenario.token = Some(Secret::new("abc.def"));
        scenario.headers = vec![
            ("Origin".to_owned(), "https://a.example".to_owned()),
            ("X-A".to_owned(), "1".to_owned()),
            ("X-A".to_owned(), String::new()),
        ];
    });
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover; client_max_window_bits\r\n\
         Sec-WebSocket-Protocol: gaugeway.v1, chat\r\nAuthorization: Bearer abc.def\r\n\
         User-Agent: gaugeway-load/{version}\r\nOrigin: https://a.example\r\nX-A: 1\r\nX-A: \r\n"
    );
    assert_eq!(request.unwrap(), expected);
}

#[test]
fn a_user_may_name_the_host_and_the_agent() {
    let request = asked(|scenario| {
        scenario.headers = vec![
            ("host".to_owned(), "a.example".to_owned()),
            ("USER-AGENT".to_owned(), "curl".to_owned()),
        ];
    });
    let request = request.unwrap();
    assert!(!request.contains("Host: ") && request.contains("host: a.example\r\n"), "{request}");
    assert!(!request.contains("gaugeway-load") && request.contains("USER-AGENT: curl\r\n"));
}

#[test]
fn no_header_ends_its_line() {
    let header = |name: &'static str, value: &'static str| {
        move |scenario: &mut Scenario| scenario.headers = vec![(name.to_owned(), value.to_owned())]
    };
    let check = |change: &dyn Fn(&mut Scenario), expected: &str| {
        let error = asked(change).unwrap_err();
        assert!(error.contains(expected) && !error.contains(['\r', '\n']), "{error}");
    };
    check(&header("", "a"), "--header ''");
    check(&header("A B", "a"), "--header 'A B'");
    check(&header("A\r\nB", "a"), "--header 'A\\r\\nB'");
    check(&header("A:", "a"), "--header 'A:'");
    check(&header("A", "b\r\nC: d"), "--header A: its value holds a control character");
    check(&header("A", "b\n"), "--header A: its value");
    check(&header("A", "b\0"), "--header A: its value");
    check(&header("A", " b"), "--header A: its value");
    check(&header("A", "\u{e9}"), "--header A: its value");
    check(&header("connection", "close"), "--header connection: the load client writes this one");
    check(&header("Sec-WebSocket-Key", "a"), "--header Sec-WebSocket-Key");
    check(&header("Transfer-Encoding", "chunked"), "--header Transfer-Encoding");
    check(&|scenario| scenario.token = Some(Secret::new("a\r\nB: c")), "--token-file");
    check(&|scenario| scenario.token = Some(Secret::new("")), "--token-file");
    let both = |scenario: &mut Scenario| {
        header("authorization", "Basic YTpi")(scenario);
        scenario.token = Some(Secret::new("a"));
    };
    check(&both, "--header Authorization and --token-file");
    check(&|scenario| scenario.subprotocols = vec!["a,b".to_owned()], "--subprotocol 'a,b'");
    check(&|scenario| scenario.subprotocols = vec!["a".to_owned(); 2], "--subprotocol a is given");
}

#[test]
fn a_source_address_must_be_ours_and_of_the_family() {
    let check = |source: &str, expected: Option<&str>| {
        let error = asked(|scenario| scenario.source_addresses = vec![source.parse().unwrap()]);
        match (error.err(), expected) {
            (None, None) => {}
            (Some(error), Some(expected)) => assert!(error.contains(expected), "{error}"),
            (error, _) => panic!("{source}: {error:?}"),
        }
    };
    check("127.0.0.9", None);
    check("::1", Some("--source-addresses ::1: 127.0.0.1 has no IPv6 address"));
    // For documentation (RFC 5737): nobody has it.
    check("192.0.2.1", Some("--source-addresses 192.0.2.1: this machine cannot send from it"));
}

#[test]
fn connections_take_turns_in_their_source_addresses() {
    run(async {
        let server = Server::new().await;
        let mut scenario = server.scenario();
        scenario.source_addresses =
            ["127.0.0.2", "127.0.0.3"].map(|source| source.parse().unwrap()).to_vec();
        let connector = Connector::new(&scenario, &scenario.url).await.unwrap();
        let mut seen = Vec::new();
        for number in 0..3 {
            let (transport, accepted) =
                tokio::join!(connector.transport(number, Some(4_096)), server.listener.accept());
            let transport = transport.unwrap();
            assert!(transport.tcp().nodelay().unwrap());
            seen.push(accepted.unwrap().1.ip().to_string());
        }
        assert_eq!(seen, ["127.0.0.2", "127.0.0.3", "127.0.0.2"]);
    });
}

#[test]
fn of_a_name_with_several_addresses_the_one_that_answers_is_taken() {
    run(async {
        let server = Server::new().await;
        let mut scenario = server.scenario();
        // Where localhost is ::1, too, nobody listens there.
        scenario.url = server.url.replace("127.0.0.1", "localhost");
        for sources in [vec![], vec!["127.0.0.4".parse().unwrap()]] {
            scenario.source_addresses = sources;
            let (link, peer) = server.opened(&scenario, "").await;
            assert!(link.is_ok() && peer.head.contains("\r\nHost: localhost:"));
        }
    });
}

#[test]
fn keys_are_new_each_time_and_sixteen_bytes_long() {
    run(async {
        let scenario = Scenario::holding("ws://127.0.0.1:1/");
        let connector = Connector::new(&scenario, &scenario.url).await.unwrap();
        let keys: std::collections::BTreeSet<_> =
            (0..100).map(|number| connector.request(number).1).collect();
        assert_eq!(keys.len(), 100);
        assert!(keys.iter().all(|key| key.len() == 24 && key.ends_with("==")), "{keys:?}");
    });
}

/// Tens of thousands of them live in one process; the kernel's part and tokio's come on top.
#[test]
fn an_idle_link_is_small() {
    run(async {
        let server = Server::new().await;
        let (link, _peer) = server.linked().await;
        assert!(size_of::<Link>() <= 320, "{} bytes", size_of::<Link>());
        assert_eq!(link.decoder.borrow().buffered_bytes(), 0);
        let running = link.run(|_| {});
        assert!(size_of_val(&running) <= 64, "{} bytes", size_of_val(&running));
        let scenario = server.scenario();
        let connector = Connector::new(&scenario, &scenario.url).await.unwrap();
        let opening = connector.open(0);
        assert!(size_of_val(&opening) <= 64, "{} bytes", size_of_val(&opening));
    });
}
