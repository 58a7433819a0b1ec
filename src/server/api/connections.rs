//! `/api/v1/connections` and `/api/v1/users/{user}/connections`: look at connections, end them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::problem::{Code, Problem, json};
use super::publication::unknown_endpoint;
use super::query::{Query, check_user_name, user_of_path, wrong};
use super::view::Connection;
use super::{Answered, Api, Call};
use crate::connection::{Peer, Visitor, visit_all};
use crate::events::ConnectionsKicked;
use crate::server::Live;
use crate::state::Now;
use crate::telemetry::EndpointIndex;

/// How long the shards may take to look at their connections.
const VISIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections of one answer, if the request does not say.
pub(super) const LIMIT_DEFAULT: usize = 100;
/// Connections of one answer.
pub(super) const LIMIT_MAX: usize = 1000;
/// Bytes of a Close frame's reason (RFC 6455 §5.5).
pub(super) const REASON_BYTES_MAX: usize = 123;
/// The Close code of whoever is disconnected without another.
pub(super) const CODE_DEFAULT: u16 = 1008;

/// Open connections in the order of their ids.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Connections {
    connections: Vec<Connection>,
    /// What to send as `after` for those that follow; null if there are none.
    #[schemars(extend("format" = "uuid"))]
    next: Option<String>,
}

/// What a disconnect has done.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnected {
    /// How many connections were told to end. One that was ending already is not among them.
    disconnected: u64,
}

/// Collects the first connections after an id.
struct Page {
    endpoint: Option<EndpointIndex>,
    user: Option<String>,
    after: Option<Uuid>,
    /// One more than asked for: whether there are more, that one tells.
    found_max: usize,
    found: BTreeMap<Uuid, Connection>,
    live: Arc<Live>,
}

impl Visitor for Page {
    fn visit(&mut self, peer: &Peer, now: Now) -> ControlFlow<()> {
        let identity = &peer.identity;
        let is_asked_for = self.endpoint.is_none_or(|endpoint| endpoint == identity.endpoint)
            && (self.user.is_none() || self.user.as_deref() == identity.user())
            && self.after.is_none_or(|after| identity.id > after);
        let is_full = self.found.len() >= self.found_max;
        let is_later = is_full && self.found.keys().next_back().is_some_and(|it| *it < identity.id);
        if is_asked_for && !is_later {
            self.found.insert(identity.id, Connection::of(peer, now, &self.live.endpoints));
            if self.found.len() > self.found_max {
                self.found.pop_last();
            }
        }
        ControlFlow::Continue(())
    }
}

/// Looks for one connection.
struct One {
    id: Uuid,
    found: Option<Connection>,
    live: Arc<Live>,
}

impl Visitor for One {
    fn visit(&mut self, peer: &Peer, now: Now) -> ControlFlow<()> {
        if peer.identity.id != self.id {
            return ControlFlow::Continue(());
        }
        self.found = Some(Connection::of(peer, now, &self.live.endpoints));
        ControlFlow::Break(())
    }
}

/// Tells connections to end.
struct Kick {
    whom: Whom,
    code: u16,
    reason: Arc<str>,
    seen: u64,
    kicked: u64,
}

#[derive(Clone)]
enum Whom {
    Id(Uuid),
    User(Arc<str>),
}

impl Visitor for Kick {
    fn visit(&mut self, peer: &Peer, _: Now) -> ControlFlow<()> {
        let is_meant = match &self.whom {
            Whom::Id(id) => peer.identity.id == *id,
            Whom::User(user) => peer.identity.user() == Some(user),
        };
        if !is_meant {
            return ControlFlow::Continue(());
        }
        self.seen += 1;
        self.kicked += u64::from(peer.kick(self.code, &self.reason));
        match self.whom {
            Whom::Id(_) => ControlFlow::Break(()),
            Whom::User(_) => ControlFlow::Continue(()),
        }
    }
}

pub(super) async fn list(api: &Arc<Api>, call: Call<'_>) -> Answered {
    let query = call.query()?;
    let endpoints = &call.live.endpoints;
    let endpoint = match query.get("endpoint") {
        None => None,
        Some(path) => match endpoints.find(path) {
            Some((index, _)) => Some(index),
            None => return Err(unknown_endpoint("endpoint".to_owned(), path, endpoints)),
        },
    };
    let user = query.get("user").map(str::to_owned);
    if let Some(user) = &user {
        check_user_name(user).map_err(|why| wrong("user", why))?;
    }
    let fits = |limit: &usize| (1..=LIMIT_MAX).contains(limit);
    let limit = query.parse("limit", "a number from 1 to 1000", fits)?.unwrap_or(LIMIT_DEFAULT);
    let after = query.get("after").map(|after| id_of("after", after)).transpose()?;

    let pages = visit(api, || Page {
        endpoint,
        user: user.clone(),
        after,
        found_max: limit + 1,
        found: BTreeMap::new(),
        live: Arc::clone(call.live),
    })
    .await?;
    let mut found: BTreeMap<_, _> = pages.into_iter().flat_map(|page| page.found).collect();
    let has_more = found.len() > limit;
    let connections: Vec<_> =
        std::iter::from_fn(|| found.pop_first()).take(limit).map(|(_, it)| it).collect();
    let next = connections.last().filter(|_| has_more).map(|last| last.id.clone());
    Ok(json(StatusCode::OK, &Connections { connections, next }))
}

