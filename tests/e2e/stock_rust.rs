//! tokio-tungstenite, the stock client of the Rust world: no compression, its own choice of frames.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::support::{PATIENCE, Route, Settings, Site};

const ECHO: &str = "/ws-notifications";
const LIMIT: usize = 65536;

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

type Client = WebSocketStream<Box<dyn Stream>>;

async fn tls(site: &Site, stream: TcpStream) -> Box<dyn Stream> {
    let mut authorities = RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_file(site.nginx.ca()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(authorities).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap())
}

async fn try_open(site: &Site, route: Route, path: &str) -> Result<Client, Error> {
    let stream = TcpStream::connect(site.address(route)).await.unwrap();
    let stream = match route {
        Route::Direct | Route::Plain => Box::new(stream),
        Route::Tls => tls(site, stream).await,
    };
    client_async(site.url(route, path), stream).await.map(|(client, _)| client)
}

async fn next(client: &mut Client) -> Message {
    let message = tokio::time::timeout(PATIENCE, client.next()).await.expect("a message comes");
    message.expect("not the end").unwrap()
}

/// Runs a conversation on every route; the site is given back for a look at its metrics.
fn on_every_route(conversation: &impl AsyncFn(&Site, Route)) -> Site {
    let site = Site::start(Settings::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for route in Route::ALL {
        runtime.block_on(conversation(&site, route));
    }
    site
}

#[test]
fn messages_come_back_as_they_were_sent() {
    let site = on_every_route(&async |site, route| {
        let mut client = try_open(site, route, ECHO).await.unwrap();
        for size in [0, 1, 125, 126, 127, 65535, LIMIT] {
            for message in [Message::text("ä".repeat(size / 2)), Message::binary(vec![7; size])] {
                client.send(message.clone()).await.unwrap();
                assert_eq!(next(&mut client).await, message, "{route:?} {size}");
            }
        }
        client.send(Message::Ping("there?".into())).await.unwrap();
        assert_eq!(next(&mut client).await, Message::Pong("there?".into()));
        let frame = CloseFrame { code: CloseCode::from(4001), reason: "bye".into() };
        client.close(Some(frame)).await.unwrap();
        let Message::Close(Some(answer)) = next(&mut client).await else { panic!("no Close") };
        assert_eq!(u16::from(answer.code), 4001, "{route:?}");
        assert!(client.next().await.is_none(), "{route:?}: the stream ends after it");
    });
    let labels = [("initiator", "client"), ("cause", "client_close"), ("code", "4001")];
    site.gateway.wait_for_metric("disconnects_total", &labels, 3.0).check_sums();
}

#[test]
fn fragments_with_a_ping_between_become_one_message() {
    on_every_route(&async |site, route| {
        let mut client = try_open(site, route, ECHO).await.unwrap();
        let fragment = |payload: &'static [u8], data, last| {
            Message::Frame(Frame::message(payload, OpCode::Data(data), last))
        };
        // Cut inside of a character.
        client.send(fragment(b"a\xe2\x82", Data::Text, false)).await.unwrap();
        client.send(Message::Ping("between".into())).await.unwrap();
        client.send(fragment(b"", Data::Continue, false)).await.unwrap();
        client.send(fragment(b"\xacz", Data::Continue, true)).await.unwrap();
        assert_eq!(next(&mut client).await, Message::Pong("between".into()), "{route:?}");
        assert_eq!(next(&mut client).await, Message::text("a€z"), "{route:?}");
    });
}

#[test]
fn one_byte_too_many_is_refused_with_1009_even_in_fragments() {
    let site = on_every_route(&async |site, route| {
        let whole = vec![Message::binary(vec![0; LIMIT + 1])];
        let fragment = |length, data, last| {
            Message::Frame(Frame::message(vec![0; length], OpCode::Data(data), last))
        };
        let pieces = vec![
            fragment(LIMIT, Data::Binary, false),
            fragment(0, Data::Continue, false),
            fragment(1, Data::Continue, true),
        ];
        for messages in [whole, pieces] {
            let mut client = try_open(site, route, ECHO).await.unwrap();
            for message in messages {
                client.send(message).await.unwrap();
            }
            let Message::Close(Some(close)) = next(&mut client).await else { panic!("no Close") };
            assert_eq!(close.code, CloseCode::Size, "{route:?}");
            assert!(close.reason.contains("65537 bytes"), "{route:?}: {}", close.reason);
            assert!(client.next().await.is_none(), "{route:?}: the stream ends after it");
        }
    });
    let labels = [("cause", "message_too_big"), ("code", "1009")];
    site.gateway.wait_for_metric("disconnects_total", &labels, 6.0).check_sums();
}

#[test]
fn a_refusal_is_an_http_answer_with_a_reason() {
    on_every_route(&async |site, route| {
        let Err(Error::Http(answer)) = try_open(site, route, "/im").await else {
            panic!("{route:?}: not refused")
        };
        assert_eq!(answer.status(), 400, "{route:?}");
        let body: serde_json::Value =
            serde_json::from_slice(answer.body().as_deref().unwrap()).unwrap();
        assert_eq!(body["error"]["code"], "user_required", "{route:?}");
        assert!(try_open(site, route, "/im?user_id=a").await.is_ok(), "{route:?}");
    });
}
