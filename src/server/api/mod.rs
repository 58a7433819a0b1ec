//! `/api/v1` on the admin listener: publish, look at connections, disconnect them.
//!
//! [`Api::answer`] finds the operation in one table (`operations`), asks for the key (`access`), and
//! calls the operation's function. Whatever is wrong with a request becomes a [`Problem`]: a status
//! and JSON that names the field. Nothing here touches a connection: shards are sent publications
//! and errands, and answer.

mod access;
mod body;
mod connections;
mod openapi;
mod operations;
mod problem;
mod publication;
mod publish;
mod query;
mod request_schemas;
mod stats;
#[cfg(test)]
mod tests;
mod view;
mod written;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, header};

use super::admin::Place;
use super::{Gateway, Live};
use crate::bus::Idempotency;
use crate::telemetry::Recorder;
use crate::telemetry::labels::Route;
use access::Denials;
use operations::{Action, Operation};
use problem::{Code, Problem};
use query::Query;

pub(super) use operations::route_of;

type Answered = Result<Response<Body>, Problem>;

/// The API of one gateway.
pub(super) struct Api {
    gateway: Arc<Gateway>,
    /// Requests are served on one thread, but what they spawned may hold this across a wait.
    recorder: Mutex<Recorder>,
    idempotency: Arc<Idempotency<publish::Answer>>,
    denials: Denials,
}

/// A request, less its body.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) parts: &'a Parts,
    /// The other end of the socket.
    pub(super) peer: IpAddr,
    pub(super) route: Route,
    /// What stands in the path where the route has a parameter.
    pub(super) parameter: &'a str,
    /// Its connection's place: work that outlives the request keeps it.
    pub(super) place: &'a Arc<Place>,
}

/// A request that was let in, less its body.
struct Call<'a> {
    operation: &'static Operation,
    headers: &'a HeaderMap,
    query: Option<&'a str>,
    parameter: &'a str,
    /// The name of its key, or `anonymous`.
    caller: &'a str,
    live: &'a Arc<Live>,
    place: &'a Arc<Place>,
}

impl<'a> Call<'a> {
    fn query(&self) -> Result<Query<'a>, Problem> {
        Query::read(self.query, self.operation.query)
    }
}

impl Api {
    pub(super) fn new(gateway: &Arc<Gateway>) -> Arc<Self> {
        Arc::new(Self {
            recorder: Mutex::new(gateway.telemetry.recorder()),
            idempotency: Arc::default(),
            denials: Denials::default(),
            gateway: Arc::clone(gateway),
        })
    }

    /// Is this path the API's, whether or not there is something at it?
    pub(super) fn owns(path: &str) -> bool {
        path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers a request to a path that it owns.
    pub(super) async fn answer(
        self: &Arc<Self>,
        request: Request<'_>,
        body: &mut Body,
    ) -> Response<Body> {
        let Request { parts, peer, route, parameter, place } = request;
        let live = self.gateway.live();
        let is_on_loopback = live.config.server.admin_listen.ip().to_canonical().is_loopback();
        let caller = match access::check(&live.api_keys, &parts.headers, is_on_loopback) {
            Ok(caller) => caller,
            Err(problem) => {
                self.denials.note(&problem, peer, &self.gateway.telemetry);
                return problem.response();
            }
        };
        let operation = match operations::find(route, &parts.method) {
            Ok(operation) => operation,
            Err(allowed) => return no_operation(&allowed).response(),
        };
        let call = Call {
            operation,
            headers: &parts.headers,
            query: parts.uri.query(),
            parameter,
            caller,
            live: &live,
            place,
        };
        let answered = self.perform(call, body).await;
        answered.unwrap_or_else(|problem| problem.response())
    }

    async fn perform(self: &Arc<Self>, call: Call<'_>, body: &mut Body) -> Answered {
        match call.operation.action {
            Action::Publish => publish::publish(self, call, body).await,
            Action::ListConnections => connections::list(self, call).await,
            Action::GetConnection => connections::one(self, call).await,
            Action::Disconnect => connections::disconnect_one(self, call).await,
            Action::DisconnectUser => connections::disconnect_user(self, call).await,
            Action::Stats => stats::stats(self, call).await,
            Action::Openapi => openapi::describe(&call),
        }
    }

    fn with_recorder(&self, count: impl FnOnce(&Recorder)) {
        count(&self.recorder.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// `allowed`: the methods that the path has; none if there is no such path.
fn no_operation(allowed: &str) -> Problem {
    if allowed.is_empty() {
        return Problem::new(Code::NotFound, "there is nothing at this path")
            .hint("GET /api/v1/openapi.json describes the API");
    }
    let allow = HeaderValue::try_from(allowed).expect("names of methods and commas");
    Problem::new(Code::BadMethod, format!("this path answers {allowed} only"))
        .header(header::ALLOW, allow)
}
