//! What can be asked of a load client: every flag, which is a key of the scenario file, too.
//!
//! Flags, `--help`, the file and its mistakes are made from this one table.

/// One thing that can be asked.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As the flag spells it; in the file `-` is `_`.
    pub name: &'static str,
    /// The flag's letter.
    pub short: Option<char>,
    /// What is written for it.
    pub takes: Takes,
    /// What stands for the value in the help.
    pub value_name: &'static str,
    /// Under which heading the help has it.
    pub heading: &'static str,
    /// What it does, in a line; the default included.
    pub help: &'static str,
}

/// What is written for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A flag alone; in the file `true` or `false`.
    Switch,
    /// A number, in the file without quotes.
    Number,
    /// A text.
    Text,
    /// A text, or a number without quotes in the file.
    TextOrNumber,
    /// A flag that may be repeated; in the file a text or a list of texts.
    List,
}

const WHO: &str = "Connections";
const WHEN: &str = "Times";
const HOW: &str = "Handshake";
const WORK: &str = "Work";
const WHAT: &str = "Messages";
const TROUBLE: &str = "Trouble";
/// The heading of thresholds.
pub const THRESHOLDS: &str = "Thresholds (exit code 1 if one is not kept)";

const fn key(
    heading: &'static str,
    name: &'static str,
    takes: Takes,
    value_name: &'static str,
    help: &'static str,
) -> Key {
    Key { name, short: None, takes, value_name, heading, help }
}

const fn switch(heading: &'static str, name: &'static str, help: &'static str) -> Key {
    key(heading, name, Takes::Switch, "", help)
}

const fn letter(short: char, key: Key) -> Key {
    Key { short: Some(short), ..key }
}

use Takes::{List, Number, Text, TextOrNumber};

/// All of them, in the order of the help. The URL is an argument without a flag.
pub const KEYS: &[Key] = &[
    key(
        WHO,
        "url",
        Text,
        "URL",
        "ws:// or wss://; n in braces becomes the number of the connection, from 0",
    ),
    letter('n', key(WHO, "connections", Number, "N", "How many connections [default: 1]")),
    key(
        WHO,
        "processes",
        Number,
        "N",
        "Processes that share the work [default: one per 15,000 connections]",
    ),
    key(
        WHO,
        "source-addresses",
        List,
        "IP[-IP],…",
        "Leave from these addresses in turn, such as 127.0.0.2-127.0.0.9 [default: the system's choice]",
    ),
    key(WHEN, "ramp", Text, "TIME", "Open the connections evenly over this time [default: 0s]"),
    key(WHEN, "opening", Number, "N", "Handshakes under way at most [default: 256]"),
    key(WHEN, "warm-up", Text, "TIME", "Work that is not measured, first [default: 1s]"),
    key(WHEN, "duration", Text, "TIME", "The measured window [default: 10s]"),
    key(WHEN, "handshake-timeout", Text, "TIME", "A longer handshake has failed [default: 10s]"),
    key(WHEN, "close-wait", Text, "TIME", "For last answers and closing handshakes [default: 5s]"),
    letter('H', key(HOW, "header", List, "NAME: VALUE", "Send this header; may be repeated")),
    key(
        HOW,
        "token-file",
        Text,
        "PATH",
        "Send `Authorization: Bearer` with what the file holds, else GAUGEWAY_LOAD_TOKEN does",
    ),
    key(HOW, "subprotocol", List, "NAME", "Offer this subprotocol; may be repeated"),
    letter('k', switch(HOW, "insecure", "Accept any certificate")),
    switch(HOW, "compression", "Offer permessage-deflate"),
    switch(WORK, "hold", "Stay open and count what comes (the default)"),
    switch(WORK, "echo", "Send messages that the server sends back; needs --rate or --in-flight"),
    switch(WORK, "fan-out", "Publish messages that every connection receives; needs --rate"),
    key(WORK, "rate", Number, "PER SECOND", "Messages per second, all connections together"),
    key(
        WORK,
        "in-flight",
        Number,
        "N",
        "Echo: send on each answer instead, with so many under way",
    ),
    key(
        WORK,
        "publish-url",
        Text,
        "URL",
        "Fan-out: publish by a connection to here [default: URL]",
    ),
    key(
        WORK,
        "api",
        Text,
        "http://HOST:PORT",
        "Fan-out: publish by the API of this admin listener",
    ),
    key(WORK, "to", Text, "RECEIVER", "With --api: user:NAME, endpoint:/PATH or everyone"),
    key(WORK, "key-file", Text, "PATH", "With --api: its key, else GAUGEWAY_API_KEY holds it"),
    key(
        WHAT,
        "size",
        TextOrNumber,
        "BYTES",
        "128, a range 64..1024, or weights 64:9,1024:1 [default: 128]",
    ),
    switch(WHAT, "binary", "Binary messages instead of text"),
    key(
        WHAT,
        "payload-file",
        List,
        "PATH",
        "Send this file as a message; may be repeated, in turn",
    ),
    key(
        WHAT,
        "lifetime",
        Text,
        "TIME[..TIME]",
        "Close each connection after this and open it anew",
    ),
    key(TROUBLE, "storm", Text, "TIME", "Every so often many connections leave and come back"),
    key(
        TROUBLE,
        "storm-fraction",
        Number,
        "F",
        "So much of all, above 0, at most 1 [default: 0.5]",
    ),
    key(TROUBLE, "storm-spread", Text, "TIME", "They are back within this time [default: 0s]"),
    switch(TROUBLE, "storm-abrupt", "They leave without a Close frame"),
    key(
        TROUBLE,
        "misbehave",
        List,
        "HOW=N[%],…",
        "Besides, so many connections, or % of -n, that misbehave: never-reads, vanishes, resets, \
         no-pong, slow-handshake, oversize, bad-frames",
    ),
    key(THRESHOLDS, "max-p50", Text, "TIME", "Of the latency, such as 50ms or 800us"),
    key(THRESHOLDS, "max-p99", Text, "TIME", "Of the latency"),
    key(THRESHOLDS, "max-p999", Text, "TIME", "Of the latency"),
    key(
        THRESHOLDS,
        "max-errors",
        Number,
        "N",
        "Errors, missing answers and unsent messages together",
    ),
    key(THRESHOLDS, "min-opened", Number, "N", "Connections that were open at once"),
];

impl Key {
    /// The key of this name, as flags spell it.
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// As the scenario file spells it.
    pub fn in_file(&self) -> String {
        self.name.replace('-', "_")
    }
}
