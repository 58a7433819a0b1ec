//! `Idempotency-Key`: a request that is sent again publishes nothing twice.

use serde_json::{Value, json};

use super::support::{Answer, Api, Gateway, Raw, Settings};

const ECHO: &str = "/ws-notifications";

fn hello() -> Value {
    json!({ "to": { "everyone": true }, "text": "hello" })
}

fn is_replay(answer: &Answer) -> bool {
    match answer.header("idempotency-replayed") {
        None => false,
        Some(value) => {
            assert_eq!(value, "true");
            true
        }
    }
}

#[test]
fn the_same_request_gets_the_same_answer_again() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let mut client = Raw::open(gateway.public, ECHO);
    let batch = json!([hello(), { "to": { "user": "42" }, "text": "for nobody" }]);
    for body in [&hello(), &batch] {
        let key = format!("order/{}", body.is_array());
        let first = api.publish_with_key(&key, body);
        let again = api.publish_with_key(&key, body);
        assert_eq!((first.status, again.status), (200, 200), "{first:?} {again:?}");
        assert_eq!((is_replay(&first), is_replay(&again)), (false, true));
        assert_eq!(first.body, again.body);
    }
    api.publish(&json!({ "to": { "everyone": true }, "text": "the end" }));
    let texts = [(); 3].map(|()| String::from_utf8(client.read_frame().unwrap().payload).unwrap());
    assert_eq!(texts, ["hello", "hello", "the end"]);
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("bus_idempotent_replays_total", &[]), 2.0);
    assert_eq!(metrics.sum("publications_total", &[]), 4.0);
}

#[test]
fn a_key_stands_for_one_request() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    assert_eq!(api.publish_with_key("key", &hello()).status, 200);
    let other = json!({ "to": { "everyone": true }, "text": "another" });
    let answer = api.publish_with_key("key", &other);
    assert_eq!(answer.refused("another body", 422, "idempotency_mismatch"), "Idempotency-Key");
    assert_eq!(api.publish_with_key("Key", &other).status, 200, "another key");
    assert_eq!(gateway.metrics().sum("publications_total", &[]), 2.0);
}

#[test]
fn a_failure_is_not_kept() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let bad = json!({ "to": { "everyone": true } });
    for _ in 0..2 {
        let answer = api.publish_with_key("key", &bad);
        assert_eq!(answer.refused("no payload", 400, "bad_publication"), "data");
        assert!(!is_replay(&answer));
    }
    assert_eq!(api.publish_with_key("key", &hello()).status, 200);
}

#[test]
fn the_keys_of_two_callers_do_not_meet() {
    let keys = r#"api.keys=["one:0123456789abcdef", "two:fedcba9876543210"]"#;
    let gateway = Settings::new().set(keys).start();
    let with = |secret| Api::of(&gateway).header("Authorization", &format!("Bearer {secret}"));
    let [mut one, mut two] = ["0123456789abcdef", "fedcba9876543210"].map(with);
    let other = json!({ "to": { "everyone": true }, "text": "of two" });
    for answer in [one.publish_with_key("key", &hello()), two.publish_with_key("key", &other)] {
        assert!(answer.status == 200 && !is_replay(&answer), "{answer:?}");
    }
    assert!(is_replay(&one.publish_with_key("key", &hello())));
}

#[test]
fn requests_that_race_publish_once() {
    const RACERS: usize = 16;
    let gateway = Gateway::start();
    let mut client = Raw::open(gateway.public, ECHO);
    for round in 0..10 {
        let key = format!("round {round}").replace(' ', "-");
        let body = json!({ "to": { "everyone": true }, "text": key });
        let mut racers: Vec<_> = (0..RACERS).map(|_| Api::of(&gateway)).collect();
        // All requests are on their way before the first answer is read.
        for racer in &mut racers {
            let headers = [("Idempotency-Key", &*key)];
            let request = racer.request("POST", "/api/v1/publish", &body.to_string(), &headers);
            racer.raw.send(request.as_bytes());
        }
        let answers: Vec<_> = racers.iter_mut().map(|racer| racer.raw.read_answer()).collect();
        let expected = json!({ "seq": round + 1, "receivers": 1 });
        for answer in &answers {
            assert_eq!(
                serde_json::from_str::<Value>(&answer.body).unwrap(),
                expected,
                "{answer:?}"
            );
        }
        let replays = answers.iter().filter(|answer| is_replay(answer)).count();
        assert_eq!(replays, RACERS - 1);
        assert_eq!(client.read_frame().unwrap().payload, key.as_bytes());
    }
    assert_eq!(gateway.metrics().sum("publications_total", &[]), 10.0);
}

#[test]
fn a_caller_that_leaves_can_ask_again() {
    let gateway = Gateway::start();
    let mut client = Raw::open(gateway.public, ECHO);
    for round in 0..20 {
        let key = format!("key-{round}");
        let mut hasty = Api::of(&gateway);
        let headers = [("Idempotency-Key", &*key)];
        let request = hasty.request("POST", "/api/v1/publish", &hello().to_string(), &headers);
        hasty.raw.send(request.as_bytes());
        if round % 2 == 0 {
            hasty.raw.reset();
        } else {
            drop(hasty);
        }
        let answer = Api::of(&gateway).publish_with_key(&key, &hello());
        let seq = serde_json::from_str::<Value>(&answer.body).unwrap()["seq"].clone();
        // Whether the first was read at all or not: there is one publication of it.
        assert_eq!(seq, round + 1, "{answer:?}");
        assert_eq!(client.read_frame().unwrap().payload, b"hello");
    }
    assert_eq!(gateway.metrics().sum("publications_total", &[]), 20.0);
}

#[test]
fn a_bad_key_is_refused() {
    let gateway = Gateway::start();
    let mut api = Api::of(&gateway);
    let long = "k".repeat(256);
    for keys in [&[""][..], &[&long], &["a b"], &["a\tb"], &["k\u{f6}nig"], &["a", "a"]] {
        let headers: Vec<_> = keys.iter().map(|key| ("Idempotency-Key", *key)).collect();
        let request = api.request("POST", "/api/v1/publish", &hello().to_string(), &headers);
        api.raw.send(request.as_bytes());
        let answer = api.raw.read_answer();
        assert_eq!(answer.refused(&format!("{keys:?}"), 400, "bad_header"), "Idempotency-Key");
    }
    assert_eq!(api.publish_with_key(&long[1..], &hello()).status, 200);
}
