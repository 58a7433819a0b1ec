//! What a load client is asked to do, checked and complete: no flag and no file is looked at later.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// A whole run. Rates, counts and durations are those of all processes together.
///
/// It crosses to worker processes as JSON, through their standard input: a token is on no command
/// line and in no environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// `ws://` or `wss://`; `{n}` becomes the number of the connection, from 0.
    pub url: String,
    /// Connections that behave.
    pub connections: u32,
    /// Those that do not, besides.
    pub misbehaviour: Vec<Misbehaviour>,
    /// Processes that share the work.
    pub processes: u16,
    /// Connections take turns in leaving from these; empty: the system chooses. One address has
    /// about 28,000 ports towards one server.
    pub source_addresses: Vec<IpAddr>,
    /// Connections are opened evenly over this time; zero: as fast as [`Self::opening`] permits.
    pub ramp: Duration,
    /// The most handshakes under way at once.
    pub opening: u32,
    /// After the ramp, work that is done but not measured.
    pub warm_up: Duration,
    /// The measured window.
    pub duration: Duration,
    /// A handshake that takes longer has failed: look-up, TCP, TLS and upgrade together.
    pub handshake_timeout: Duration,
    /// How long the server has for its side of the closing handshake at the end.
    pub close_wait: Duration,
    /// Sent with the upgrade request, in order; may repeat a name.
    pub headers: Vec<(String, String)>,
    /// Sent as `Authorization: Bearer`.
    #[serde(with = "revealed")]
    pub token: Option<Secret>,
    /// Offered in this order.
    pub subprotocols: Vec<String>,
    /// Take any certificate.
    pub insecure: bool,
    /// Offer permessage-deflate; messages go out compressed where it is agreed.
    pub compression: bool,
    /// What open connections do.
    pub work: Work,
    /// What messages consist of.
    pub payload: Payload,
    /// How long a connection lives before it closes and is opened anew; `None`: to the end.
    pub lifetime: Option<Lifetime>,
    /// Waves of reconnects.
    pub storm: Option<Storm>,
}

/// What open connections do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Stay open, answer pings, count what comes.
    Hold,
    /// Send messages that the server sends back, at a fixed rate. Each is due at a moment that does
    /// not depend on answers, and its latency counts from then (no coordinated omission).
    Echo {
        /// Messages per second, all connections together.
        rate: f64,
    },
    /// Send the next message when the answer to the last has come: finds the most that a server
    /// does, and says little of latency (its pauses slow the questions down).
    EchoClosed {
        /// Unanswered messages of one connection.
        in_flight: u32,
    },
    /// Publications that every connection receives.
    FanOut {
        /// How they are published.
        publishing: Publishing,
        /// Publications per second, due at fixed moments like [`Self::Echo`]'s.
        rate: f64,
    },
}

/// How a publication is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publishing {
    /// As a message on one more connection, which does nothing else; it receives its own
    /// publications where the server sends them to the sender, too, and they are not counted.
    Connection {
        /// Where it connects; the scenario's URL if `None`.
        url: Option<String>,
    },
    /// By `POST` to the gateway's admin listener.
    Api {
        /// `http://HOST:PORT` of the admin listener.
        url: String,
        /// `user:NAME`, `endpoint:/PATH` or `everyone`.
        to: String,
        /// The API's key.
        #[serde(with = "revealed")]
        key: Option<Secret>,
    },
}

/// What messages consist of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// Text or binary.
    pub kind: Kind,
    /// How long they are, unless they come from files.
    pub sizes: Sizes,
    /// Sent in turn, each a whole message; where there are any, [`Self::sizes`] does not matter.
    pub files: Vec<PathBuf>,
}

/// The kind of a data message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

/// Lengths of payloads, in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizes {
    /// From the first to the second, all equally likely.
    Range(u32, u32),
    /// A length and how often it comes, relative to the others.
    Weighted(Vec<(u32, u32)>),
}

/// How long connections live, in a closed range, all equally likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

