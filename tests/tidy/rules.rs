//! The rules. Each finds what breaks it in one file.

use crate::code::{File, Repository, is_metric, is_rust};

pub struct Rule {
    pub name: &'static str,
    /// The files that it is about.
    pub applies: fn(&str) -> bool,
    pub find: fn(&File, &Repository) -> Vec<String>,
}

pub const RULES: &[Rule] = &[
    Rule { name: "imports point downwards", applies: is_source, find: imports },
    Rule { name: "pure modules stay pure", applies: is_pure, find: impure },
    Rule { name: "events alone log", applies: is_not_log, find: logging },
    Rule { name: "events alone count", applies: is_not_events, find: counting },
    Rule { name: "no unwrap outside tests", applies: is_source, find: unwraps },
    Rule { name: "files stay short", applies: is_rust, find: too_long },
    Rule { name: "files say what they are for", applies: is_rust, find: no_story },
    Rule { name: "nothing is left unfinished", applies: all, find: unfinished },
    Rule { name: "no path of anybody's machine", applies: all, find: private_paths },
    Rule { name: "documents name files that exist", applies: is_document, find: missing_files },
    Rule { name: "documents name metrics that exist", applies: is_document, find: missing_metrics },
];

/// From top to bottom; modules of one row do not know each other. `config` may be read by anyone.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["server", "watch", "load"],
    &["connection"],
    &["handshake"],
    &["auth", "upstream"],
    &["hub"],
    &["bus"],
    &["outbound"],
    &["disconnects"],
    &["events"],
    &["telemetry"],
    &["verdict"],
    &["protocol"],
    &["wire", "state"],
    &["config"],
];

const PURE: [&str; 4] = ["wire", "state", "protocol", "verdict"];
const IMPURE: [&str; 9] = [
    "tokio::",
    "Instant",
    "SystemTime",
    "std::net",
    "std::fs",
    "std::thread",
    "tracing",
    "rand::",
    "prometheus",
];
const LINES_MAX: usize = 400;

fn all(_: &str) -> bool {
    true
}

fn is_source(path: &str) -> bool {
    path.starts_with("src/") && is_rust(path) && path != "src/lib.rs"
}

fn is_pure(path: &str) -> bool {
    is_source(path) && PURE.iter().any(|module| path.starts_with(&format!("src/{module}/")))
}

fn is_not_log(path: &str) -> bool {
    is_not_events(path) && !path.starts_with("src/telemetry/logging/")
}

fn is_not_events(path: &str) -> bool {
    is_source(path) && !path.starts_with("src/events/")
}

fn is_document(path: &str) -> bool {
    is_markdown(path) && path != "CHANGELOG.md"
}

fn is_markdown(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "md")
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn imports(file: &File, _: &Repository) -> Vec<String> {
    let (own, depth) = file.module().expect("a source file");
    let Some(layer) = layer_of(own) else { return vec![format!("{own} has no layer")] };
    let upwards = |other: &&str| {
        let below = layer_of(other).is_some_and(|other| other > layer);
        *other != own && !below
    };
    let imported = imported(&file.code, depth);
    imported.iter().map(AsRef::as_ref).filter(upwards).map(|other| format!("-> {other}")).collect()
}

/// The top-level modules that code of a module at this depth names.
fn imported(code: &str, depth: usize) -> Vec<String> {
    let climb = format!("{}{}", " ", "super::".repeat(depth));
    // Blanks before each path make a chain of `super` findable from its start.
    let code = code.replace("super::", "\u{1}").replace(|c: char| !is_path(c), " ");
    let code = code.replace('\u{1}', "super::");
    let mut found = Vec::new();
    for root in [" crate::", " gaugeway::", &climb] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                found.extend(top_of_group(group));
            } else if !rest.starts_with("super::") {
                found.push(rest.split(|c: char| !is_word(c)).next().unwrap().to_owned());
            }
        }
    }
    found.retain(|name| name.chars().next().is_some_and(char::is_lowercase) && name != "self");
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_path(c: char) -> bool {
    is_word(c) || "\u{1}:{},".contains(c)
}

