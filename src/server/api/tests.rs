//! Bodies against the reader, and the description against the table and the reader.

use serde_json::{Value, json};

use super::operations::{Action, OPERATIONS};
use super::problem::{Code, Problem};
use super::publication::{Batch, Rules, read};
use super::{openapi, operations};
use crate::bus::{Target, UserKeys};
use crate::config::Config;
use crate::handshake::Endpoints;
use crate::telemetry::labels::Route;
use crate::wire::Opcode;

const QUEUE_BYTES: usize = 1000;

fn batch(body: impl AsRef<[u8]>) -> Result<Batch, Problem> {
    let (endpoints, keys) = (Endpoints::compile(&Config::default()), UserKeys::default());
    let user_key = |name: &str| keys.of(name);
    let rules = Rules { endpoints: &endpoints, queue_bytes: QUEUE_BYTES, user_key: &user_key };
    read(body.as_ref(), &rules)
}

/// One good publication: opcode, payload, and whether it is for a user, an endpoint or everyone.
#[track_caller]
fn check(body: &str, opcode: Opcode, payload: &[u8], to: &str) {
    let batch = batch(body).unwrap_or_else(|problem| panic!("{body}: {problem:?}"));
    assert!(!batch.is_array && batch.messages.len() == 1, "{body}");
    let message = &batch.messages[0];
    assert_eq!((message.frame.opcode(), &message.frame.payload()[..]), (opcode, payload), "{body}");
    let target = match message.to {
        Target::User(_) => "user".to_owned(),
        Target::Endpoint(index) => format!("endpoint {}", index.0),
        Target::Everyone => "everyone".to_owned(),
    };
    assert_eq!(target, to, "{body}");
}

/// A bad body, the field that the error names, and a part of its message.
#[track_caller]
fn check_bad(body: impl AsRef<[u8]>, code: Code, field: &str, part: &str) {
    let shown = String::from_utf8_lossy(body.as_ref()).into_owned();
    let shown = shown.chars().take(200).collect::<String>();
    let Err(problem) = batch(body) else { panic!("{shown} is good") };
    assert_eq!(problem.code(), code, "{shown}: {problem:?}");
    let debug = format!("{problem:?}");
    assert!(debug.contains(&format!("field: Some({field:?})")), "{shown}: {debug}");
    assert!(problem.message().contains(part), "{shown}: {debug}");
    assert!(problem.message().len() < 1000, "{shown}: an endless message");
}

