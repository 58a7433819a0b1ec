//! The admin listener: `/metrics`, `/health` and the API. It is never exposed by the shipped nginx.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::api::{self, Api};
use super::listen::{self, AcceptObserver};
use super::{Gateway, Stage};
use crate::events::{AcceptFailed, AdminRequestServed};
use crate::telemetry::Recorder;
use crate::telemetry::labels::Method;

/// The first request's head must come within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The head of the next one, if the connection is kept for it.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// An answer of which the other side takes nothing for so long ends its connection: it would hold a
/// place for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Connections that have a place whatever else is open: for scrapers and for whoever must look.
pub(super) const GUARANTEED_CONNECTIONS: usize = 16;
/// Connections at a time, while there is room among the files: a backend keeps a pool of them.
const CONNECTIONS_MAX: usize = 512;
/// What an answered request left unread is thrown away up to here, so that its connection can
/// serve the next one.
const LEFTOVER_BYTES_MAX: usize = 64 << 10;
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(1);
/// What still comes after the last answer is thrown away up to here: closing a socket with unread
/// data resets it, and the other side may lose the answer.
const LINGER_BYTES_MAX: usize = 64 << 20;
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// At the end of the process a request that is under way is answered within this time.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the ending process looks whether it has been.
const LAST_ANSWERS_POLL: Duration = Duration::from_millis(5);

/// What the connections of the admin side share.
struct Admin {
    gateway: Arc<Gateway>,
    api: Arc<Api>,
    router: Router,
}

/// One of the admin side's sockets, or work that outlives it.
pub(super) struct Place(Arc<Gateway>);

