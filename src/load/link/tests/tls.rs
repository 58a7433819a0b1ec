//! `wss`: whom a link trusts, and that its traffic flows.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, version};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Peer, Server, ended, run, running};
use crate::load::Scenario;
use crate::load::link::{Connector, NotSent, tls};
use crate::wire::Opcode;

/// A certificate for one address, signed by itself.
struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    fn new(address: &str) -> Self {
        Self::with_authority(address, false)
    }

    fn with_authority(address: &str, authority: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A name of its own: two of one name are told apart by their signatures alone.
        let name = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        let authority = if authority { "TRUE" } else { "FALSE" };
        let authority = format!("basicConstraints=critical,CA:{authority}");
        let made = Command::new(openssl())
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}"), "-keyout", "key.pem"])
            .args(["-out", "cert.pem", "-addext", &format!("subjectAltName=IP:{address}")])
            .args(["-addext", &authority])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { folder }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.folder.path().join("cert.pem")).unwrap()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::from_pem_file(self.folder.path().join("key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// The part `openssl` of `docs/testing.md`.
fn openssl() -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/parts/env");
    let written = std::fs::read_to_string(file).unwrap_or_default();
    let written = written.lines().find_map(|line| line.strip_prefix("PART_OPENSSL="));
    let path = std::env::var_os("PART_OPENSSL").or_else(|| written.map(Into::into));
    path.expect("part openssl is missing: run tests/run --only parts").into()
}

async fn secure_server() -> (Server, Scenario) {
    let server = Server::new().await;
    let mut scenario = server.scenario();
    scenario.url = server.url.replace("ws:", "wss:");
    scenario.insecure = true;
    (server, scenario)
}

async fn accept(
    server: &Server,
    acceptor: &TlsAcceptor,
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    acceptor.accept(server.listener.accept().await.unwrap().0).await
}

/// Opens a link to a server that has this certificate, trusting these.
async fn opened(certificate: &Certificate, trusted: Option<CertificateDer<'static>>) -> String {
    let (server, scenario) = secure_server().await;
    let mut connector = Connector::new(&scenario, &scenario.url).await.unwrap();
    let mut roots = RootCertStore::empty();
    if let Some(trusted) = trusted {
        roots.add(trusted).unwrap();
        connector.tls.as_mut().unwrap().0 = tls::trusting(roots).unwrap();
    }
    let acceptor = certificate.acceptor();
    let serving = async {
        let mut peer = Peer::new(accept(&server, &acceptor).await.ok()?).await;
        peer.write(peer.answer("").as_bytes()).await;
        Some(peer)
    };
    let (opened, _peer) = tokio::join!(connector.open(0), serving);
    opened.map_or_else(|error| error.reason, |_| "opened".to_owned())
}

#[test]
fn only_insecure_takes_a_stranger() {
    let (ours, other) = (Certificate::new("127.0.0.1"), Certificate::new("127.0.0.1"));
    let elsewhere = Certificate::new("127.0.0.77");
    let check = |certificate: &Certificate, trusted: Option<&Certificate>, expected: &str| {
        run(async {
            let trusted = trusted.map(Certificate::der);
            assert_eq!(opened(certificate, trusted).await, expected);
        });
    };
    check(&ours, None, "opened");
    check(&elsewhere, None, "opened");
    check(&ours, Some(&ours), "opened");
    let authority = Certificate::with_authority("127.0.0.1", true);
    check(&authority, None, "opened");
    check(&authority, Some(&authority), "tls: certificate not trusted (--insecure takes any)");
    check(&ours, Some(&other), "tls: unknown issuer (--insecure takes any)");
    check(&elsewhere, Some(&elsewhere), "tls: certificate for another name");
}

#[test]
fn what_is_no_tls_server_is_told_apart() {
    let check = |answer: Option<&'static [u8]>, expected: &'static str| {
        run(async move {
            let (server, scenario) = secure_server().await;
            let connector = Connector::new(&scenario, &scenario.url).await.unwrap();
            let serving = async {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let (mut stream, _) = server.listener.accept().await.unwrap();
                // The hello, lest its bytes turn the FIN into a reset.
                let hello = stream.read(&mut [0; 4_096]).await.unwrap();
                assert!(hello > 0);
                if let Some(answer) = answer {
                    stream.write_all(answer).await.unwrap();
                }
                answer.map(|_| stream)
            };
            let (opened, _stream) = tokio::join!(connector.open(0), serving);
            assert_eq!(opened.err().unwrap().reason, expected);
        });
    };
    check(Some(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls: not a TLS server");
    check(None, "tls: closed");
}

#[test]
fn messages_flow_through_tls_both_ways() {
    let certificate = Certificate::new("127.0.0.1");
    run(async {
        let (server, scenario) = secure_server().await;
        let connector = Connector::new(&scenario, &scenario.url).await.unwrap();
        let acceptor = certificate.acceptor();
        let serving = async {
            let mut peer = Peer::new(accept(&server, &acceptor).await.unwrap()).await;
            // With the first frame behind it in one record.
            let answer = peer.answer("") + "\u{2}\u{0}";
            let mut answer = answer.into_bytes();
            *answer.iter_mut().rev().nth(1).unwrap() = 0x82;
            peer.write(&answer).await;
            peer
        };
        let (opened, mut peer) = tokio::join!(connector.open(0), serving);
        let link = opened.unwrap().link;
        let received = Rc::new(std::cell::Cell::new(0));
        let (task, total) = (Rc::clone(&link), Rc::clone(&received));
        let end = tokio::task::spawn_local(async move {
            task.run(|incoming| total.set(total.get() + incoming.payload.len())).await
        });

        // From outside, while the task sleeps: it has to be woken.
        for length in [1, 125, 70_000, 3 << 20] {
            let payload = vec![5; length];
            link.send(Opcode::Binary, &payload).unwrap();
            assert!(peer.next().await == Some((Opcode::Binary, payload.clone())));
            let before = received.get();
            peer.send(Opcode::Binary, &payload, None).await;
            while received.get() < before + length {
                tokio::task::yield_now().await;
            }
        }
        peer.send(Opcode::Ping, b"there?", None).await;
        assert_eq!(peer.next().await, Some((Opcode::Pong, b"there?".to_vec())));
        link.close(1000);
        assert_eq!(peer.next_close().await, Some((1000, String::new())));
        peer.send(Opcode::Close, b"\x03\xe8", None).await;
        drop(peer);
        assert_eq!(end.await.unwrap(), ended(1000, true, "closed"));
    });
}

#[test]
fn a_server_that_does_not_read_congests_tls_too() {
    let certificate = Certificate::new("127.0.0.1");
    run(async {
        let (server, scenario) = secure_server().await;
        let connector = Connector::new(&scenario, &scenario.url).await.unwrap();
        let acceptor = certificate.acceptor();
        let serving = async {
            let mut peer = Peer::new(accept(&server, &acceptor).await.unwrap()).await;
            peer.write(peer.answer("").as_bytes()).await;
            peer
        };
        let (opened, peer) = tokio::join!(connector.open(0), serving);
        let link = opened.unwrap().link;
        let end = running(&link);
        let payload = vec![7; 64 << 10];
        let mut refusals = 0;
        while refusals < 50 {
            if link.send(Opcode::Binary, &payload).is_ok() {
                refusals = 0;
            } else {
                assert_eq!(link.send(Opcode::Text, b""), Err(NotSent::Congested));
                refusals += 1;
                tokio::task::yield_now().await;
            }
            assert!(link.queued_bytes() <= (1 << 20) + payload.len() + 14);
        }
        // Ended without its farewell, which is no error of anybody's protocol.
        drop(peer);
        let end = end.await.unwrap();
        assert!(
            end.code == 1006 && !end.by_us && ["eof", "reset"].contains(&end.reason),
            "{end:?}"
        );
    });
}
