//! The configuration file: read within bounds, parsed, with every byte offset turned into a line.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::mistake::{Mistake, Place};

/// A larger file is not a configuration; it also bounds the memory that `-c /dev/zero` can take.
const FILE_BYTES_MAX: u64 = 4 * 1_024 * 1_024;

/// A file's text with the means to say where in it something stands.
pub(crate) struct Text {
    path: Arc<str>,
    content: String,
    /// Byte offset of each line's first byte, ascending.
    line_starts: Vec<usize>,
}

impl Text {
    /// Reads a file: at most 4 MiB of UTF-8. The mistake names the file and what to do.
    pub fn read(path: &Path) -> Result<Self, Mistake> {
        let name: Arc<str> = path.to_string_lossy().into();
        let refuse = |what: String, advice: &str| Mistake {
            place: Place::File { path: Arc::clone(&name), line: None, column: None },
            setting: String::new(),
            what,
            advice: advice.to_owned(),
        };
        let mut bytes = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            return Err(refuse(format!("cannot be read: {}", reason(&error)), advice_for(&error)));
        }
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(refuse(
                format!("is larger than {FILE_BYTES_MAX} bytes"),
                "name a configuration file with -c FILE",
            ));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
                let line = 1 + before.matches('\n').count();
                let mut mistake =
                    refuse(format!("is not UTF-8 (at byte {valid})"), "save the file as UTF-8");
                mistake.place = Place::File { path: name, line: Some(line), column: None };
                Err(mistake)
            }
        }
    }

    /// A text under a file's name.
    pub fn new(path: Arc<str>, text: String) -> Self {
        let after_newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();
        Self { path, content: text, line_starts }
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.content
    }

    /// The line in which a byte stands.
    pub fn line(&self, offset: usize) -> Place {
        Place::File {
            path: Arc::clone(&self.path),
            line: Some(self.line_number(offset)),
            column: None,
        }
    }

    /// The line and column in which a byte stands.
    pub fn position(&self, offset: usize) -> Place {
        let line = self.line_number(offset);
        let start = self.line_starts[line - 1];
        let before = self.content.get(start..offset).unwrap_or("");
        Place::File {
            path: Arc::clone(&self.path),
            line: Some(line),
            column: Some(before.chars().count() + 1),
        }
    }

    /// Counted from 1: the number of lines that begin at or before the byte.
    fn line_number(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }
}

/// All of a source, at most so many bytes; the error begins with its name.
pub(crate) fn read_bounded(
    source: io::Result<impl Read>,
    bytes_max: u64,
    name: &str,
) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source
        .and_then(|source| source.take(bytes_max + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("{name} cannot be read: {}", reason(&error)))?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("{name} is longer than {bytes_max} bytes"));
    }
    Ok(bytes)
}

/// The system's words without "(os error 2)".
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn advice_for(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "name an existing file, or write one: gaugeway config --example > gaugeway.toml"
        }
        io::ErrorKind::PermissionDenied => "let the gateway's user read it",
        io::ErrorKind::IsADirectory => "name the file in it",
        _ => "name a readable file with -c FILE",
    }
}
