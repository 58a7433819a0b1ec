//! The questions of one connection that have no answer yet, in the order in which they were asked.
//!
//! An echo server answers in order, so the oldest question is the one that an answer is compared
//! with. When they do not fit, the number that made messages carry tells a lost answer (a later
//! question fits) from one that nobody waits for (an earlier one was judged already); otherwise one
//! odd message would make every later answer a wrong one.

use std::collections::VecDeque;

use super::moment::Moment;
use super::payload::Payloads;

/// The most that one connection may owe. A server that never answers would fill the memory.
pub const OWED_MAX: usize = 65_536;

/// Room that an idle connection may keep.
const KEPT: usize = 16;

/// A message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Its number: it says what was sent.
    pub number: u64,
    /// When it was due.
    pub due: Moment,
}

/// The questions without an answer.
#[derive(Debug, Default)]
pub struct Asked(VecDeque<Question>);

/// What a message that came is.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// To this question, and right.
    Right(Question),
    /// To this question, and not what was sent.
    Wrong(Question),
    /// To none that is open.
    NotAskedFor,
}

impl Asked {
    /// Remembers one more; there must be room ([`OWED_MAX`]).
    #[inline]
    pub fn push(&mut self, question: Question) {
        self.0.push_back(question);
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Judges a message. Questions that it proves lost are handed to `lost`.
    #[inline]
    pub fn judge(
        &mut self,
        payloads: &Payloads,
        message: &[u8],
        lost: impl FnMut(Question),
    ) -> Answer {
        let Some(oldest) = self.0.front().copied() else { return Answer::NotAskedFor };
        let answer = if payloads.matches(oldest.number, message) {
            self.0.pop_front();
            Answer::Right(oldest)
        } else {
            self.judge_odd(oldest, payloads, message, lost)
        };
        if self.0.is_empty() && self.0.capacity() > KEPT {
            self.0 = VecDeque::new();
        }
        answer
    }

    #[cold]
    fn judge_odd(
        &mut self,
        oldest: Question,
        payloads: &Payloads,
        message: &[u8],
        lost: impl FnMut(Question),
    ) -> Answer {
        let number = payloads.number(message).filter(|number| payloads.matches(*number, message));
        match number {
            Some(number) if number < oldest.number => Answer::NotAskedFor,
            Some(number) => match self.0.binary_search_by_key(&number, |asked| asked.number) {
                Ok(at) => {
                    self.0.drain(..at).for_each(lost);
                    let found = self.0.pop_front().expect("it was found");
                    Answer::Right(found)
                }
                Err(_) => Answer::NotAskedFor,
            },
            None => {
                self.0.pop_front();
                Answer::Wrong(oldest)
            }
        }
    }

    /// Gives up all of them, the oldest first.
    pub fn give_up(&mut self) -> impl Iterator<Item = Question> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Kind, Payload, Sizes};
    use super::*;

    const WRONG: &[u8] = b"what nobody sent";

    fn question(number: u64) -> Question {
        Question { number, due: Moment(number) }
    }

    /// Asks 10, 12 and 14 and judges these messages; the answers and what was found lost.
    fn check(messages: &[&[u8]]) -> (Vec<Answer>, Vec<u64>, Vec<u64>) {
        let payloads = payloads();
        let mut asked = Asked::default();
        [10, 12, 14].map(question).into_iter().for_each(|question| asked.push(question));
        let mut lost = Vec::new();
        let answers = messages
            .iter()
            .map(|message| asked.judge(&payloads, message, |question| lost.push(question.number)))
            .collect();
        (answers, lost, asked.give_up().map(|question| question.number).collect())
    }

    fn payloads() -> Payloads {
        let payload = Payload { kind: Kind::Text, sizes: Sizes::Range(64, 64), files: vec![] };
        Payloads::load(&payload).unwrap()
    }

    fn echo(number: u64) -> Vec<u8> {
        let mut message = Vec::new();
        payloads().write(number, &mut message);
        message
    }

    #[test]
    fn answers_in_order_are_right() {
        let (answers, lost, open) = check(&[&echo(10), &echo(12)]);
        assert_eq!(answers, [10, 12].map(|number| Answer::Right(question(number))));
        assert_eq!((lost, open), (vec![], vec![14]));
    }

    #[test]
    fn what_was_not_sent_takes_the_place_of_the_answer() {
        let (answers, lost, open) = check(&[WRONG, &echo(12), b"", WRONG]);
        let expected = [
            Answer::Wrong(question(10)),
            Answer::Right(question(12)),
            Answer::Wrong(question(14)),
            Answer::NotAskedFor,
        ];
        assert_eq!((answers.as_slice(), lost, open), (expected.as_slice(), vec![], vec![]));
    }

    #[test]
    fn a_welcome_spoils_one_answer_and_not_all() {
        let (answers, lost, open) = check(&[WRONG, &echo(10), &echo(12), &echo(14)]);
        let expected = [
            Answer::Wrong(question(10)),
            Answer::NotAskedFor,
            Answer::Right(question(12)),
            Answer::Right(question(14)),
        ];
        assert_eq!((answers.as_slice(), lost, open), (expected.as_slice(), vec![], vec![]));
    }

    #[test]
    fn an_answer_that_never_came_is_found_by_the_next() {
        let (answers, lost, open) = check(&[&echo(14), &echo(12)]);
        assert_eq!(answers, [Answer::Right(question(14)), Answer::NotAskedFor]);
        assert_eq!((lost, open), (vec![10, 12], vec![]));
    }

    #[test]
    fn the_answer_to_another_connection_is_not_asked_for() {
        let (answers, lost, open) = check(&[&echo(11), &echo(99)]);
        assert_eq!(answers, [Answer::NotAskedFor, Answer::NotAskedFor]);
        assert_eq!((lost, open), (vec![], vec![10, 12, 14]));
    }

    #[test]
    fn memory_is_given_back_when_all_is_answered() {
        let payloads = payloads();
        let mut asked = Asked::default();
        (0..5_000).for_each(|number| asked.push(question(number)));
        for number in 0..5_000 {
            let answer = asked.judge(&payloads, &echo(number), |_| panic!("none is lost"));
            assert_eq!(answer, Answer::Right(question(number)));
        }
        assert_eq!((asked.len(), asked.0.capacity()), (0, 0));
    }
}
