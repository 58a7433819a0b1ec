//! Puts the sources on top of each other: defaults, file, environment, flags.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::Config;
use super::check;
use super::draft::Draft;
use super::file::Text;
use super::mistake::{Mistakes, printable};
use super::overrides::{self, Flags};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "gaugeway.toml";

/// Everything that a configuration is made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file; `None`: the defaults alone.
    pub file: Option<PathBuf>,
    /// Environment variables; those without our prefix are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings from the command line.
    pub flags: Flags,
    /// How many files the process may open; `None`: unlimited or unknown.
    pub open_files_max: Option<u64>,
}

impl Sources {
    /// The sources of this process: the named file, else `./gaugeway.toml` where there is one; its
    /// environment; its hard limit of open files (to which the server raises the soft one).
    pub fn of_process(file: Option<PathBuf>, flags: Flags) -> Self {
        Self {
            file: file.or_else(default_file),
            environment: std::env::vars_os().collect(),
            flags,
            open_files_max: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
        }
    }

    /// The same for a reload. Where there was no file, `./gaugeway.toml` may have been written since:
    /// a reload that passed it over would say that nothing has changed.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { file: self.file.clone().or_else(default_file), ..self.clone() }
    }
}

/// `./gaugeway.toml`, if it is there.
fn default_file() -> Option<PathBuf> {
    let path = PathBuf::from(DEFAULT_FILE);
    // A dangling link counts as present: it was meant, and reading it says what is wrong.
    path.symlink_metadata().is_ok().then_some(path)
}

/// Where a configuration came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From this file.
    File(PathBuf),
    /// There was no file.
    Defaults,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&printable(&path.to_string_lossy())),
            Self::Defaults => f.write_str("no configuration file"),
        }
    }
}

/// A configuration without mistakes.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file behind them.
    pub origin: Origin,
    /// What works but is probably not meant; one line each.
    pub warnings: Vec<String>,
}

/// Loads and checks a configuration. The error holds all mistakes of all sources.
pub fn load(sources: &Sources) -> Result<Loaded, Mistakes> {
    let mut draft = Draft::default();
    if let Some(path) = &sources.file {
        match Text::read(path) {
            Ok(text) => draft.read_file(&text),
            Err(mistake) => draft.mistakes.push(mistake),
        }
    }
    overrides::apply_environment(&mut draft, &sources.environment);
    overrides::apply_flags(&mut draft, &sources.flags);
    let warnings = check::check(&mut draft, sources.open_files_max);
    match Mistakes::collect(draft.mistakes) {
        Some(mistakes) => Err(mistakes),
        None => Ok(Loaded {
            config: draft.config,
            origin: sources.file.clone().map_or(Origin::Defaults, Origin::File),
            warnings,
        }),
    }
}
