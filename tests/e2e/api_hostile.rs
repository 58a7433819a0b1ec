//! Hostile bodies and paths against every route: each gets a clear error that names the field,
//! nothing is published, and the gateway lives.

use super::support::{Answer, Api, Gateway, Raw};

const PUBLISH: &str = "/api/v1/publish";
const ID: &str = "0198f3a0-7c1b-7d3e-9a4f-2b6c8d0e1f35";

/// A gateway under attack, with a client that must hear nothing of it.
struct Attack {
    gateway: Gateway,
    witness: Raw,
}

impl Attack {
    fn start() -> Self {
        let gateway = Gateway::start();
        let witness = Raw::open(gateway.public, "/ws-notifications?id=7");
        Self { gateway, witness }
    }

    /// Sends bytes on a connection of their own.
    #[track_caller]
    fn send(&self, bytes: &[u8]) -> Answer {
        let mut raw = Raw::connect(self.gateway.admin);
        raw.try_send(bytes);
        raw.read_answer()
    }

    /// A body that is refused with this code, naming this field.
    #[track_caller]
    fn body(&self, body: &[u8], code: &str, field: &str) {
        let head = format!(
            "POST {PUBLISH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = self.send(&[head.as_bytes(), body].concat());
        let shown = String::from_utf8_lossy(&body[..body.len().min(100)]);
        let status = if code.ends_with("too_large") { 413 } else { 400 };
        assert_eq!(answer.refused(&shown, status, code), field, "{shown}");
        assert!(answer.body.len() < 2000, "{shown}: an endless answer");
    }

    /// A request that is refused with this status and code, naming this field.
    #[track_caller]
    fn request(&self, method: &str, path: &str, (status, code): (u16, &str), field: &str) {
        let mut api = Api::of(&self.gateway);
        let what = format!("{method} {}", &path[..path.len().min(100)]);
        let answer = api.call(method, path, "");
        assert_eq!(answer.refused(&what, status, code), field, "{what}");
        if status == 405 {
            assert!(answer.header("allow").is_some_and(|allow| !allow.contains(method)), "{what}");
        }
        assert_eq!(api.call("GET", "/api/v1/stats", "").status, 200, "after {what}");
    }

    /// Nothing was published, and nobody was disconnected.
    #[track_caller]
    fn end(mut self) {
        self.witness.echo(1, b"nothing came in between");
        let metrics = self.gateway.wait_for_connections(1);
        assert_eq!(metrics.sum("publications_total", &[]), 0.0);
        assert_eq!(metrics.sum("panics_total", &[]), 0.0);
        assert_eq!(self.gateway.stderr(), "");
    }
}

fn with_payload(payload: &str) -> Vec<u8> {
    format!(r#"{{"to":{{"everyone":true}},{payload}}}"#).into_bytes()
}

#[test]
fn hostile_bodies_publish_nothing() {
    let attack = Attack::start();
    for body in [
        &b""[..],
        b" ",
        b"\0",
        b"\xff\xfe",
        b"{",
        b"[[[[",
        b"{\"to\":",
        b"to=everyone&text=x",
        b"<xml/>",
        b"\xef\xbb\xbf{}",
        b"{'to':{'everyone':true},'text':'x'}",
        b"{\"to\":{\"everyone\":true},\"text\":\"a\nb\"}",
    ] {
        let field = if std::str::from_utf8(body).is_err() { "" } else { "body" };
        attack.body(body, "bad_json", field);
    }
    attack.body(&with_payload("\"text\":\"\\ud800\""), "bad_json", "body");
    attack.body(&with_payload("\"data\":[1,2"), "bad_json", "body");
    attack.body(&b"[".repeat(500_000), "bad_publication", "[0]");
    attack.body(&b"{\"to\":".repeat(100_000), "bad_publication", "to.to");
    for body in ["null", "true", "0", "1e999999", "\"x\""] {
        let code = if body == "1e999999" { "bad_json" } else { "bad_publication" };
        attack.body(body.as_bytes(), code, "body");
    }
    attack.body(b"[]", "bad_publication", "[]");
    attack.body(b"{}", "bad_publication", "to");
    attack.body(b"[{},{}]", "bad_publication", "[0].to");
    attack.body(&with_payload("\"text\":\"x\",\"__proto__\":{}"), "bad_publication", "__proto__");
    attack.body(&with_payload("\"text\":\"x\",\"text\":\"x\""), "bad_publication", "text");
    attack.body(&with_payload("\"text\":\"x\",\"data\":1"), "bad_publication", "text");
    attack.body(&with_payload("\"data_base64\":\"%%\""), "bad_publication", "data_base64");
    attack.body(&with_payload("\"compress\":1,\"text\":\"x\""), "bad_publication", "compress");
    let user = format!("{{\"to\":{{\"user\":\"{}\"}},\"text\":\"x\"}}", "u".repeat(129));
    attack.body(user.as_bytes(), "bad_publication", "to.user");
    let endpoint = b"{\"to\":{\"endpoint\":\"/../etc\"},\"text\":\"x\"}";
    attack.body(endpoint, "unknown_endpoint", "to.endpoint");
    let many = format!("[{}0]", "0,".repeat(100_000));
    attack.body(many.as_bytes(), "bad_publication", "[0]");
    let good = r#"{"to":{"everyone":true},"text":"x"}"#;
    let many = format!("[{}]", vec![good; 1001].join(","));
    attack.body(many.as_bytes(), "bad_publication", "body");
    let last =
        format!("[{}]", [vec![good; 999], vec![r#"{"to":{"everyone":true}}"#]].concat().join(","));
    attack.body(last.as_bytes(), "bad_publication", "[999].data");
    let huge = with_payload(&format!("\"text\":\"{}\"", "x".repeat(1 << 20)));
    attack.body(&huge, "body_too_large", "");
    let fits_the_body = with_payload(&format!("\"text\":\"{}\"", "x".repeat((1 << 20) - 35)));
    assert_eq!(fits_the_body.len(), 1 << 20);
    // As large as a body may be is still within a receiver's queue: one byte of JSON more is not.
    attack.body(&[&fits_the_body[..], b" "].concat(), "body_too_large", "");
    attack.end();
}

#[test]
fn hostile_paths_and_queries_are_refused() {
    let attack = Attack::start();
    let not_found = (404, "not_found");
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/publish",
        "/api/v1/publish/",
        "/api/v1//publish",
        "/api/v1/../v1/stats",
        "/api/v1/%73tats",
        "/api/v1/connections/",
        "/api/v1/users//connections",
        "/api/v1/users/7/connections/8",
        "/api/v1/\u{7f}",
    ] {
        for method in ["GET", "POST", "DELETE", "BREW"] {
            attack.request(method, path, not_found, "");
        }
    }
    let method = (405, "bad_method");
    for method_of in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "post", "X"] {
        attack.request(method_of, PUBLISH, method, "");
    }
    for path in ["/api/v1/connections", "/api/v1/stats", "/api/v1/openapi.json"] {
        attack.request("POST", path, method, "");
    }
    attack.request("GET", "/api/v1/users/7/connections", method, "");
    attack.request("POST", &format!("/api/v1/connections/{ID}"), method, "");

    let parameter = (400, "bad_parameter");
    for (id, field) in [("7", "id"), ("%00", "id"), ("..", "id"), (&"a".repeat(4000), "id")] {
        attack.request("GET", &format!("/api/v1/connections/{id}"), parameter, field);
        attack.request("DELETE", &format!("/api/v1/connections/{id}"), parameter, field);
    }
    let braces = format!("/api/v1/connections/{{{ID}}}");
    attack.request("GET", &braces, parameter, "id");
    for query in ["limit=0", "limit=1001", "limit=-1", "limit=", "limit=1&limit=1", "limit=%"] {
        attack.request("GET", &format!("/api/v1/connections?{query}"), parameter, "limit");
    }
    for (query, field) in [
        ("after=7", "after"),
        ("user=", "user"),
        ("user=%ff", "user"),
        ("user=%0a", "user"),
        ("sort=id", "sort"),
        ("a%5B%5D=1", "a[]"),
        ("%=1", "query"),
        ("=", ""),
    ] {
        attack.request("GET", &format!("/api/v1/connections?{query}"), parameter, field);
    }
    attack.request(
        "GET",
        "/api/v1/connections?endpoint=/gone",
        (400, "unknown_endpoint"),
        "endpoint",
    );
    attack.request("GET", "/api/v1/stats?verbose=1", parameter, "verbose");
    attack.request("GET", "/api/v1/openapi.json?v=3", parameter, "v");
    attack.request("POST", &format!("{PUBLISH}?dry_run=1"), parameter, "dry_run");
    for code in ["1001", "1005", "1006", "1015", "2999", "5000", "65536", "x", "", "-1", "1e3"] {
        attack.request(
            "DELETE",
            &format!("/api/v1/connections/{ID}?code={code}"),
            parameter,
            "code",
        );
        let of_user = format!("/api/v1/users/7/connections?code={code}");
        attack.request("DELETE", &of_user, parameter, "code");
    }
    let long = "%C3%B6".repeat(62);
    for reason in [&long, "%ff"] {
        let path = format!("/api/v1/users/7/connections?reason={reason}");
        attack.request("DELETE", &path, parameter, "reason");
    }
    for user in ["%00", "%zz", "%ff", &"u".repeat(129)] {
        attack.request("DELETE", &format!("/api/v1/users/{user}/connections"), parameter, "user");
    }
    attack.end();
}

#[test]
fn hostile_headers_are_refused() {
    let attack = Attack::start();
    let send = |headers: &str| {
        let body = r#"{"to":{"everyone":true},"text":"x"}"#;
        let length = body.len();
        let head = format!("POST {PUBLISH} HTTP/1.1\r\nHost: localhost\r\n{headers}");
        attack.send(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes())
    };
    for declared in [
        "",
        "Content-Type:\r\n",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
        "Content-Type: application/json; charset=utf-16\r\n",
        "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
    ] {
        let answer = send(declared);
        assert_eq!(answer.refused(declared, 415, "bad_content_type"), "Content-Type");
    }
    for host in ["evil.example", "", "localhost:99999", "a@localhost", "[::1"] {
        let request = format!("GET /api/v1/stats HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = attack.send(request.as_bytes());
        assert_eq!(answer.refused(host, 403, "forbidden_host"), "Host");
    }
    let answer = attack.send(b"GET /api/v1/stats HTTP/1.1\r\n\r\n");
    assert_eq!(answer.refused("no Host", 403, "forbidden_host"), "Host");
    attack.end();
}
