//! The admin listener: `/metrics` and `/health`. It is never exposed by the shipped nginx.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use socket2::SockRef;
use tower::ServiceExt;

use super::listen::{self, AcceptObserver};
use super::{Gateway, Stage};
use crate::events::{AcceptFailed, AdminRequestServed};
use crate::telemetry::Recorder;
use crate::telemetry::labels::{Method, Route};

/// A request's head must come within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// An answer of which the other side takes nothing for so long ends its connection: it would hold one
/// of the few places for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Admin connections at a time.
const CONNECTIONS_MAX: usize = 16;

/// Serves until it is dropped.
pub(super) async fn serve(gateway: Arc<Gateway>, listener: std::net::TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener)
        .expect("called within the control runtime, with a socket that does not block");
    let router = router(&gateway);
    let observer = Observer { recorder: gateway.telemetry.recorder(), places: Arc::new(()) };
    listen::accept_loop(listener, &observer, |stream, _peer| {
        // The call fails only on a socket that is dead already.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(ANSWER_TIMEOUT));
        let (router, gateway) = (router.clone(), Arc::clone(&gateway));
        let place = Arc::clone(&observer.places);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<hyper::body::Incoming>| {
                answer(router.clone(), Arc::clone(&gateway), request.map(Body::new))
            });
            // A failure is about one scraper's connection, which it will see itself.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(place);
        });
    })
    .await;
}

async fn answer(
    router: Router,
    gateway: Arc<Gateway>,
    request: Request<Body>,
) -> Result<Response, Infallible> {
    let started = Instant::now();
    let route = route_of(request.uri().path());
    let method = Method::of(request.method().as_str());
    let response = router.oneshot(request).await?;
    let status = response.status().as_u16();
    AdminRequestServed { route, method, status, duration: started.elapsed() }
        .emit(&gateway.telemetry);
    Ok(response)
}

fn route_of(path: &str) -> Route {
    match path {
        "/metrics" => Route::Metrics,
        "/health/live" => Route::HealthLive,
        "/health/ready" => Route::HealthReady,
        _ => Route::Unmatched,
    }
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
    /// One count for each connection, and one for this.
    places: Arc<()>,
}

impl AcceptObserver for Observer {
    fn accept_failed(&self, failed: AcceptFailed<'_>) {
        failed.emit(&self.recorder);
    }

    fn has_room(&self) -> bool {
        Arc::strong_count(&self.places) <= CONNECTIONS_MAX
    }
}
