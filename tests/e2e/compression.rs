//! permessage-deflate end to end: what is agreed on, what is compressed, and that `/metrics` counts
//! exactly what a third party saw on the wire.

use serde_json::{Value, json};

use super::support::{
    Client, Inflate, Opening, Raw, Relay, Route, Settings, Site, deflated_frame, masked_frame,
};

const ECHO: &str = "/ws-notifications";
/// What is answered to an offer without wishes.
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

fn opening(offers: &[&str]) -> Opening {
    let header = |opening: Opening, offer: &&str| opening.header("Sec-WebSocket-Extensions", offer);
    offers.iter().fold(Opening::new(ECHO), header)
}

/// Opens with these offers; the socket, and what was answered to them.
#[track_caller]
fn negotiate(address: std::net::SocketAddr, offers: &[&str]) -> (Raw, Option<String>) {
    let mut raw = Raw::connect(address);
    raw.send(&opening(offers).bytes(address));
    let head = raw.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{offers:?}: {head}");
    let answer = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-extensions").then(|| value.to_owned())
    });
    (raw, answer)
}

/// Text that refers back over more than the smallest window, to its begin again and again.
fn text(length: usize) -> Vec<u8> {
    let words = (0..).flat_map(|index| format!("notification {} ", index % 300).into_bytes());
    words.take(length).collect()
}

/// Bytes that nothing compresses (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes = std::iter::from_fn(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some((state >> 32) as u8)
    });
    bytes.take(length).collect()
}

#[test]
fn each_offer_is_agreed_on_or_declined_and_the_connection_opens_in_any_case() {
    let site = Site::start(Settings::new());
    let window = |bits| Some(format!("{AGREED}; server_max_window_bits={bits}"));
    let agreed = || Some(AGREED.to_owned());
    let cases: &[(&[&str], Option<String>, u8)] = &[
        (&[], None, 0),
        (&["permessage-deflate"], agreed(), 15),
        (&["permessage-deflate; client_max_window_bits"], agreed(), 15),
        (
            &["permessage-deflate; client_max_window_bits=10"],
            Some(format!("{AGREED}; client_max_window_bits=10")),
            15,
        ),
        (&["permessage-deflate; server_max_window_bits=9"], window(9), 9),
        (&["permessage-deflate; server_max_window_bits=10"], window(10), 10),
        (&["permessage-deflate; server_max_window_bits=\"12\""], window(12), 12),
        (&["permessage-deflate; server_max_window_bits=15"], window(15), 15),
        (&["permessage-deflate; server_no_context_takeover"], agreed(), 15),
        // Several offers: the first that can be accepted.
        (&["permessage-deflate; server_max_window_bits=8, permessage-deflate"], agreed(), 15),
        (&["permessage-deflate; server_max_window_bits=8", "permessage-deflate"], agreed(), 15),
        (&["x-webkit-deflate-frame, permessage-deflate"], agreed(), 15),
        (&["permessage-deflate; server_max_window_bits=11, permessage-deflate"], window(11), 11),
        // None that can be.
        (&["permessage-deflate; server_max_window_bits=8"], None, 0),
        (&["permessage-deflate; server_max_window_bits"], None, 0),
        (&["permessage-deflate; server_max_window_bits=16"], None, 0),
        (&["permessage-deflate; server_max_window_bits=010"], None, 0),
        (&["permessage-deflate; client_max_window_bits=7"], None, 0),
        (&["permessage-deflate; client_no_context_takeover=1"], None, 0),
        (&["permessage-deflate; server_no_context_takeover; server_no_context_takeover"], None, 0),
        (&["permessage-deflate; unheard_of"], None, 0),
        (&["permessage-deflate;;"], None, 0),
        (&["permessage-deflate; server_max_window_bits=\"10"], None, 0),
        (&["x-webkit-deflate-frame"], None, 0),
        (&[", ,"], None, 0),
    ];
    for (offers, expected, bits) in cases {
        for route in [Route::Direct, Route::Plain] {
            let (mut raw, answer) = negotiate(site.address(route), offers);
            assert_eq!(answer, *expected, "{route:?} {offers:?}");
            let payload = text(20_000);
            raw.send_frame(1, &payload);
            let frame = raw.read_frame().unwrap();
            assert_eq!(frame.first_byte, if *bits == 0 { 0x81 } else { 0xc1 }, "{offers:?}");
            assert!(Inflate::new((*bits).max(9)).read(&frame) == payload, "{offers:?}");
        }
    }
}

#[test]
fn where_it_is_off_nobody_gets_it() {
    let site = Site::start(Settings::new().set("compression.enabled=false"));
    let steps = json!([{ "send": { "text_length": 5000 } }, { "expect": { "text_length": 5000 } }]);
    for client in Client::ALL {
        let mut scenario = site.scenario(Route::Tls, ECHO, &steps);
        scenario["insecure"] = (client == Client::Chromium).into();
        let result = client.run(&scenario);
        assert_eq!(result["ok"], true, "{result}");
        assert_eq!(result["extensions"], "", "{result}");
    }
    let (mut raw, answer) = negotiate(site.gateway.public, &["permessage-deflate"]);
    assert_eq!(answer, None);
    raw.send_frame(1, &text(5000));
    assert_eq!(raw.read_frame().unwrap().payload, text(5000));
    let metrics = site.gateway.metrics();
    assert_eq!(metrics.sum("messages_compressed_total", &[]), 0.0);
}

