//! The scenario file: TOML, one level deep, whose keys are the flags with `_` for `-`.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{Draft, KEYS, Key, Takes};
use crate::config::{Mistake, Place, Text, closest, quote, read_bounded, type_name};

/// A larger file is no scenario; it also bounds what `--scenario /dev/zero` can take.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Values of one key.
const LIST_MAX: usize = 10_000;

impl Draft {
    /// Takes what a scenario file asks for. All that is wrong with it becomes mistakes.
    pub fn read_file(&mut self, path: &Path) {
        let name: Arc<str> = path.to_string_lossy().into();
        let place = Place::File { path: Arc::clone(&name), line: None, column: None };
        let refuse = |what: String| Mistake {
            place: place.clone(),
            setting: String::new(),
            what,
            advice: "name a scenario file; docs/load.md has one to begin with".to_owned(),
        };
        let bytes = match read_bounded(File::open(path), FILE_BYTES_MAX, "the file") {
            Ok(bytes) => bytes,
            Err(what) => return self.mistake_in_file(refuse(what)),
        };
        match String::from_utf8(bytes) {
            Ok(content) => self.read_text(&Text::new(name, content)),
            Err(error) => {
                let byte = error.utf8_error().valid_up_to();
                self.mistake_in_file(refuse(format!("the file is not UTF-8 (at byte {byte})")));
            }
        }
    }

    /// The same from a text.
    pub(super) fn read_text(&mut self, text: &Text) {
        let (root, errors) = DeTable::parse_recoverable(text.as_str());
        for error in &errors {
            let offset = error.span().map_or(text.as_str().len(), |span| span.start);
            self.mistake_in_file(Mistake {
                place: text.position(offset),
                setting: String::new(),
                what: error.message().to_owned(),
                advice: "correct the TOML".to_owned(),
            });
        }
        if !errors.is_empty() {
            // What the parser guesses behind an error would be blamed on the user.
            return;
        }
        for (name, value) in root.get_ref() {
            let place = text.line(name.span().start);
            match KEYS.iter().find(|key| key.in_file() == **name.get_ref()) {
                Some(key) => self.read_key(text, key, &place, value),
                None => self.mistake_in_file(unknown(name.get_ref(), value.get_ref(), place)),
            }
        }
    }

    fn read_key(
        &mut self,
        text: &Text,
        key: &'static Key,
        place: &Place,
        value: &Spanned<DeValue<'_>>,
    ) {
        let wrong = |draft: &mut Self, what: String| {
            let advice = match key.takes {
                Takes::Switch => "write true or false",
                Takes::Number => "write a number without quotes",
                Takes::Text => "write a text in quotes",
                Takes::TextOrNumber => "write a number, or a text in quotes",
                Takes::List => "write a text in quotes, or a list of them: [\"…\", \"…\"]",
            };
            draft.mistake(place.clone(), key.name, what, advice.to_owned());
        };
        let Some(elements) = texts(key.takes, text, value) else {
            return wrong(self, format!("is {}", type_name(value.get_ref())));
        };
        if elements.len() > LIST_MAX {
            return wrong(self, format!("has {} elements", elements.len()));
        }
        if !elements.is_empty() {
            self.give(key, elements);
        }
    }
}

/// Each value with its place, as a flag would have it; `None`: of the wrong type. A switch that is
/// off has none.
fn texts(takes: Takes, text: &Text, value: &Spanned<DeValue<'_>>) -> Option<Vec<(Place, String)>> {
    let one = |value: &Spanned<DeValue<'_>>, written: &str| {
        (text.line(value.span().start), written.to_owned())
    };
    let number = matches!(takes, Takes::Number | Takes::TextOrNumber);
    match value.get_ref() {
        DeValue::Boolean(on) if takes == Takes::Switch => {
            Some(if *on { vec![one(value, "true")] } else { Vec::new() })
        }
        DeValue::Integer(integer) if number && integer.radix() == 10 => {
            Some(vec![one(value, integer.as_str())])
        }
        DeValue::Float(float) if number => Some(vec![one(value, float.as_str())]),
        DeValue::String(string)
            if matches!(takes, Takes::Text | Takes::TextOrNumber | Takes::List) =>
        {
            Some(vec![one(value, string)])
        }
        DeValue::Array(array) if takes == Takes::List => array
            .iter()
            .map(|element| match element.get_ref() {
                DeValue::String(string) => Some(one(element, string)),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn unknown(name: &str, value: &DeValue<'_>, place: Place) -> Mistake {
    let known: Vec<String> = KEYS.iter().map(Key::in_file).collect();
    let advice = match (closest(name, known.iter().map(String::as_str)), value) {
        (Some(near), _) => format!("did you mean {near}?"),
        (None, DeValue::Table(_)) => "a scenario has no tables: write its keys alone".to_owned(),
        (None, _) => "`gaugeway load --help` lists them: each flag is a key".to_owned(),
    };
    let setting = String::new();
    Mistake { place, setting, what: format!("{} is no key of a scenario", quote(name)), advice }
}
