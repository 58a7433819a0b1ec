//! The public listener of one shard: HTTP/1.1, of which upgrade requests become connections.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header, request};
use axum::response::{IntoResponse, Response as HttpResponse};
use axum::routing::get;
use axum::{Json, Router};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tower::ServiceExt;
use uuid::Uuid;

use super::listen::{self, AcceptObserver};
use super::{Gateway, Live, Stage, demo};
use crate::connection::{ConnectionTask, Opened, Rules, Shard};
use crate::events::{AcceptFailed, HandshakeRefused, HttpConnectionFailed};
use crate::handshake::{ErrorAnswer, Permit, Proxies, Refusal, Ticket, examine};
use crate::telemetry::EndpointIndex;
use crate::telemetry::labels::{HttpFailure, Outcome};

/// Bytes of a request's head; more is answered with 431.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// When the gateway stops, a first request that is on its way may still come within this time.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(2);
/// The part of a `User-Agent` that the log gets.
const USER_AGENT_BYTES_MAX: usize = 200;

/// One shard's share of the public listener.
pub(super) struct PublicListener {
    gateway: Arc<Gateway>,
    shard: Rc<Shard>,
    proxies: Proxies,
    router: Router,
    /// Sockets that are not WebSockets (yet).
    sockets: Cell<usize>,
}

/// A request that was answered with 101, until its socket is ours.
struct Accepted {
    ticket: Ticket,
    permit: Permit,
    rules: Rules,
    user_agent: Option<Box<str>>,
    started: Instant,
    joined_at_seq: u64,
}

