//! The sequence, the mailboxes and the fan-out, with receivers on real sockets.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

mod cost;
mod fan_out;
mod mailbox;
mod model;

use super::*;
use crate::bus::Target;
use crate::outbound::tests::narrow_pair;
use crate::outbound::{Backlogs, Outbound, QueueLimits};
use crate::state::Now;
use crate::telemetry::{EndpointIndex, Recorder, Telemetry, TelemetryOptions};
use crate::wire::{Deflater, Opcode, SharedFrame};
use bytes::Bytes;

const NOW: Now = Now { real_us: 1, attended_us: 1 };
const ROOMY: QueueLimits = QueueLimits { bytes: 1 << 30, messages: 1 << 20 };
const A: EndpointIndex = EndpointIndex(0);
const B: EndpointIndex = EndpointIndex(1);

/// A hub whose errands are numbers.
type TestHub = Hub<usize>;

impl TestHub {
    /// Sends a message on its way; returns its number.
    fn send_to(&self, to: Target, opcode: Opcode, payload: &[u8]) -> u64 {
        let frame = SharedFrame::new(opcode, Bytes::copy_from_slice(payload));
        self.publish(Message { to, frame }, NOW.real_us);
        self.last_seq()
    }
}

/// One shard's part of a hub.
struct Shard {
    hub: Arc<TestHub>,
    index: usize,
    telemetry: Telemetry,
    recorder: Recorder,
    backlogs: Backlogs,
    deflater: RefCell<Deflater>,
    local: Local,
}

/// A receiver and the client behind it.
struct Receiver {
    member: Rc<Member>,
    key: usize,
    peer: TcpStream,
}

impl Shard {
    fn new(hub: &Arc<TestHub>, index: usize, limits: QueueLimits) -> Self {
        let endpoints = vec!["/a".to_owned(), "/b".to_owned()];
        let telemetry = Telemetry::new(&TelemetryOptions { endpoints, ..Default::default() });
        Self {
            hub: Arc::clone(hub),
            index,
            recorder: telemetry.recorder(),
            telemetry,
            backlogs: Backlogs::new(limits),
            deflater: RefCell::new(Deflater::new(1, 15)),
            local: Local::new(2, Arc::clone(hub.users())),
        }
    }

    async fn join(&self, endpoint: EndpointIndex, takes_deflated: bool) -> Receiver {
        self.join_as(None, endpoint, takes_deflated).await
    }

    async fn join_as(
        &self,
        user: Option<&str>,
        endpoint: EndpointIndex,
        takes_deflated: bool,
    ) -> Receiver {
        let (ours, peer) = narrow_pair().await;
        let user = user.map(|name| self.hub.user_key(name));
        let outbound = Outbound::new(ours, NOW);
        let joined_at_seq = self.hub.last_seq();
        let member = Member::new(outbound, endpoint, user, takes_deflated, joined_at_seq);
        let key = self.local.join(&member);
        Receiver { member, key, peer }
    }

    async fn fan_out(&self) {
        let fan_out = FanOut {
            recorder: &self.recorder,
            backlogs: &self.backlogs,
            deflater: &self.deflater,
            deflate_min_bytes: 128,
            now: &|| NOW,
        };
        let mailbox = self.hub.mailbox(self.index);
        let batch = waiting_in(&mailbox);
        self.local.fan_out(&batch, &fan_out).await;
        for delivery in &batch {
            mailbox.done(delivery);
        }
    }

    /// The receiver leaves; all bytes that its client got.
    async fn leave(&self, receiver: Receiver) -> Vec<u8> {
        let Receiver { member, key, mut peer } = receiver;
        self.local.leave(&member, key);
        let mut bytes = Vec::new();
        let flushing = async {
            let outbound = &member.outbound;
            std::future::poll_fn(|cx| outbound.poll_flush(cx, NOW, &self.backlogs)).await;
            outbound.end(false, &self.backlogs);
        };
        let (read, ()) = tokio::join!(peer.read_to_end(&mut bytes), flushing);
        read.unwrap();
        bytes
    }

    fn count(&self, sample: &str) -> usize {
        sum_of(&self.telemetry.render().1, sample) as usize
    }
}

/// The sum over the samples of a page that begin like this, of which there must be some.
fn sum_of(page: &str, sample: &str) -> u64 {
    let lines = page.lines().filter(|line| line.starts_with(sample));
    let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    values.reduce(|sum, value| sum + value).unwrap_or_else(|| panic!("no sample {sample}"))
}

/// Everything that waits in a mailbox.
fn waiting_in(mailbox: &Mailbox<usize>) -> Vec<Arc<Delivery>> {
    let of = |mail| match mail {
        Mail::Publication(delivery) => Some(delivery),
        Mail::Errand(_) => None,
    };
    mailbox.take().into_iter().filter_map(of).collect()
}

fn run(test: impl AsyncFnOnce()) {
    run_for(Duration::from_secs(20), test);
}

/// Runs a test that may take so long.
fn run_for(limit: Duration, test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(limit, test()).await.expect("it ends");
    });
}

/// A short text frame.
fn text(payload: &str) -> Vec<u8> {
    [&[0x81, payload.len() as u8], payload.as_bytes()].concat()
}
