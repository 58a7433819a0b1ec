//! The world of one seed: chance acts on the hub and on the reference alike, and they are compared.

mod serving;

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::receiver::{Kind, Left, Message, Receiver};
use super::reference::{Outcome, Reference, Waiting};
use super::{SHARDS, Tools};
use crate::bus::{self, Target, UserKey};
use crate::hub::{Local, Sequenced};
use crate::outbound::tests::Random;
use crate::outbound::{Backlogs, QueueLimits};
use crate::telemetry::{Recorder, Telemetry, TelemetryOptions};
use crate::wire::{Opcode, SharedFrame};

use super::super::{A, B, NOW, TestHub, sum_of};

/// What belongs to one shard.
struct Part {
    recorder: Recorder,
    backlogs: Backlogs,
    local: Local,
}

pub(super) struct World<'a> {
    hub: &'a Arc<TestHub>,
    tools: &'a Tools,
    random: Random,
    telemetry: Telemetry,
    parts: Rc<[Part]>,
    /// Four that connect, and one that never does.
    users: Vec<UserKey>,
    receivers: Vec<Receiver>,
    /// How many have joined so far: the number of the newest.
    joined: usize,
    /// The end: nothing happens any more in the middle of a batch.
    is_calm: bool,
    reference: Reference,
    /// Whole messages that clients have read.
    written: u64,
    payload_bytes: u64,
}

impl<'a> World<'a> {
    pub(super) fn new(
        hub: &'a Arc<TestHub>,
        limits: QueueLimits,
        random: Random,
        tools: &'a Tools,
    ) -> Self {
        let endpoints = vec!["/a".to_owned(), "/b".to_owned()];
        let telemetry = Telemetry::new(&TelemetryOptions { endpoints, ..Default::default() });
        let part = |_| Part {
            recorder: telemetry.recorder(),
            backlogs: Backlogs::new(limits),
            local: Local::new(2, Arc::clone(hub.users())),
        };
        Self {
            hub,
            tools,
            random,
            parts: (0..SHARDS).map(part).collect(),
            telemetry,
            users: (0..5).map(|number| hub.user_key(&format!("user {number}"))).collect(),
            receivers: Vec::new(),
            joined: 0,
            is_calm: false,
            reference: Reference::default(),
            written: 0,
            payload_bytes: 0,
        }
    }

    /// Lets chance act so many times, then ends everything and checks the sums.
    pub(super) async fn live(mut self, steps: usize) -> Outcome {
        for _ in 0..steps {
            match self.random.below(20) {
                0..=4 => {
                    let shard = self.random.below(SHARDS);
                    self.serve(shard).await;
                }
                5 | 6 => self.read().await,
                _ => self.act().await,
            }
            let users: HashSet<_> = self.receivers.iter().filter_map(|one| one.kind.user).collect();
            assert_eq!(self.hub.users().count(), users.len() as u64, "the gauge of users");
        }
        self.is_calm = true;
        for shard in 0..SHARDS {
            self.serve(shard).await;
        }
        while let Some(receiver) = self.receivers.pop() {
            let gently = self.random.below(2) == 0;
            self.leave(receiver, gently).await;
        }
        self.check_sums()
    }

    /// What may happen at any time, in the middle of a batch, too.
    async fn act(&mut self) {
        match self.random.below(29) {
            0..=8 => self.join().await,
            9..=11 => {
                if let Some(receiver) = self.anyone() {
                    let gently = self.random.below(2) == 0;
                    let receiver = self.receivers.swap_remove(receiver);
                    self.leave(receiver, gently).await;
                }
            }
            12..=19 => {
                let (to, message) = self.message();
                self.hub.publish(sent(to, &message), NOW.real_us);
                self.reference.publish((self.hub.last_seq(), None), to, message);
            }
            20..=24 => {
                let batch = self.batch();
                let sequenced = publish(self.hub, batch);
                self.reference.publish_batch(sequenced);
            }
            25 => self.publish_at_once(),
            26 => {
                if let Some(receiver) = self.anyone() {
                    let number = self.receivers[receiver].number;
                    self.hub.send(|| number);
                    self.reference.post(Waiting::Errand(number));
                }
            }
            27 => {
                if let Some(receiver) = self.anyone() {
                    let drop_unstarted = self.random.below(2) == 0;
                    let receiver = &mut self.receivers[receiver];
                    receiver.close(drop_unstarted, &self.parts[receiver.shard].backlogs);
                }
            }
            _ => {
                let shard = self.random.below(SHARDS);
                if self.random.below(4) == 0 {
                    self.stop(shard).await;
                }
            }
        }
    }

    fn anyone(&mut self) -> Option<usize> {
        (!self.receivers.is_empty()).then(|| self.random.below(self.receivers.len()))
    }

