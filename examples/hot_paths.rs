//! The paths that every message, scrape or handshake takes, each so often as is asked: what
//! `bench/instructions` counts under callgrind.
//!
//! ```text
//! cargo run --release --example hot_paths                # the names
//! cargo run --release --example hot_paths -- decode 1000
//! ```
//!
//! Nothing here may depend on the clock, on hash seeds or on addresses: two runs must execute the same
//! instructions. Sockets are real, since a fan-out without its writes would be another one; what the
//! kernel does is not counted.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Write};
use std::hint::black_box;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use gaugeway::bus::{Message, Target};
use gaugeway::config::Inbound;
use gaugeway::events::{MessageReceived, MessageSent};
use gaugeway::handshake::{AllowedOrigins, EndpointPolicy, Proxies, examine};
use gaugeway::hub::{FanOut, Hub, Local, Mail, Member};
use gaugeway::outbound::{Backlogs, Outbound, QueueLimits};
use gaugeway::state::Now;
use gaugeway::telemetry::{
    AllShardGauges, EndpointIndex, Recorder, ShardGauges, Telemetry, TelemetryOptions,
};
use gaugeway::wire::{
    Decoder, DecoderOptions, Deflate, DeflatePolicy, Deflater, Inflater, Input, Opcode, Role,
    SharedFrame, encode,
};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

type Outcome = Result<(), Box<dyn Error>>;

/// A path and how to take it so many times.
struct Path {
    name: &'static str,
    take: fn(usize) -> Outcome,
}

const PATHS: &[Path] = &[
    Path { name: "decode", take: decode },
    Path { name: "encode", take: encode_plain },
    Path { name: "deflate", take: deflate },
    Path { name: "inflate", take: inflate },
    Path { name: "fan-out", take: fan_out },
    Path { name: "event", take: event },
    Path { name: "scrape", take: scrape },
    Path { name: "handshake", take: handshake },
];

/// Receivers of the fan-out: one chunk of a sweep.
const MEMBERS: usize = 256;
const NOW: Now = Now { real_us: 1, attended_us: 1 };
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hot_paths: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            for path in PATHS {
                println!("{}", path.name);
            }
            Ok(())
        }
        [name, times] => {
            let known = PATHS.iter().find(|path| path.name == name);
            let path = known.ok_or_else(|| format!("there is no path '{name}'"))?;
            (path.take)(times.parse()?)
        }
        _ => Err("usage: hot_paths [PATH TIMES]".into()),
    }
}

/// Takes a path so many times. callgrind collects in here alone: what leads up to it may depend on the
/// clock. Whatever `once` calls is counted, inlined or not.
#[inline(never)]
fn measured(times: usize, mut once: impl FnMut(usize) -> Outcome) -> Outcome {
    (0..times).try_for_each(&mut once)
}

/// One masked text frame of 128 bytes, unmasked and checked.
fn decode(times: usize) -> Outcome {
    let mut frame = Vec::new();
    encode(&mut frame, Role::Client, Opcode::Text, &json(128)?, None, Some(MASK));
    take_in(times, &frame, None)
}

/// One masked frame with 1 KiB of JSON compressed.
fn inflate(times: usize) -> Outcome {
    let mut frame = Vec::new();
    let mut deflater = Deflater::new(1, 15);
    let compressed = Some((&mut deflater, 0));
    encode(&mut frame, Role::Client, Opcode::Text, &json(1024)?, compressed, Some(MASK));
    let deflate = Deflate {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..Deflate::default()
    };
    take_in(times, &frame, Some(deflate))
}

fn take_in(times: usize, frame: &[u8], deflate: Option<Deflate>) -> Outcome {
    let options = DecoderOptions { role: Role::Server, max_message_bytes: 65_536, deflate };
    let (mut decoder, mut inflater) = (Decoder::new(options), Inflater::new());
    let mut read = frame.to_vec();
    measured(times, |_| {
        // It was unmasked in place.
        read.copy_from_slice(frame);
        let mut input = Input::new(black_box(&mut read));
        let message = decoder.next(&mut input, &mut inflater)?;
        black_box(message.ok_or("a whole frame is a message")?);
        Ok(())
    })
}

