//! A shard's turn: it takes out its mail and serves it, while chance acts in between.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use super::super::receiver::Receiver;
use super::super::reference::Waiting;
use super::{A, B, NOW, World};
use crate::bus::Target;
use crate::hub::{Delivery, FanOut, Mail};

/// Mail that a shard has taken out, and that it has still to serve.
type Taken = std::collections::VecDeque<(Mail<usize>, Waiting)>;

impl World<'_> {
    /// The shard takes out its mail and does what [`crate::connection::Shard::run_fan_out`] does.
    pub(super) async fn serve(&mut self, shard: usize) {
        let mail = self.hub.mailbox(shard).take();
        let waiting = std::mem::take(&mut self.reference.waiting[shard]);
        assert_eq!(mail.len(), waiting.len(), "what lies in the mailbox");
        let mut taken: Taken = mail.into_iter().zip(waiting).collect();
        let mut batch = Vec::new();
        while let Some((mail, expected)) = taken.pop_front() {
            match mail {
                Mail::Publication(delivery) => {
                    let place = delivery.publication.seq as usize - 1;
                    assert_eq!(Waiting::Publication(place), expected);
                    batch.push(delivery);
                }
                Mail::Errand(number) => {
                    assert_eq!(Waiting::Errand(number), expected);
                    if !self.deliver(shard, std::mem::take(&mut batch)).await {
                        return self.lose(&taken);
                    }
                    self.run_errand(shard, number);
                }
            }
        }
        self.deliver(shard, batch).await;
    }

    /// It asks one connection to close: behind what was published before, not behind what came later.
    fn run_errand(&mut self, shard: usize, number: usize) {
        self.reference.outcome.errands += 1;
        let mut here = self.receivers.iter_mut().filter(|receiver| receiver.shard == shard);
        if let Some(receiver) = here.find(|one| one.number == number) {
            receiver.close(false, &self.parts[shard].backlogs);
        }
    }

    fn lose(&mut self, taken: &Taken) {
        for (_, mail) in taken {
            if let Waiting::Publication(place) = mail {
                self.reference.lose(*place);
            }
        }
    }

    /// One batch goes to the receivers of the shard, and chance acts wherever the sweep yields. False
    /// if the shard was stopped meanwhile.
    async fn deliver(&mut self, shard: usize, batch: Vec<Arc<Delivery>>) -> bool {
        let (parts, tools) = (Rc::clone(&self.parts), self.tools);
        let part = &parts[shard];
        let fan_out = FanOut {
            recorder: &part.recorder,
            backlogs: &part.backlogs,
            deflater: &tools.deflater,
            deflate_min_bytes: 128,
            now: &|| NOW,
        };
        let places: Vec<_> = batch.iter().map(|one| one.publication.seq as usize - 1).collect();
        let targets: Vec<_> = batch.iter().map(|one| one.publication.to).collect();
        let mut sweep = pin!(part.local.fan_out(&batch, &fan_out));
        // Who gets something by name is served first, with all that concerns it.
        let named = |one: &Receiver| {
            one.kind.user.is_some_and(|user| targets.contains(&Target::User(user)))
        };
        let here = |one: &Receiver| one.shard == shard;
        let mut due = self.due(&places, |one| here(one) && named(one));
        for endpoint in [A, B] {
            let there = |one: &Receiver| here(one) && one.kind.endpoint == endpoint;
            let general = [Target::Everyone, Target::Endpoint(endpoint)];
            if targets.iter().any(|to| general.contains(to)) && self.receivers.iter().any(there) {
                due.extend(self.due(&places, |one| there(one) && !named(one)));
                let polled = std::future::poll_fn(|cx| Poll::Ready(sweep.as_mut().poll(cx))).await;
                assert!(polled.is_pending(), "others get their turn behind each endpoint");
                self.settle(std::mem::take(&mut due));
                if !self.is_calm && self.random.below(2) == 0 {
                    self.reference.outcome.mid_sweep += 1;
                    self.act().await;
                }
                if self.reference.is_stopped(shard) {
                    for place in places {
                        self.reference.lose(place);
                    }
                    return false;
                }
            }
        }
        let polled = std::future::poll_fn(|cx| Poll::Ready(sweep.as_mut().poll(cx))).await;
        assert!(polled.is_ready(), "there is nobody left to serve");
        self.settle(due);
        for (delivery, place) in batch.iter().zip(places) {
            let last = self.hub.mailbox(shard).done(delivery);
            assert_eq!(last, self.reference.finish(place), "the last of the shards");
        }
        true
    }

    fn settle(&mut self, due: Vec<(usize, Vec<usize>)>) {
        for (receiver, due) in due {
            self.reference.settle(&mut self.receivers[receiver], &due);
        }
    }

    /// What each of these receivers must get of a batch, by its place among the receivers.
    fn due(
        &self,
        places: &[usize],
        is_meant: impl Fn(&Receiver) -> bool,
    ) -> Vec<(usize, Vec<usize>)> {
        let receivers = self.receivers.iter().enumerate().filter(|(_, one)| is_meant(one));
        let due = receivers.map(|(index, one)| {
            let due = places.iter().copied().filter(|place| {
                *place as u64 + 1 > one.member.joined_at_seq
                    && self.reference.concerns(*place, one.kind)
            });
            (index, due.collect::<Vec<_>>())
        });
        due.filter(|(_, due)| !due.is_empty()).collect()
    }
}