impl PublicListener {
    pub(super) fn new(gateway: Arc<Gateway>, shard: Rc<Shard>) -> Self {
        let proxies = Proxies::new(&gateway.live().config.server.trusted_proxies);
        let pong = || async { "pong" };
        let router = Router::new()
            .route("/ping", get(pong))
            .route("/ping/", get(pong))
            .merge(demo::routes(&gateway))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed);
        Self { gateway, shard, proxies, router, sockets: Cell::new(0) }
    }

    /// Sockets in a handshake or in plain HTTP.
    pub(super) fn sockets(&self) -> usize {
        self.sockets.get()
    }

    /// Accepts until the gateway serves no longer.
    pub(super) async fn run(self: Rc<Self>, listener: std::net::TcpListener) {
        let listener = tokio::net::TcpListener::from_std(listener)
            .expect("called within the shard's runtime, with a socket that does not block");
        let mut stage = self.gateway.stage.subscribe();
        // An error means that the sender is gone, which is the end, too.
        let stopping = async { drop(stage.wait_for(|stage| *stage != Stage::Serving).await) };
        listen::accept_until(stopping, listener, &*self, |stream, peer| {
            // Taken now: the loop may accept many before the first task runs.
            let place = Place::take(Rc::clone(&self));
            tokio::task::spawn_local(Rc::clone(&self).serve(stream, peer, place));
        })
        .await;
    }

    /// Serves HTTP on one socket; ends when it has become a WebSocket or is closed.
    async fn serve(self: Rc<Self>, stream: TcpStream, peer: SocketAddr, _place: Place) {
        let handshake_timeout = self.gateway.live().config.server.handshake_timeout;
        let began = Instant::now();
        let accepted = Rc::new(Pending { listener: &self, slot: Cell::new(None) });
        let requests = Cell::new(0_u32);
        let service = service_fn(|request: Request<hyper::body::Incoming>| {
            requests.set(requests.get() + 1);
            let (listener, accepted) = (&self, &accepted);
            // Boxed, because `poll_without_shutdown` wants a future that can be moved.
            Box::pin(
                async move { Ok::<_, Infallible>(listener.answer(request, peer, accepted).await) },
            )
        });
        let mut connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(handshake_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut stage = self.gateway.stage.subscribe();
        let mut served = tokio::select! {
            biased;
            served = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(served),
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => None,
        };
        if served.is_none() && requests.get() == 0 {
            let first = poll_fn(|cx| connection.poll_without_shutdown(cx));
            served = tokio::time::timeout(FIRST_REQUEST_GRACE, first).await.ok();
        }
        let served = match served {
            Some(served) => served,
            None if requests.get() == 0 => {
                // Counted before the socket is closed: whoever sees its end finds it on the page.
                let parts = connection.into_parts();
                return self.note_half_request(&parts.read_buf, began.elapsed(), peer);
            }
            None => {
                // Whoever is between two requests goes at once; an answer is finished first.
                Pin::new(&mut connection).graceful_shutdown();
                poll_fn(|cx| connection.poll_without_shutdown(cx)).await
            }
        };
        match served {
            Ok(()) => {
                let parts = connection.into_parts();
                if let Some(accepted) = accepted.slot.take() {
                    // hyper's leftover shares its read buffer: copied out, so that the buffer dies.
                    let leftover = parts.read_buf.to_vec();
                    self.open(parts.io.into_inner(), leftover, accepted);
                }
            }
            Err(error) => self.note_failure(&error, requests.get() == 0, began.elapsed(), peer),
        }
    }

    fn open(&self, stream: TcpStream, leftover: Vec<u8>, accepted: Accepted) {
        let Accepted { ticket, permit, rules, user_agent, started, joined_at_seq } = accepted;
        // Until here `handshake_timeout` was the limit on sending, from here on it is `write_wait`.
        // The call fails only on a socket that is dead already.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(None);
        let handshake = started.elapsed();
        let opened = Opened {
            stream,
            ticket,
            permit,
            rules,
            handshake,
            user_agent,
            leftover,
            joined_at_seq,
        };
        tokio::task::spawn_local(ConnectionTask::open(&self.shard, opened));
    }

    async fn answer(
        &self,
        request: Request<hyper::body::Incoming>,
        peer: SocketAddr,
        pending: &Pending<'_>,
    ) -> Response<Body> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let live = self.gateway.live();
        let Some((endpoint, policy)) = live.endpoints.find(parts.uri.path()) else {
            if parts.headers.contains_key(header::UPGRADE) {
                let refusal = no_such_endpoint(&live);
                return self.refuse(&refusal, EndpointIndex::UNKNOWN, &parts, peer, started);
            }
            let request = Request::from_parts(parts, Body::new(body));
            return match self.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
        };
        let admitted =
            examine(&parts, peer, policy, &self.proxies, Uuid::now_v7()).and_then(|ticket| {
                let address = ticket.identity.client().address;
                let admission = &self.gateway.admission;
                let permit = admission.admit(address).map_err(Refusal::of)?;
                // With this one itself: there must be a file more than that.
                if !self.gateway.has_files_beside(admission.open() - 1) {
                    return Err(Refusal::of(Outcome::TooManyConnections));
                }
                Ok((ticket, permit))
            });
        match admitted {
            Ok((ticket, permit)) => {
                let response = ticket.response();
                let user_agent = user_agent(&parts);
                let joined_at_seq = self.gateway.hub.last_seq();
                let rules = Rules::of(policy);
                let accepted =
                    Accepted { ticket, permit, rules, user_agent, started, joined_at_seq };
                pending.slot.set(Some(accepted));
                response
            }
            Err(refusal) => self.refuse(&refusal, endpoint, &parts, peer, started),
        }
    }

    fn refuse(
        &self,
        refusal: &Refusal,
        endpoint: EndpointIndex,
        parts: &request::Parts,
        peer: SocketAddr,
        started: Instant,
    ) -> Response<Body> {
        let client = self.proxies.client(&parts.headers, peer);
        HandshakeRefused {
            endpoint,
            outcome: refusal.outcome,
            status: Some(refusal.status.as_u16()),
            duration: started.elapsed(),
            why: &refusal.message,
            remote: client.address,
            request_id: client.request_id,
        }
        .emit(&self.shard.recorder);
        refusal.response().map(Body::from)
    }

    /// The gateway stops while the first request has come in part, or not at all, which is none.
    fn note_half_request(&self, read: &[u8], since: Duration, peer: SocketAddr) {
        if read.is_empty() {
            return;
        }
        HandshakeRefused {
            endpoint: EndpointIndex::UNKNOWN,
            outcome: Outcome::ShuttingDown,
            status: None,
            duration: since,
            why: "the gateway stopped before the whole request had come",
            remote: peer.ip(),
            request_id: None,
        }
        .emit(&self.shard.recorder);
    }

    /// A connection that failed in HTTP. Before the first whole request that is a handshake that
    /// did not come about; later, and without a word of the client's, it is none.
    fn note_failure(&self, error: &hyper::Error, first: bool, since: Duration, peer: SocketAddr) {
        let why = error.to_string();
        let outcome = if error.is_timeout() {
            Outcome::HeaderTimeout
        } else if error.is_parse_too_large() {
            Outcome::HeaderTooLarge
        } else if error.is_parse() {
            Outcome::UnreadableRequest
        } else {
            let reason = match error {
                error if error.is_incomplete_message() => HttpFailure::Incomplete,
                error if error.is_canceled() || error.is_closed() => HttpFailure::Other,
                _ => HttpFailure::Io,
            };
            HttpConnectionFailed { reason, why: &why, peer: peer.ip() }.emit(&self.shard.recorder);
            return;
        };
        if outcome == Outcome::HeaderTimeout && !first {
            // A kept-alive connection that nobody used again.
            return;
        }
        HandshakeRefused {
            endpoint: EndpointIndex::UNKNOWN,
            outcome,
            status: match outcome {
                Outcome::HeaderTooLarge => Some(431),
                Outcome::UnreadableRequest if !is_http2_preface(&why) => Some(400),
                _ => None,
            },
            duration: since,
            why: &why,
            remote: peer.ip(),
            request_id: None,
        }
        .emit(&self.shard.recorder);
    }
}

