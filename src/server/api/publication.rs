//! From the body of a publish request to messages: every mistake is found before anything is sent.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::Deserialize;

use super::problem::{Code, Problem};
use super::query::{check_user_name, quoted, shortened};
use super::written::{BATCH_MAX, Object, Several, To, Wanted};
use crate::bus::{Message, Target, UserKey};
use crate::handshake::Endpoints;
use crate::wire::{Opcode, SharedFrame};

/// A frame has at most so many bytes before its payload (RFC 6455 §5.2, unmasked).
const FRAME_HEADER_BYTES_MAX: usize = 10;

/// The standard alphabet; whoever leaves the padding out is understood.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What publications are judged by.
pub(super) struct Rules<'a> {
    pub(super) endpoints: &'a Endpoints,
    /// `limits.send_queue_bytes`.
    pub(super) queue_bytes: usize,
    pub(super) user_key: &'a dyn Fn(&str) -> UserKey,
}

/// A body that is good.
pub(super) struct Batch {
    pub(super) messages: Vec<Message>,
    /// The answer has the same form.
    pub(super) is_array: bool,
}

/// Reads and checks a whole body.
pub(super) fn read(body: &[u8], rules: &Rules<'_>) -> Result<Batch, Problem> {
    let text = simdutf8::compat::from_utf8(body).map_err(|error| {
        let message = format!("the body is not UTF-8 from byte {} on", error.valid_up_to());
        Problem::new(Code::BadJson, message)
    })?;
    let is_array = text.trim_ascii_start().starts_with('[');
    let wanted = if is_array {
        parse::<Several<'_>>(text)?.0
    } else {
        vec![parse::<Object<Wanted<'_>>>(text)?.0]
    };
    if wanted.is_empty() {
        let message = "the array holds no publication";
        return Err(Problem::new(Code::BadPublication, message)
            .field("[]")
            .hint(format!("send 1 to {BATCH_MAX}")));
    }
    let messages = wanted.into_iter().enumerate().map(|(index, wanted)| {
        let at = if is_array { format!("[{index}]") } else { String::new() };
        wanted.message(&At(at), rules)
    });
    Ok(Batch { messages: messages.collect::<Result<_, _>>()?, is_array })
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let message = error.to_string();
        match error.classify() {
            serde_json::error::Category::Data => {
                let field = field_of(&path, &message);
                Problem::new(Code::BadPublication, bounded(&message)).field(shortened(&field))
            }
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => not_json(&message),
        }
    })?;
    json.end().map_err(|error| not_json(&error.to_string()))?;
    Ok(parsed)
}

fn not_json(message: &str) -> Problem {
    Problem::new(Code::BadJson, format!("the body is not JSON: {}", bounded(message))).field("body")
}

/// A message of the parser, which may quote a key of any length.
fn bounded(message: &str) -> String {
    const CHARS_MAX: usize = 256;
    let (head, tail) = match message.char_indices().nth(CHARS_MAX) {
        None => return message.to_owned(),
        Some((end, _)) => message.split_at(end),
    };
    // The place in the text comes last, and is worth more than what is cut.
    let place = tail.rfind(" at line ").map_or("", |at| &tail[at..]);
    format!("{head}…{place}")
}

/// The path of what is wrong: of a key that is missing or repeated the parser tells where it should
/// stand, and its name in words.
fn field_of(path: &str, message: &str) -> String {
    let path = if path == "." { "" } else { path };
    let key = ["missing field `", "duplicate field `"]
        .iter()
        .find_map(|words| message.strip_prefix(words)?.split('`').next());
    match (path, key) {
        ("", None) => "body".to_owned(),
        (path, None) => path.to_owned(),
        ("", Some(key)) => key.to_owned(),
        (path, Some(key)) => format!("{path}.{key}"),
    }
}

/// Where a publication stands in the body: empty, or `[3]`.
struct At(String);

