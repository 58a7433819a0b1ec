//! `gaugeway publish` against a server that shows what it was sent and answers what it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::thread::JoinHandle;

use super::command_line::{Call, Ran};

const SECRET: &str = "0123456789abcdef";
const OK: &str = r#"{"seq":42,"receivers":3}"#;

/// What came over the wire.
#[derive(Debug)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(own, _)| own == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} comes twice: {self:?}");
        value
    }
}

/// Takes one request; its thread ends with it.
struct Server {
    address: SocketAddr,
    thread: JoinHandle<Request>,
}

impl Server {
    /// Answers with these bytes and ends the connection.
    fn answering(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut line = || {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                line.trim_end().to_owned()
            };
            let first = line();
            let mut headers = Vec::new();
            while let Some((name, value)) = line().split_once(": ") {
                headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
            let mut request = Request { line: first, headers, body: String::new() };
            let length = request.header("content-length").expect("a body with its length");
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            request.body = String::from_utf8(body).unwrap();
            // A client that has read enough may be gone.
            let _ = (&stream).write_all(bytes.as_ref());
            request
        });
        Self { address, thread }
    }

    fn with(status: &str, body: &str) -> Self {
        let length = body.len();
        Self::answering(format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn request(self) -> Request {
        self.thread.join().unwrap()
    }
}

/// Runs `gaugeway publish` with this on standard input.
fn publish(call: &Call, arguments: &[&str], stdin: &[u8]) -> Ran {
    let mut command = call.command(&[&["publish"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// These arguments make this body.
#[track_caller]
fn sends(arguments: &[&str], stdin: &[u8], body: &str) -> Request {
    let server = Server::with("200 OK", OK);
    let call = Call::new().env("GAUGEWAY_ADMIN_URL", &server.url());
    let printed = publish(&call, arguments, stdin).well();
    assert_eq!(printed, "seq 42, 3 receivers\n");
    let request = server.request();
    assert_eq!(request.line, "POST /api/v1/publish HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.body, body);
    request
}

#[test]
fn the_request_is_what_the_api_takes() {
    let plain = sends(&["--to", "user:42", "hello"], b"", r#"{"to":{"user":"42"},"text":"hello"}"#);
    assert_eq!(plain.header("authorization"), None);
    assert_eq!(plain.header("idempotency-key"), None);
    assert!(plain.header("host").unwrap().starts_with("127.0.0.1:"));
    let with_key = sends(
        &["--to", "endpoint:/ws", "--no-compress", "--idempotency-key", "order-7", "a \"b\"\n"],
        b"",
        r#"{"to":{"endpoint":"/ws"},"text":"a \"b\"\n","compress":false}"#,
    );
    assert_eq!(with_key.header("idempotency-key"), Some("order-7"));
    sends(
        &["--to", "everyone", "--json", "-"],
        b" {\"b\": 1.10,\n\"a\": 12345678901234567890123}\n",
        "{\"to\":{\"everyone\":true},\"data\":{\"b\": 1.10,\n\"a\": 12345678901234567890123}}",
    );
    sends(
        &["--to", "everyone", "--binary", "-"],
        b"\xff\0",
        r#"{"to":{"everyone":true},"data_base64":"/wA="}"#,
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("message");
    std::fs::write(&path, "from a file\n").unwrap();
    sends(
        &["--to", "user:a:b", "--file", path.to_str().unwrap()],
        b"",
        r#"{"to":{"user":"a:b"},"text":"from a file\n"}"#,
    );
}

#[test]
fn a_megabyte_goes_through_unharmed() {
    let text = "0123456789".repeat(100_000);
    let body = format!(r#"{{"to":{{"everyone":true}},"text":"{text}"}}"#);
    sends(&["--to", "everyone", "-"], text.as_bytes(), &body);
}

#[test]
fn the_answer_is_printed_in_words_or_as_json() {
    let printed = |body: &str, arguments: &[&str]| {
        let server = Server::with("200 OK", body);
        let url = server.url();
        let all = [&["--to", "everyone", "hi", "--url", &url], arguments].concat();
        let printed = publish(&Call::new(), &all, b"").well();
        server.request();
        printed
    };
    assert_eq!(printed(r#"{"seq":7,"receivers":1}"#, &[]), "seq 7, 1 receiver\n");
    assert_eq!(printed(r#"{"seq":7}"#, &[]), "seq 7\n");
    let new = r#"{"seq":7,"receivers":0,"later":[1]}"#;
    assert_eq!(printed(new, &["--output", "json"]), format!("{new}\n"));
}

#[test]
fn the_key_comes_from_a_file_the_variable_or_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "\nffffffffffffffff\n").unwrap();
    let file = file.to_str().unwrap();
    let two_keys = format!("api.keys = [\"first:{SECRET}\", \"second:eeeeeeeeeeeeeeee\"]");
    let sent = |call: Call, arguments: &dyn Fn(&Server) -> Vec<String>| {
        let server = Server::with("200 OK", OK);
        let mut all = arguments(&server);
        all.extend(["--to", "everyone", "hi"].map(ToOwned::to_owned));
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let ran = publish(&call, &all, b"");
        assert!(!format!("{ran:?}").contains(SECRET), "{ran:?}");
        ran.well();
        server.request().header("authorization").map(ToOwned::to_owned)
    };
    let own = |server: &Server| vec!["--admin-listen".to_owned(), server.address.to_string()];
    let elsewhere = |server: &Server| vec!["--url".to_owned(), server.url()];
    let named = |server: &Server| {
        vec!["--url".to_owned(), server.url(), "-c".to_owned(), "gaugeway.toml".to_owned()]
    };
    let with_file = |server: &Server| {
        vec!["--url".to_owned(), server.url(), "--key-file".to_owned(), file.to_owned()]
    };
    let configured = || Call::new().file(&two_keys);
    let variable = |value| configured().env("GAUGEWAY_API_KEY", value);
    let first = Some(format!("Bearer {SECRET}"));
    let given = |word: &str| Some(format!("Bearer {}", word.repeat(16)));

    assert_eq!(sent(Call::new(), &own), None);
    assert_eq!(sent(configured(), &own), first);
    assert_eq!(sent(configured(), &named), first);
    // The key of the configuration at hand is nobody else's business.
    assert_eq!(sent(configured(), &elsewhere), None);
    assert_eq!(sent(variable("dddddddddddddddd"), &own), given("d"));
    assert_eq!(sent(variable("dddddddddddddddd"), &elsewhere), given("d"));
    assert_eq!(sent(variable("name:dddddddddddddddd"), &elsewhere), given("d"));
    assert_eq!(sent(variable(""), &own), first);
    assert_eq!(sent(variable("dddddddddddddddd"), &with_file), given("f"));
}

/// The server answers this; the program says these parts and exits with 1.
#[track_caller]
fn fails(server: Server, arguments: &[&str], parts: &[&str]) {
    let url = server.url();
    let all = [&["--to", "everyone", "hi", "--url", &url], arguments].concat();
    let call = Call::new().env("GAUGEWAY_API_KEY", SECRET);
    let ran = publish(&call, &all, b"");
    assert!(!ran.stderr.contains(SECRET), "{ran:?}");
    assert!(ran.stderr.len() < 2_000, "{ran:?}");
    ran.refused(1, parts);
    server.request();
}

#[test]
fn a_refusal_is_told_with_its_field_and_hint() {
    let error = r#"{"error":{"code":"unknown_endpoint","message":"there is no endpoint /x","field":"to.endpoint","hint":"write /ws\u001b[2J"}}"#;
    fails(
        Server::with("404 Not Found", error),
        &[],
        &[
            "404 Not Found: unknown_endpoint: there is no endpoint /x\n",
            "field: to.endpoint\n",
            "hint: write /ws",
        ],
    );
    let error = r#"{"error":{"code":"unauthorized","message":"no key has this secret"}}"#;
    fails(
        Server::with("401 Unauthorized", error),
        &[],
        &["unauthorized: no key has this secret\n", "GAUGEWAY_API_KEY", "--key-file"],
    );
}

#[test]
fn what_is_no_gateway_is_said_to_be_none() {
    let page = "<html>\r\n\u{1b}[2Jwelcome</html>";
    for status in ["200 OK", "404 Not Found", "502 Bad Gateway", "301 Moved Permanently"] {
        fails(Server::with(status, page), &[], &[status, "<html>", "Is --url the admin listener"]);
    }
    fails(Server::with("200 OK", ""), &[], &["nothing", "Is --url the admin listener"]);
    let huge = format!("[{}", "1,".repeat(5_000_000));
    fails(Server::with("200 OK", &huge), &[], &["too long or cut off"]);
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"seq\":4";
    fails(Server::answering(cut), &[], &["too long or cut off"]);
}

#[test]
fn without_an_answer_it_is_not_known_and_said_so() {
    for bytes in ["", "\u{1b}[2J\r\n\r\n", "HTTP/1.1 2"] {
        let parts = ["not known whether it was published", "may come twice"];
        fails(Server::answering(bytes), &[], &parts);
        let parts = ["not known whether it was published", "the same --idempotency-key"];
        fails(Server::answering(bytes), &["--idempotency-key", "1"], &parts);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    publish(&Call::new(), &["--to", "everyone", "hi", "--url", &url], b"")
        .refused(1, &["not published", "Connection refused", "Does the gateway run"]);
}

#[test]
fn bad_input_is_refused_before_anything_is_sent() {
    // Nobody answers here: a request would end with 1.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let hidden = folder.path().join("key");
    std::fs::write(&hidden, "hunter2 hunter2").unwrap();
    let long = folder.path().join("long");
    std::fs::File::create(&long).unwrap().set_len(64 * 1_024 * 1_024 + 1).unwrap();
    let (hidden, long) = (hidden.to_str().unwrap(), long.to_str().unwrap());
    for (arguments, stdin, parts) in [
        (&["hi"][..], &b""[..], &["--to"][..]),
        (&["--to", "everyone"], b"", &["TEXT", "--file"]),
        (&["--to", "everyone", "hi", "--file", long], b"", &["--file"]),
        (&["--to", "everyone", "--json", "--binary", "1"], b"", &["--binary"]),
        (&["--to", "user:", "hi"], b"", &["--to user:", "the name is missing"]),
        (&["--to", "room:7", "hi"], b"", &["user:NAME, endpoint:/PATH or everyone"]),
        (&["--to", "\u{1b}[2J", "hi"], b"", &["user:NAME"]),
        (&["--to", "endpoint:ws", "hi"], b"", &["endpoint:/ws"]),
        (&["--to", "everyone", "--json", "{\"a\":\n tru}"], b"", &["not JSON", "line 2 column 5"]),
        (&["--to", "everyone", "--json", "-"], b"", &["standard input is not JSON"]),
        (&["--to", "everyone", "-"], b"\xff", &["standard input is not UTF-8", "--binary"]),
        (&["--to", "everyone", "--file", "missing"], b"", &["--file missing cannot be read"]),
        (&["--to", "everyone", "--file", long], b"", &["longer than 67108864 bytes"]),
        (&["--to", "everyone", "hi", "--idempotency-key", "a b"], b"", &["--idempotency-key"]),
        (&["--to", "everyone", "hi", "--idempotency-key", ""], b"", &["--idempotency-key"]),
        (&["--to", "everyone", "hi", "--key-file", hidden], b"", &["holds no key"]),
        (&["--to", "everyone", "hi", "--key-file", long], b"", &["longer than 4096 bytes"]),
        (&["--to", "everyone", "hi", "--key-file", "missing"], b"", &["--key-file missing"]),
        (&["--to", "everyone", "hi", "--set", "api.keys=x:hunter2"], b"", &["--set api.keys"]),
    ] {
        let call = Call::new().env("GAUGEWAY_ADMIN_URL", &url);
        let ran = publish(&call, arguments, stdin);
        assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
        ran.refused(2, parts);
    }
    for url in ["https://gateway", "gateway:8081", "http://127.0.0.1:1/api", ""] {
        publish(&Call::new(), &["--to", "everyone", "hi", "--url", url], b"")
            .refused(2, &["http://HOST:PORT"]);
    }
    let call = Call::new().env("GAUGEWAY_API_KEY", "hunter2\thunter2");
    let ran = publish(&call, &["--to", "everyone", "hi"], b"");
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    ran.refused(2, &["GAUGEWAY_API_KEY holds no key"]);
}
