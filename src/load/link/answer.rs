//! The server's answer to the upgrade request (RFC 6455 §4.1).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::scratch;
use super::transport::Transport;
use crate::wire::{AnswerError, Deflate, DeflatePolicy, accept_answer};

/// What is offered where compression is asked for: a compressor per link would cost 300 KiB each.
pub(super) const DEFLATE: DeflatePolicy = DeflatePolicy { context_takeover: false };

/// The longest answer, in bytes, and the most headers. nginx sends at most 8 KiB.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgraded {
    /// Bytes that came right behind the answer: the first frames.
    pub rest: Vec<u8>,
    /// permessage-deflate, if the server took the offer.
    pub deflate: Option<Deflate>,
    /// The subprotocol, if the server chose one.
    pub subprotocol: Option<String>,
}

/// What was asked for.
pub(super) struct Asked<'a> {
    pub key: &'a str,
    pub compression: bool,
    pub subprotocols: &'a [String],
}

/// Reads the answer to its end and judges it. The error is from a closed list, but for the status.
pub(super) async fn read(transport: &mut Transport, asked: &Asked<'_>) -> Result<Upgraded, String> {
    let mut bytes = Vec::new();
    loop {
        match read_some(transport, &mut bytes).await {
            Ok(0) => return Err("upgrade: closed".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("upgrade: {}", super::end::reason_of(&error))),
        }
        if let Some(upgraded) = judge(&bytes, asked)? {
            return Ok(upgraded);
        }
    }
}

/// Appends what one read brings. The room is the thread's, so that no link's future has to hold it.
async fn read_some(transport: &mut Transport, bytes: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        scratch::reading(|reading| {
            let mut space = ReadBuf::new(&mut reading.buffer);
            ready!(Pin::new(&mut *transport).poll_read(cx, &mut space))?;
            bytes.extend_from_slice(space.filled());
            Poll::Ready(Ok(space.filled().len()))
        })
    })
    .await
}

/// `None` while it is incomplete.
fn judge(bytes: &[u8], asked: &Asked<'_>) -> Result<Option<Upgraded>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err("upgrade: answer too long".to_owned());
        }
        Err(_) => return Err("upgrade: not HTTP".to_owned()),
    };
    match response.code {
        Some(101) if response.version == Some(1) => {}
        Some(101) | None => return Err("upgrade: not HTTP/1.1".to_owned()),
        Some(status) => return Err(format!("upgrade: status {status}")),
    }
    let (deflate, subprotocol) = agreed(response.headers, asked)?;
    Ok(Some(Upgraded { rest: bytes[length..].to_vec(), deflate, subprotocol }))
}

/// The six conditions of RFC 6455 §4.1, but for the status.
fn agreed(
    headers: &[httparse::Header<'_>],
    asked: &Asked<'_>,
) -> Result<(Option<Deflate>, Option<String>), &'static str> {
    let all = |name: &'static str| {
        let named = move |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
        headers.iter().filter(named).map(|header| header.value)
    };
    let has_token = |name, token: &str| {
        all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|listed| listed.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    let only = |name: &'static str| {
        let mut values = all(name);
        let value = values.next();
        if values.next().is_some() { Err("upgrade: doubled header") } else { Ok(value) }
    };
    if !has_token("upgrade", "websocket") {
        return Err("upgrade: no Upgrade header");
    }
    if !has_token("connection", "upgrade") {
        return Err("upgrade: no Connection header");
    }
    if only("sec-websocket-accept")? != Some(accept_key(asked.key).as_bytes()) {
        return Err("upgrade: wrong accept key");
    }
    let subprotocol = match only("sec-websocket-protocol")? {
        None => None,
        Some(chosen) => {
            let chosen = asked.subprotocols.iter().find(|asked| asked.as_bytes() == chosen);
            Some(chosen.ok_or("upgrade: subprotocol not offered")?.clone())
        }
    };
    let deflate = match accept_answer(all("sec-websocket-extensions"), DEFLATE) {
        Ok(Some(_)) if !asked.compression => Err(AnswerError::NotOffered),
        answer => answer,
    };
    let deflate = deflate.map_err(|error| match error {
        AnswerError::Malformed => "upgrade: extension malformed",
        AnswerError::NotOffered => "upgrade: extension not offered",
        AnswerError::Parameters => "upgrade: extension parameters do not fit",
    })?;
    Ok((deflate, subprotocol))
}

/// What the server has to answer to a key (RFC 6455 §4.2.2, step 5.4).
fn accept_key(key: &str) -> String {
    BASE64.encode(Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize())
}