#[test]
fn where_it_is_required_a_client_without_it_gets_400() {
    let site = Site::start(Settings::new().file(&format!(
        "[[endpoint]]\npath = \"{ECHO}\"\ninbound = \"echo\"\nrequire_compression = true\n"
    )));
    let steps = json!([{ "send": { "text_length": 5000 } }, { "expect": { "text_length": 5000 } }]);
    for client in [Client::Ws, Client::Python] {
        for route in Route::ALL {
            let mut scenario = site.scenario(route, ECHO, &steps);
            assert_eq!(client.run(&scenario)["ok"], true, "{client:?} {route:?}");
            scenario["compression"] = false.into();
            let result = client.run(&scenario);
            assert_eq!(result["refused"]["status"], 400, "{client:?} {route:?}: {result}");
            let body = result["refused"]["body"].as_str().unwrap();
            assert!(body.contains("\"code\":\"compression_required\""), "{body}");
        }
    }
    // An offer that must be declined is as good as none.
    let mut raw = Raw::connect(site.gateway.public);
    let opening = opening(&["permessage-deflate; server_max_window_bits=8"]);
    raw.send(&opening.bytes(site.gateway.public));
    assert!(raw.read_head().starts_with("HTTP/1.1 400 "));
    let metrics = site.gateway.metrics();
    let outcome = |outcome| [("endpoint", ECHO), ("outcome", outcome)];
    assert_eq!(metrics.sum("handshakes_total", &outcome("compression_required")), 7.0);
    assert_eq!(metrics.sum("handshakes_total", &outcome("accepted")), 6.0);
}

#[test]
fn only_what_is_long_enough_is_compressed() {
    for (min_bytes, sizes) in [
        (128, vec![(0, false), (1, false), (127, false), (128, true), (129, true)]),
        (0, vec![(0, false), (1, false), (60, true)]),
        (70_000, vec![(128, false), (65536, false)]),
    ] {
        let settings = Settings::new().set(&format!("compression.min_bytes={min_bytes}"));
        let gateway = settings.start();
        let mut raw = opening(&["permessage-deflate"]).open(gateway.public);
        for (size, compressed) in sizes {
            let payload = vec![b'a'; size];
            raw.send_frame(1, &payload);
            let frame = raw.read_frame().unwrap();
            assert_eq!(frame.first_byte & 0x40 != 0, compressed, "{size} of {min_bytes}");
            assert_eq!(Inflate::new(15).read(&frame), payload, "{size} of {min_bytes}");
        }
    }
}

#[test]
fn every_level_gives_a_stream_that_inflates_and_a_higher_one_no_more_bytes() {
    let payload = text(60_000);
    let sizes = (1..=9).map(|level| {
        let gateway = Settings::new().set(&format!("compression.level={level}")).start();
        let mut raw = opening(&["permessage-deflate"]).open(gateway.public);
        raw.send_frame(1, &payload);
        let frame = raw.read_frame().unwrap();
        assert!(Inflate::new(15).read(&frame) == payload, "level {level}");
        frame.payload.len()
    });
    let sizes: Vec<_> = sizes.collect();
    assert!(sizes.iter().all(|size| *size < payload.len() / 4), "{sizes:?}");
    assert!(sizes[8] < sizes[0], "the level matters: {sizes:?}");
}

#[test]
fn noise_goes_out_plain_and_leaves_nothing_behind_in_a_kept_context() {
    for takeover in [false, true] {
        let settings = Settings::new().set(&format!("compression.context_takeover={takeover}"));
        let gateway = settings.start();
        let mut raw = opening(&["permessage-deflate"]).open(gateway.public);
        let mut inflate = Inflate::new(15);
        if takeover {
            inflate = Inflate::with_takeover(15);
        }
        let (similar, noise) = (text(2000), noise(3000));
        let order = [&similar, &similar, &noise, &similar, &noise, &similar, &similar];
        for payload in order {
            raw.send_frame(2, payload);
            let frame = raw.read_frame().unwrap();
            assert_eq!(frame.first_byte == 0x82, payload == &noise, "takeover {takeover}");
            assert!(inflate.read(&frame) == *payload, "takeover {takeover}");
        }
        let compressed = gateway.metrics().sum("messages_compressed_total", &[]);
        assert_eq!(compressed, 5.0, "noise counts as what it was: plain");
    }
}

