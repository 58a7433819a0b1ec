//! Messages that the server sends back: asked at their moments, or one after the other.

use super::asked::{Answer, OWED_MAX, Question};
use super::crew::{Crew, Seat};
use super::moment::Moment;
use crate::wire::Incoming;

/// An answer is not what was sent.
const DIFFERS: &str = "echo: answer differs";

/// A message came that answers nothing that was sent.
const NOT_ASKED_FOR: &str = "echo: message not asked for";

impl Crew {
    /// Sends a message that is due. Where it cannot be sent now it is not sent later either: it
    /// would be late through our fault, and nobody could tell.
    #[inline]
    pub fn ask(&self, seat: &Seat, question: Question) {
        if !self.try_to_ask(seat, question) {
            self.tally.borrow_mut().unsent(question.due);
        }
    }

    /// Sends until this many messages of a connection have no answer.
    pub fn ask_up_to(&self, seat: &Seat, in_flight: usize) {
        while self.works() && seat.asked.borrow().len() < in_flight.min(OWED_MAX) {
            let number = self.next_number.get();
            let due = Moment::now();
            // The window may be over before that has been noticed.
            let is_late = due >= self.tally.borrow().window.end;
            if is_late || !self.try_to_ask(seat, Question { number, due }) {
                break;
            }
            self.next_number.set(number + u64::from(self.share.processes));
        }
    }

    /// A message came on a connection that echoes.
    #[inline]
    pub fn receive_echo(&self, seat: &Seat, message: &Incoming<'_>) {
        let now = Moment::now();
        let mut tally = self.tally.borrow_mut();
        let mut settled = 0;
        let lost = |question: Question| {
            tally.missing(question.due);
            settled += 1;
        };
        let answer = seat.asked.borrow_mut().judge(&self.payloads, message.payload, lost);
        match answer {
            Answer::Right(question) => {
                settled += 1;
                let is_measured = tally.window.contains(&question.due);
                tally.received(is_measured, message);
                tally.latency(is_measured, now.since(question.due));
            }
            Answer::Wrong(question) => {
                settled += 1;
                let is_measured = tally.window.contains(&question.due);
                tally.received(is_measured, message);
                tally.report.count_error(DIFFERS);
            }
            Answer::NotAskedFor => {
                let is_measured = tally.window.contains(&now);
                tally.received(is_measured, message);
                tally.report.count_error(NOT_ASKED_FOR);
            }
        }
        self.owed.set(self.owed.get() - settled);
    }

    /// A connection has ended: what it owes will not come.
    pub fn give_up_echoes(&self, seat: &Seat) {
        let mut tally = self.tally.borrow_mut();
        let mut given_up = 0;
        for question in seat.asked.borrow_mut().give_up() {
            tally.missing(question.due);
            given_up += 1;
        }
        self.owed.set(self.owed.get() - given_up);
    }

    #[inline]
    fn try_to_ask(&self, seat: &Seat, question: Question) -> bool {
        let link = seat.link.borrow();
        let mut asked = seat.asked.borrow_mut();
        let Some(link) = link.as_ref().filter(|_| asked.len() < OWED_MAX) else { return false };
        let mut scratch = self.scratch.borrow_mut();
        self.payloads.write(question.number, &mut scratch);
        if link.send(self.payloads.opcode(), &scratch).is_err() {
            return false;
        }
        asked.push(question);
        self.owed.set(self.owed.get() + 1);
        self.tally.borrow_mut().sent(question.due, scratch.len());
        true
    }
}
