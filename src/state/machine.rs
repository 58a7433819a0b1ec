//! `Open -> (ClosedByUs(cause) | ClosedByPeer(code)) -> Ended`, as one pure step.
//!
//! The handshake before `Open` is a request and an answer (`crate::handshake`); a machine begins
//! when the 101 has been written.

use super::{Cause, CloseLabel, Now, PING_PAYLOAD_BYTES, Pings, PongKind};

/// The waits of a connection, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Between two pings, before the jitter of ±10 %.
    pub ping_interval_us: u64,
    /// Silence, while a ping is outstanding, that ends the connection.
    pub pong_wait_us: u64,
    /// The head of the send queue must be wholly written within this time.
    pub write_wait_us: u64,
    /// From a Close frame to the end of the socket.
    pub close_wait_us: u64,
}

/// What can happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Bytes came, whatever they are.
    BytesReceived,
    /// A Close frame came; `None` is an empty body (1005).
    CloseReceived(Option<u16>),
    /// The gateway must end the connection for this cause.
    GiveUp(Cause),
    /// An operator ends it, with this close code (RFC 6455 §7.4).
    Kick(u16),
    /// Our Close frame, and all before it, has been handed to the kernel.
    CloseWritten,
    /// The socket ended by itself.
    SocketEnded(Cause),
    /// After our Close the peer has sent more than is worth reading.
    TooMuchToDiscard,
    /// The waits are others from now on.
    TimesChanged,
    /// Reading goes on after a pause in which no pong could be seen.
    ReadingResumed,
    /// Time has passed.
    Tick {
        /// Since when the head of the send queue waits for the socket (attended time).
        head_since_us: Option<u64>,
        /// Reading is paused, so that silence proves nothing.
        reading_paused: bool,
    },
}

/// What is to be done now, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effects {
    /// Throw away the queued frames of which no byte has been written.
    pub drop_unstarted: bool,
    /// Send a ping with this payload.
    pub ping: Option<[u8; PING_PAYLOAD_BYTES]>,
    /// Send a Close frame: `Some(None)` is one with an empty body.
    pub close: Option<Option<u16>>,
    /// And then?
    pub then: Then,
}

/// How the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Then {
    /// It lives on.
    #[default]
    GoOn,
    /// It ends: `shutdown(Write)`, then close. The peer sees FIN behind the last byte.
    Finish,
    /// It ends with RST: what the kernel still holds will not be read by anybody.
    Abort,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The first thing that ended it.
    pub cause: Cause,
    /// The first Close code received (1005: without one), or sent and answered; else 1006.
    pub code: u16,
}

impl Ending {
    /// The value of the label `code`.
    pub fn label(self) -> CloseLabel {
        CloseLabel::of(self.code)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// We gave it up. A Close with this code is on its way.
    ClosedByUs {
        cause: Cause,
        code: u16,
        written: bool,
        answered: bool,
    },
    /// The client's Close came first; our answer is on its way.
    ClosedByPeer {
        code: u16,
    },
    Ended(Ending),
}

/// The state of one connection.
#[derive(Debug, Clone)]
pub struct Machine {
    phase: Phase,
    /// Since when nothing has come (attended time), or as if: the pong time-out counts from here, and
    /// a ping moves it up where it would have no time to be answered ([`Self::send_ping`]).
    quiet_since_us: u64,
    next_ping_us: u64,
    /// When a closing connection is cut off.
    close_deadline_us: u64,
    pings: Pings,
}

impl Machine {
    /// A connection that has just been opened. `seed` as for [`Pings::new`].
    pub fn open(times: &Times, seed: u64, now: Now) -> Self {
        let mut machine = Self {
            phase: Phase::Open,
            quiet_since_us: now.attended_us,
            next_ping_us: 0,
            close_deadline_us: 0,
            pings: Pings::new(seed),
        };
        machine.schedule_ping(times, now);
        machine
    }

    /// One step. Nothing happens after the end.
    pub fn step(&mut self, input: Input, times: &Times, now: Now) -> Effects {
        if input == Input::BytesReceived || input == Input::ReadingResumed {
            self.quiet_since_us = now.attended_us;
            return Effects::default();
        }
        match self.phase {
            Phase::Open => self.step_open(input, times, now),
            Phase::ClosedByUs { cause, code, written, answered } => {
                self.step_closed_by_us(input, (cause, code, written, answered), now)
            }
            Phase::ClosedByPeer { code } => self.step_closed_by_peer(input, code, now),
            Phase::Ended(_) => Effects::default(),
        }
    }

