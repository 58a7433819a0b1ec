//! `gaugeway health`: one request to `/health/ready`, for a container's health check.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Method, StatusCode};

use super::http::{Question, ask};
use super::{BAD_INPUT, ConfigOptions, FAILED, complain, print};
use crate::config::printable;
use crate::load::Target;

/// Where a gateway says whether it is ready.
const PATH: &str = "/health/ready";

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
        Some(url) => Target::parse("--url", &url),
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
    match ask_whether_ready(&target) {
        Ok(()) => print("ready\n"),
        Err(reason) => {
            complain(&printable(&reason));
            ExitCode::from(FAILED)
        }
    }
}

fn ask_whether_ready(target: &Target) -> Result<(), String> {
    let path = target.path().unwrap_or(PATH);
    let question = Question {
        method: Method::GET,
        path,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: TIMEOUT,
        answer_bytes_max: BODY_BYTES_MAX,
    };
    let answer = ask(target, question)
        .map_err(|failure| format!("not reachable: {}: {}", target.url(path), failure.reason()))?;
    if answer.status == StatusCode::OK {
        return Ok(());
    }
    let shown: String =
        String::from_utf8_lossy(&answer.body).trim().chars().take(SHOWN_CHARS_MAX).collect();
    Err(format!("not ready: {}: {shown}", answer.status))
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
        let asked =
            |answer| ask_whether_ready(&Target::parse("--url", &answering(answer)).unwrap());
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
        let refused = ask_whether_ready(&Target::parse("--url", &url).unwrap()).unwrap_err();
        assert!(refused.contains("Connection refused"), "{refused}");
    }

    #[test]
    fn a_silent_listener_ends_in_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let silent = ask_whether_ready(&Target::parse("--url", &url).unwrap()).unwrap_err();
        assert!(silent.ends_with("no answer within 3s"), "{silent}");
    }
}