    async fn join(&mut self) {
        let shard = self.random.below(SHARDS);
        if self.reference.is_stopped(shard) {
            return;
        }
        let user = self.random.below(6);
        let kind = Kind {
            endpoint: [A, B][self.random.below(2)],
            user: (user < 4).then(|| self.users[user]),
            deflated: self.random.below(2) == 0,
            reads: self.random.below(2) > 0,
        };
        let place = (shard, &self.parts[shard].local);
        let sockets = self.tools.pairs.make().await;
        self.joined += 1;
        self.receivers.push(Receiver::join(self.joined, kind, place, sockets, self.hub.last_seq()));
    }

    async fn leave(&mut self, receiver: Receiver, gently: bool) {
        let Part { local, backlogs, .. } = &self.parts[receiver.shard];
        let left = receiver.leave(gently, local, backlogs).await;
        let (got, deflated) = left.messages();
        let Left { accepted, unsent, payload_bytes, .. } = &left;
        let written = accepted.len() - *unsent as usize;
        let due = accepted.iter().map(|place| &self.reference.published[*place].message);
        assert!(got.iter().eq(due.clone().take(written)), "exactly these, in this order");
        assert_eq!(*payload_bytes, due.map(|message| message.payload.len() as u64).sum::<u64>());
        assert!(left.is_gone(), "something still holds it");
        self.payload_bytes += payload_bytes;
        self.written += got.len() as u64;
        self.reference.outcome.unsent += unsent;
        self.reference.outcome.deflated += deflated;
    }

    fn message(&mut self) -> (Target, Message) {
        let to = match self.random.below(8) {
            0..=3 => Target::User(self.users[self.random.below(5)]),
            4 | 5 => Target::Endpoint([A, B][self.random.below(2)]),
            _ => Target::Everyone,
        };
        let opcode = [Opcode::Text, Opcode::Binary][self.random.below(2)];
        let repeats = [0, 1, 20, 400][self.random.below(4)];
        let number = self.random.below(1 << 30);
        let payload = format!("{number}{}", " notification".repeat(repeats)).into_bytes();
        (to, Message { opcode, payload })
    }

    fn batch(&mut self) -> Vec<(Target, Message)> {
        (0..=self.random.below(5)).map(|_| self.message()).collect()
    }

    /// Two sources on threads of their own: whichever comes first, a batch stays together.
    fn publish_at_once(&mut self) {
        let (one, other) = (self.batch(), self.batch());
        let mut both = std::thread::scope(|threads| {
            let one = threads.spawn(|| publish(self.hub, one));
            [publish(self.hub, other), one.join().expect("it publishes")]
        });
        both.sort_by_key(|batch| batch[0].0.seq);
        for batch in both {
            self.reference.publish_batch(batch);
        }
    }

    async fn read(&mut self) {
        for receiver in self.receivers.iter_mut().filter(|receiver| receiver.kind.reads) {
            receiver.read_all(&self.parts[receiver.shard].backlogs).await;
        }
    }

    /// The shard ends, and with it what waits for it and its receivers.
    async fn stop(&mut self, shard: usize) {
        if self.reference.is_stopped(shard) {
            return;
        }
        self.reference.stop(shard);
        self.hub.mailbox(shard).close();
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.receivers).into_iter().partition(|one| one.shard == shard);
        self.receivers = elsewhere;
        for receiver in here {
            self.leave(receiver, false).await;
        }
    }

    fn check_sums(mut self) -> Outcome {
        self.reference.check_receipts();
        for Part { local, backlogs, .. } in &*self.parts {
            assert!(local.is_empty(), "a ghost is left");
            assert_eq!((backlogs.count(), backlogs.bytes(), backlogs.max_bytes()), (0, 0, 0));
        }
        let outcome = self.reference.outcome;
        let page = self.telemetry.render().1;
        let dropped = |reason| {
            sum_of(&page, &format!("gaugeway_deliveries_dropped_total{{reason=\"{reason}\"}}"))
        };
        assert_eq!(sum_of(&page, "gaugeway_deliveries_total"), outcome.delivered);
        assert_eq!(dropped("queue_overflow"), outcome.overflowed);
        assert_eq!(dropped("closing"), outcome.closing);
        assert_eq!(self.written, outcome.delivered - outcome.unsent, "written");
        assert_eq!(sum_of(&page, "gaugeway_messages_total"), outcome.delivered);
        let payload_bytes = sum_of(&page, "gaugeway_payload_bytes_total{direction=\"out\"}");
        assert_eq!(payload_bytes, self.payload_bytes);
        outcome
    }
}

fn sent(to: Target, Message { opcode, payload }: &Message) -> bus::Message {
    bus::Message { to, frame: SharedFrame::new(*opcode, Bytes::copy_from_slice(payload)) }
}

/// Publishes with receipts: with nothing between the messages of a batch.
fn publish(hub: &TestHub, batch: Vec<(Target, Message)>) -> Vec<(Sequenced, Target, Message)> {
    let messages = batch.iter().map(|(to, message)| sent(*to, message)).collect();
    let sequenced = hub.publish_with_receipts(messages, NOW.real_us);
    assert_eq!(sequenced.len(), batch.len());
    sequenced.into_iter().zip(batch).map(|(one, (to, message))| (one, to, message)).collect()
}