    /// Judges a pong; see [`Pings::receive`].
    pub fn pong(&mut self, payload: &[u8], now: Now) -> PongKind {
        let given_up = matches!(self.phase, Phase::ClosedByUs { cause: Cause::PongTimeout, .. });
        self.pings.receive(payload, given_up, now)
    }

    /// When the next [`Input::Tick`] is due (attended time). More ticks than that do no harm.
    pub fn next_due_us(&self, times: &Times, head_since_us: Option<u64>) -> u64 {
        match self.phase {
            Phase::Open => {
                let pong_due_us = if self.pings.outstanding() > 0 {
                    self.quiet_since_us.saturating_add(times.pong_wait_us)
                } else {
                    u64::MAX
                };
                let write_due_us = head_since_us
                    .map_or(u64::MAX, |since| since.saturating_add(times.write_wait_us));
                self.next_ping_us.min(pong_due_us).min(write_due_us)
            }
            Phase::ClosedByUs { .. } | Phase::ClosedByPeer { .. } => self.close_deadline_us,
            Phase::Ended(_) => u64::MAX,
        }
    }

    /// No Close has gone or come.
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Why the gateway gave it up, while its Close is on the way.
    pub const fn given_up(&self) -> Option<Cause> {
        match self.phase {
            Phase::ClosedByUs { cause, .. } => Some(cause),
            Phase::Open | Phase::ClosedByPeer { .. } | Phase::Ended(_) => None,
        }
    }

    /// How it ended, once it has.
    pub const fn ending(&self) -> Option<Ending> {
        match self.phase {
            Phase::Ended(ending) => Some(ending),
            Phase::Open | Phase::ClosedByUs { .. } | Phase::ClosedByPeer { .. } => None,
        }
    }

    /// Ends it from outside the protocol (the task was dropped). The first cause stays.
    pub fn end_now(&mut self, cause: Cause) -> Ending {
        let ending = match self.phase {
            Phase::Ended(ending) => ending,
            Phase::Open => Ending { cause, code: 1006 },
            Phase::ClosedByUs { cause, code, answered, .. } => ending_by_us(cause, code, answered),
            Phase::ClosedByPeer { code } => Ending { cause: Cause::ClientClose, code },
        };
        self.phase = Phase::Ended(ending);
        ending
    }

    /// The connection's pings.
    pub const fn pings(&self) -> &Pings {
        &self.pings
    }

    fn step_open(&mut self, input: Input, times: &Times, now: Now) -> Effects {
        match input {
            Input::CloseReceived(code) => {
                self.phase = Phase::ClosedByPeer { code: code.unwrap_or(1005) };
                self.close_deadline_us = now.attended_us.saturating_add(times.close_wait_us);
                // The peer has said that it is done: what waits in the queue would not be read.
                Effects { drop_unstarted: true, close: Some(code), ..Effects::default() }
            }
            Input::GiveUp(cause) => self.give_up(cause, cause.close_code(), times, now),
            Input::Kick(code) => self.give_up(Cause::Kicked, code, times, now),
            Input::SocketEnded(cause) => self.end(Ending { cause, code: 1006 }, Then::Finish),
            Input::Tick { head_since_us, reading_paused } => {
                self.tick_open(head_since_us, reading_paused, times, now)
            }
            Input::TimesChanged => {
                self.adopt(times, now);
                Effects::default()
            }
            Input::CloseWritten
            | Input::TooMuchToDiscard
            | Input::BytesReceived
            | Input::ReadingResumed => Effects::default(),
        }
    }

    fn tick_open(
        &mut self,
        head_since_us: Option<u64>,
        reading_paused: bool,
        times: &Times,
        now: Now,
    ) -> Effects {
        let elapsed_us = |since_us: u64| now.attended_us.saturating_sub(since_us);
        if head_since_us.is_some_and(|since_us| elapsed_us(since_us) >= times.write_wait_us) {
            // Half a frame may be out: no Close can follow it (RFC 6455 §5.5.1), and the kernel's
            // buffer is full of what nobody reads.
            return self.end(Ending { cause: Cause::WriteTimeout, code: 1006 }, Then::Abort);
        }
        if reading_paused {
            // A pong may lie unread in the socket: silence proves nothing.
            self.quiet_since_us = now.attended_us;
        } else if self.pings.outstanding() > 0
            && elapsed_us(self.quiet_since_us) >= times.pong_wait_us
        {
            let cause = Cause::PongTimeout;
            return self.give_up(cause, cause.close_code(), times, now);
        }
        if now.attended_us < self.next_ping_us {
            return Effects::default();
        }
        self.schedule_ping(times, now);
        if head_since_us.is_some() {
            // It would queue behind data: the write deadline watches this socket already.
            return Effects::default();
        }
        Effects { ping: Some(self.send_ping(times, now)), ..Effects::default() }
    }