/// The first words of `a, b::c, d::{e, f}}`.
fn top_of_group(group: &str) -> Vec<String> {
    let (mut names, mut name, mut depth) = (Vec::new(), String::new(), 0);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            c if depth == 0 && c != ' ' => name.push(c),
            _ => {}
        }
    }
    names.push(name);
    let first = |name: &String| name.split(':').next().unwrap().to_owned();
    names.iter().map(first).filter(|name| !name.is_empty()).collect()
}

/// `line N: what` for each line of the text that holds one of these.
fn lines_with(text: &str, needles: &[&str]) -> Vec<String> {
    let holding = |line: &str| needles.iter().find(|needle| line.contains(*needle)).copied();
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(index, line)| Some((index + 1, holding(line)?)));
    found.map(|(number, what)| format!("line {number}: {what}")).collect()
}

fn impure(file: &File, _: &Repository) -> Vec<String> {
    lines_with(&file.product, &IMPURE)
}

fn logging(file: &File, _: &Repository) -> Vec<String> {
    lines_with(&file.product, &["tracing::", " log::", "dbg!"])
}

fn counting(file: &File, repository: &Repository) -> Vec<String> {
    let called = |method: &&String| counts(method, &file.product);
    let mut found: Vec<_> = repository.counting.iter().filter(called).cloned().collect();
    if !file.path.starts_with("src/telemetry/") {
        found.extend(lines_with(&file.product, &["control_plane()"]));
    }
    found
}

/// Is a counting method called, on a recorder or on the control plane?
pub fn counts(method: &str, code: &str) -> bool {
    let dense: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let receivers = ["recorder.", "recorder().", "Recorder::", "control_plane()."];
    receivers.iter().any(|receiver| dense.contains(&format!("{receiver}{method}(")))
}

fn unwraps(file: &File, _: &Repository) -> Vec<String> {
    lines_with(&file.product, &[".unwrap()"])
}

fn too_long(file: &File, _: &Repository) -> Vec<String> {
    let lines = file.text.lines().count();
    if lines > LINES_MAX { vec![format!("{lines} lines")] } else { Vec::new() }
}

fn no_story(file: &File, _: &Repository) -> Vec<String> {
    let story = file.text.starts_with("//! ") || file.text.starts_with("#!/");
    if story { Vec::new() } else { vec!["it does not begin with //!".to_owned()] }
}

fn unfinished(file: &File, _: &Repository) -> Vec<String> {
    // In pieces, so that this file does not hold them.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let macros = [concat!("todo", "!("), concat!("unimplemented", "!(")];
    lines_with(&file.text, &[&words[..], &macros].concat())
}

fn private_paths(file: &File, _: &Repository) -> Vec<String> {
    let homes = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Use", "rs/")];
    lines_with(&file.text, &[&homes[..], &[concat!("/tm", "p/wt"), concat!("/wo", "rk/")]].concat())
}

/// Words in backticks and targets of links.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let in_backticks = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    in_backticks.chain(links.filter(|link| !link.contains("://") && !link.starts_with('#')))
}

fn missing_files(file: &File, repository: &Repository) -> Vec<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let words = quoted(&file.text).filter_map(|quoted| quoted.split([' ', '#']).next());
    let named = words.filter(|word| {
        let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b));
        let ours = is_rust(word) || is_markdown(word) || word.ends_with('/');
        let below = ["src/", "tests/", "docs/", "nginx/", "bench/", "fuzz/", "examples/"];
        let made = word.starts_with("target/") || word.contains("node_modules");
        let inside = below.iter().any(|top| word.starts_with(top));
        plain && !made && !word.starts_with('/') && (ours || inside)
    });
    let exists = |word: &&str| repository.has(word) || repository.has(&resolved(folder, word));
    named.filter(|word| !exists(word)).map(ToOwned::to_owned).collect()
}

/// A link as it stands in a document of this folder.
fn resolved(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

fn missing_metrics(file: &File, repository: &Repository) -> Vec<String> {
    let words = file.text.split(|c: char| !is_word(c)).filter(|word| is_metric(word));
    let unknown = words.filter(|word| {
        let stems = ["", "_bucket", "_sum", "_count"].map(|end| word.strip_suffix(end));
        !stems.into_iter().flatten().any(|stem| repository.metrics.contains(stem))
    });
    unknown.map(ToOwned::to_owned).collect()
}