/// One text frame of 128 bytes.
fn encode_plain(times: usize) -> Outcome {
    take_out(times, &json(128)?, None)
}

/// One frame with 1 KiB of JSON, compressed at level 1 without context.
fn deflate(times: usize) -> Outcome {
    take_out(times, &json(1024)?, Some(&mut Deflater::new(1, 15)))
}

fn take_out(times: usize, payload: &[u8], mut deflater: Option<&mut Deflater>) -> Outcome {
    let mut out = Vec::new();
    measured(times, |_| {
        out.clear();
        let deflate = deflater.as_deref_mut().map(|deflater| (deflater, 0));
        let payload = black_box(payload);
        let compresses = deflate.is_some();
        let encoded = encode(&mut out, Role::Server, Opcode::Text, payload, deflate, None);
        if encoded.compressed_bytes.is_some() != compresses {
            return Err("the payload was not encoded as it should be".into());
        }
        black_box(&out);
        Ok(())
    })
}

/// What counting one echo takes.
fn event(times: usize) -> Outcome {
    let telemetry = telemetry();
    let recorder = telemetry.recorder();
    measured(times, |n| {
        echoed(&recorder, black_box(EndpointIndex(1)), black_box(Opcode::Text), n as u64 & 1023);
        Ok(())
    })?;
    let counted =
        format!(r#"messages_total{{endpoint="/ws",direction="out",opcode="text"}} {times}"#);
    if telemetry.render().1.contains(&counted) { Ok(()) } else { Err("nothing counted".into()) }
}

/// Not inlined: the call's arguments are what a connection has at hand.
#[inline(never)]
fn echoed(recorder: &Recorder, endpoint: EndpointIndex, opcode: Opcode, payload_bytes: u64) {
    let (wire_bytes, compressed_bytes) = (payload_bytes + 8, None);
    MessageReceived { endpoint, opcode, payload_bytes, wire_bytes, compressed_bytes }
        .emit(recorder);
    let wire_bytes = payload_bytes + 4;
    MessageSent { endpoint, opcode, payload_bytes, wire_bytes, compressed_bytes }.emit(recorder);
}

/// One page `/metrics` of three endpoints and two shards.
fn scrape(times: usize) -> Outcome {
    let telemetry = telemetry();
    let _shards = [telemetry.recorder(), telemetry.recorder()];
    telemetry.register(AllShardGauges::new(vec![ShardGauges::new(), ShardGauges::new()]))?;
    measured(times, |_| {
        black_box(telemetry.render());
        Ok(())
    })
}

fn telemetry() -> Telemetry {
    let endpoints = ["/ws-notifications", "/ws", "/im"].map(str::to_owned);
    Telemetry::new(&TelemetryOptions { endpoints: endpoints.into(), ..TelemetryOptions::default() })
}

/// One browser's upgrade request behind nginx, judged.
fn handshake(times: usize) -> Outcome {
    let request = http::Request::get("/ws-notifications?user_id=anna")
        .header("Host", "chat.example")
        .header("Connection", "upgrade")
        .header("Upgrade", "websocket")
        .header("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101")
        .header("Origin", "https://chat.example")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
        .header("X-Request-ID", "0123456789abcdef0123456789abcdef")
        .header("X-Forwarded-For", "203.0.113.9")
        .header("X-Forwarded-Proto", "https")
        .header("X-Nginx-Host", "edge-1")
        .header("X-Nginx-Pid", "4711")
        .header("X-Nginx-Connection", "815")
        .body(())?;
    let (parts, ()) = request.into_parts();
    let endpoint = EndpointPolicy {
        index: EndpointIndex(0),
        path: "/ws-notifications".into(),
        inbound: Inbound::Echo,
        require_user: false,
        require_compression: false,
        max_message_bytes: 65_536,
        origins: AllowedOrigins::compile(&["https://chat.example".to_owned()]),
        deflate: Some(DeflatePolicy { context_takeover: false }),
    };
    let proxies = Proxies::new(&["127.0.0.1/32".parse()?]);
    let nginx: SocketAddr = "127.0.0.1:40000".parse()?;
    measured(times, |_| {
        let ticket = examine(black_box(&parts), nginx, &endpoint, &proxies, Uuid::nil());
        black_box(ticket.map_err(|refusal| refusal.message)?);
        Ok(())
    })
}

/// One publication of 256 bytes through the hub to 256 receivers.
fn fan_out(times: usize) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let hub: Hub<()> = Hub::new(1);
        let recorder = telemetry().recorder();
        let backlogs = Backlogs::new(QueueLimits { bytes: 1 << 20, messages: 256 });
        let local = Local::new(3, Arc::clone(hub.users()));
        let endpoint = EndpointIndex(1);
        let (mut members, mut clients) = (Vec::new(), Vec::new());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        for _ in 0..MEMBERS {
            let client = TcpStream::connect(listener.local_addr()?).await?;
            let (ours, _) = listener.accept().await?;
            // A write is tried only once the runtime has seen that there is room.
            ours.ready(Interest::WRITABLE).await?;
            let member = Member::new(Outbound::new(ours, NOW), endpoint, None, false, 0);
            local.join(&member);
            members.push(member);
            clients.push(client);
        }
        let shard = FanOut {
            recorder: &recorder,
            backlogs: &backlogs,
            deflater: &RefCell::new(Deflater::new(1, 15)),
            deflate_min_bytes: 128,
            now: &|| NOW,
        };
        let payload = Bytes::from(json(256)?);
        let mut cx = Context::from_waker(Waker::noop());
        measured(times, |_| {
            let frame = SharedFrame::new(Opcode::Text, payload.clone());
            hub.publish(Message { to: Target::Endpoint(endpoint), frame }, NOW.real_us);
            // The turns that a sweep leaves to others: there are none here.
            let mut sweep = pin!(publish_waiting(&hub, &local, &shard));
            while sweep.as_mut().poll(&mut cx).is_pending() {}
            Ok(())
        })?;
        let written: usize = members.iter().map(sent_to).sum();
        if written == times * MEMBERS { Ok(()) } else { Err("some were not served".into()) }
    })
}