    /// The first ping that waits for an answer leaves a third of the pong time-out for it, however
    /// long it was quiet before: the jitter makes pings late, and behind a queue there are none.
    fn send_ping(&mut self, times: &Times, now: Now) -> [u8; PING_PAYLOAD_BYTES] {
        if self.pings.outstanding() == 0 {
            self.leave_time_for_pong(times, now);
        }
        self.pings.send(now)
    }

    fn leave_time_for_pong(&mut self, times: &Times, now: Now) {
        let spent_us_max = times.pong_wait_us - times.pong_wait_us / 3;
        let earliest_us = now.attended_us.saturating_sub(spent_us_max);
        self.quiet_since_us = self.quiet_since_us.max(earliest_us);
    }

    /// A shorter interval brings the next ping forward, spread over the interval: all connections
    /// adopt it at the same moment. A ping under way is not too late by a rule made after it.
    fn adopt(&mut self, times: &Times, now: Now) {
        let latest_us = now.attended_us.saturating_add(self.pings.jitter(times.ping_interval_us));
        self.next_ping_us = self.next_ping_us.min(latest_us);
        if self.pings.outstanding() > 0 {
            self.leave_time_for_pong(times, now);
        }
    }

    fn step_closed_by_us(
        &mut self,
        input: Input,
        (cause, code, written, answered): (Cause, u16, bool, bool),
        now: Now,
    ) -> Effects {
        let (written, answered) = match input {
            Input::CloseWritten => (true, answered),
            Input::CloseReceived(_) => (written, true),
            Input::TooMuchToDiscard => {
                return self.end(ending_by_us(cause, code, answered), Then::Finish);
            }
            Input::SocketEnded(_) => {
                return self.end(ending_by_us(cause, code, answered), Then::Finish);
            }
            Input::Tick { .. } if now.attended_us >= self.close_deadline_us => {
                let then = if written { Then::Finish } else { Then::Abort };
                return self.end(ending_by_us(cause, code, answered), then);
            }
            Input::Tick { .. }
            | Input::TimesChanged
            | Input::GiveUp(_)
            | Input::Kick(_)
            | Input::BytesReceived
            | Input::ReadingResumed => return Effects::default(),
        };
        if written && answered {
            return self.end(ending_by_us(cause, code, true), Then::Finish);
        }
        self.phase = Phase::ClosedByUs { cause, code, written, answered };
        Effects::default()
    }

    fn step_closed_by_peer(&mut self, input: Input, code: u16, now: Now) -> Effects {
        let ending = Ending { cause: Cause::ClientClose, code };
        match input {
            // FIN at once: without it Chromium's `onclose` comes 2 s late.
            Input::CloseWritten | Input::SocketEnded(_) | Input::TooMuchToDiscard => {
                self.end(ending, Then::Finish)
            }
            Input::Tick { .. } if now.attended_us >= self.close_deadline_us => {
                self.end(ending, Then::Abort)
            }
            Input::Tick { .. }
            | Input::TimesChanged
            | Input::CloseReceived(_)
            | Input::GiveUp(_)
            | Input::Kick(_)
            | Input::BytesReceived
            | Input::ReadingResumed => Effects::default(),
        }
    }

    fn give_up(&mut self, cause: Cause, code: u16, times: &Times, now: Now) -> Effects {
        self.phase = Phase::ClosedByUs { cause, code, written: false, answered: false };
        self.close_deadline_us = now.attended_us.saturating_add(times.close_wait_us);
        Effects {
            // An overflowing queue will not be read in time; any other is delivered first.
            drop_unstarted: cause == Cause::QueueOverflow,
            close: Some(Some(code)),
            ..Effects::default()
        }
    }

    fn end(&mut self, ending: Ending, then: Then) -> Effects {
        self.phase = Phase::Ended(ending);
        Effects { then, ..Effects::default() }
    }

    /// The interval ±10 %, so that connections opened together do not ping together for ever.
    fn schedule_ping(&mut self, times: &Times, now: Now) {
        let spread_us = times.ping_interval_us / 10;
        let wait_us = times.ping_interval_us - spread_us + self.pings.jitter(2 * spread_us);
        self.next_ping_us = now.attended_us.saturating_add(wait_us);
    }
}

fn ending_by_us(cause: Cause, code: u16, answered: bool) -> Ending {
    Ending { cause, code: if answered { code } else { 1006 } }
}