impl At {
    fn field(&self, key: &str) -> String {
        if self.0.is_empty() { key.to_owned() } else { format!("{}.{key}", self.0) }
    }

    fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem::new(Code::BadPublication, message).field(self.field(key))
    }
}

impl Wanted<'_> {
    fn message(self, at: &At, rules: &Rules<'_>) -> Result<Message, Problem> {
        let Self { to, data, text, data_base64, compress } = self;
        let Object(to) = to;
        let to = to.target(at, rules)?;
        let (field, opcode, payload) = match (data, text, data_base64) {
            (Some(data), None, None) => {
                // A copy: a slice would keep the whole body for as long as the slowest receiver.
                ("data", Opcode::Text, Bytes::copy_from_slice(data.get().as_bytes()))
            }
            (None, Some(text), None) => ("text", Opcode::Text, text.into()),
            (None, None, Some(encoded)) => ("data_base64", Opcode::Binary, decode(at, &encoded)?),
            (None, None, None) => {
                let message = "there is no payload";
                return Err(at.problem("data", message).hint("send data, text or data_base64"));
            }
            (data, text, _) => {
                let second = if data.is_some() && text.is_some() { "text" } else { "data_base64" };
                let message = "there is more than one payload";
                let hint = "send one of data, text and data_base64";
                return Err(at.problem(second, message).hint(hint));
            }
        };
        if payload.len() + FRAME_HEADER_BYTES_MAX > rules.queue_bytes {
            let message = format!(
                "a message of {} bytes does not fit into a receiver's queue of {} bytes \
                 (limits.send_queue_bytes): it would end every connection that is behind",
                payload.len(),
                rules.queue_bytes
            );
            let problem = Problem::new(Code::PublicationTooLarge, message);
            return Err(problem.field(at.field(field)).hint("send less, or raise the limit"));
        }
        let frame = if compress {
            SharedFrame::new(opcode, payload)
        } else {
            SharedFrame::uncompressed(opcode, payload)
        };
        Ok(Message { to, frame })
    }
}

impl To {
    fn target(self, at: &At, rules: &Rules<'_>) -> Result<Target, Problem> {
        const HINT: &str = "send one of user, endpoint and everyone";
        let Self { user, endpoint, everyone } = self;
        match (user, endpoint, everyone) {
            (Some(user), None, None) => {
                check_user_name(&user)
                    .map_err(|why| at.problem("to.user", format!("to.user {why}")))?;
                Ok(Target::User((rules.user_key)(&user)))
            }
            (None, Some(path), None) => match rules.endpoints.find(&path) {
                Some((index, _)) => Ok(Target::Endpoint(index)),
                None => Err(unknown_endpoint(at.field("to.endpoint"), &path, rules.endpoints)),
            },
            (None, None, Some(true)) => Ok(Target::Everyone),
            (None, None, Some(false)) => {
                Err(at.problem("to.everyone", "to.everyone can only be true").hint(HINT))
            }
            (None, None, None) => Err(at.problem("to", "the publication is for nobody").hint(HINT)),
            (_, _, everyone) => {
                let second = if everyone.is_some() { "to.everyone" } else { "to.endpoint" };
                Err(at.problem(second, "there is more than one target").hint(HINT))
            }
        }
    }
}

/// The error of a path that is no endpoint.
pub(super) fn unknown_endpoint(field: String, path: &str, endpoints: &Endpoints) -> Problem {
    let message = format!("there is no endpoint {}", quoted(path));
    let hint = format!("the endpoints are {}", endpoints.names().join(", "));
    Problem::new(Code::UnknownEndpoint, message).field(field).hint(hint)
}

fn decode(at: &At, encoded: &str) -> Result<Bytes, Problem> {
    BASE64.decode(encoded).map(Bytes::from).map_err(|error| {
        at.problem("data_base64", format!("data_base64 is not base64: {error}"))
            .hint("use the alphabet with + and /; padding may be left out")
    })
}