impl Place {
    fn take(gateway: &Arc<Gateway>) -> Arc<Self> {
        gateway.admin_sockets.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self(Arc::clone(gateway)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.admin_sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that has no answer yet.
struct UnderWay<'a>(&'a Gateway);

impl<'a> UnderWay<'a> {
    fn begin(gateway: &'a Gateway) -> Self {
        gateway.admin_requests.fetch_add(1, Ordering::Relaxed);
        Self(gateway)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.admin_requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// When nobody is connected any more, whoever has asked already still gets an answer, but not for
/// ever: a publisher that were cut off would not know whether to send again.
pub(super) async fn answer_the_last(gateway: &Gateway) {
    // The control runtime has one thread: an answer that is there has also been handed to its socket
    // by the time this looks again.
    let answered = async {
        while gateway.admin_requests.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(LAST_ANSWERS_POLL).await;
        }
    };
    // What is left is cut off.
    let _ = tokio::time::timeout(LAST_ANSWERS_TIMEOUT, answered).await;
}

/// Serves until it is dropped.
pub(super) async fn serve(gateway: Arc<Gateway>, listener: std::net::TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener)
        .expect("called within the control runtime, with a socket that does not block");
    let observer =
        Observer { recorder: gateway.telemetry.recorder(), gateway: Arc::clone(&gateway) };
    let router = router(&gateway);
    let admin = Arc::new(Admin { api: Api::new(&gateway), router, gateway });
    listen::accept_loop(listener, &observer, |stream, peer| {
        // The call fails only on a socket that is dead already.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(ANSWER_TIMEOUT));
        let place = Place::take(&admin.gateway);
        tokio::spawn(serve_connection(Arc::clone(&admin), stream, peer.ip(), place));
    })
    .await;
}

async fn serve_connection(admin: Arc<Admin>, stream: TcpStream, peer: IpAddr, place: Arc<Place>) {
    let was_asked = AtomicBool::new(false);
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        was_asked.store(true, Ordering::Relaxed);
        // Boxed, because `without_shutdown` wants a future that can be moved.
        Box::pin(admin.answer(request.map(Body::new), peer, &place))
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .without_shutdown();
    let first_head_is_late = async {
        tokio::time::sleep(HEAD_TIMEOUT).await;
        if was_asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // A failure is about one connection, whose other end will see it itself.
        served = serving => if let Ok(parts) = served {
            linger(parts.io.into_inner()).await;
        },
        () = first_head_is_late => {}
    }
}

/// Ends a connection so that the other side can read the answer.
async fn linger(mut stream: TcpStream) {
    let discard = async {
        stream.shutdown().await?;
        let mut left = stream.take(LINGER_BYTES_MAX as u64);
        tokio::io::copy(&mut left, &mut tokio::io::sink()).await
    };
    // Whether it went well or took too long, the socket is closed now.
    let _ = tokio::time::timeout(LINGER_TIMEOUT, discard).await;
}

impl Admin {
    async fn answer(
        &self,
        request: Request<Body>,
        peer: IpAddr,
        place: &Arc<Place>,
    ) -> Result<Response, Infallible> {
        let _under_way = UnderWay::begin(&self.gateway);
        let started = Instant::now();
        let (parts, mut body) = request.into_parts();
        let method = Method::of(parts.method.as_str());
        let path = parts.uri.path().to_owned();
        let (route, parameter) = api::route_of(&path);
        let mut response = if Api::owns(&path) {
            let call = api::Request { parts: &parts, peer, route, parameter, place };
            self.api.answer(call, &mut body).await
        } else {
            let request = Request::from_parts(parts.clone(), Body::empty());
            self.router.clone().oneshot(request).await?
        };
        if !discard_leftover(&parts.headers, &mut body).await {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let status = response.status().as_u16();
        AdminRequestServed { route, method, status, duration: started.elapsed() }
            .emit(&self.gateway.telemetry);
        Ok(response)
    }
}

/// Reads what of the body nobody wanted. False if it is too much, or does not come: the connection
/// cannot be used again then. Who waits for `100 Continue` has not sent it, and need not.
async fn discard_leftover(headers: &HeaderMap, body: &mut Body) -> bool {
    if body.is_end_stream() {
        return true;
    }
    if headers.contains_key(header::EXPECT) || body.size_hint().lower() > LEFTOVER_BYTES_MAX as u64
    {
        return false;
    }
    let discard = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.ok()?.data_ref().map_or(0, bytes::Bytes::len);
            if bytes > LEFTOVER_BYTES_MAX {
                return None;
            }
        }
        Some(())
    };
    tokio::time::timeout(LEFTOVER_TIMEOUT, discard).await.is_ok_and(|all| all.is_some())
}

fn router(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(|| async { Json(json!({ "status": "live" })) }))
        .route("/health/ready", get(ready))
        .fallback(super::public::not_found)
        .method_not_allowed_fallback(super::public::method_not_allowed)
        .with_state(Arc::clone(gateway))
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> impl IntoResponse {
    let (content_type, text) = gateway.telemetry.render();
    ([(header::CONTENT_TYPE, content_type)], text)
}

async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let stage = *gateway.stage.borrow();
    match stage {
        Stage::Serving => Json(json!({ "status": "ready" })).into_response(),
        Stage::Draining => not_ready("draining"),
        Stage::Stopping | Stage::Cut => not_ready("shutting down"),
    }
}

fn not_ready(reason: &str) -> Response {
    let why = json!({ "status": "not_ready", "reasons": [reason] });
    (StatusCode::SERVICE_UNAVAILABLE, Json(why)).into_response()
}

struct Observer {
    recorder: Recorder,
    gateway: Arc<Gateway>,
}

impl AcceptObserver for Observer {
    fn accept_failed(&self, failed: AcceptFailed<'_>) {
        failed.emit(&self.recorder);
    }

    fn has_room(&self) -> bool {
        let Gateway { admission, http_sockets, admin_sockets, .. } = &*self.gateway;
        let sockets = admin_sockets.load(Ordering::Relaxed);
        let public = admission.open() + http_sockets.load(Ordering::Relaxed);
        sockets < GUARANTEED_CONNECTIONS
            || sockets < CONNECTIONS_MAX && self.gateway.has_files_beside(public)
    }
}
