//! What messages consist of: texts and bytes made here, or files.
//!
//! A message follows from its number alone, its size included. So nobody has to remember what was
//! sent: an answer is compared with what its number says, and two runs send the same.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use super::super::{Kind, Payload, Sizes};
use super::marker::{Marker, hex_digits, hex_number};
use super::random::{Random, scatter};
use crate::wire::Opcode;

/// The largest file that is sent, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The most files.
const FILES_MAX: usize = 1_000;

/// Messages are cut out of this much made once: more than a compressor's window (32 KiB), so that
/// binary ones stay as incompressible as they look.
const FILLER_BYTES: usize = 64 * 1024;

/// Around the number and the filler of a text that is long enough for it.
const JSON_HEAD: &[u8] = b"{\"n\":\"";
const JSON_MIDDLE: &[u8] = b"\",\"text\":\"";
const JSON_TAIL: &[u8] = b"\"}";
const JSON_BYTES: usize = JSON_HEAD.len() + DIGITS + JSON_MIDDLE.len() + JSON_TAIL.len();

/// Of a number in a text.
const DIGITS: usize = 16;

/// All that can be sent.
#[derive(Debug)]
pub struct Payloads {
    kind: Kind,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Made { sizes: Draw, filler: Vec<u8> },
    Files(Vec<Vec<u8>>),
}

impl Payloads {
    /// Makes or reads what is needed. An error names the file and what is wrong with it.
    pub fn load(payload: &Payload) -> Result<Self, String> {
        let source = if payload.files.is_empty() {
            Source::Made { sizes: Draw::new(&payload.sizes)?, filler: filler(payload.kind) }
        } else if payload.files.len() > FILES_MAX {
            let count = payload.files.len();
            return Err(format!("{count} payload files are too many: give at most {FILES_MAX}"));
        } else {
            let files = payload.files.iter().map(|path| read(path, payload.kind));
            Source::Files(files.collect::<Result<_, _>>()?)
        };
        Ok(Self { kind: payload.kind, source })
    }

    /// Text or binary, as frames say it.
    pub fn opcode(&self) -> Opcode {
        match self.kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }

    /// Whether publications carry a marker: what comes from files is sent as it is.
    pub fn marked(&self) -> bool {
        matches!(self.source, Source::Made { .. })
    }

    /// Puts the message with this number into `into`, in place of what was there.
    pub fn write(&self, number: u64, into: &mut Vec<u8>) {
        into.clear();
        self.parts(number, |part| {
            into.extend_from_slice(part);
            true
        });
    }

    /// Puts the publication with this marker into `into`, in place of what was there. The file with
    /// this number where there are files.
    pub fn write_publication(&self, number: u64, marker: &Marker, into: &mut Vec<u8>) {
        match &self.source {
            Source::Files(_) => self.write(number, into),
            Source::Made { sizes, filler } => {
                into.clear();
                marker.write(into);
                let rest = sizes.of(number).saturating_sub(into.len());
                fill(filler, number, rest, &mut |part| {
                    into.extend_from_slice(part);
                    true
                });
            }
        }
    }

    /// Whether this is the message with this number, byte by byte.
    #[inline]
    pub fn matches(&self, number: u64, message: &[u8]) -> bool {
        let mut rest = message;
        let begins = self.parts(number, |part| {
            rest.strip_prefix(part).inspect(|behind| rest = behind).is_some()
        });
        begins && rest.is_empty()
    }

    /// The number that a message carries; `None` if it is too short for one or comes from a file.
    pub fn number(&self, message: &[u8]) -> Option<u64> {
        match (&self.source, self.kind) {
            (Source::Files(_), _) => None,
            (Source::Made { .. }, Kind::Binary) => {
                Some(u64::from_be_bytes(*message.first_chunk::<8>()?))
            }
            (Source::Made { .. }, Kind::Text) => {
                let start = if message.len() < JSON_BYTES { 0 } else { JSON_HEAD.len() };
                hex_number(message.get(start..start + DIGITS)?)
            }
        }
    }

    /// Gives the message with this number piece by piece, until `take` has had enough: whether it
    /// took all.
    #[inline]
    fn parts(&self, number: u64, mut take: impl FnMut(&[u8]) -> bool) -> bool {
        let (sizes, filler) = match &self.source {
            Source::Made { sizes, filler } => (sizes, filler),
            Source::Files(files) => return take(&files[number as usize % files.len()]),
        };
        let size = sizes.of(number);
        match self.kind {
            Kind::Binary => {
                let bytes = number.to_be_bytes();
                let kept = size.min(bytes.len());
                take(&bytes[bytes.len() - kept..]) && fill(filler, number, size - kept, &mut take)
            }
            Kind::Text => {
                let digits = hex_digits::<DIGITS>(number);
                if size < JSON_BYTES {
                    let kept = size.min(DIGITS);
                    take(&digits[DIGITS - kept..]) && fill(filler, number, size - kept, &mut take)
                } else {
                    take(JSON_HEAD)
                        && take(&digits)
                        && take(JSON_MIDDLE)
                        && fill(filler, number, size - JSON_BYTES, &mut take)
                        && take(JSON_TAIL)
                }
            }
        }
    }
}