impl AcceptObserver for PublicListener {
    fn accept_failed(&self, failed: AcceptFailed<'_>) {
        failed.emit(&self.shard.recorder);
    }

    /// Whoever sends nothing must not use up the files that the admin side needs.
    fn has_room(&self) -> bool {
        let Gateway { admission, http_sockets, sockets_beside, .. } = &*self.gateway;
        let sockets = http_sockets.load(Ordering::Relaxed);
        let all = admission.open() + sockets;
        sockets < *sockets_beside
            || all < admission.connections_max() && self.gateway.has_files_beside(all)
    }
}

/// Where a request's acceptance waits for its socket.
struct Pending<'a> {
    listener: &'a PublicListener,
    slot: Cell<Option<Accepted>>,
}

impl Drop for Pending<'_> {
    /// The client left before its 101 was written.
    fn drop(&mut self) {
        let Some(Accepted { ticket, started, .. }) = self.slot.take() else { return };
        let client = ticket.identity.client();
        HandshakeRefused {
            endpoint: ticket.identity.endpoint,
            outcome: Outcome::Aborted,
            status: None,
            duration: started.elapsed(),
            why: "the client left before the 101 was written",
            remote: client.address,
            request_id: client.request_id,
        }
        .emit(&self.listener.shard.recorder);
    }
}

/// One of the sockets that are not WebSockets (yet).
struct Place(Rc<PublicListener>);

impl Place {
    fn take(listener: Rc<PublicListener>) -> Self {
        listener.sockets.set(listener.sockets.get() + 1);
        listener.gateway.http_sockets.fetch_add(1, Ordering::Relaxed);
        Self(listener)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sockets.set(self.0.sockets.get() - 1);
        self.0.gateway.http_sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

/// hyper leaves this one to whoever speaks HTTP/2, and answers nothing; it tells by its words only.
fn is_http2_preface(why: &str) -> bool {
    why.contains("HTTP2 preface")
}

fn user_agent(parts: &request::Parts) -> Option<Box<str>> {
    let value = parts.headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(value[..value.len().min(USER_AGENT_BYTES_MAX)].into())
}

fn no_such_endpoint(live: &Live) -> Refusal {
    let known = live.endpoints.names().join(", ");
    Refusal::new(Outcome::NotFound, "there is no WebSocket endpoint at this path")
        .hint(format!("the endpoints are {known}"))
}

pub(super) async fn not_found() -> impl IntoResponse {
    error(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}

pub(super) async fn method_not_allowed() -> impl IntoResponse {
    error(StatusCode::METHOD_NOT_ALLOWED, "bad_method", "this path answers GET only")
}

fn error(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    (status, Json(ErrorAnswer::new(code, message, None, None))).into_response()
}
