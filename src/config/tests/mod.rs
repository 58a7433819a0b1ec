//! The loader as a whole: what loads, what is refused and with which words.

mod checks;
mod hostile;
mod keys;
mod layers;
mod reload;
mod rules;

use std::ffi::OsString;

use super::{Flags, Loaded, Mistakes, Sources, load};

/// Loads a file of this text, and nothing else.
fn load_text(text: &str) -> Result<Loaded, Mistakes> {
    load_bytes(text.as_bytes())
}

fn load_bytes(bytes: &[u8]) -> Result<Loaded, Mistakes> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.toml");
    std::fs::write(&path, bytes).unwrap();
    load(&Sources { file: Some(path), ..Sources::default() })
}

/// Every mistake of this text as it is shown, the folder removed: `f.toml:1: …`.
fn mistakes_in(text: &[u8]) -> Vec<String> {
    match load_bytes(text) {
        Ok(loaded) => panic!("was accepted: {loaded:?}"),
        Err(mistakes) => shown(&mistakes),
    }
}

fn shown(mistakes: &Mistakes) -> Vec<String> {
    let cut = |line: String| match line.find("f.toml") {
        Some(start) => line[start..].to_owned(),
        None => line,
    };
    mistakes.all().iter().map(|m| cut(m.to_string())).collect()
}

/// The text is refused with exactly these mistakes; each is given by its beginning and a part.
#[track_caller]
fn refused(text: &str, expected: &[(&str, &str)]) {
    let found = mistakes_in(text.as_bytes());
    let matches = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(line, (start, part))| line.starts_with(start) && line.contains(part));
    assert!(matches, "{text}\nfound: {found:#?}\nexpected: {expected:#?}");
}

/// Sources without a file.
fn sources(environment: &[(&str, &str)], set: &[&str]) -> Sources {
    Sources {
        environment: environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
        flags: Flags { set: set.iter().map(|&s| s.to_owned()).collect(), ..Flags::default() },
        ..Sources::default()
    }
}