pub(super) async fn one(api: &Arc<Api>, call: Call<'_>) -> Answered {
    call.query()?;
    let id = id_of("id", call.parameter)?;
    let visitors = visit(api, || One { id, found: None, live: Arc::clone(call.live) }).await?;
    match visitors.into_iter().find_map(|visitor| visitor.found) {
        Some(connection) => Ok(json(StatusCode::OK, &connection)),
        None => Err(no_such_connection()),
    }
}

pub(super) async fn disconnect_one(api: &Arc<Api>, call: Call<'_>) -> Answered {
    let (code, reason) = close_of(&call.query()?)?;
    let id = id_of("id", call.parameter)?;
    let (seen, disconnected) = kick(api, &call, Whom::Id(id), code, reason).await?;
    if seen == 0 {
        return Err(no_such_connection());
    }
    Ok(json(StatusCode::OK, &Disconnected { disconnected }))
}

pub(super) async fn disconnect_user(api: &Arc<Api>, call: Call<'_>) -> Answered {
    let (code, reason) = close_of(&call.query()?)?;
    let user = user_of_path(call.parameter)?;
    let (_, disconnected) = kick(api, &call, Whom::User(user.into()), code, reason).await?;
    Ok(json(StatusCode::OK, &Disconnected { disconnected }))
}

/// How many connections were found, and how many of them told to end.
async fn kick(
    api: &Arc<Api>,
    call: &Call<'_>,
    whom: Whom,
    code: u16,
    reason: String,
) -> Result<(u64, u64), Problem> {
    let (api, by, place) = (Arc::clone(api), call.caller.to_owned(), Arc::clone(call.place));
    // The client may leave: what it asked for happens, and the log says so.
    let work = tokio::spawn(async move {
        let _place = place;
        let reason: Arc<str> = reason.into();
        // Not given up when the caller is: what happens late must be logged, too.
        let kicks = visit_all(&api.gateway.hub, || Kick {
            whom: whom.clone(),
            code,
            reason: Arc::clone(&reason),
            seen: 0,
            kicked: 0,
        })
        .await;
        let (seen, kicked) =
            kicks.iter().fold((0, 0), |(seen, kicked), it| (seen + it.seen, kicked + it.kicked));
        let user = match &whom {
            Whom::Id(_) => None,
            Whom::User(user) => Some(&**user),
        };
        if seen > 0 {
            ConnectionsKicked { by: &by, user, count: kicked, code }.emit();
        }
        (seen, kicked)
    });
    let done = tokio::time::timeout(VISIT_TIMEOUT, work).await.map_err(|_| no_answer())?;
    done.map_err(|_| Problem::new(Code::InternalError, "disconnecting has failed"))
}

/// Sends a visitor to each shard and waits for all, but not for ever.
pub(super) async fn visit<V: Visitor>(
    api: &Api,
    visitor: impl FnMut() -> V,
) -> Result<Vec<V>, Problem> {
    let visits = visit_all(&api.gateway.hub, visitor);
    tokio::time::timeout(VISIT_TIMEOUT, visits).await.map_err(|_| no_answer())
}

fn no_answer() -> Problem {
    let message = "a part of the gateway did not answer within 5 seconds";
    Problem::new(Code::NoAnswer, message).hint("try again; /metrics shows tick_lag_seconds")
}

/// Code and reason of a Close that an operator wants.
fn close_of(query: &Query<'_>) -> Result<(u16, String), Problem> {
    let fits = |code: &u16| matches!(code, 1000 | 1008 | 3000..=4999);
    let code = query.parse("code", "1000, 1008 or a number from 3000 to 4999", fits)?;
    let reason = query.get("reason").unwrap_or_default();
    if reason.len() > REASON_BYTES_MAX {
        let why = format!("has {} bytes, at most {REASON_BYTES_MAX} fit", reason.len());
        return Err(wrong("reason", &why));
    }
    Ok((code.unwrap_or(CODE_DEFAULT), reason.to_owned()))
}

fn id_of(field: &str, text: &str) -> Result<Uuid, Problem> {
    // `parse_str` takes braces and URNs, too: one way to write an id is enough.
    const HYPHENATED: usize = uuid::fmt::Hyphenated::LENGTH;
    let id = Uuid::parse_str(text).ok().filter(|_| text.len() == HYPHENATED);
    id.ok_or_else(|| {
        wrong(field, "must be the id of a connection, 36 characters as in the list of connections")
    })
}

fn no_such_connection() -> Problem {
    Problem::new(Code::NotFound, "there is no open connection with this id")
}
