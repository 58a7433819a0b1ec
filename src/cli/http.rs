//! One request to a gateway's admin listener, bounded in time and in bytes.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::load::Target;

/// What is sent.
pub(super) struct Question<'a> {
    pub method: Method,
    pub path: &'a str,
    /// Beside `Host` and `User-Agent`.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// For everything: look-up, connection, request, answer.
    pub timeout: Duration,
    /// So much of the answer's body is read.
    pub answer_bytes_max: usize,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
    /// The body is all of it: it neither broke off nor was longer than what is read.
    pub whole: bool,
}

/// Why there is no answer, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing was sent.
    NotConnected(String),
    /// It may have been received.
    Unanswered(String),
}

impl Failure {
    /// The reason.
    pub fn reason(&self) -> &str {
        match self {
            Self::NotConnected(reason) | Self::Unanswered(reason) => reason,
        }
    }
}

/// Asks once, on a runtime of its own.
pub(super) fn ask(target: &Target, question: Question<'_>) -> Result<Answer, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::NotConnected(format!("no runtime: {error}")))?;
    let answer = runtime.block_on(connect_and_ask(target, question));
    // A name look-up that hangs sits in a blocking thread; the process does not wait for it.
    runtime.shutdown_background();
    answer
}

async fn connect_and_ask(target: &Target, question: Question<'_>) -> Result<Answer, Failure> {
    let timeout = question.timeout;
    let until = Instant::now() + timeout;
    let late = |_| format!("no answer within {timeout:?}");
    let stream = timeout_at(until, TcpStream::connect(target.authority())).await;
    let stream = match stream.map_err(late) {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Failure::NotConnected(system_words(&error))),
        Err(late) => return Err(Failure::NotConnected(late)),
    };
    let answered = timeout_at(until, exchange(stream, target, question)).await;
    answered.map_err(late).and_then(|answer| answer).map_err(Failure::Unanswered)
}

async fn exchange(
    stream: TcpStream,
    target: &Target,
    question: Question<'_>,
) -> Result<Answer, String> {
    let failed = |error: &dyn Display| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    // It ends with the request; its errors come back through the sender.
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(question.method)
        .uri(question.path)
        .header(header::HOST, target.authority())
        .header(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("gaugeway/", env!("CARGO_PKG_VERSION"))),
        )
        .body(Full::new(question.body))
        .map_err(|error| failed(&error))?;
    request.headers_mut().extend(question.headers);
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    let (body, whole) = read_body(answer.into_body(), question.answer_bytes_max).await;
    Ok(Answer { status, body, whole })
}

/// At most so many bytes, and whether they are all.
async fn read_body(mut body: Incoming, bytes_max: usize) -> (Vec<u8>, bool) {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (read, false) };
        let data = frame.into_data().unwrap_or_default();
        let room = bytes_max - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return (read, false);
        }
    }
    (read, true)
}

/// The system's words without "(os error 111)".
fn system_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Asks a listener that gives this answer and ends the connection.
    fn asked(answer: &str, answer_bytes_max: usize) -> Result<Answer, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 1_024];
                let read = stream.read(&mut head).unwrap();
                assert!(head[..read].starts_with(b"GET /path?a=b HTTP/1.1\r\nhost: 127.0.0.1:"));
                stream.write_all(answer.as_bytes()).unwrap();
            });
            ask(
                &Target::parse("--url", &url).unwrap(),
                question(answer_bytes_max, Duration::from_secs(20)),
            )
        })
    }

    fn question(answer_bytes_max: usize, timeout: Duration) -> Question<'static> {
        Question {
            method: Method::GET,
            path: "/path?a=b",
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout,
            answer_bytes_max,
        }
    }

    #[test]
    fn of_a_long_or_broken_answer_the_beginning_is_kept() {
        for (answer, bytes_max, body, whole) in [
            ("content-length: 5\r\n\r\nhello", 5, "hello", true),
            ("content-length: 5\r\n\r\nhello", 4, "hell", false),
            ("content-length: 9\r\n\r\nhello", 9, "hello", false),
            ("connection: close\r\n\r\nhello", 9, "hello", true),
            ("content-length: 0\r\n\r\n", 0, "", true),
        ] {
            let got = asked(&format!("HTTP/1.1 200 OK\r\n{answer}"), bytes_max).unwrap();
            assert_eq!((got.body.as_slice(), got.whole), (body.as_bytes(), whole), "{answer:?}");
        }
    }

    #[test]
    fn what_was_sent_without_an_answer_is_told_from_what_was_not() {
        let garbage = asked("\u{1b}[2J\r\n\r\n", 9).unwrap_err();
        assert!(matches!(garbage, Failure::Unanswered(_)), "{garbage:?}");
        let nothing = asked("", 9).unwrap_err();
        assert!(matches!(nothing, Failure::Unanswered(_)), "{nothing:?}");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target =
            Target::parse("--url", &format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let soon = Duration::from_millis(50);
        let silent = ask(&target, question(9, soon)).unwrap_err();
        assert_eq!(silent, Failure::Unanswered("no answer within 50ms".to_owned()));
        drop(listener);
        let refused = ask(&target, question(9, Duration::from_secs(20))).unwrap_err();
        assert_eq!(refused, Failure::NotConnected("Connection refused".to_owned()));
    }
}
