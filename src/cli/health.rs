//! `gaugeway health`: one request to `/health/ready`, for a container's health check.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{BAD_INPUT, ConfigOptions, FAILED, complain, print};
use crate::config::printable;

/// For everything: look-up, connection, request, answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// So much of the answer is read; so many of its characters are shown.
const BODY_BYTES_MAX: usize = 16 * 1_024;
const SHOWN_CHARS_MAX: usize = 300;

/// The options of `gaugeway health`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        gaugeway health\n  \
                        gaugeway health --url http://127.0.0.1:8081\n\n\
                        Exit codes: 0 ready, 1 not ready or not reachable within 3 s, 2 bad input.")]
pub struct Options {
    /// The admin listener, as http://HOST:PORT [default: that of the configuration]
    #[arg(long, value_name = "URL", env = "GAUGEWAY_HEALTH_URL", hide_env_values = true)]
    url: Option<String>,
    #[command(flatten)]
    config: ConfigOptions,
}

/// Asks once. A configuration is only loaded where no URL is given.
pub fn run(options: Options) -> ExitCode {
    let target = match options.url {
        Some(url) => Target::parse(&url),
        None => match options.config.load() {
            Ok(loaded) => Target::of_listener(loaded.config.server.admin_listen),
            Err(code) => return code,
        },
    };
    let target = match target {
        Ok(target) => target,
        Err(advice) => {
            complain(&printable(&advice));
            return ExitCode::from(BAD_INPUT);
        }
    };
    match ask_within_timeout(&target) {
        Ok(()) => print("ready\n"),
        Err(reason) => {
            complain(&printable(&reason));
            ExitCode::from(FAILED)
        }
    }
}

/// Where to ask.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// `host:port`, IPv6 hosts in brackets.
    authority: String,
    path: String,
}

impl Target {
    /// The loopback side of a listener on every interface.
    fn of_listener(listen: SocketAddr) -> Result<Self, String> {
        if listen.port() == 0 {
            return Err(
                "server.admin_listen has port 0, which the system chose: give --url http://HOST:PORT"
                    .to_owned(),
            );
        }
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Ok(Self {
            authority: SocketAddr::new(ip, listen.port()).to_string(),
            path: "/health/ready".to_owned(),
        })
    }

    /// An `http` URL; without a path `/health/ready` is meant.
    fn parse(url: &str) -> Result<Self, String> {
        let advice =
            || format!("--url {url}: write http://HOST:PORT, such as http://127.0.0.1:8081");
        let uri: Uri = url.parse().map_err(|_| advice())?;
        let authority = uri.authority().ok_or_else(advice)?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return Err(advice());
        }
        let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
            "/" => "/health/ready",
            other => other,
        };
        Ok(Self {
            authority: match authority.port_u16() {
                Some(port) => format!("{}:{port}", authority.host()),
                None => format!("{}:80", authority.host()),
            },
            path: path.to_owned(),
        })
    }
}

fn ask_within_timeout(target: &Target) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let asked = runtime.block_on(async { tokio::time::timeout(TIMEOUT, ask(target)).await });
    // A name look-up that hangs sits in a blocking thread; the process does not wait for it.
    runtime.shutdown_background();
    asked.unwrap_or_else(|_| Err(unreachable(target, format!("no answer within {TIMEOUT:?}"))))
}

async fn ask(target: &Target) -> Result<(), String> {
    let failed = |error: &dyn Display| unreachable(target, error);
    let stream = TcpStream::connect(&target.authority).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    // It ends with the request; its errors come back through the sender.
    tokio::spawn(connection);
    let request = Request::get(&target.path)
        .header(header::HOST, &target.authority)
        .header(header::USER_AGENT, concat!("gaugeway/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let shown: String =
        String::from_utf8_lossy(&body).trim().chars().take(SHOWN_CHARS_MAX).collect();
    Err(format!("not ready: {status}: {shown}"))
}

fn unreachable(target: &Target, why: impl Display) -> String {
    format!("not reachable: http://{}{}: {why}", target.authority, target.path)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Serves one answer on a free port; returns the URL.
    fn answering(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1_024];
            let read = stream.read(&mut head).unwrap();
            assert!(head[..read].starts_with(b"GET /health/ready HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn says_ready_or_why_not() {
        let asked = |answer| ask_within_timeout(&Target::parse(&answering(answer)).unwrap());
        assert_eq!(asked("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), Ok(()));
        assert_eq!(
            asked("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\ndraining\n"),
            Err("not ready: 503 Service Unavailable: draining".to_owned())
        );
        let garbage = asked("\u{1b}[2J\r\n\r\n").unwrap_err();
        assert!(garbage.starts_with("not reachable: http://127.0.0.1:"), "{garbage}");
    }

    #[test]
    fn nobody_listening_is_not_reachable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let refused = ask_within_timeout(&Target::parse(&url).unwrap()).unwrap_err();
        assert!(refused.contains("Connection refused"), "{refused}");
    }

    #[test]
    fn a_silent_listener_ends_in_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let silent = ask_within_timeout(&Target::parse(&url).unwrap()).unwrap_err();
        assert!(silent.ends_with("no answer within 3s"), "{silent}");
    }

    #[test]
    fn urls() {
        for (url, expected) in [
            ("http://127.0.0.1:8081", Some(("127.0.0.1:8081", "/health/ready"))),
            ("http://127.0.0.1:8081/", Some(("127.0.0.1:8081", "/health/ready"))),
            ("http://gateway", Some(("gateway:80", "/health/ready"))),
            ("http://[::1]:1/health/live", Some(("[::1]:1", "/health/live"))),
            ("https://gateway", None),
            ("gateway:8081", None),
            ("/health", None),
            ("http://a@b", None),
            ("", None),
            ("http://a b", None),
        ] {
            let parsed = Target::parse(url).ok();
            let shown = parsed.as_ref().map(|t| (t.authority.as_str(), t.path.as_str()));
            assert_eq!(shown, expected, "{url}");
        }
    }

    #[test]
    fn a_listener_on_every_interface_is_asked_on_loopback() {
        for (listen, expected) in [
            ("127.0.0.1:8081", Some("127.0.0.1:8081")),
            ("0.0.0.0:8081", Some("127.0.0.1:8081")),
            ("[::]:8081", Some("[::1]:8081")),
            ("10.0.0.7:1", Some("10.0.0.7:1")),
            ("127.0.0.1:0", None),
        ] {
            let target = Target::of_listener(listen.parse().unwrap()).ok();
            assert_eq!(target.map(|t| t.authority).as_deref(), expected);
        }
    }
}
