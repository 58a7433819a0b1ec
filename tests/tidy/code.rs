//! Files as the rules see them: code without comments, strings and tests.

use std::collections::BTreeSet;

/// One file of the repository.
pub struct File {
    pub path: String,
    /// As it is.
    pub text: String,
    /// Of a Rust file: comments and the insides of literals are blanks. Lines keep their numbers.
    pub code: String,
    /// The same without tests.
    pub product: String,
}

impl File {
    pub fn new(path: &str, text: &str) -> Self {
        let code = if is_rust(path) { without_comments(text) } else { String::new() };
        let mut file =
            Self { path: path.to_owned(), text: text.to_owned(), product: String::new(), code };
        if !file.is_test() {
            file.product = without_tests(&file.code);
        }
        file
    }

    /// A file that holds nothing but tests.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }

    /// The top-level module of a file in `src`, and how deep its own module lies in it.
    pub fn module(&self) -> Option<(&str, usize)> {
        let inner = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let inner = inner.strip_suffix("/mod").unwrap_or(inner);
        Some((inner.split('/').next()?, inner.split('/').count()))
    }
}

/// What a rule may ask about the whole.
pub struct Repository {
    paths: BTreeSet<String>,
    /// Names of metrics, without a histogram's suffixes.
    pub metrics: BTreeSet<String>,
    /// Methods that count something.
    pub counting: Vec<String>,
}

impl Repository {
    pub fn new(paths: Vec<String>, files: &[File]) -> Self {
        let named = |end: &str| files.iter().find(|file| file.path.ends_with(end));
        let (mut metrics, mut counting) = (BTreeSet::new(), Vec::new());
        for file in ["telemetry/families.rs", "telemetry/control_plane.rs"] {
            let text = named(file).map_or("", |file| &file.text);
            metrics.extend(text.split('"').filter(|it| is_metric(it)).map(ToOwned::to_owned));
        }
        for file in ["telemetry/recorder.rs", "telemetry/control_plane.rs"] {
            let code = named(file).map_or("", |file| &file.product);
            for (at, _) in code.match_indices("pub(crate) fn ") {
                let rest = &code[at + 14..];
                let name = &rest[..rest.find('(').unwrap()];
                let arguments = rest[name.len() + 1..].trim_start();
                // What gives something back reads.
                let signature = &rest[..rest.find('{').unwrap()];
                let counts = arguments.starts_with("&self") && !signature.contains("->");
                if counts && name != "run_upkeep" {
                    counting.push(name.to_owned());
                }
            }
        }
        Self { paths: paths.into_iter().collect(), metrics, counting }
    }

    /// Is there a file or a folder at this path, from the root or from `src` on?
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        [path.to_owned(), format!("src/{path}")].iter().any(|path| {
            let folder = format!("{path}/");
            self.paths.contains(path) || self.paths.iter().any(|file| file.starts_with(&folder))
        })
    }
}

pub fn is_rust(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

pub fn is_metric(word: &str) -> bool {
    let known = word.strip_prefix("gaugeway_").or_else(|| word.strip_prefix("process_"));
    known.is_some_and(|rest| {
        rest.len() > 3 && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    })
}

/// Blanks comments, strings and characters out; lines stay where they are.
pub fn without_comments(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (blank, keep) = match rest {
            [b'/', b'/', ..] => (until(rest, b"\n"), 0),
            [b'/', b'*', ..] => (until(rest, b"*/") + 2, 0),
            [b'r', b'"', ..] if !follows_word(&out) => (2 + until(&rest[2..], b"\"") + 1, 0),
            [b'r', b'#', b'"', ..] => (3 + until(&rest[3..], b"\"#") + 2, 0),
            [b'"', ..] => (quoted(rest, b'"'), 0),
            [b'\'', b'\\', ..] => (quoted(rest, b'\''), 0),
            [b'\'', _, b'\'', ..] => (3, 0),
            _ => (0, 1),
        };
        let blank = blank.min(rest.len());
        out.extend(rest[..blank].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
        out.extend_from_slice(&rest[blank..blank + keep]);
        at += blank + keep;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn follows_word(out: &[u8]) -> bool {
    out.last().is_some_and(|byte| byte.is_ascii_alphanumeric() && *byte != b'b')
}

fn until(bytes: &[u8], end: &[u8]) -> usize {
    bytes.windows(end.len()).position(|window| window == end).unwrap_or(bytes.len())
}

/// The length of a literal in quotes, both of them included.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Cuts out every item behind `#[cfg(test)]`. Takes code without comments.
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut product = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        product += &rest[..at];
        rest = &rest[at + MARK.len()..];
        let end = rest.find([';', '{']).unwrap_or(rest.len());
        let mut depth = 0_usize;
        let close = rest[end..].char_indices().find_map(|(index, character)| {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(end + index + 1)
        });
        rest = &rest[close.unwrap_or(rest.len())..];
    }
    product + rest
}
