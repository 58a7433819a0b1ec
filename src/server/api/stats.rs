//! `GET /api/v1/stats`: what the gateway is, and what it holds.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::connections::visit;
use super::problem::json;
use super::{Answered, Api, Call};
use crate::connection::{Peer, Visitor};
use crate::server::{REVISION, Stage};
use crate::state::Now;
use crate::telemetry::EndpointIndex;

/// The gateway at this moment.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Stats {
    version: &'static str,
    /// The commit it was built from.
    revision: &'static str,
    uptime_seconds: f64,
    /// `serving`, `draining` or `stopping`.
    stage: &'static str,
    /// The number of the newest publication; 0 before the first.
    seq: u64,
    /// Threads that own connections.
    shards: u64,
    /// Users with at least one connection.
    users: u64,
    connections: Counts,
    queues: Queues,
}

/// Open connections.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Counts {
    total: u64,
    by_endpoint: BTreeMap<String, u64>,
}

/// What waits for sockets.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Queues {
    /// Connections that something waits for.
    backlogged_connections: u64,
    /// Over all connections.
    bytes: u64,
    /// Of the connection with the most.
    max_bytes: u64,
}

/// Counts a shard's connections.
#[derive(Default)]
struct Count {
    by_endpoint: BTreeMap<u16, u64>,
    backlogged: u64,
    queued_bytes: u64,
    queued_bytes_max: u64,
}

impl Visitor for Count {
    fn visit(&mut self, peer: &Peer, _: Now) -> ControlFlow<()> {
        *self.by_endpoint.entry(peer.identity.endpoint.0).or_default() += 1;
        let queued = peer.outbound.queued_bytes() as u64;
        self.backlogged += u64::from(queued > 0);
        self.queued_bytes += queued;
        self.queued_bytes_max = self.queued_bytes_max.max(queued);
        ControlFlow::Continue(())
    }
}

pub(super) async fn stats(api: &Arc<Api>, call: Call<'_>) -> Answered {
    call.query()?;
    let gateway = &api.gateway;
    let counts = visit(api, Count::default).await?;
    let endpoints = &call.live.endpoints;
    // Those without a connection are there, with zero.
    let mut by_endpoint: BTreeMap<_, _> =
        endpoints.names().into_iter().map(|name| (name, 0)).collect();
    let all = counts.iter().flat_map(|count| &count.by_endpoint);
    for (index, count) in all {
        if let Some(endpoint) = endpoints.get(EndpointIndex(*index)) {
            *by_endpoint.entry(endpoint.path.to_string()).or_default() += count;
        }
    }
    let stats = Stats {
        version: env!("CARGO_PKG_VERSION"),
        revision: REVISION,
        uptime_seconds: gateway.began.elapsed().as_secs_f64(),
        stage: match *gateway.stage.borrow() {
            Stage::Serving => "serving",
            Stage::Draining => "draining",
            Stage::Stopping | Stage::Cut => "stopping",
        },
        seq: gateway.hub.last_seq(),
        shards: gateway.gauges.len() as u64,
        users: gateway.hub.users_gauge().load(Ordering::Relaxed),
        connections: Counts { total: by_endpoint.values().sum(), by_endpoint },
        queues: Queues {
            backlogged_connections: counts.iter().map(|count| count.backlogged).sum(),
            bytes: counts.iter().map(|count| count.queued_bytes).sum(),
            max_bytes: counts.iter().map(|count| count.queued_bytes_max).max().unwrap_or(0),
        },
    };
    Ok(json(StatusCode::OK, &stats))
}
