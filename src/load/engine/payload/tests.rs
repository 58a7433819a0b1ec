//! What is sent: sizes, contents, files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::marker::{MARKER_BYTES, Part};
use super::super::moment::Moment;
use super::*;

fn made(kind: Kind, sizes: Sizes) -> Payloads {
    Payloads::load(&Payload { kind, sizes, files: Vec::new() }).unwrap()
}

fn message(payloads: &Payloads, number: u64) -> Vec<u8> {
    let mut message = b"what was there before".to_vec();
    payloads.write(number, &mut message);
    message
}

#[test]
fn a_message_has_its_size_its_number_and_nothing_of_another() {
    for kind in [Kind::Text, Kind::Binary] {
        for size in [0, 1, 7, 8, 15, 16, 33, 34, 128, 70_000, 200_000] {
            let payloads = made(kind, Sizes::Range(size, size));
            let [this, next] = [41, 42].map(|number| message(&payloads, number));
            assert_eq!(this.len(), size as usize, "{kind:?}");
            assert!(payloads.matches(41, &this), "{kind:?} {size}");
            assert_eq!(payloads.matches(42, &this), size == 0, "{kind:?} {size}");
            assert_eq!(this == next, size == 0, "{kind:?} {size}");
            assert!(!payloads.matches(41, &[this.as_slice(), b" "].concat()), "{kind:?} {size}");
            assert!(kind == Kind::Binary || std::str::from_utf8(&this).is_ok(), "{size}");
        }
    }
}

#[test]
fn one_wrong_byte_is_found_wherever_it_is() {
    let payloads = made(Kind::Text, Sizes::Range(200, 200));
    let right = message(&payloads, 7);
    for at in 0..right.len() {
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        assert!(!payloads.matches(7, &wrong), "byte {at}");
    }
}

#[test]
fn the_number_is_read_where_there_is_room_for_it() {
    for (kind, size, expected) in [
        (Kind::Text, 128, Some(0xfeed)),
        (Kind::Text, 34, Some(0xfeed)),
        (Kind::Text, 20, Some(0xfeed)),
        (Kind::Text, 15, None),
        (Kind::Binary, 8, Some(0xfeed)),
        (Kind::Binary, 7, None),
    ] {
        let payloads = made(kind, Sizes::Range(size, size));
        assert_eq!(payloads.number(&message(&payloads, 0xfeed)), expected, "{kind:?} {size}");
    }
    assert_eq!(made(Kind::Text, Sizes::Range(0, 9)).number(&[b'!'; 100]), None);
}

#[test]
fn a_long_text_is_json() {
    let payloads = made(Kind::Text, Sizes::Range(34, 5_000));
    for number in 0..200 {
        let json: serde_json::Value = serde_json::from_slice(&message(&payloads, number)).unwrap();
        assert_eq!(json["n"], format!("{number:016x}"));
    }
}

#[test]
fn sizes_are_drawn_as_they_are_weighted_and_the_same_every_time() {
    let count = |sizes: Sizes| {
        let payloads = made(Kind::Binary, sizes);
        let mut counts = BTreeMap::<usize, u32>::new();
        for number in 0..10_000 {
            *counts.entry(message(&payloads, number).len()).or_default() += 1;
        }
        counts
    };
    let weighted = count(Sizes::Weighted(vec![(64, 9), (1024, 1), (9, 0)]));
    assert_eq!(weighted.keys().copied().collect::<Vec<_>>(), [64, 1024]);
    assert!((8_800..9_200).contains(&weighted[&64]), "{weighted:?}");
    let range = count(Sizes::Range(10, 19));
    assert_eq!(range.keys().copied().collect::<Vec<_>>(), (10..=19).collect::<Vec<_>>());
    assert!(range.values().all(|times| (800..1_200).contains(times)), "{range:?}");
    assert_eq!(range, count(Sizes::Range(10, 19)));
}

#[test]
fn a_publication_begins_with_its_marker_and_has_its_size() {
    let marker = Marker { run: 1, sequence: 2, due: Moment(3), part: Part::Last };
    for size in [MARKER_BYTES as u32, 46, 1_000] {
        let payloads = made(Kind::Text, Sizes::Range(size, size));
        let mut publication = Vec::new();
        payloads.write_publication(5, &marker, &mut publication);
        assert_eq!(publication.len(), size as usize);
        assert_eq!(Marker::find(&publication), Some(marker));
        assert!(payloads.marked());
    }
}

#[test]
fn sizes_that_say_nothing_are_refused() {
    for sizes in [Sizes::Range(2, 1), Sizes::Weighted(vec![]), Sizes::Weighted(vec![(5, 0)])] {
        let payload = Payload { kind: Kind::Text, sizes, files: Vec::new() };
        assert!(Payloads::load(&payload).unwrap_err().starts_with("size"), "{payload:?}");
    }
}

#[test]
fn files_are_sent_in_turn_and_compared_whole() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = ["one", "zwei \u{fc}", ""]
        .iter()
        .enumerate()
        .map(|(number, text)| {
            let path = folder.path().join(number.to_string());
            fs::write(&path, text).unwrap();
            path
        })
        .collect();
    let payload = Payload { kind: Kind::Text, sizes: Sizes::Range(1, 1), files };
    let payloads = Payloads::load(&payload).unwrap();
    for (number, text) in [(0, "one"), (1, "zwei \u{fc}"), (2, ""), (3, "one")] {
        assert_eq!(message(&payloads, number), text.as_bytes());
        assert!(payloads.matches(number, text.as_bytes()));
        assert!(!payloads.matches(number, b"other"));
        assert_eq!(payloads.number(text.as_bytes()), None);
    }
    assert!(!payloads.marked());
}

#[test]
fn a_file_that_cannot_be_sent_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("latin1"), b"\xfc").unwrap();
    File::create(file("long")).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    let load = |kind, files| Payloads::load(&Payload { kind, sizes: Sizes::Range(1, 1), files });
    for (name, what) in [("latin1", "not UTF-8"), ("long", "16 MiB"), ("none", "No such file")] {
        let error = load(Kind::Text, vec![file(name)]).unwrap_err();
        assert!(error.contains(name) && error.contains(what), "{error}");
    }
    // Nobody writes to the second: opening it would wait for ever.
    let pipe = rustix::fs::Mode::RWXU;
    rustix::fs::mkfifoat(rustix::fs::CWD, file("pipe"), pipe).unwrap();
    for path in ["/dev/zero".into(), file("pipe")] {
        let error = load(Kind::Text, vec![path]).unwrap_err();
        assert!(error.contains("is a pipe or a device"), "{error}");
    }
    assert!(load(Kind::Binary, vec![file("latin1")]).is_ok());
    let error = load(Kind::Text, vec![file("none"); FILES_MAX + 1]).unwrap_err();
    assert!(error.contains("at most 1000"), "{error}");
}
