//! `POST /api/v1/publish`: what is sent reaches those it is for, as sent and in its order.

use serde_json::{Value, json};

use super::support::{Api, Frame, Gateway, Opening, Raw, Settings, swarm, wait_for};

const ECHO: &str = "/ws-notifications";
const BROADCAST: &str = "/ws";

#[track_caller]
fn next(client: &mut Raw) -> (u8, String) {
    let frame = client.read_frame().expect("a frame");
    (frame.first_byte, String::from_utf8_lossy(&frame.payload).into_owned())
}

#[test]
fn a_message_reaches_those_it_is_for() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let mut clients = [
        Raw::open(gateway.public, "/ws-notifications?user_id=42"),
        Raw::open(gateway.public, "/im?user_id=42"),
        Raw::open(gateway.public, "/ws?id=k%C3%B6nig"),
    ];
    gateway.wait_for_connections(3);
    let mut seq = 0;
    let mut check = |to: Value, receivers: &[usize]| {
        seq += 1;
        let answer = api.publish(&json!({ "to": to, "text": format!("message {seq}") }));
        assert_eq!(answer, json!({ "seq": seq, "receivers": receivers.len() }), "{to}");
        for receiver in receivers {
            assert_eq!(next(&mut clients[*receiver]), (0x81, format!("message {seq}")), "{to}");
        }
    };
    check(json!({ "user": "42" }), &[0, 1]);
    check(json!({ "user": "k\u{f6}nig" }), &[2]);
    check(json!({ "user": "nobody" }), &[]);
    check(json!({ "endpoint": "/im" }), &[1]);
    check(json!({ "endpoint": "/ws/" }), &[2]);
    check(json!({ "everyone": true }), &[0, 1, 2]);
    let metrics = gateway.wait_for_metric("deliveries_total", &[], 8.0);
    assert_eq!(metrics.sum("publications_total", &[("source", "api")]), 6.0);
    assert_eq!(metrics.sum("publications_total", &[]), 6.0);
}

