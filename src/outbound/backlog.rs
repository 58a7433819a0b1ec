//! What one socket did not take yet, and which connections of a shard have such a queue.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use slab::Slab;

use super::{Class, Outbound};
use crate::state::Now;

/// Bounds on the publications that wait for one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Bytes of queued publications.
    pub bytes: usize,
    /// Queued publications.
    pub messages: usize,
}

/// The queue of one connection.
pub(super) struct Backlog {
    frames: VecDeque<Queued>,
    bytes: usize,
    publication_bytes: usize,
    publications: u32,
    head_since_us: u64,
    member: usize,
}

struct Queued {
    bytes: Bytes,
    class: Class,
    /// Some of the frame is out: the rest must follow.
    started: bool,
    /// Its lag is to be measured.
    sample: Option<LagSample>,
}

/// A publication whose way to the kernel is measured for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagSample {
    /// When it got its number (real time, in microseconds).
    pub since_us: u64,
    /// How many deliveries it stands for.
    pub times: u32,
}

impl Backlog {
    pub(super) fn new(member: usize, now_us: u64) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            publication_bytes: 0,
            publications: 0,
            head_since_us: now_us,
            member,
        }
    }

    pub(super) fn push(
        &mut self,
        bytes: Bytes,
        class: Class,
        started: bool,
        sample: Option<LagSample>,
    ) {
        self.bytes += bytes.len();
        if class == Class::Publication {
            self.publication_bytes += bytes.len();
            self.publications += 1;
        }
        self.frames.push_back(Queued { bytes, class, started, sample });
    }

    pub(super) fn has_room_for(&self, bytes: usize, limits: QueueLimits) -> bool {
        (self.publications as usize) < limits.messages
            && self.publication_bytes + bytes <= limits.bytes
    }

    /// Fills slices with the frames to write next; returns how many.
    pub(super) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, queued) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(&queued.bytes);
            count += 1;
        }
        count
    }

    /// The kernel took `taken` bytes. Is the queue empty now?
    pub(super) fn advance(
        &mut self,
        mut taken: usize,
        now: Now,
        mut written: impl FnMut(LagSample),
    ) -> bool {
        self.bytes -= taken;
        while let Some(head) = self.frames.front_mut() {
            let step = taken.min(head.bytes.len());
            if head.class == Class::Publication {
                self.publication_bytes -= step;
            }
            taken -= step;
            if step < head.bytes.len() {
                if step > 0 {
                    head.bytes = head.bytes.slice(step..);
                    head.started = true;
                }
                break;
            }
            if head.class == Class::Publication {
                self.publications -= 1;
            }
            head.sample.take().into_iter().for_each(&mut written);
            self.frames.pop_front();
            self.head_since_us = now.attended_us;
        }
        self.frames.is_empty()
    }

    /// Keeps only a head of which a part is out. Returns the bytes and publications dropped.
    pub(super) fn drop_unstarted(&mut self) -> (usize, u32) {
        let bytes_before = self.bytes;
        let publications_before = self.publications;
        let frames = std::mem::take(&mut self.frames);
        self.bytes = 0;
        self.publication_bytes = 0;
        self.publications = 0;
        if let Some(head) = frames.into_iter().next().filter(|head| head.started) {
            self.push(head.bytes, head.class, true, head.sample);
        }
        (bytes_before - self.bytes, publications_before - self.publications)
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn answer_bytes(&self) -> usize {
        self.bytes - self.publication_bytes
    }

    pub(super) const fn publications(&self) -> u32 {
        self.publications
    }

    pub(super) const fn head_since_us(&self) -> u64 {
        self.head_since_us
    }

    pub(super) const fn member(&self) -> usize {
        self.member
    }
}

/// The connections of one shard that have a queue: what `send_queue_*` is read from.
pub struct Backlogs {
    limits: Cell<QueueLimits>,
    members: RefCell<Slab<Rc<Outbound>>>,
    bytes: Cell<usize>,
    lags: RefCell<Vec<(Duration, u32)>>,
}

/// Lags that wait to be counted; more are left out until they have been.
const LAGS_MAX: usize = 4096;

impl Backlogs {
    /// No queue yet.
    pub fn new(limits: QueueLimits) -> Self {
        Self {
            limits: Cell::new(limits),
            members: RefCell::default(),
            bytes: Cell::new(0),
            lags: RefCell::default(),
        }
    }

    /// The bounds in force.
    pub fn limits(&self) -> QueueLimits {
        self.limits.get()
    }

    /// Puts other bounds in force, for what is queued from now on.
    pub fn set_limits(&self, limits: QueueLimits) {
        self.limits.set(limits);
    }

    /// Hands out the lags that were measured since the last call: from a publication's number to
    /// its last byte, and how many deliveries each stands for.
    pub fn take_lags(&self, mut each: impl FnMut(Duration, u32)) {
        self.lags.borrow_mut().drain(..).for_each(|(lag, times)| each(lag, times));
    }

    /// How many connections have a queue.
    pub fn count(&self) -> usize {
        self.members.borrow().len()
    }

    /// Bytes queued, over all of them.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// The longest queue, in bytes. Costs a look at each connection that has one.
    pub fn max_bytes(&self) -> usize {
        self.members.borrow().iter().map(|(_, member)| member.queued_bytes()).max().unwrap_or(0)
    }

    pub(super) fn join(&self, outbound: &Rc<Outbound>) -> usize {
        self.members.borrow_mut().insert(Rc::clone(outbound))
    }

    pub(super) fn leave(&self, member: usize) {
        self.members.borrow_mut().remove(member);
    }

    pub(super) fn note_lag(&self, sample: LagSample, now: Now) {
        let mut lags = self.lags.borrow_mut();
        if lags.len() < LAGS_MAX {
            let lag_us = now.real_us.saturating_sub(sample.since_us);
            lags.push((Duration::from_micros(lag_us), sample.times));
        }
    }

    pub(super) fn grown(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    pub(super) fn shrunk(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() - bytes);
    }
}
