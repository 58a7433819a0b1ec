//! `/ws`: what one sends, all get, the sender included, in one order for all; plain and compressed
//! receivers mixed, by whatever window they agreed on.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::support::{Client, Inflate, Opening, Raw, Route, Settings, Site, part};

const PATH: &str = "/ws";
/// Messages of each sender.
const EACH: usize = 4;

/// One message: the first is too short to be compressed; the later ones refer back over more than
/// a window of 10 bits, so that a receiver with that window cannot read what was made for 15.
fn message(sender: &str, index: usize) -> String {
    let words: Vec<_> = (0..index * 300).map(|word| (word % 200 * 7919).to_string()).collect();
    format!("{sender} {index} {}", words.join(" "))
}

/// A stock client that waits for the start, sends its messages and receives everybody's.
struct Chatter {
    name: String,
    child: Child,
}

impl Chatter {
    fn start(
        site: &Site,
        name: &str,
        (client, route): (Client, Route),
        compression: Value,
        total: usize,
    ) -> Self {
        let sends = (0..EACH).map(|index| json!({ "send": message(name, index) }));
        let mut steps = vec![json!({ "wait_stdin": true })];
        steps.extend(sends);
        steps.push(json!({ "expect_messages": total }));
        let mut scenario = site.scenario(route, PATH, &steps.into());
        if client == Client::Chromium {
            scenario["insecure"] = true.into();
        } else {
            scenario["compression"] = compression;
        }
        let child = client.command(&scenario).spawn().unwrap();
        Self { name: name.to_owned(), child }
    }

    fn go(&mut self) {
        self.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    /// Everything received, as far as the result shows it.
    #[track_caller]
    fn received(self) -> Vec<(String, usize)> {
        let output = self.child.wait_with_output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["ok"], true, "{}: {result}", self.name);
        let messages = result["messages"].as_array().unwrap().iter();
        messages
            .map(|message| {
                let length = message["length"].as_u64().unwrap();
                (message["head"].as_str().unwrap().to_owned(), length as usize)
            })
            .collect()
    }
}

/// What a scenario's result shows of a message.
fn shown(message: &str) -> (String, usize) {
    (message[..message.len().min(200)].to_owned(), message.len())
}

/// A raw client's messages, until it has `total`.
#[track_caller]
fn read_all(raw: &mut Raw, inflate: &mut Inflate, total: usize) -> Vec<(String, usize)> {
    let frames = std::iter::from_fn(|| raw.read_frame()).filter(|frame| frame.opcode() == 1);
    let texts = frames.take(total).map(|frame| String::from_utf8(inflate.read(&frame)).unwrap());
    texts.map(|text| shown(&text)).collect()
}

/// websocat as receiver: one line of output per message.
fn websocat(site: &Site) -> Child {
    Command::new(part("websocat"))
        .args(["--text", "--no-close", &site.url(Route::Plain, PATH)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Everybody sends, everybody receives; `takeover` is the endpoint's.
fn check(takeover: bool) {
    let site = Site::start(Settings::new().file(&format!(
        "[[endpoint]]\npath = \"{PATH}\"\ninbound = \"broadcast\"\ncontext_takeover = {takeover}\n"
    )));
    let kinds = [
        ("ws-deflated", (Client::Ws, Route::Direct), json!(true)),
        ("ws-plain", (Client::Ws, Route::Tls), json!(false)),
        ("ws-10", (Client::Ws, Route::Plain), json!({ "server_max_window_bits": 10 })),
        ("python-deflated", (Client::Python, Route::Tls), json!({ "server_max_window_bits": 15 })),
        ("python-default", (Client::Python, Route::Plain), json!(true)),
        ("chromium", (Client::Chromium, Route::Tls), json!(true)),
    ];
    let total = kinds.len() * EACH;
    let mut chatters: Vec<_> = kinds
        .into_iter()
        .map(|(name, place, compression)| Chatter::start(&site, name, place, compression, total))
        .collect();
    let mut cat = websocat(&site);
    let offer = |offer| Opening::new(PATH).header("Sec-WebSocket-Extensions", offer);
    let mut narrow =
        offer("permessage-deflate; server_max_window_bits=10").open(site.gateway.public);
    let mut wide = offer("permessage-deflate").open(site.gateway.public);

    site.gateway.wait_for_metric("connections", &[], (chatters.len() + 3) as f64);
    chatters.iter_mut().for_each(Chatter::go);
    let inflate = |bits| if takeover { Inflate::with_takeover(bits) } else { Inflate::new(bits) };
    let order = read_all(&mut wide, &mut inflate(15), total);
    assert_eq!(read_all(&mut narrow, &mut inflate(10), total), order, "the narrow window");
    let lines = BufReader::new(cat.stdout.take().unwrap()).lines().take(total);
    let lines: Vec<_> = lines.map(|line| shown(&line.unwrap())).collect();
    cat.kill().unwrap();
    cat.wait().unwrap();
    assert_eq!(lines, order, "websocat");

    for chatter in chatters {
        let name = chatter.name.clone();
        assert_eq!(chatter.received(), order, "{name}");
        let own = order.iter().filter(|(head, _)| head.split(' ').next() == Some(&name));
        let sent: Vec<_> = (0..EACH).map(|index| shown(&message(&name, index))).collect();
        assert!(own.eq(&sent), "{name}: what it sent came in its order, each once");
    }
    let metrics = site.gateway.metrics();
    let text = |direction| [("endpoint", PATH), ("direction", direction), ("opcode", "text")];
    assert_eq!(metrics.sum("messages_total", &text("in")), total as f64);
    assert_eq!(metrics.sum("messages_total", &text("out")), (total * 9) as f64);
    // Five receivers have the full window; of each sender's messages all but the first are long.
    let compressed = metrics.sum("messages_compressed_total", &[("direction", "out")]);
    assert_eq!(compressed, (5 * long_ones(total)) as f64);
}

/// How many of so many messages are at least 128 bytes long.
fn long_ones(total: usize) -> usize {
    total / EACH * (1..EACH).count()
}

#[test]
fn everybody_gets_everything_in_the_same_order() {
    check(false);
}

#[test]
fn everybody_gets_everything_in_the_same_order_with_context_takeover() {
    check(true);
}

#[test]
fn a_broadcast_stays_on_its_endpoint() {
    let site = Site::start(Settings::new());
    let mut other = Raw::open(site.gateway.public, "/im?user_id=other");
    let mut echo = Raw::open(site.gateway.public, "/ws-notifications");
    let mut sender = Raw::open(site.nginx.plain, PATH);
    let mut receiver = Raw::open(site.nginx.plain, "/ws/?id=b");
    sender.send_frame(2, b"for /ws");
    for client in [&mut sender, &mut receiver] {
        let frame = client.read_frame().unwrap();
        assert_eq!((frame.opcode(), frame.payload.as_slice()), (2, &b"for /ws"[..]));
    }
    // Whatever had been sent to these would come before their own messages.
    for client in [&mut other, &mut echo] {
        client.send_frame(1, b"mine");
        assert_eq!(client.read_frame().unwrap().payload, b"mine");
    }
}
