//! Against servers in the same thread, which do what each test wants to see the answer to.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::accept_async;

use super::*;
use crate::load::Scenario;
use crate::wire::{Decoder, DecoderOptions, Encoded, Inflater, Input, Opcode, Role, Violation};

/// No test lets a server send more than this to somebody who does not read.
const SENT_BYTES_MAX: usize = 64 << 20;

fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

async fn connector(server: SocketAddr) -> Connector {
    let url = format!("ws://{server}/ws");
    let scenario = Scenario {
        connections: 0,
        handshake_timeout: Duration::from_secs(20),
        close_wait: Duration::from_secs(20),
        compression: true,
        ..Scenario::holding(&url)
    };
    Connector::new(&scenario, &url).await.unwrap()
}

/// How it ended with a server that does this with its end of the connection.
fn ended<S: Future<Output = ()>>(
    misconduct: Misconduct,
    number: u32,
    serve: impl FnOnce(TcpStream) -> S,
) -> String {
    on_one_thread(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connector = connector(listener.local_addr().unwrap()).await;
        let server = async { serve(listener.accept().await.unwrap().0).await };
        let until = std::future::pending();
        let client = misbehave(misconduct, &connector, number, 0, until);
        tokio::join!(client, server).0
    })
}

/// Answers the upgrade request; the stream is at the first frame.
async fn upgraded(mut stream: TcpStream) -> TcpStream {
    accept_async(&mut stream).await.unwrap();
    stream
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let Encoded { .. } = crate::wire::encode(&mut out, Role::Server, opcode, payload, None, None);
    out
}

async fn send_close(stream: &mut TcpStream, code: u16) {
    stream.write_all(&frame(Opcode::Close, &code.to_be_bytes())).await.unwrap();
}

/// Reads to the end; how many bytes came before it, or the error.
async fn read_rest(stream: &mut TcpStream) -> std::io::Result<usize> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await
}

/// Sends messages until the client's buffers and ours are full.
async fn fill(stream: &mut TcpStream) {
    let message = frame(Opcode::Binary, &[7; 1_024]);
    let mut sent = 0;
    loop {
        match stream.try_write(&message) {
            Ok(bytes) => sent += bytes,
            Err(_) => return,
        }
        assert!(sent < SENT_BYTES_MAX, "somebody reads");
        tokio::task::yield_now().await;
    }
}

#[test]
fn who_never_reads_learns_of_a_reset() {
    let how = ended(Misconduct::NeverReads, 0, async |stream| {
        let mut stream = upgraded(stream).await;
        fill(&mut stream).await;
        stream.set_zero_linger().unwrap();
    });
    assert_eq!(how, "reset");
}

#[test]
fn who_never_reads_finds_the_close_frame_once_all_is_over() {
    for (code, expected) in [(Some(1011), "closed: 1011"), (None, "eof")] {
        let how = ended(Misconduct::NeverReads, 0, async |stream| {
            let mut stream = upgraded(stream).await;
            stream.write_all(&frame(Opcode::Ping, b"there?")).await.unwrap();
            if let Some(code) = code {
                send_close(&mut stream, code).await;
            }
            stream.shutdown().await.unwrap();
            assert_eq!(read_rest(&mut stream).await.unwrap(), 0, "it says nothing");
        });
        assert_eq!(how, expected);
    }
}

#[test]
fn who_vanishes_sends_fin_and_nothing_else() {
    let how = ended(Misconduct::Vanishes, 0, async |stream| {
        let mut stream = upgraded(stream).await;
        stream.write_all(&frame(Opcode::Text, b"unread, it would be a reset")).await.unwrap();
        assert_eq!(read_rest(&mut stream).await.unwrap(), 0);
    });
    assert_eq!(how, "left");
}

