//! `POST /api/v1/publish`: checks a batch, publishes all of it or nothing, and tells how many got it.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant as Moment, timeout_at};

use super::problem::{Code, Problem, json};
use super::publication::{self, Batch, Rules};
use super::{Api, Call, body};
use crate::bus::{Claim, Digest, Ticket};
use crate::events::{PublicationSequenced, PublishReplayed};
use crate::hub::Sequenced;
use crate::server::{Live, Stage};
use crate::telemetry::labels::Source;

/// How long a publication waits for room on its way to the shards, from the time its body has come.
pub(super) const ROOM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the answer waits for the shards' counts of receivers.
const RECEIPTS_TIMEOUT: Duration = Duration::from_secs(5);
/// What is told to whoever met [`ROOM_TIMEOUT`], in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Characters of an `Idempotency-Key`.
pub(super) const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// A publication on its way.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Published {
    /// Its place among all publications of this gateway, from 1.
    seq: u64,
    /// The connections it was written or queued for. Absent if a part of the gateway did not tell
    /// within 5 seconds; the publication is on its way all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    receivers: Option<u64>,
}

/// An answer, kept small, since thousands are kept for those who ask again.
pub(super) struct Answer {
    first_seq: u64,
    /// One for each publication, whose numbers follow each other; [`UNKNOWN`] if not told in time.
    receivers: Box<[u32]>,
    is_array: bool,
}

const UNKNOWN: u32 = u32::MAX;

/// How a request asked to be recognised.
pub(super) struct Recognised {
    key: Digest,
    fingerprint: Digest,
}

pub(super) async fn publish(api: &Arc<Api>, call: Call<'_>, body: &mut Body) -> super::Answered {
    call.query()?;
    still_serving(api)?;
    let header = idempotency_key(call.headers)?;
    let live = call.live;
    let body = body::read(call.headers, body, live.config.api.max_body_bytes).await?;
    let batch = read_batch(api, live, &body)?;
    let recognised = header.map(|key| recognise(key, call.caller, &body));
    drop(body);
    let room_by = Moment::now() + ROOM_TIMEOUT;
    let (api, place) = (Arc::clone(api), Arc::clone(call.place));
    // A client that leaves must not stop this half-way: it would not know whether to send again.
    let work = tokio::spawn(async move {
        let _place = place;
        match recognised {
            None => send(&api, batch, room_by).await.map(|answer| answer.response()),
            Some(recognised) => send_once(&api, batch, &recognised, room_by).await,
        }
    });
    work.await.map_err(|_| Problem::new(Code::InternalError, "publishing has failed"))?
}

fn read_batch(api: &Api, live: &Live, body: &[u8]) -> Result<Batch, Problem> {
    let rules = Rules {
        endpoints: &live.endpoints,
        queue_bytes: live.config.limits.send_queue_bytes,
        user_key: &|name| api.gateway.hub.user_key(name),
    };
    publication::read(body, &rules)
}

/// Those that wait for one another's failure share the time: each keeps its own `room_by`, so that
/// repeated requests cannot queue up behind a gateway that stays behind.
pub(super) async fn send_once(
    api: &Arc<Api>,
    batch: Batch,
    recognised: &Recognised,
    room_by: Moment,
) -> super::Answered {
    let Recognised { key, fingerprint } = *recognised;
    let ticket: Ticket<Answer> = loop {
        match api.idempotency.claim(key, fingerprint, Instant::now()) {
            Claim::First(ticket) => break ticket,
            Claim::Replay(answer) => return Ok(replayed(api, &answer)),
            Claim::UnderWay(pending) => {
                match timeout_at(room_by + RECEIPTS_TIMEOUT, pending.answer()).await {
                    Ok(Some(answer)) => return Ok(replayed(api, &answer)),
                    Ok(None) => {}
                    Err(_) => return Err(still_under_way()),
                }
            }
            Claim::Mismatch => {
                let message = "this Idempotency-Key was sent before with another body";
                return Err(Problem::new(Code::IdempotencyMismatch, message)
                    .field("Idempotency-Key")
                    .hint("send a new key with each new request, the same only to repeat one"));
            }
        }
    };
    let answer = Arc::new(send(api, batch, room_by).await?);
    ticket.finish(&answer, answer.receivers.len(), Instant::now());
    Ok(answer.response())
}

fn still_under_way() -> Problem {
    let message = "another request with this Idempotency-Key is under way, and has been for long";
    Problem::new(Code::NoAnswer, message)
        .hint("send it again with the same key: it is published once")
        .header(header::RETRY_AFTER, RETRY_AFTER)
}