/// `count` bytes of the filler, from a place that follows from the number.
#[inline]
fn fill(
    filler: &[u8],
    number: u64,
    mut count: usize,
    take: &mut impl FnMut(&[u8]) -> bool,
) -> bool {
    let mut start = scatter(number) as usize % filler.len();
    while count > 0 {
        let part = count.min(filler.len() - start);
        if !take(&filler[start..start + part]) {
            return false;
        }
        count -= part;
        start = 0;
    }
    true
}

/// What all made messages are cut from; always the same.
fn filler(kind: Kind) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "order", "shipped", "invoice", "due", "message", "from", "your", "team", "device",
        "offline", "since", "monday", "please", "confirm", "new", "account",
    ];
    let mut random = Random::seeded(0x6c6f_6164);
    let mut filler = Vec::with_capacity(FILLER_BYTES + 16);
    while filler.len() < FILLER_BYTES {
        let drawn = random.next();
        match kind {
            Kind::Binary => filler.extend_from_slice(&drawn.to_be_bytes()),
            // A word and a number: what notifications are made of compresses, but not to nothing.
            Kind::Text => {
                filler.extend_from_slice(WORDS[drawn as usize % WORDS.len()].as_bytes());
                filler.push(b' ');
                if drawn >> 62 == 0 {
                    filler.extend_from_slice(&hex_digits::<6>(drawn >> 16));
                    filler.push(b' ');
                }
            }
        }
    }
    filler.truncate(FILLER_BYTES);
    filler
}

fn read(path: &Path, kind: Kind) -> Result<Vec<u8>, String> {
    let named = |what: &str| format!("payload file {}: {what}", path.display());
    // Opening a pipe waits for who writes to it, and no signal would end that; nor would there be
    // anything in it for the second process.
    let metadata = fs::metadata(path).map_err(|error| named(&error.to_string()))?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(named("is a pipe or a device; write its content to a file"));
    }
    let file = File::open(path).map_err(|error| named(&error.to_string()))?;
    let mut bytes = Vec::new();
    // One more than is allowed shows what is too long, whatever the file says of its length.
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| named(&error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(named("is longer than 16 MiB; send a smaller one"));
    }
    if kind == Kind::Text && simdutf8::basic::from_utf8(&bytes).is_err() {
        return Err(named("is not UTF-8, which a text message has to be; send it as binary"));
    }
    Ok(bytes)
}

/// Sizes, drawn by the number of a message.
#[derive(Debug)]
enum Draw {
    Range {
        min: u64,
        count: u64,
    },
    /// Each size with the sum of the weights up to and including its own.
    Weighted(Vec<(u64, usize)>),
}

impl Draw {
    fn new(sizes: &Sizes) -> Result<Self, String> {
        match sizes {
            Sizes::Range(min, max) if min <= max => {
                Ok(Self::Range { min: u64::from(*min), count: u64::from(max - min) + 1 })
            }
            Sizes::Range(min, max) => {
                Err(format!("size {min}..{max}: the first must not be above the second"))
            }
            Sizes::Weighted(weighted) => {
                let mut sum = 0;
                let add = |(size, weight): &(u32, u32)| {
                    sum += u64::from(*weight);
                    (sum, *size as usize)
                };
                let sums: Vec<_> = weighted.iter().map(add).collect();
                let none = "size: at least one weight must be above 0".to_owned();
                if sum == 0 { Err(none) } else { Ok(Self::Weighted(sums)) }
            }
        }
    }

    #[inline]
    fn of(&self, number: u64) -> usize {
        // Another stream of numbers than the filler's, so that the two are not related.
        let drawn = scatter(!number);
        match self {
            Self::Range { min, count: 1 } => *min as usize,
            Self::Range { min, count } => (min + drawn % count) as usize,
            Self::Weighted(sums) => {
                let at = drawn % sums.last().map_or(1, |(sum, _)| *sum);
                sums[sums.partition_point(|(sum, _)| *sum <= at)].1
            }
        }
    }
}

#[cfg(test)]
mod tests;