#[test]
fn with_context_takeover_similar_messages_shrink_for_ws_and_python() {
    let message = "the order 4711 of customer 42 has left the warehouse in Lüneburg. ".repeat(4);
    for takeover in [true, false] {
        let settings = Settings::new().set(&format!("compression.context_takeover={takeover}"));
        let gateway = settings.start();
        for client in [Client::Ws, Client::Python] {
            let relay = Relay::start(gateway.public);
            let steps = (0..20)
                .map(|index| format!("{index}: {message}"))
                .flat_map(|text| [json!({ "send": text }), json!({ "expect": text })]);
            let scenario: Value = json!({
                "url": format!("ws://{}{ECHO}", relay.address),
                "steps": steps.collect::<Vec<_>>(),
            });
            let result = client.run(&scenario);
            assert_eq!(result["ok"], true, "{client:?} {takeover}: {result}");
            let (frames, _) = &relay.sent_by_server()[0];
            let sizes: Vec<_> = frames
                .iter()
                .filter(|frame| frame.first_byte == 0xc1)
                .map(|frame| frame.payload.len())
                .collect();
            assert_eq!(sizes.len(), 20, "{client:?} {takeover}");
            let shrunk = sizes[1..].iter().all(|size| *size * 2 < sizes[0]);
            assert_eq!(shrunk, takeover, "{client:?} {takeover}: {sizes:?}");
        }
    }
}

#[test]
fn the_metrics_are_exactly_what_crossed_the_wire() {
    let site = Site::start(Settings::new());
    let relay = Relay::start(site.gateway.public);
    let mut messages: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for size in [0, 1, 125, 126, 127, 128, 1000, 65535, 65536] {
        messages.push((text(size), masked_frame(0x81, &text(size))));
        messages.push((noise(size), masked_frame(0x82, &noise(size))));
        if size >= 128 {
            messages.push((text(size), deflated_frame(&text(size))));
        }
    }
    let whole = text(3000);
    let fragments = [(0x01, &whole[..10]), (0x00, &[][..]), (0x80, &whole[10..])];
    let fragments = fragments.map(|(first, payload)| masked_frame(first, payload)).concat();
    messages.push((whole, fragments));

    for offers in [&["permessage-deflate"][..], &[]] {
        let mut raw = opening(offers).open(relay.address);
        for (payload, frames) in &messages {
            if offers.is_empty() && frames[0] & 0x40 != 0 {
                continue;
            }
            raw.send(frames);
            let frame = raw.read_frame().unwrap();
            assert!(Inflate::new(15).read(&frame) == *payload);
        }
        raw.send_frame(9, b"ping");
        assert_eq!(raw.read_frame().unwrap().opcode(), 10);
        raw.send_close(1000);
        raw.read_close().unwrap();
        assert!(raw.reads_fin());
    }
    let metrics = site.gateway.wait_for_metric("disconnects_total", &[], 2.0);
    for (direction, connections) in
        [("in", relay.sent_by_clients()), ("out", relay.sent_by_server())]
    {
        let labels = [("direction", direction)];
        let check = |name: &str, expected: f64| {
            let counted = metrics.sum(name, &labels);
            assert!((counted - expected).abs() < 1e-6, "{name} {direction}: {counted} {expected}");
        };
        check("wire_bytes_total", connections.iter().map(|(_, bytes)| *bytes as f64).sum());
        let frames = || connections.iter().flat_map(|(frames, _)| frames);
        let ratios = frames()
            .filter(|frame| frame.first_byte & 0x40 != 0)
            .map(|frame| Inflate::new(15).read(frame).len() as f64 / frame.payload.len() as f64);
        check("messages_compressed_total", ratios.clone().count() as f64);
        check("compression_ratio_count", ratios.clone().count() as f64);
        check("compression_ratio_sum", ratios.sum());
        // Neither has fragments in "out"; "in" has one message in three frames.
        let payload: usize = frames()
            .filter(|frame| frame.opcode() < 8)
            .map(|frame| match frame.first_byte & 0x40 {
                0 => frame.payload.len(),
                _ => Inflate::new(15).read(frame).len(),
            })
            .sum();
        check("payload_bytes_total", payload as f64);
        check("message_size_bytes_sum", payload as f64);
        let count = |opcode| frames().filter(|frame| frame.opcode() == opcode).count() as f64;
        check("message_size_bytes_count", count(1) + count(2));
        for (opcode, name) in [(1, "text"), (2, "binary"), (8, "close"), (9, "ping"), (10, "pong")]
        {
            let labels = [("direction", direction), ("opcode", name)];
            assert_eq!(metrics.sum("messages_total", &labels), count(opcode), "{direction} {name}");
        }
    }
    let logged = |field: &str| -> u64 {
        let lines = site.gateway.log("connection closed");
        lines.iter().map(|line| line[field].as_u64().unwrap()).sum()
    };
    assert_eq!(
        logged("wire_bytes_in") as f64,
        metrics.sum("wire_bytes_total", &[("direction", "in")])
    );
    assert_eq!(
        logged("wire_bytes_out") as f64,
        metrics.sum("wire_bytes_total", &[("direction", "out")])
    );
}
