//! The pings of one connection: tokens, what is outstanding, round-trip times.

use super::Now;

/// A ping's payload: its token, big-endian.
pub const PING_PAYLOAD_BYTES: usize = 8;

/// How many unanswered pings are remembered. Older ones can no longer be matched.
const REMEMBERED: usize = 3;

/// What a pong was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PongKind {
    /// It answers an outstanding ping.
    Matched {
        /// From the write of that ping to the read of this pong.
        rtt_us: u64,
    },
    /// It answers an outstanding ping after the connection was given up for its silence.
    Late {
        /// From the write of that ping to the read of this pong.
        rtt_us: u64,
    },
    /// It answers no outstanding ping (RFC 6455 §5.5.3 permits such pongs).
    Unsolicited,
}

/// Tokens are derived, not stored: ping `n` carries `mix(seed + n)`.
#[derive(Debug, Clone, Copy)]
pub struct Pings {
    seed: u64,
    /// When the last pings were sent; ping `n` at `n % REMEMBERED`.
    sent_at_us: [u64; REMEMBERED],
    sent: u32,
    /// How many of the newest pings have no pong yet.
    outstanding: u32,
    pongs: u32,
    last_rtt_us: u32,
}

impl Pings {
    /// `seed` must not be guessable by a client, or it could answer before it was asked.
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            sent_at_us: [0; REMEMBERED],
            sent: 0,
            outstanding: 0,
            pongs: 0,
            last_rtt_us: 0,
        }
    }

    /// Notes a ping that goes out now and returns its payload.
    pub fn send(&mut self, now: Now) -> [u8; PING_PAYLOAD_BYTES] {
        self.sent_at_us[self.sent as usize % REMEMBERED] = now.real_us;
        let token = self.token(self.sent);
        self.sent = self.sent.wrapping_add(1);
        self.outstanding = self.outstanding.saturating_add(1);
        token.to_be_bytes()
    }

    /// Judges a pong. A pong for a newer ping answers the older ones too (RFC 6455 §5.5.3).
    /// `given_up` says that the pong time-out has already ended the connection.
    pub fn receive(&mut self, payload: &[u8], given_up: bool, now: Now) -> PongKind {
        let Some(age) = self.age_of(payload) else {
            return PongKind::Unsolicited;
        };
        let number = self.sent.wrapping_sub(age);
        let sent_at_us = self.sent_at_us[number as usize % REMEMBERED];
        let rtt_us = now.real_us.saturating_sub(sent_at_us);
        self.outstanding = age - 1;
        self.pongs = self.pongs.saturating_add(1);
        self.last_rtt_us = u32::try_from(rtt_us).unwrap_or(u32::MAX);
        if given_up { PongKind::Late { rtt_us } } else { PongKind::Matched { rtt_us } }
    }

    /// Is any ping without its pong?
    pub const fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// Pings sent.
    pub const fn sent(&self) -> u32 {
        self.sent
    }

    /// Pongs that matched a ping.
    pub const fn answered(&self) -> u32 {
        self.pongs
    }

    /// The last round-trip time, if there was one.
    pub const fn last_rtt_us(&self) -> Option<u32> {
        if self.pongs == 0 { None } else { Some(self.last_rtt_us) }
    }

    /// A number in `0..=range`, different for each connection and ping: what keeps connections from
    /// acting in step.
    pub fn jitter(&self, range: u64) -> u64 {
        mix(self.token(self.sent)) % (range + 1)
    }

    /// How many pings back (1 = the newest) the one with this token is, among those outstanding.
    fn age_of(&self, payload: &[u8]) -> Option<u32> {
        let token = u64::from_be_bytes(payload.try_into().ok()?);
        (1..=self.outstanding.min(REMEMBERED as u32))
            .find(|age| self.token(self.sent.wrapping_sub(*age)) == token)
    }

    fn token(&self, number: u32) -> u64 {
        mix(self.seed.wrapping_add(u64::from(number)))
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea, Flood 2014): a bijection that scatters its input.
const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(real_us: u64) -> Now {
        Now { real_us, attended_us: real_us }
    }

    #[test]
    fn only_the_matching_pong_gives_a_round_trip_time() {
        let mut pings = Pings::new(7);
        let token = pings.send(at(1_000));
        assert_eq!(pings.receive(b"", false, at(1_500)), PongKind::Unsolicited);
        assert_eq!(pings.receive(b"12345678", false, at(1_500)), PongKind::Unsolicited);
        assert_eq!(pings.receive(&token[..7], false, at(1_500)), PongKind::Unsolicited);
        assert_eq!(pings.outstanding(), 1);
        assert_eq!(pings.receive(&token, false, at(3_500)), PongKind::Matched { rtt_us: 2_500 });
        assert_eq!(pings.outstanding(), 0);
        assert_eq!(pings.last_rtt_us(), Some(2_500));
        assert_eq!(
            pings.receive(&token, false, at(4_000)),
            PongKind::Unsolicited,
            "answered twice"
        );
    }

    #[test]
    fn a_pong_answers_its_ping_and_the_older_ones() {
        let mut pings = Pings::new(7);
        let first = pings.send(at(10));
        let second = pings.send(at(20));
        let third = pings.send(at(30));
        assert_eq!(pings.receive(&second, false, at(50)), PongKind::Matched { rtt_us: 30 });
        assert_eq!(pings.outstanding(), 1, "the third is still out");
        assert_eq!(pings.receive(&first, false, at(60)), PongKind::Unsolicited);
        assert_eq!(pings.receive(&third, true, at(90)), PongKind::Late { rtt_us: 60 });
    }

    #[test]
    fn old_pings_are_forgotten_not_confused() {
        let mut pings = Pings::new(7);
        let tokens: Vec<_> = (0..5).map(|n| pings.send(at(n * 10))).collect();
        assert_eq!(pings.receive(&tokens[0], false, at(100)), PongKind::Unsolicited);
        assert_eq!(pings.receive(&tokens[1], false, at(100)), PongKind::Unsolicited);
        assert_eq!(pings.receive(&tokens[2], false, at(100)), PongKind::Matched { rtt_us: 80 });
        assert_eq!(pings.outstanding(), 2);
    }

    #[test]
    fn jitter_stays_in_its_range_and_varies() {
        let mut pings = Pings::new(99);
        let drawn: std::collections::HashSet<u64> = (0..100)
            .map(|_| {
                pings.send(at(0));
                let jitter = pings.jitter(20);
                assert!(jitter <= 20);
                jitter
            })
            .collect();
        assert!(drawn.len() > 10);
    }
}