/// Many connections that go and come back at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Storm {
    /// From one wave to the next; the first comes one interval after the ramp.
    pub every: Duration,
    /// The share of the connections that takes part, above 0 and at most 1.
    pub fraction: f64,
    /// They are back within this time; zero: at once, as a crowd without back-off does.
    pub spread: Duration,
    /// They leave without a Close frame.
    pub abrupt: bool,
}

/// Connections that do one thing wrong, again and again until the run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misbehaviour {
    /// What they do.
    pub misconduct: Misconduct,
    /// How many do it at a time.
    pub connections: u32,
}

/// What a client can do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misconduct {
    /// Upgrades, then never reads, with a small receive buffer.
    NeverReads,
    /// Upgrades, stays a little, then sends FIN without a Close frame.
    Vanishes,
    /// Upgrades, stays a little, then resets the TCP connection.
    Resets,
    /// Answers no ping; reads everything else.
    NoPong,
    /// Sends its upgrade request a byte at a time, and never the end.
    SlowHandshake,
    /// Sends one message larger than any sane limit, in pieces, until it is told to stop.
    Oversize,
    /// Sends a frame that RFC 6455 forbids, a different one each time.
    BadFrames,
}

/// The part of a scenario that one process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which process this is, from 0.
    pub process: u16,
    /// How many there are. Process `p` of `n` has the connections whose number is `p` modulo `n`;
    /// the first process alone publishes.
    pub processes: u16,
    /// Marks this run's publications, the same in all of its processes: another run may publish to
    /// the same endpoint at the same time.
    pub run: u32,
}

impl Misconduct {
    /// Every one, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::NeverReads,
        Self::Vanishes,
        Self::Resets,
        Self::NoPong,
        Self::SlowHandshake,
        Self::Oversize,
        Self::BadFrames,
    ];

    /// As flags, files and reports spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeverReads => "never-reads",
            Self::Vanishes => "vanishes",
            Self::Resets => "resets",
            Self::NoPong => "no-pong",
            Self::SlowHandshake => "slow-handshake",
            Self::Oversize => "oversize",
            Self::BadFrames => "bad-frames",
        }
    }
}

impl Share {
    /// The shares of so many processes in a run of their own.
    pub fn of(processes: u16) -> impl Iterator<Item = Self> {
        // Keyed anew by the operating system.
        let run = RandomState::new().hash_one(processes) as u32;
        (0..processes).map(move |process| Self { process, processes, run })
    }

    /// The numbers of this process' connections, out of `total`.
    pub fn numbers(self, total: u32) -> impl ExactSizeIterator<Item = u32> {
        (u32::from(self.process)..total).step_by(usize::from(self.processes))
    }
}

/// Secrets as they are, which no other JSON shows: the pipe to a worker process is all they see.
mod revealed {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::config::Secret;

    #[allow(clippy::ref_option, reason = "the form that serde calls")]
    pub fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::reveal).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
    }
}

#[cfg(test)]
impl Scenario {
    /// One connection that holds, with times so long that no test meets them.
    pub fn holding(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            connections: 1,
            misbehaviour: Vec::new(),
            processes: 1,
            source_addresses: Vec::new(),
            ramp: Duration::ZERO,
            opening: 1,
            warm_up: Duration::ZERO,
            duration: Duration::ZERO,
            handshake_timeout: Duration::from_mins(2),
            close_wait: Duration::from_mins(2),
            headers: Vec::new(),
            token: None,
            subprotocols: Vec::new(),
            insecure: false,
            compression: false,
            work: Work::Hold,
            payload: Payload { kind: Kind::Text, sizes: Sizes::Range(1, 1), files: Vec::new() },
            lifetime: None,
            storm: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_processes_are_the_whole() {
        for (total, processes) in [(0, 1), (1, 3), (10, 3), (10_001, 4)] {
            let shares = Share::of(processes);
            let mut numbers: Vec<u32> = shares.flat_map(|share| share.numbers(total)).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..total).collect::<Vec<_>>(), "{total} over {processes}");
        }
    }

    #[test]
    fn a_misconduct_is_spelled_alike_everywhere() {
        for misconduct in Misconduct::ALL {
            let json = serde_json::to_string(&misconduct).unwrap();
            assert_eq!(json, format!("\"{}\"", misconduct.as_str()));
        }
    }
}