fn replayed(api: &Api, answer: &Answer) -> Response<Body> {
    PublishReplayed.emit(&api.gateway.telemetry);
    let mut response = answer.response();
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}

pub(super) async fn send(api: &Api, batch: Batch, room_by: Moment) -> Result<Answer, Problem> {
    let Batch { messages, is_array } = batch;
    // Past the moment this still takes room that is there.
    if timeout_at(room_by, room(api)).await.is_err() {
        let message = "the gateway has been behind with its publications for 5 seconds";
        return Err(Problem::new(Code::Congested, message)
            .hint("nothing was published: try again later")
            .header(header::RETRY_AFTER, RETRY_AFTER));
    }
    still_serving(api)?;
    let gateway = &api.gateway;
    let now_us = gateway.began.elapsed().as_micros() as u64;
    let sequenced = gateway.hub.publish_with_receipts(messages, now_us);
    api.with_recorder(|recorder| {
        for _ in &sequenced {
            PublicationSequenced { source: Source::Api }.emit(recorder);
        }
    });
    let first_seq = sequenced.first().map_or(0, |first| first.seq);
    Ok(Answer { first_seq, receivers: count_receivers(sequenced).await, is_array })
}

/// Waits until no shard is too far behind.
async fn room(api: &Api) {
    let mut waiting = None;
    poll_fn(|cx| match api.gateway.hub.congested() {
        None => std::task::Poll::Ready(()),
        Some(mailbox) => {
            waiting = mailbox.wake_when_drained(cx.waker(), waiting);
            std::task::Poll::Pending
        }
    })
    .await;
}

async fn count_receivers(sequenced: Vec<Sequenced>) -> Box<[u32]> {
    let deadline = Moment::now() + RECEIPTS_TIMEOUT;
    let mut counts = Vec::with_capacity(sequenced.len());
    for Sequenced { receivers, .. } in sequenced {
        // Past the deadline this still takes what has come already.
        let counted = timeout_at(deadline, receivers).await;
        let count = counted.ok().and_then(Result::ok);
        // No process has that many sockets.
        counts.push(count.map_or(UNKNOWN, |count| u32::try_from(count).unwrap_or(UNKNOWN)));
    }
    counts.into()
}

impl Answer {
    pub(super) fn response(&self) -> Response<Body> {
        let published = |(seq, receivers): (u64, &u32)| {
            let receivers = Some(u64::from(*receivers)).filter(|_| *receivers != UNKNOWN);
            Published { seq, receivers }
        };
        let mut all = (self.first_seq..).zip(&self.receivers).map(published);
        match all.next() {
            Some(only) if !self.is_array => json(StatusCode::OK, &only),
            first => json(StatusCode::OK, &first.into_iter().chain(all).collect::<Vec<_>>()),
        }
    }
}

/// While it drains, those whose turn has not come still get what is published.
fn still_serving(api: &Api) -> Result<(), Problem> {
    match *api.gateway.stage.borrow() {
        Stage::Serving | Stage::Draining => return Ok(()),
        Stage::Stopping | Stage::Cut => {}
    }
    let message = "the gateway is shutting down and publishes nothing any more";
    Err(Problem::new(Code::ShuttingDown, message).hint("send it to another gateway"))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).into_iter();
    let (first, second) = (values.next(), values.next());
    let wrong = |message: &str| {
        let hint = "send 1 to 255 visible ASCII characters, once";
        Err(Problem::new(Code::BadHeader, message).field("Idempotency-Key").hint(hint))
    };
    match (first, second) {
        (_, Some(_)) => wrong("there is more than one Idempotency-Key"),
        (Some(key), None) if !(1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len()) => {
            wrong("the Idempotency-Key is empty or longer than 255 characters")
        }
        (Some(key), None) if !key.as_bytes().iter().all(u8::is_ascii_graphic) => {
            wrong("the Idempotency-Key has other characters than visible ASCII")
        }
        (key, None) => Ok(key),
    }
}

/// Keys of two callers never meet, and one caller learns nothing of another's.
pub(super) fn recognise(key: &HeaderValue, caller: &str, body: &Bytes) -> Recognised {
    // The name of a caller holds no NUL.
    let key = Sha256::new().chain_update(caller).chain_update([0]).chain_update(key.as_bytes());
    let fingerprint = Sha256::new()
        .chain_update("POST\0/api/v1/publish\0")
        .chain_update(caller)
        .chain_update([0])
        .chain_update(body);
    Recognised { key: key.finalize().into(), fingerprint: fingerprint.finalize().into() }
}