#[test]
fn who_resets_sends_rst() {
    let how = ended(Misconduct::Resets, 0, async |stream| {
        let mut stream = upgraded(stream).await;
        let error = read_rest(&mut stream).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
    assert_eq!(how, "left");
}

#[test]
fn who_is_sent_away_before_it_leaves_says_so() {
    for misconduct in [Misconduct::Vanishes, Misconduct::Resets] {
        let how = ended(misconduct, 0, async |stream| {
            send_close(&mut upgraded(stream).await, 1013).await;
        });
        assert_eq!(how, "closed: 1013", "{misconduct:?}");
    }
}

#[test]
fn pings_stay_unanswered_and_large_messages_are_read() {
    let how = ended(Misconduct::NoPong, 0, async |stream| {
        let mut stream = upgraded(stream).await;
        for _ in 0..100 {
            stream.write_all(&frame(Opcode::Ping, b"there?")).await.unwrap();
            stream.write_all(&frame(Opcode::Binary, &vec![7; 100_000])).await.unwrap();
        }
        send_close(&mut stream, 1011).await;
        stream.shutdown().await.unwrap();
        assert_eq!(read_rest(&mut stream).await.unwrap(), 0, "not a byte");
    });
    assert_eq!(how, "closed: 1011");
}

#[test]
fn close_frames_are_told_apart() {
    for (payload, expected) in [
        (&b""[..], "closed: 1005"),
        (b"\x03\xf0busy", "closed: 1008"),
        (b"\x0f\xa0", "closed: 4000"),
        (b"\x03", "closed: wrong"),
        (b"\x03\xed", "closed: wrong"),
    ] {
        let how = ended(Misconduct::NoPong, 0, async |stream| {
            let mut stream = upgraded(stream).await;
            stream.write_all(&frame(Opcode::Close, payload)).await.unwrap();
        });
        assert_eq!(how, expected, "{payload:?}");
    }
}

#[test]
fn a_handshake_comes_byte_by_byte_until_it_is_refused() {
    for (answer, expected) in [
        ("HTTP/1.1 408 Request Timeout\r\n\r\n", "status 408"),
        ("go away, will you", "not an HTTP answer"),
        ("", "eof"),
    ] {
        let how = ended(Misconduct::SlowHandshake, 0, async |mut stream| {
            for byte in *b"GE" {
                let mut bytes = [0; 16];
                assert_eq!(stream.read(&mut bytes).await.unwrap(), 1, "one at a time");
                assert_eq!(bytes[0], byte);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            // Until the client has seen it: unread bytes would make a reset of the FIN.
            let _ = read_rest(&mut stream).await;
        });
        assert_eq!(how, expected);
    }
}

#[test]
fn an_endless_message_is_sent_until_the_server_says_stop() {
    // In one frame the first header tells all; fragments add up.
    for (number, declared) in [(0, 1 << 30), (1, 128 << 10)] {
        let how = ended(Misconduct::Oversize, number, async |stream| {
            let mut stream = upgraded(stream).await;
            let max_message_bytes = 100_000;
            let options = DecoderOptions { role: Role::Server, max_message_bytes, deflate: None };
            let (mut decoder, mut inflater) = (Decoder::new(options), Inflater::new());
            let mut bytes = vec![0; 4_096];
            let violation = loop {
                let read = stream.read(&mut bytes).await.unwrap();
                assert!(read > 0, "it ended by itself");
                if let Err(violation) =
                    decoder.next(&mut Input::new(&mut bytes[..read]), &mut inflater)
                {
                    break violation;
                }
            };
            let expected = Violation::MessageTooBig { size: declared, max: max_message_bytes };
            assert_eq!(violation, expected);
            send_close(&mut stream, 1009).await;
            let _ = read_rest(&mut stream).await;
        });
        assert_eq!(how, "closed: 1009", "{number}");
    }
}

#[test]
fn a_reset_in_the_middle_of_a_message_is_not_an_end_of_the_stream() {
    let how = ended(Misconduct::Oversize, 0, async |stream| {
        let mut stream = upgraded(stream).await;
        assert!(stream.read(&mut [0; 10_000]).await.unwrap() > 0);
        stream.set_zero_linger().unwrap();
    });
    assert_eq!(how, "reset");
}

#[test]
fn every_round_has_another_bad_frame() {
    let mut first_bytes = Vec::new();
    for number in 0..10 {
        let how = ended(Misconduct::BadFrames, number, async |stream| {
            let mut stream = upgraded(stream).await;
            first_bytes.push(stream.read_u16().await.unwrap());
            send_close(&mut stream, 1002).await;
            let _ = read_rest(&mut stream).await;
        });
        assert_eq!(how, "closed: 1002");
    }
    first_bytes.sort_unstable();
    first_bytes.dedup();
    assert_eq!(first_bytes.len(), 10);
}

#[test]
fn everybody_stops_with_the_run() {
    for misconduct in Misconduct::ALL {
        let how = on_one_thread(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let connector = connector(listener.local_addr().unwrap()).await;
            let (stop, stopped) = oneshot::channel::<()>();
            let server = async {
                let stream = listener.accept().await.unwrap().0;
                let stream = match misconduct {
                    Misconduct::SlowHandshake => stream,
                    _ => upgraded(stream).await,
                };
                stop.send(()).unwrap();
                stream
            };
            let until = async { stopped.await.unwrap() };
            tokio::join!(misbehave(misconduct, &connector, 0, 0, until), server).0
        });
        assert_eq!(how, "stopped", "{misconduct:?}");
    }
}

#[test]
fn who_is_not_let_in_says_why() {
    for misconduct in Misconduct::ALL {
        let nobody = on_one_thread(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let connector = connector(listener.local_addr().unwrap()).await;
            drop(listener);
            misbehave(misconduct, &connector, 0, 0, std::future::pending()).await
        });
        assert_eq!(nobody, "connect: connection refused", "{misconduct:?}");
        if misconduct == Misconduct::SlowHandshake {
            continue;
        }
        let refused = ended(misconduct, 0, async |mut stream| {
            assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
            let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        });
        assert_eq!(refused, "upgrade: status 503", "{misconduct:?}");
    }
}

#[test]
fn pauses_differ_but_can_be_repeated() {
    let pauses: Vec<_> = (0..100).map(|number| drawn_pause("stay", number, 3)).collect();
    assert!(pauses.iter().all(|pause| (PAUSE_MIN..=PAUSE_MIN + PAUSE_SPREAD).contains(pause)));
    assert!(pauses.iter().any(|pause| *pause < PAUSE_MIN + PAUSE_SPREAD / 4), "{pauses:?}");
    assert!(pauses.iter().any(|pause| *pause > PAUSE_MIN + PAUSE_SPREAD / 4 * 3), "{pauses:?}");
    assert_eq!(pauses[7], drawn_pause("stay", 7, 3));
}
