//! The rules of the house, held by a test so that they cannot erode. Each rule also proves that it
//! can fail, on a small sample that breaks it.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/samples.rs"]
mod samples;

use std::path::{Path, PathBuf};

use code::{File, Repository};
use rules::RULES;

/// Generated, or somebody else's.
const NOT_OURS: [&str; 7] =
    ["target", ".git", ".build", "node_modules", "corpus", "artifacts", "Cargo.lock"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The paths of all files below a folder, from the root on.
fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if NOT_OURS.contains(&name) {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

fn repository() -> (Repository, Vec<File>) {
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    // What is not UTF-8 has no words to judge.
    let read = |path: &String| {
        let text = std::fs::read_to_string(root().join(path)).ok()?;
        Some(File::new(path, &text))
    };
    let files: Vec<_> = paths.iter().filter_map(read).collect();
    (Repository::new(paths, &files), files)
}

#[test]
fn the_house_is_tidy() {
    let (repository, files) = repository();
    assert!(files.iter().filter(|file| file.path.starts_with("src/")).count() > 50);
    let mut broken = Vec::new();
    for rule in RULES {
        for file in files.iter().filter(|file| (rule.applies)(&file.path)) {
            let found = (rule.find)(file, &repository);
            broken.extend(found.iter().map(|what| format!("{}: {}: {what}", file.path, rule.name)));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn each_rule_has_files_to_look_at() {
    let (_, files) = repository();
    for rule in RULES {
        let count = files.iter().filter(|file| (rule.applies)(&file.path)).count();
        assert!(count > 0, "{} looks at nothing", rule.name);
    }
}

#[test]
fn whatever_can_be_counted_is_counted_by_an_event() {
    let (repository, files) = repository();
    assert!(repository.counting.len() > 8, "{:?}", repository.counting);
    for method in &repository.counting {
        let called = files.iter().any(|file| {
            file.path.starts_with("src/events/") && rules::counts(method, &file.product)
        });
        assert!(called, "no event calls {method}");
    }
}
