//! Publications through the HTTP API, over connections that are kept.

mod body;
mod target;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use body::{Form, To, publication_body};
pub use target::Target;

use super::scenario::Kind;
use crate::config::Secret;

/// Where the API takes publications.
pub const PUBLISH_PATH: &str = "/api/v1/publish";

/// For one publication: look-up, connection, request, answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// One connection each, so this many connections at the most.
const UNDER_WAY_MAX: usize = 64;

/// A gateway answers with a hundred bytes; its longest refusal is a few hundred.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;

type Sender = SendRequest<Full<Bytes>>;

/// Publishes to one receiver, endpoint or everyone, by `POST` to a gateway's admin listener.
///
/// It belongs to one thread and is shared by its tasks: up to 64 publications are under way at
/// once ([`Room`]), each on a connection of its own, which is kept for the next.
pub struct ApiPublisher {
    target: Target,
    to: To,
    form: Form,
    authorization: Option<HeaderValue>,
    idle: RefCell<Vec<Sender>>,
    under_way: Rc<Cell<usize>>,
}

/// Leave for one publication, which is under way until this is dropped.
pub struct Room(Rc<Cell<usize>>);

/// The `Authorization` of a key, which no debug output shows; `None` if the key cannot stand in a
/// header.
pub fn bearer(key: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl ApiPublisher {
    /// For the admin listener at `url`, to `user:NAME`, `endpoint:/PATH` or `everyone`. Nothing is
    /// sent yet. The error names the flag and what to write.
    pub fn new(url: &str, to: &str, key: Option<&Secret>, kind: Kind) -> Result<Self, String> {
        let target = Target::parse("--api", url)?;
        if let Some(path) = target.path() {
            return Err(format!("--api has the path {path}: write http://HOST:PORT alone"));
        }
        let authorization = match key {
            None => None,
            Some(key) => Some(bearer(key).ok_or(
                "the key of the API is not one word of visible ASCII: correct --key-file or \
                 GAUGEWAY_API_KEY",
            )?),
        };
        Ok(Self {
            target,
            to: To::parse(to)?,
            form: match kind {
                Kind::Text => Form::Text,
                Kind::Binary => Form::Binary,
            },
            authorization,
            idle: RefCell::default(),
            under_way: Rc::default(),
        })
    }

    /// Room for one more publication; `None` while 64 are under way.
    pub fn room(&self) -> Option<Room> {
        let taken = self.under_way();
        (taken < UNDER_WAY_MAX).then(|| {
            self.under_way.set(taken + 1);
            Room(Rc::clone(&self.under_way))
        })
    }

    /// How many publications have taken room and are not over.
    pub fn under_way(&self) -> usize {
        self.under_way.get()
    }

    /// Publishes once; nothing is sent twice. The error is a short bounded reason, such as
    /// `publish: status 503` or `publish: timed out` (after 15 s).
    pub async fn publish(&self, _room: Room, payload: Vec<u8>) -> Result<(), String> {
        let body = publication_body(&self.to, self.form, &payload, true)
            .map_err(|_| "publish: the payload is not UTF-8")?;
        let request = self.request(body);
        timeout(TIMEOUT, self.exchange(request)).await.unwrap_or(Err("publish: timed out".into()))
    }

    fn request(&self, body: String) -> Request<Full<Bytes>> {
        let mut request = Request::post(PUBLISH_PATH)
            .header(header::HOST, self.target.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("the path is a constant, and the authority came out of a URL");
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        request
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(), String> {
        let (mut sender, answer) = self.send(request).await?;
        let status = answer.status();
        if read_all(answer.into_body()).await && sender.ready().await.is_ok() {
            self.idle.borrow_mut().push(sender);
        }
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("publish: status {}", status.as_u16()))
        }
    }

    /// On a kept connection if there is one, and on a new one if that was closed before anything of
    /// the request went out.
    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Sender, http::Response<Incoming>), String> {
        let mut request = request;
        loop {
            let kept = self.idle.borrow_mut().pop();
            let is_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok((sender, answer)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if is_kept => request = unsent,
                    _ => return Err(unanswered(error.error()).to_owned()),
                },
            }
        }
    }

    async fn connect(&self) -> Result<Sender, String> {
        let stream = TcpStream::connect(self.target.authority())
            .await
            .map_err(|error| format!("publish: connect: {}", error.kind()))?;
        // A publication is one small write that nothing follows: it must not wait for more.
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| unanswered(&error))?;
        // It ends with its sender, or with the server; its errors come back through the sender.
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Whether all of the body came and was short enough: else the connection cannot be kept.
async fn read_all(mut body: Incoming) -> bool {
    let mut read_bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read_bytes += frame.data_ref().map_or(0, Bytes::len);
        if read_bytes > ANSWER_BYTES_MAX {
            return false;
        }
    }
    true
}

fn unanswered(error: &hyper::Error) -> &'static str {
    if error.is_parse() { "publish: not an HTTP answer" } else { "publish: closed" }
}
