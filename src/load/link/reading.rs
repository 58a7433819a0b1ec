//! Running a link: reading to its end, within bounds on how much one turn may take.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use super::connection::{Link, Phase};
use super::end::{ABNORMAL, End, reason_of, violation_reason};
use super::scratch;
use crate::wire::{Incoming, Inflater, Input, Opcode, Violation, parse_close};

/// Without a code in the server's Close frame (RFC 6455 §7.1.5).
const NO_CODE: u16 = 1005;

/// Reads of one link before the others of its thread get their turn.
const READS_PER_TURN: usize = 4;

impl Link {
    /// Reads until the connection ends, and returns how it did. Each data message goes to
    /// `on_message`, which may send and close; pings and Close are answered here. Reading never
    /// waits for writing.
    ///
    /// Dropping the future leaves the connection as it is; once the last [`std::rc::Rc`] of it is
    /// gone, too, the socket is closed.
    pub async fn run(&self, mut on_message: impl FnMut(&Incoming<'_>)) -> End {
        let mut alarm = None;
        poll_fn(|cx| self.poll_run(cx, &mut alarm, &mut on_message)).await
    }

    fn poll_run(
        &self,
        cx: &mut Context<'_>,
        alarm: &mut Option<Pin<Box<Sleep>>>,
        on_message: &mut impl FnMut(&Incoming<'_>),
    ) -> Poll<End> {
        let waker = self.waker.take();
        self.read(cx, on_message);
        // Behind the reading: what came has been answered by now.
        let _ = self.poll_flush(cx);
        if let Some(deadline) = self.deadline.get() {
            let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if alarm.deadline() != deadline {
                alarm.as_mut().reset(deadline);
            }
            if alarm.as_mut().poll(cx).is_ready() {
                self.waited_enough();
            }
        }
        if let Phase::Ended(end) = self.phase.get() {
            return Poll::Ready(end);
        }
        let waker = waker.filter(|waker| waker.will_wake(cx.waker()));
        self.waker.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
        Poll::Pending
    }

    fn read(&self, cx: &mut Context<'_>, on_message: &mut impl FnMut(&Incoming<'_>)) {
        scratch::reading(|scratch::Reading { buffer, inflater }| {
            if let Some(mut leftover) = self.leftover.take() {
                self.take(&mut leftover, inflater, on_message);
            }
            for _ in 0..READS_PER_TURN {
                match self.poll_read(cx, buffer) {
                    Poll::Ready(Ok(0)) => return self.stream_ended("eof"),
                    Poll::Ready(Ok(count)) => self.take(&mut buffer[..count], inflater, on_message),
                    Poll::Ready(Err(error)) => return self.stream_ended(reason_of(&error)),
                    Poll::Pending => return,
                }
            }
            // Others first; then this one again.
            cx.waker().wake_by_ref();
        });
    }

    /// `Pending` for good once the socket is closed: the end is known then.
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut transport = self.transport.borrow_mut();
        let Some(transport) = transport.as_mut() else { return Poll::Pending };
        let mut space = ReadBuf::new(buffer);
        ready!(Pin::new(transport).poll_read(cx, &mut space))?;
        Poll::Ready(Ok(space.filled().len()))
    }

    /// Handles input until it is used up or the server has said its last word; what comes behind that
    /// is thrown away.
    fn take(
        &self,
        bytes: &mut [u8],
        inflater: &mut Inflater,
        on_message: &mut impl FnMut(&Incoming<'_>),
    ) {
        let mut decoder = self.decoder.borrow_mut();
        let mut input = Input::new(bytes);
        while matches!(self.phase.get(), Phase::Open | Phase::ClosedByUs) {
            match decoder.next(&mut input, inflater) {
                Ok(Some(incoming)) => match incoming.opcode {
                    Opcode::Text | Opcode::Binary => on_message(&incoming),
                    Opcode::Ping => self.send_pong(incoming.payload),
                    Opcode::Pong => {}
                    Opcode::Close => self.take_close(incoming.payload),
                },
                Ok(None) => return,
                Err(violation) => self.take_violation(violation),
            }
        }
        // Frees a message that was not whole.
        decoder.discard();
    }

    fn take_close(&self, payload: &[u8]) {
        let code = match parse_close(payload) {
            Ok(close) => close.map(|(code, _)| code),
            Err(violation) => return self.take_violation(violation),
        };
        let by_us = self.phase.get() == Phase::ClosedByUs;
        if !by_us {
            match code {
                Some(code) => self.send_close(code, ""),
                None => drop(self.write_frame(Opcode::Close, &[])),
            }
        }
        self.settle(End { code: code.unwrap_or(NO_CODE), by_us, reason: "closed" });
    }

    fn take_violation(&self, violation: Violation) {
        // Nothing may follow our Close (RFC 6455 §5.5.1), not even a second one.
        if self.phase.get() == Phase::Open {
            self.send_close(violation.close_code(), &violation.to_string());
        }
        let reason = violation_reason(violation);
        self.settle(End { code: ABNORMAL, by_us: false, reason });
    }

    /// The server has ended the stream, or there is no connection any more.
    fn stream_ended(&self, reason: &'static str) {
        // The first error tells: after an RST, a failed write eats it and reading finds the end.
        let reason = self.write_failed.get().unwrap_or(reason);
        match self.phase.get() {
            Phase::Open => self.finish(End { code: ABNORMAL, by_us: false, reason }),
            Phase::ClosedByUs => self.finish(End { code: ABNORMAL, by_us: true, reason }),
            Phase::Lingering(end) | Phase::Ended(end) => self.finish(end),
        }
    }

    fn waited_enough(&self) {
        self.stream_ended("timed out");
    }
}
