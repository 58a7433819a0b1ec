//! `gaugeway publish`: one publication by hand, through the admin listener's API.

mod answer;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{ArgGroup, Args, ValueEnum};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::http::{Failure, Question, ask};
use super::{BAD_INPUT, ConfigOptions, FAILED, complain, print};
use crate::config::{SECRET_CHARS_MAX, Secret, printable, read_bounded};
use crate::load::{Form, PUBLISH_PATH, Target, To, bearer, publication_body};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEY_VARIABLE: &str = "GAUGEWAY_API_KEY";

/// For everything: look-up, connection, request, answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A gateway answers with a hundred bytes; its longest refusal is a few hundred.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;

/// The most that `api.max_body_bytes` can allow.
const MESSAGE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;

/// A file with one key is not longer, its blank lines included.
const KEY_FILE_BYTES_MAX: u64 = 4 * 1_024;

/// The options of `gaugeway publish`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("message").required(true).args(["text", "file"])),
    after_help = "Examples:\n  \
                  gaugeway publish --to user:42 'Your order has been shipped'\n  \
                  gaugeway publish --to endpoint:/ws --json '{\"price\":1.10}'\n  \
                  printf 'Back at noon' | gaugeway publish --to everyone -\n  \
                  GAUGEWAY_API_KEY=$(cat key) gaugeway publish --url http://gateway:8081 --to user:42 hi\n\n\
                  The key of the API is never an argument: every process of the machine can read a command line.\n\
                  It is taken from --key-file, else from the variable GAUGEWAY_API_KEY, else it is the first\n\
                  key of the configuration. With --url the configuration is not looked at, unless -c or --set\n\
                  is given too: its key is for its own listener.\n\n\
                  Exit codes: 0 published, 1 not published or not known within 15 s, 2 bad input."
)]
pub struct Options {
    /// Who gets it: a user, all connections of an endpoint, or everyone
    #[arg(long, value_name = "user:NAME|endpoint:/PATH|everyone")]
    to: String,
    /// The message; - reads standard input to its end and changes nothing of it
    #[arg(value_name = "TEXT")]
    text: Option<OsString>,
    /// The message is what this file holds
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The message is JSON: checked, then sent as it was written
    #[arg(long, conflicts_with = "binary")]
    json: bool,
    /// The message is bytes: browsers get a binary message
    #[arg(long)]
    binary: bool,
    /// Do not compress it: for what is compressed already, or mixes secrets with what others choose
    #[arg(long)]
    no_compress: bool,
    /// Published once, however often it is sent with the same key
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// What to print: a line of words, or the answer's JSON
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// The admin listener, as http://HOST:PORT [default: that of the configuration]
    #[arg(long, value_name = "URL", env = "GAUGEWAY_ADMIN_URL", hide_env_values = true)]
    url: Option<String>,
    /// A file with the key of the API (see below)
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOptions,
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Publishes once; nothing is sent twice.
pub fn run(options: Options) -> ExitCode {
    match publish(options) {
        Ok(answer) => print(&answer),
        Err(code) => code,
    }
}

/// What to print; the error has been said. The message comes last of what is read: nobody types it
/// for a call that is refused anyway.
fn publish(options: Options) -> Result<String, ExitCode> {
    let to = To::parse(&options.to).map_err(bad_input)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = &options.idempotency_key {
        headers.insert(IDEMPOTENCY_KEY, idempotency_key(key).map_err(bad_input)?);
    }
    let (target, key) =
        target_and_key(options.url.as_deref(), options.key_file.as_deref(), options.config)?;
    if let Some(key) = key {
        let value = bearer(&key).expect("a secret is visible ASCII, from whichever source");
        headers.insert(header::AUTHORIZATION, value);
    }
    let (source, bytes) = read_message(options.text, options.file).map_err(bad_input)?;
    let form = match (options.json, options.binary) {
        (true, _) => Form::Json,
        (false, true) => Form::Binary,
        (false, false) => Form::Text,
    };
    let body = publication_body(&to, form, &bytes, !options.no_compress)
        .map_err(|what| bad_input(format!("{source} is {what}")))?;

    let question = Question {
        method: Method::POST,
        path: PUBLISH_PATH,
        headers,
        body: Bytes::from(body),
        timeout: TIMEOUT,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    let url = target.url(PUBLISH_PATH);
    let answer = ask(&target, question)
        .map_err(|failure| failed(&no_answer(&failure, &url, options.idempotency_key.is_some())))?;
    answer::read(&answer, options.output == Output::Json, &url).map_err(|said| failed(&said))
}

/// Says each line, none of which a terminal obeys.
fn say(said: &str) {
    for line in said.lines() {
        complain(&printable(line));
    }
}

fn bad_input(said: impl AsRef<str>) -> ExitCode {
    say(said.as_ref());
    ExitCode::from(BAD_INPUT)
}

fn failed(said: &str) -> ExitCode {
    say(said);
    ExitCode::from(FAILED)
}

fn no_answer(failure: &Failure, url: &str, has_idempotency_key: bool) -> String {
    match failure {
        Failure::NotConnected(reason) => format!(
            "not published: {url} is not reachable: {reason}\nDoes the gateway run, and is its \
             admin listener there? Name another by --url http://HOST:PORT"
        ),
        Failure::Unanswered(reason) if has_idempotency_key => format!(
            "not known whether it was published: {url}: {reason}\nSend it again with the same \
             --idempotency-key: it is then published once"
        ),
        Failure::Unanswered(reason) => format!(
            "not known whether it was published: {url}: {reason}\nSent again it may come twice; \
             an --idempotency-key prevents that"
        ),
    }
}

/// Where to publish, and with which key. A key of the configuration goes to the configuration's own
/// listener only, or where the user names both.
fn target_and_key(
    url: Option<&str>,
    key_file: Option<&Path>,
    config: ConfigOptions,
) -> Result<(Target, Option<Secret>), ExitCode> {
    let given = given_key(key_file).map_err(bad_input)?;
    let target = url.map(|url| Target::parse("--url", url)).transpose().map_err(bad_input)?;
    if let Some(path) = target.as_ref().and_then(Target::path) {
        return Err(bad_input(format!("--url has the path {path}: write http://HOST:PORT alone")));
    }
    let config_is_named = config.config.is_some() || !config.set.is_empty();
    match (target, given) {
        (Some(target), Some(key)) => Ok((target, Some(key))),
        (Some(target), None) if !config_is_named => Ok((target, None)),
        (target, given) => {
            let config = config.load()?.config;
            let target = match target {
                Some(target) => target,
                None => Target::of_listener(config.server.admin_listen).map_err(bad_input)?,
            };
            let first = || config.api.keys.first().map(|key| key.secret.clone());
            Ok((target, given.or_else(first)))
        }
    }
}

/// The key of the file, else of the variable; an empty variable is none.
pub(super) fn given_key(file: Option<&Path>) -> Result<Option<Secret>, String> {
    if let Some(path) = file {
        let name = format!("--key-file {}", path.display());
        let bytes = read_bounded(File::open(path), KEY_FILE_BYTES_MAX, &name)?;
        let text = String::from_utf8(bytes).map_err(|_| not_a_key(&name))?;
        return secret(&text).map(Some).ok_or_else(|| not_a_key(&name));
    }
    let Some(value) = std::env::var_os(KEY_VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let key = value.to_str().and_then(secret);
    key.map(Some).ok_or_else(|| not_a_key(KEY_VARIABLE))
}

/// Nothing of it is quoted: it is meant to be a secret.
fn not_a_key(name: &str) -> String {
    format!("{name} holds no key of the API: write the secret, one word of visible ASCII")
}

/// The secret, alone or behind its name as in the configuration.
fn secret(text: &str) -> Option<Secret> {
    let word = text.trim();
    let secret = word.split_once(':').map_or(word, |(_, secret)| secret);
    let is_secret = !secret.is_empty()
        && secret.len() <= SECRET_CHARS_MAX
        && secret.bytes().all(|byte| byte.is_ascii_graphic());
    is_secret.then(|| Secret::new(secret))
}

fn idempotency_key(key: &str) -> Result<HeaderValue, String> {
    let wrong =
        || format!("--idempotency-key {key}: write one word of visible ASCII, such as a UUID");
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    HeaderValue::from_str(key).map_err(|_| wrong())
}

/// The message, and what it is called in complaints.
fn read_message(
    text: Option<OsString>,
    file: Option<PathBuf>,
) -> Result<(String, Vec<u8>), String> {
    let (name, bytes) = match (text, file) {
        (Some(text), _) if text == "-" => {
            let name = "standard input".to_owned();
            let bytes = read_bounded(Ok(io::stdin().lock()), MESSAGE_BYTES_MAX, &name)?;
            (name, bytes)
        }
        (Some(text), _) => ("the message".to_owned(), text.into_encoded_bytes()),
        (None, Some(path)) => {
            let name = format!("--file {}", path.display());
            let bytes = read_bounded(File::open(path), MESSAGE_BYTES_MAX, &name)?;
            (name, bytes)
        }
        (None, None) => return Err("there is no message: write it, or --file PATH".to_owned()),
    };
    Ok((name, bytes))
}
