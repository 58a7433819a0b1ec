//! Against listeners that answer what a test says.

use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, LocalSet};

use super::*;

const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(test));
}

/// Reads one request of at most 4 KiB; empty at the end of the stream.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4_096];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut bytes[filled..]).await.unwrap_or(0);
        filled += read;
        let text = String::from_utf8_lossy(&bytes[..filled]);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        if read == 0 || body.is_some_and(|body| body.ends_with('}')) {
            return text.into_owned();
        }
    }
}

/// A listener and a publisher to it.
async fn parts() -> (TcpListener, ApiPublisher) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let key = Secret::new("secret".to_owned());
    let publisher = ApiPublisher::new(&url, "endpoint:/ws", Some(&key), Kind::Text).unwrap();
    (listener, publisher)
}

async fn publish(publisher: &ApiPublisher, payload: &str) -> Result<(), String> {
    publisher.publish(publisher.room().unwrap(), payload.into()).await
}

#[test]
fn publications_one_after_the_other_share_a_connection() {
    on_one_thread(async {
        let (listener, publisher) = parts().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut requests = Vec::new();
            for _ in 0..3 {
                requests.push(read_request(&mut stream).await);
                stream.write_all(WELL.as_bytes()).await.unwrap();
            }
            requests
        });
        for payload in ["one", "two", "three"] {
            assert_eq!(publish(&publisher, payload).await, Ok(()));
        }
        let requests = server.await.unwrap();
        assert!(requests[0].starts_with("POST /api/v1/publish HTTP/1.1\r\n"), "{}", requests[0]);
        assert!(requests[0].contains("\r\nauthorization: Bearer secret\r\n"), "{}", requests[0]);
        for (request, text) in requests.iter().zip(["one", "two", "three"]) {
            let body = format!(r#"{{"to":{{"endpoint":"/ws"}},"text":"{text}"}}"#);
            assert_eq!(request.split_once("\r\n\r\n").unwrap().1, body);
        }
    });
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced() {
    on_one_thread(async {
        let (listener, publisher) = parts().await;
        let serve = async || {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(!read_request(&mut stream).await.is_empty());
            stream.write_all(WELL.as_bytes()).await.unwrap();
            stream
        };
        let (outcome, stream) = tokio::join!(publish(&publisher, "a"), serve());
        assert_eq!(outcome, Ok(()));
        drop(stream);
        while !publisher.idle.borrow()[0].is_closed() {
            tokio::task::yield_now().await;
        }
        let (outcome, _stream) = tokio::join!(publish(&publisher, "b"), serve());
        assert_eq!(outcome, Ok(()));
    });
}

#[test]
fn what_goes_wrong_has_a_short_name() {
    for (answer, expected) in [
        ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "publish: status 503"),
        ("HTTP/1.1 401 Who\r\ncontent-length: 9\r\n\r\ncut", "publish: status 401"),
        ("what?\r\n\r\n", "publish: not an HTTP answer"),
        ("", "publish: closed"),
    ] {
        on_one_thread(async {
            let (listener, publisher) = parts().await;
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                read_request(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
            let failed = publish(&publisher, "a").await;
            assert_eq!(failed, Err(expected.to_owned()), "{answer:?}");
            server.await.unwrap();
        });
    }
}

#[test]
fn nobody_there_is_an_error_of_the_connection() {
    on_one_thread(async {
        let (listener, publisher) = parts().await;
        drop(listener);
        let failed = publish(&publisher, "a").await;
        assert_eq!(failed, Err("publish: connect: connection refused".to_owned()));
    });
}

#[test]
fn more_than_64_under_way_find_no_room_until_one_is_over() {
    on_one_thread(async {
        let (listener, publisher) = parts().await;
        let publisher = Rc::new(publisher);
        let mut publishing = JoinSet::new();
        for _ in 0..UNDER_WAY_MAX {
            let publisher = Rc::clone(&publisher);
            publishing.spawn_local(async move { publish(&publisher, "a").await });
        }
        let mut streams = Vec::new();
        while streams.len() < UNDER_WAY_MAX {
            streams.push(listener.accept().await.unwrap().0);
        }
        assert!(publisher.room().is_none());
        for stream in &mut streams {
            read_request(stream).await;
            stream.write_all(WELL.as_bytes()).await.unwrap();
        }
        for outcome in publishing.join_all().await {
            assert_eq!(outcome, Ok(()));
        }
        assert_eq!(publisher.under_way(), 0);
        assert_eq!(publisher.idle.borrow().len(), UNDER_WAY_MAX);
    });
}

#[test]
fn wrong_addresses_and_receivers_are_refused_by_name() {
    for (url, to, expected) in [
        ("https://a:1", "everyone", "--api https://a:1: write http://HOST:PORT"),
        ("http://a:1/x", "everyone", "--api has the path /x"),
        ("http://a:1", "room:7", "--to room:7: write user:NAME"),
    ] {
        let refused = ApiPublisher::new(url, to, None, Kind::Text).err().unwrap();
        assert!(refused.contains(expected), "{refused}");
    }
    let key = Secret::new("two\nlines".to_owned());
    let refused = ApiPublisher::new("http://a:1", "everyone", Some(&key), Kind::Text).err();
    assert!(refused.unwrap().contains("--key-file"));
}