#[test]
fn each_payload_becomes_its_frame() {
    let everyone = |payload: &str| format!(r#"{{"to":{{"everyone":true}},{payload}}}"#);
    let text = |payload: &str, sent: &str| {
        check(&everyone(payload), Opcode::Text, sent.as_bytes(), "everyone");
    };
    text(r#""data":  {"b": 1.0, "a":[ ]}  "#, r#"{"b": 1.0, "a":[ ]}"#);
    text(r#""data":null"#, "null");
    text(r#""data":123456789012345678901234567890.10"#, "123456789012345678901234567890.10");
    text(r#""data":{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#);
    text(r#""data":"\ud83d\ude00 \u00f6""#, r#""\ud83d\ude00 \u00f6""#);
    text(r#""text":"\ud83d\ude00 \u00f6\n""#, "\u{1f600} \u{f6}\n");
    text(r#""text":"","compress":false"#, "");
    for (encoded, bytes) in [
        ("", &b""[..]),
        ("AAEC/w==", &[0, 1, 2, 255]),
        ("AAEC/w=", &[0, 1, 2, 255]),
        ("AAEC/w", &[0, 1, 2, 255]),
        ("+/+/", &[0xfb, 0xff, 0xbf]),
    ] {
        let body = everyone(&format!(r#""data_base64":"{encoded}""#));
        check(&body, Opcode::Binary, bytes, "everyone");
    }
}

#[test]
fn each_target_is_found() {
    let to = |target: &str, expected| {
        check(&format!(r#" {{"text":"x","to":{target}}} "#), Opcode::Text, b"x", expected);
    };
    to(r#"{"user":"42"}"#, "user");
    to(&format!(r#"{{"user":"{}"}}"#, "\u{f6}".repeat(64)), "user");
    to(r#"{"endpoint":"/ws"}"#, "endpoint 1");
    to(r#"{"endpoint":"/ws/"}"#, "endpoint 1");
    to(r#"{"everyone":true}"#, "everyone");
    let both = batch(r#"[{"to":{"everyone":true},"text":"x"},{"to":{"user":"1"},"data":0}]"#);
    let both = both.unwrap_or_else(|problem| panic!("{problem:?}"));
    assert!(both.is_array && both.messages.len() == 2);
}

#[test]
fn what_is_wrong_is_named() {
    use Code::{BadPublication as Bad, PublicationTooLarge as TooLarge, UnknownEndpoint};
    let to = |target: &str| format!(r#"{{"to":{target},"text":"x"}}"#);
    let payload = |payload: &str| format!(r#"{{"to":{{"everyone":true}}{payload}}}"#);
    check_bad("{}", Bad, "to", "missing field `to`");
    check_bad("[]", Bad, "[]", "no publication");
    check_bad("[[]]", Bad, "[0]", "a publication");
    check_bad(r#"[{"text":"x"}]"#, Bad, "[0].to", "missing");
    for other in ["null", "1", "\"x\"", "true"] {
        check_bad(other, Bad, "body", "a publication");
        check_bad(format!("[{other}]"), Bad, "[0]", "a publication");
        check_bad(to(other), Bad, "to", "`user`, `endpoint` and `everyone`");
    }
    check_bad(to(r#"["42"]"#), Bad, "to", "sequence");
    check_bad(r#"[[{"everyone":true},1]]"#, Bad, "[0]", "sequence");
    check_bad(to("{}"), Bad, "to", "for nobody");
    check_bad(to(r#"{"user":42}"#), Bad, "to.user", "integer");
    check_bad(to(r#"{"user":null}"#), Bad, "to.user", "null");
    check_bad(to(r#"{"user":""}"#), Bad, "to.user", "empty");
    check_bad(to(r#"{"user":"a\u0000"}"#), Bad, "to.user", "control");
    check_bad(to(r#"{"user":"\u0085"}"#), Bad, "to.user", "control");
    check_bad(to(&format!(r#"{{"user":"{}"}}"#, "\u{f6}".repeat(65))), Bad, "to.user", "128");
    check_bad(to(r#"{"user":"a","user":"b"}"#), Bad, "to.user", "duplicate");
    check_bad(to(r#"{"user":"a","everyone":true}"#), Bad, "to.everyone", "more than one");
    check_bad(to(r#"{"user":"a","endpoint":"/ws"}"#), Bad, "to.endpoint", "more than one");
    check_bad(to(r#"{"room":"7"}"#), Bad, "to.room", "unknown field `room`");
    check_bad(to(r#"{"everyone":false}"#), Bad, "to.everyone", "only be true");
    check_bad(to(r#"{"everyone":1}"#), Bad, "to.everyone", "integer");
    check_bad(to(r#"{"endpoint":"/gone"}"#), UnknownEndpoint, "to.endpoint", "/gone");
    check_bad(to(r#"{"endpoint":""}"#), UnknownEndpoint, "to.endpoint", "no endpoint");
    check_bad(payload(""), Bad, "data", "no payload");
    check_bad(payload(r#","data":1,"text":"x""#), Bad, "text", "more than one");
    check_bad(payload(r#","data":1,"data_base64":"""#), Bad, "data_base64", "more than one");
    check_bad(payload(r#","data":1,"data":2"#), Bad, "data", "duplicate");
    check_bad(payload(r#","text":null"#), Bad, "text", "null");
    check_bad(payload(r#","text":"x","compress":null"#), Bad, "compress", "null");
    check_bad(payload(r#","text":"x","compress":"no""#), Bad, "compress", "boolean");
    check_bad(payload(r#","text":"x","ttl":5"#), Bad, "ttl", "unknown field `ttl`");
    for encoded in ["_-_-", "A", "AA A", "AB==", "AAEC\\n", "="] {
        let body = payload(&format!(r#","data_base64":"{encoded}""#));
        check_bad(body, Bad, "data_base64", "not base64");
    }
    let long = format!(r#","text":"{}""#, "x".repeat(QUEUE_BYTES - 9));
    check_bad(payload(&long), TooLarge, "text", "limits.send_queue_bytes");
    let second = format!("[{},{}]", payload(r#","text":"x""#), payload(&long));
    check_bad(second, TooLarge, "[1].text", "991 bytes");
    let unknown = format!(r#"{{"{}":1}}"#, "k".repeat(100_000));
    check_bad(unknown, Bad, &format!("{}…", "k".repeat(64)), "at line 1 column");
    let many = format!("[{}]", vec![payload(r#","text":"x""#); 1001].join(","));
    check_bad(many, Bad, "body", "more than 1000");
}

#[test]
fn what_is_not_json_is_said_to_be_none() {
    let not_json = |body: &[u8], part| check_bad(body, Code::BadJson, "body", part);
    not_json(b"", "EOF");
    not_json(b" \n", "EOF");
    not_json(b"{", "EOF");
    not_json(b"[", "EOF");
    not_json(b"]", "expected value");
    not_json(br#"{"to":{"everyone":true},"text":"x"} {}"#, "trailing");
    not_json(br#"{"to":{"everyone":true},"text":"x",}"#, "trailing comma");
    not_json(br#"{"to":{"everyone":true},"text":"\ud800"}"#, "hex escape");
    not_json(br#"{"to":{"everyone":true},"data":[1,]}"#, "expected value");
    not_json(br#"{"to":{"everyone":true},"data":NaN}"#, "expected value");
    not_json("\u{feff}{}".as_bytes(), "expected value");
    not_json(b"{\"to\":{\"everyone\":true},\"text\":\"\xff\"}", "not UTF-8 from byte 32 on");
}

#[test]
fn nesting_costs_no_stack() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let body = |depth| format!(r#"{{"to":{{"everyone":true}},"data":{}}}"#, deep(depth));
    assert!(batch(body(400)).is_ok());
    // Read to its end, and only then too large.
    check_bad(body(100_000), Code::PublicationTooLarge, "data", "200000 bytes");
    check_bad(deep(100_000), Code::BadPublication, "[0]", "a publication");
    let to = "[".repeat(1_000_000);
    check_bad(format!(r#"{{"to":{to}"#), Code::BadPublication, "to", "`user`, `endpoint`");
}

#[test]
fn the_description_and_the_table_agree() {
    for needs_key in [false, true] {
        let document = openapi::document(&["/ws".to_owned(), "/im/".to_owned()], needs_key);
        let paths = document["paths"].as_object().unwrap();
        let methods = paths.values().map(|methods| methods.as_object().unwrap().len());
        assert_eq!(methods.sum::<usize>(), OPERATIONS.len());
        for operation in OPERATIONS {
            let path = operation.route.as_str();
            let described = &paths[path][operation.method.as_str().to_ascii_lowercase()];
            let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
            let names = |place: &str| -> Vec<String> {
                let of_place = parameters.iter().filter(|it| it["in"] == place);
                of_place.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
            };
            assert_eq!(names("query"), operation.query, "{path}");
            for parameter in &parameters {
                assert_ne!(parameter["schema"], json!({}), "{path}: {parameter}");
            }
            for name in names("path") {
                assert!(path.contains(&format!("{{{name}}}")), "{path}");
            }
            assert_eq!(path.matches('{').count(), names("path").len(), "{path}");
            let denied = if needs_key { "401" } else { "403" };
            for status in ["200", "400", denied] {
                assert!(described["responses"][status].is_object(), "{path} {status}");
            }
        }
        assert_eq!(document["security"].is_array(), needs_key);
        let references = document.to_string();
        for reference in references.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
        }
    }
}

#[test]
fn every_route_of_the_api_has_an_operation() {
    for route in Route::ALL.iter().filter(|route| route.as_str().starts_with("/api/")) {
        assert!(OPERATIONS.iter().any(|operation| operation.route == *route), "{route:?}");
    }
    assert!(operations::find(Route::Metrics, &http::Method::GET).is_err());
}

#[test]
fn the_examples_of_bodies_are_good() {
    let document = openapi::document(&["/ws".to_owned()], false);
    let publish = OPERATIONS.iter().find(|operation| operation.action == Action::Publish).unwrap();
    let body = &document["paths"][publish.route.as_str()]["post"]["requestBody"];
    let examples = body["content"]["application/json"]["examples"].as_object().unwrap();
    assert!(examples.len() >= 3);
    for example in examples.values().map(|example| &example["value"]) {
        assert!(batch(Value::to_string(example)).is_ok(), "{example}");
    }
}

/// An API whose shards look at nothing: everything published waits for ever.
fn stuck() -> std::sync::Arc<super::Api> {
    let gateway = crate::server::Gateway::new(Config::default(), 1000);
    super::Api::new(&std::sync::Arc::new(gateway.unwrap_or_else(|why| panic!("{why}"))))
}

fn room_by() -> tokio::time::Instant {
    tokio::time::Instant::now() + super::publish::ROOM_TIMEOUT
}

fn messages(count: usize) -> Vec<crate::bus::Message> {
    let one = r#"{"to":{"everyone":true},"text":"x"}"#;
    let mut made = Vec::new();
    while made.len() < count {
        made.extend(batch(one).unwrap_or_else(|problem| panic!("{problem:?}")).messages);
    }
    made
}

#[tokio::test]
async fn receivers_that_are_not_told_in_time_are_left_out() {
    let api = stuck();
    let batch = Batch { messages: messages(2), is_array: true };
    let answer = super::publish::send(&api, batch, room_by()).await;
    let answer = answer.unwrap_or_else(|problem| panic!("{problem:?}"));
    let body = http_body_util::BodyExt::collect(answer.response().into_body()).await.unwrap();
    assert_eq!(body.to_bytes(), r#"[{"seq":1},{"seq":2}]"#);
}

/// The same, with more than fits before it.
fn congested() -> std::sync::Arc<super::Api> {
    let api = stuck();
    while api.gateway.hub.congested().is_none() {
        api.gateway.hub.publish_with_receipts(messages(1000), 0);
    }
    api
}

#[tokio::test]
async fn a_gateway_that_stays_behind_publishes_nothing_more() {
    let api = congested();
    let hub = std::sync::Arc::clone(&api.gateway.hub);
    let before = hub.last_seq();
    let batch = Batch { messages: messages(1), is_array: false };
    let Err(problem) = super::publish::send(&api, batch, room_by()).await else {
        panic!("published")
    };
    assert_eq!(problem.code(), Code::Congested);
    assert_eq!(problem.response().headers()["retry-after"], "1");
    assert_eq!(hub.last_seq(), before, "nothing was published");
}

#[tokio::test]
async fn those_who_repeat_a_request_do_not_queue_up_behind_a_gateway_that_stays_behind() {
    let api = congested();
    let (key, body) = (http::HeaderValue::from_static("key"), bytes::Bytes::new());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (api, batch) = (api.clone(), Batch { messages: messages(1), is_array: false });
        let recognised = super::publish::recognise(&key, "caller", &body);
        all.spawn(async move {
            let answered = super::publish::send_once(&api, batch, &recognised, room_by()).await;
            answered.map(drop).map_err(|problem| problem.code())
        });
    }
    // One after the other they would take ten times as long.
    let answers = tokio::time::timeout(3 * super::publish::ROOM_TIMEOUT, all.join_all()).await;
    assert!(answers.unwrap().iter().all(|answer| *answer == Err(Code::Congested)));
}
