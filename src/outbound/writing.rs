//! The steps beneath [`Outbound`]'s methods: the kernel's turn, the queue's, and the first error.

use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::backlog::Backlog;
use super::{
    Backlogs, Class, LagSample, Operation, Outbound, Phase, QueueLimits, SocketError, signal,
};
use crate::state::Now;

/// Frames handed to the kernel in one system call.
const SLICES_MAX: usize = 64;

impl Outbound {
    pub(super) fn has_room_for(&self, bytes: usize, limits: QueueLimits) -> bool {
        match self.backlog.borrow().as_ref() {
            Some(backlog) => backlog.has_room_for(bytes, limits),
            None => bytes <= limits.bytes,
        }
    }

    pub(super) fn enqueue(
        self: &Rc<Self>,
        bytes: Bytes,
        (class, sample): (Class, Option<LagSample>),
        started: bool,
        now: Now,
        shard: &Backlogs,
    ) {
        let mut slot = self.backlog.borrow_mut();
        let length = bytes.len();
        slot.get_or_insert_with(|| Box::new(Backlog::new(shard.join(self), now.attended_us)))
            .push(bytes, class, started, sample);
        drop(slot);
        shard.grown(length);
        // The task must wait for the socket to become writable.
        self.signal(0);
    }

    /// Writes one contiguous piece; returns how much the kernel took.
    pub(super) fn write_all(&self, bytes: &[u8], now: Now) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match self.try_io(|stream| stream.try_write(&bytes[written..])) {
                Ok(count) => written += self.note_written(count, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.break_with(Operation::Write, &error);
                    break;
                }
            }
        }
        written
    }

    /// Writes frames; returns the first that is not wholly out and how much of it is.
    pub(super) fn write_frames(&self, frames: &[Bytes], now: Now) -> (usize, usize) {
        let (mut first, mut offset) = (0, 0);
        while first < frames.len() {
            let attempt = self.try_io(|stream| match &frames[first..] {
                // The ordinary case, spared the list of slices.
                [only] => stream.try_write(&only[offset..]),
                several => write_several(stream, several, offset),
            });
            let mut taken = match attempt {
                Ok(taken) => self.note_written(taken, now),
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        self.break_with(Operation::Write, &error);
                    }
                    break;
                }
            };
            while taken > 0 {
                let left = frames[first].len() - offset;
                if taken < left {
                    offset += taken;
                    break;
                }
                taken -= left;
                first += 1;
                offset = 0;
            }
        }
        (first, offset)
    }

    pub(super) fn flush_once(&self, now: Now, shard: &Backlogs) -> io::Result<()> {
        let mut slot = self.backlog.borrow_mut();
        let Some(backlog) = slot.as_mut() else { return Ok(()) };
        let taken = {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = backlog.fill(&mut slices);
            self.try_io(|stream| stream.try_write_vectored(&slices[..count]))?
        };
        self.note_written(taken, now);
        shard.shrunk(taken);
        if backlog.advance(taken, now, |sample| shard.note_lag(sample, now)) {
            shard.leave(backlog.member());
            *slot = None;
        }
        Ok(())
    }

    pub(super) fn drop_unstarted(&self, shard: &Backlogs) {
        let mut slot = self.backlog.borrow_mut();
        let Some(backlog) = slot.as_mut() else { return };
        let (bytes, publications) = backlog.drop_unstarted();
        shard.shrunk(bytes);
        self.note_unsent(bytes, publications);
        if backlog.bytes() == 0 {
            shard.leave(backlog.member());
            *slot = None;
        }
    }

    pub(super) fn forget_backlog(&self, shard: &Backlogs) {
        if let Some(backlog) = self.backlog.borrow_mut().take() {
            shard.shrunk(backlog.bytes());
            self.note_unsent(backlog.bytes(), backlog.publications());
            shard.leave(backlog.member());
        }
    }

    fn try_io<T>(&self, io: impl FnOnce(&TcpStream) -> io::Result<T>) -> io::Result<T> {
        match self.stream.borrow().as_ref() {
            Some(stream) => io(stream),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn note_written(&self, count: usize, now: Now) -> usize {
        self.written_bytes.set(self.written_bytes.get() + count as u64);
        self.last_written_us.set(now.real_us);
        count
    }

    fn note_unsent(&self, bytes: usize, publications: u32) {
        self.unsent_bytes.set(self.unsent_bytes.get() + bytes as u64);
        self.unsent_publications.set(self.unsent_publications.get() + publications);
    }

    pub(super) fn break_with(&self, operation: Operation, error: &io::Error) {
        if self.first_error.get().is_none() {
            self.first_error.set(Some(SocketError::of(operation, error)));
        }
        self.phase.set(Phase::Broken);
        self.signal(signal::WRITE_FAILED);
    }
}

/// Writes as many frames as fit into one system call, the first from `offset` on.
fn write_several(stream: &TcpStream, frames: &[Bytes], offset: usize) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for (slice, frame) in slices.iter_mut().zip(frames) {
        *slice = IoSlice::new(&frame[if count == 0 { offset } else { 0 }..]);
        count += 1;
    }
    stream.try_write_vectored(&slices[..count])
}
