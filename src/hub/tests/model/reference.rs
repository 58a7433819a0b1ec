//! What the hub must do, said in the simplest way: a list of publications and a list of mail.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::SHARDS;
use super::receiver::{Kind, Message, Receiver};
use crate::bus::Target;
use crate::hub::Sequenced;

/// A publication as the reference knows it; its place in the list is its number less one.
pub(super) struct Published {
    pub(super) to: Target,
    pub(super) message: Message,
    receipt: Option<oneshot::Receiver<u64>>,
    shards_left: usize,
    /// How many it was accepted for.
    receivers: u64,
    /// A shard ended while it served it: nobody can tell any more how many got it.
    is_lost: bool,
}

/// What lies in a shard's mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The place of a publication.
    Publication(usize),
    /// The number of an errand.
    Errand(usize),
}

/// What has happened in a seed, or in many.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) delivered: u64,
    pub(super) overflowed: u64,
    pub(super) closing: u64,
    pub(super) unsent: u64,
    pub(super) stopped: u64,
    pub(super) mid_sweep: u64,
    pub(super) errands: u64,
    pub(super) lost: u64,
    pub(super) deflated: u64,
}

impl Outcome {
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            delivered,
            overflowed,
            closing,
            unsent,
            stopped,
            mid_sweep,
            errands,
            lost,
            deflated,
        } = other;
        self.delivered += delivered;
        self.overflowed += overflowed;
        self.closing += closing;
        self.unsent += unsent;
        self.stopped += stopped;
        self.mid_sweep += mid_sweep;
        self.errands += errands;
        self.lost += lost;
        self.deflated += deflated;
    }
}

#[derive(Default)]
pub(super) struct Reference {
    pub(super) published: Vec<Published>,
    pub(super) waiting: [VecDeque<Waiting>; SHARDS],
    stopped: [bool; SHARDS],
    pub(super) outcome: Outcome,
}

impl Reference {
    /// A publication got this number: it must be the next one.
    pub(super) fn publish(
        &mut self,
        sequenced: (u64, Option<oneshot::Receiver<u64>>),
        to: Target,
        message: Message,
    ) {
        let (seq, receipt) = sequenced;
        let place = self.published.len();
        assert_eq!(seq, place as u64 + 1, "a number is missing or given twice");
        let shards_left = SHARDS - self.stopped.iter().filter(|stopped| **stopped).count();
        self.published.push(Published {
            to,
            message,
            receipt,
            shards_left,
            receivers: 0,
            is_lost: false,
        });
        self.post(Waiting::Publication(place));
    }

    /// Publications of one batch, which must lie behind one another.
    pub(super) fn publish_batch(&mut self, batch: Vec<(Sequenced, Target, Message)>) {
        for (Sequenced { seq, receivers }, to, message) in batch {
            self.publish((seq, Some(receivers)), to, message);
        }
    }

    /// Something goes into every mailbox that is open.
    pub(super) fn post(&mut self, mail: Waiting) {
        let open = self.waiting.iter_mut().zip(self.stopped).filter(|(_, stopped)| !stopped);
        open.for_each(|(waiting, _)| waiting.push_back(mail));
    }

    pub(super) fn is_stopped(&self, shard: usize) -> bool {
        self.stopped[shard]
    }

    /// The shard ends; what waits for it is over.
    pub(super) fn stop(&mut self, shard: usize) {
        self.stopped[shard] = true;
        self.outcome.stopped += 1;
        for mail in std::mem::take(&mut self.waiting[shard]) {
            if let Waiting::Publication(place) = mail {
                self.published[place].shards_left -= 1;
            }
        }
    }

    /// The shard ended in the middle of this one.
    pub(super) fn lose(&mut self, place: usize) {
        self.published[place].is_lost = true;
        self.outcome.lost += 1;
    }

    /// The shard is done with a publication. Is it the last one?
    pub(super) fn finish(&mut self, place: usize) -> bool {
        let published = &mut self.published[place];
        published.shards_left -= 1;
        published.shards_left == 0
    }

    /// Is somebody of this kind meant?
    pub(super) fn concerns(&self, place: usize, kind: Kind) -> bool {
        match self.published[place].to {
            Target::User(user) => kind.user == Some(user),
            Target::Endpoint(endpoint) => kind.endpoint == endpoint,
            Target::Everyone => true,
        }
    }

    /// These were due to a receiver; what it accepted, and what became of the others.
    pub(super) fn settle(&mut self, receiver: &mut Receiver, due: &[usize]) {
        let outbound = &receiver.member.outbound;
        let accepted = outbound.totals().messages as usize - receiver.accepted.len();
        assert!(accepted <= due.len(), "{accepted} of {} that were due", due.len());
        for place in &due[..accepted] {
            self.published[*place].receivers += 1;
        }
        receiver.accepted.extend(&due[..accepted]);
        let refused = (due.len() - accepted) as u64;
        self.outcome.delivered += accepted as u64;
        if outbound.has_overflowed() {
            self.outcome.overflowed += refused;
        } else if receiver.is_closed {
            assert_eq!(accepted, 0, "nothing follows our Close");
            self.outcome.closing += refused;
        } else {
            assert_eq!(refused, 0, "a receiver with room is skipped");
        }
    }

    /// Everything has been served: each receipt says how many got it, unless its shard has gone.
    pub(super) fn check_receipts(&mut self) {
        for (place, published) in self.published.iter_mut().enumerate() {
            let Some(receipt) = &mut published.receipt else { continue };
            let expected = (!published.is_lost).then_some(published.receivers);
            assert_eq!(receipt.try_recv().ok(), expected, "the receipt of {}", place + 1);
        }
    }
}