async fn publish_waiting(hub: &Hub<()>, local: &Local, shard: &FanOut<'_>) {
    let mailbox = hub.mailbox(0);
    let waiting = mailbox.take().into_iter().filter_map(|mail| match mail {
        Mail::Publication(delivery) => Some(delivery),
        Mail::Errand(()) => None,
    });
    let batch: Vec<_> = waiting.collect();
    local.fan_out(&batch, shard).await;
    for delivery in &batch {
        mailbox.done(delivery);
    }
}

/// Messages that its socket took; what had to be queued is not what is counted here.
fn sent_to(member: &Rc<Member>) -> usize {
    if member.outbound.has_backlog() { 0 } else { member.outbound.totals().messages as usize }
}

/// A JSON object of exactly so many bytes, as a notification might be.
fn json(bytes: usize) -> Result<Vec<u8>, fmt::Error> {
    let mut text = String::from(r#"{"type":"notification","items":["#);
    let mut number = 17_u64;
    while text.len() + 2 < bytes {
        // A generator of Lehmer's: it repeats everywhere.
        number = number * 48_271 % 0x7fff_ffff;
        write!(text, r#"{{"id":{number},"state":"unread"}},"#)?;
    }
    text.truncate(bytes - 2);
    text.push_str("]}");
    Ok(text.into_bytes())
}