#[test]
fn a_payload_arrives_as_it_was_sent() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let mut client = Raw::open(gateway.public, ECHO);
    let mut check = |payload: &str, first_byte: u8, expected: &[u8]| {
        let body = format!(r#"{{"to":{{"everyone":true}},{payload}}}"#);
        assert_eq!(api.well("POST", "/api/v1/publish", &body)["receivers"], 1);
        let expected = Frame { first_byte, payload: expected.to_vec() };
        assert_eq!(client.read_frame(), Some(expected), "{payload}");
    };
    check(r#""data":{"b": 1.50, "a":[null ] }"#, 0x81, br#"{"b": 1.50, "a":[null ] }"#);
    check(r#""data":null"#, 0x81, b"null");
    check(r#""text":"\u00f6\n""#, 0x81, "\u{f6}\n".as_bytes());
    check(r#""text":"""#, 0x81, b"");
    check(r#""data_base64":"AAH/""#, 0x82, &[0, 1, 255]);
    check(r#""data_base64":"AA""#, 0x82, &[0]);
    let long = "x".repeat(100_000);
    check(&format!(r#""text":"{long}""#), 0x81, long.as_bytes());
}

#[test]
fn a_message_is_compressed_unless_the_publisher_forbids_it() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let mut client = Opening::new(ECHO).deflate().open(gateway.public);
    for (compress, first_byte) in [(true, 0xc1), (false, 0x81)] {
        let text = "gaugeway ".repeat(100);
        api.publish(&json!({ "to": { "everyone": true }, "text": text, "compress": compress }));
        assert_eq!(client.read_frame().unwrap().first_byte, first_byte, "compress: {compress}");
    }
}

#[test]
fn batches_stay_whole_and_in_order() {
    const PUBLISHERS: usize = 4;
    const BATCHES: usize = 10;
    const EACH: usize = 25;
    let gateway = Gateway::start();
    let mut client = Raw::open(gateway.public, BROADCAST);
    let send = |publisher: usize| {
        let mut api = Api::of(&gateway);
        for batch in 0..BATCHES {
            let one =
                |index| json!({ "to": { "everyone": true }, "data": [publisher, batch, index] });
            let answer = api.publish(&(0..EACH).map(one).collect());
            let answers = answer.as_array().unwrap();
            let first = answers[0]["seq"].as_u64().unwrap();
            let seqs = answers.iter().map(|answer| answer["seq"].as_u64().unwrap());
            assert!(seqs.eq(first..first + EACH as u64), "{answers:?}");
            assert!(answers.iter().all(|answer| answer["receivers"] == 1), "{answers:?}");
        }
    };
    let got: Vec<[usize; 3]> = std::thread::scope(|scope| {
        (0..PUBLISHERS).for_each(|publisher| drop(scope.spawn(move || send(publisher))));
        let frames = std::iter::from_fn(|| client.read_frame()).take(PUBLISHERS * BATCHES * EACH);
        frames.map(|frame| serde_json::from_slice(&frame.payload).unwrap()).collect()
    });
    let mut batches_of = [0; PUBLISHERS];
    for batch in got.chunks(EACH) {
        let [publisher, number, _] = batch[0];
        let whole: Vec<_> = (0..EACH).map(|index| [publisher, number, index]).collect();
        assert_eq!(batch, whole, "nothing stands between");
        assert_eq!(number, batches_of[publisher], "one batch after the other");
        batches_of[publisher] += 1;
    }
    assert_eq!(batches_of, [BATCHES; PUBLISHERS]);
}

#[test]
fn a_bad_publication_in_a_batch_publishes_nothing() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let mut client = Raw::open(gateway.public, ECHO);
    let good = json!({ "to": { "everyone": true }, "text": "good" });
    let bad = json!({ "to": { "endpoint": "/gone" }, "text": "bad" });
    let answer = api.call("POST", "/api/v1/publish", &json!([good, good, bad]).to_string());
    assert_eq!(answer.refused("a bad batch", 400, "unknown_endpoint"), "[2].to.endpoint");
    let hint = answer.error()["hint"].to_string();
    assert!(hint.contains("/ws-notifications, /ws, /im"), "{hint}");
    assert_eq!(api.publish(&good), json!({ "seq": 1, "receivers": 1 }));
    assert_eq!(next(&mut client).1, "good");
}

#[test]
fn a_thousand_requests_at_once_lose_nothing() {
    const CONNECTIONS: usize = 100;
    const EACH: usize = 10;
    let gateway = Gateway::start();
    let mut client = Raw::open(gateway.public, BROADCAST);
    let admin = gateway.admin;
    let mut seqs: Vec<u64> = swarm::run(async {
        let publishers: Vec<_> = (0..CONNECTIONS)
            .map(|number| tokio::spawn(swarm::publish_each(admin, BROADCAST, number, EACH)))
            .collect();
        let mut seqs = Vec::new();
        for publisher in publishers {
            seqs.extend(publisher.await.unwrap());
        }
        seqs
    });
    seqs.sort_unstable();
    assert!(seqs.into_iter().eq(1..=(CONNECTIONS * EACH) as u64), "each number once");
    let mut next_of = vec![0; CONNECTIONS];
    for _ in 0..CONNECTIONS * EACH {
        let (_, text) = next(&mut client);
        let (number, index) = text.split_once(' ').unwrap();
        let next: &mut usize = &mut next_of[number.parse::<usize>().unwrap()];
        assert_eq!(index, next.to_string(), "a publisher's order");
        *next += 1;
    }
    let ok = [("route", "/api/v1/publish"), ("method", "POST"), ("status", "200")];
    gateway.wait_for_metric("http_requests_total", &ok, (CONNECTIONS * EACH) as f64);
}

#[test]
fn a_gateway_that_ends_publishes_nothing_more() {
    let gateway = Settings::new().set("limits.close_wait=60s").start();
    // It does not answer its Close, so that the gateway is ending for long.
    let _stubborn = Raw::open(gateway.public, ECHO);
    let mut api = Api::of(&gateway);
    let body = json!({ "to": { "everyone": true }, "text": "x" });
    api.publish(&body);
    gateway.signal("INT");
    let answer = wait_for("a refusal", || {
        let answer = api.call("POST", "/api/v1/publish", &body.to_string());
        (answer.status != 200).then_some(answer)
    });
    answer.refused("a publication at the end", 503, "shutting_down");
    let stats = api.well("GET", "/api/v1/stats", "");
    assert_eq!(stats["stage"], "stopping");
}

#[test]
fn a_request_that_is_under_way_at_the_end_is_answered() {
    let mut gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let body = json!({ "to": { "everyone": true }, "text": "x" }).to_string();
    let expect = [("Expect", "100-continue")];
    let request = api.request("POST", "/api/v1/publish", &body, &expect);
    api.raw.send(request.strip_suffix(&body).unwrap().as_bytes());
    assert!(api.raw.read_head().starts_with("HTTP/1.1 100 "));
    gateway.signal("INT");
    wait_for("the end of everything else", || gateway.log("stopped").pop());
    api.raw.send(body.as_bytes());
    api.raw.read_answer().refused("a publication at the end", 503, "shutting_down");
    assert_eq!(gateway.wait_for_exit(), Some(0));
}

#[test]
fn while_it_drains_those_who_have_not_been_told_get_what_is_published() {
    let gateway = Settings::new().set("server.drain_timeout=1h").set("server.shards=1").start();
    let mut clients = [(); 2].map(|()| Raw::open(gateway.public, ECHO));
    gateway.signal("TERM");
    let mut api = Api::of(&gateway);
    wait_for("the drain", || {
        let stats = api.well("GET", "/api/v1/stats", "");
        (stats["stage"] == "draining").then_some(())
    });
    // The first had its turn at once; the second has it in half an hour.
    assert_eq!(clients[0].read_close().unwrap().close_code(), Some(1012));
    let answer = api.publish(&json!({ "to": { "everyone": true }, "text": "still here" }));
    assert_eq!(answer["receivers"], 1);
    assert_eq!(next(&mut clients[1]).1, "still here");
}

#[test]
fn a_message_that_no_queue_can_hold_is_refused() {
    let gateway = Settings::new().set("limits.send_queue_bytes=100000").start();
    let mut api = Api::of(&gateway);
    let mut client = Raw::open(gateway.public, ECHO);
    let body = |bytes: usize| json!({ "to": { "everyone": true }, "text": "x".repeat(bytes) });
    let answer = api.call("POST", "/api/v1/publish", &body(100_001).to_string());
    assert_eq!(answer.refused("too large", 413, "publication_too_large"), "text");
    assert_eq!(api.publish(&body(99_990))["receivers"], 1);
    assert_eq!(next(&mut client).1.len(), 99_990);
}
