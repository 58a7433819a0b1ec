//! The process' log: one line per event to standard output, JSON by default.
//!
//! Lines go through a bounded [`queue`] to a writer thread of their own: a full pipe behind standard
//! output never stops a shard. What does not fit is dropped and counted.

mod json;
mod queue;

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::LogFormat;
use crate::telemetry::families::{self, Family};
use crate::telemetry::sanitize::Sanitizing;
use crate::telemetry::scrape::{Scrape, ScrapeSource};
use json::JsonLines;
use queue::{QUEUED_BYTES_MAX, Queue};

/// Keeps the log going. Dropping it writes what is queued, for at most about a second; `main`
/// holds it to its end.
pub struct Logging {
    dropped: DroppedLines,
    filter: Box<dyn Replace>,
    _guard: queue::Guard,
}

/// The filter in force, whatever the lines look like.
///
/// What it costs that the filter can be replaced: nothing for a line that it holds back (each place
/// that logs remembers the verdict until the next replacement), and a read lock for one that it lets
/// through, which is small beside making the line.
trait Replace {
    fn replace(&self, filter: EnvFilter) -> Result<(), reload::Error>;
}

impl<S> Replace for reload::Handle<EnvFilter, S> {
    fn replace(&self, filter: EnvFilter) -> Result<(), reload::Error> {
        self.reload(filter)
    }
}

impl Logging {
    /// `log_lines_dropped_total`, for [`Telemetry::register`](super::Telemetry::register).
    pub fn dropped_lines(&self) -> DroppedLines {
        self.dropped.clone()
    }

    /// Puts another filter in force, and reports it under the more talkative of the two: a filter
    /// that lets less through must not swallow the report of its own coming. After an error the old
    /// one stays.
    pub fn set_filter(&self, filter: &str, report: impl FnOnce()) -> Result<(), LogError> {
        let filter = parse_filter(filter)?;
        let talkative = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
        if talkative < LevelFilter::current() {
            report();
            return self.filter.replace(filter).map_err(|_| LogError::Gone);
        }
        let replaced = self.filter.replace(filter).map_err(|_| LogError::Gone);
        report();
        replaced
    }
}

/// Why the log could not be set up: a mistake in the configuration, or a second set-up.
#[derive(Debug)]
pub enum LogError {
    /// `telemetry.log` does not parse.
    Filter {
        /// As configured.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A word that is no level, where only a level makes sense: `inof`. `tracing` would take it for
    /// a module's name and log nothing else.
    NotALevel {
        /// As configured.
        filter: String,
        /// The word.
        word: String,
    },
    /// The process has a log already.
    AlreadySet,
    /// The log that the filter belonged to has ended.
    Gone,
    /// No thread for writing could be had.
    NoThread(io::Error),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HINT: &str = "write a level (error, warn, info, debug, trace, off), or several \
                            `module=level`, for instance `info` or `warn,gaugeway=debug`";
        match self {
            Self::Filter { filter, source } => {
                write!(f, "telemetry.log: {filter:?} is not a filter: {source}; {HINT}")
            }
            Self::NotALevel { filter, word } => {
                write!(f, "telemetry.log: {word:?} in {filter:?} is not a level; {HINT}")
            }
            Self::AlreadySet => write!(f, "the log of this process has been set up before"),
            Self::Gone => write!(f, "telemetry.log: the log has ended"),
            Self::NoThread(error) => write!(f, "the log has no thread to write with: {error}"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Filter { source, .. } => Some(source),
            Self::NoThread(error) => Some(error),
            Self::NotALevel { .. } | Self::AlreadySet | Self::Gone => None,
        }
    }
}

/// Sets up the log of this process: once, in `main`.
pub fn install(filter: &str, format: LogFormat) -> Result<Logging, LogError> {
    let (subscriber, logging) = subscriber(filter, format, io::stdout())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadySet)?;
    Ok(logging)
}

/// Whether `filter` could be installed; for `gaugeway check`.
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    parse_filter(filter).map(drop)
}

/// The same log to any writer, not installed.
pub fn subscriber(
    filter: &str,
    format: LogFormat,
    out: impl Write + Send + 'static,
) -> Result<(Box<dyn Subscriber + Send + Sync>, Logging), LogError> {
    let filter = parse_filter(filter)?;
    let (queue, guard) = Queue::start(out, QUEUED_BYTES_MAX).map_err(LogError::NoThread)?;
    let dropped = DroppedLines(queue.clone());
    let (subscriber, filter): (Box<dyn Subscriber + Send + Sync>, Box<dyn Replace>) = match format {
        LogFormat::Json => {
            let (filter, handle) = reload::Layer::new(filter);
            let subscriber = Registry::default().with(filter).with(JsonLines(queue));
            (Box::new(subscriber), Box::new(handle))
        }
        LogFormat::Pretty => {
            let builder = tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_writer(Sanitizing(queue))
                // No colours: they would be escape sequences, and none may pass.
                .with_ansi(false)
                .with_filter_reloading();
            let handle = builder.reload_handle();
            (Box::new(builder.finish()), Box::new(handle))
        }
    };
    Ok((subscriber, Logging { dropped, filter, _guard: guard }))
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LogError> {
    let words = filter.split(',').map(str::trim);
    for word in words.filter(|word| !word.contains(['=', '[', '{', ']', '}'])) {
        // An empty word would pass for `error`.
        if word.is_empty() || LevelFilter::from_str(word).is_err() {
            return Err(LogError::NotALevel { filter: filter.to_owned(), word: word.to_owned() });
        }
    }
    EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })
}

/// How many lines never reached standard output.
#[derive(Clone)]
pub struct DroppedLines(Queue);

impl DroppedLines {
    /// Since the start.
    pub fn count(&self) -> u64 {
        self.0.dropped()
    }
}

impl ScrapeSource for DroppedLines {
    fn families(&self) -> &'static [&'static Family] {
        families::LOG
    }

    fn scrape(&self, scrape: &mut Scrape) {
        scrape.value(&families::LOG_LINES_DROPPED, &[], self.count() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_checked_and_explained() {
        for good in ["info", "warn,gaugeway=debug", "OFF", "hyper=warn, info"] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "info,", "gaugeway=loud", "info,gaugeway", "a=b=c"] {
            let error = check_filter(bad).expect_err(bad).to_string();
            assert!(error.starts_with("telemetry.log: "), "{error}");
            assert!(error.contains("warn,gaugeway=debug"), "{error}");
        }
    }
}
