//! A configuration while it is put together: values, the place of each, and what is wrong so far.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::Text;
use super::mistake::{Mistake, Place, quote_name};
use super::settings::Section;
use super::suggest::closest;
use super::value::{Input, type_name};
use super::{Config, Endpoint};

/// Each endpoint is a label value; their number multiplies the size of `/metrics`.
const ENDPOINTS_MAX: usize = 100;

/// What the TOML parser calls a key or table that occurs twice: the one error that leaves no doubt
/// about the rest of the file. (Were the words to change, less would be reported at once.)
const DUPLICATE_KEY: &str = "duplicate key";

/// A setting's section and key.
pub(super) type Name = (&'static str, &'static str);

/// A configuration on its way, with the place of each setting.
#[derive(Default)]
pub(super) struct Draft {
    pub config: Config,
    pub mistakes: Vec<Mistake>,
    /// Where each general setting was last written.
    places: BTreeMap<Name, Place>,
    /// Settings with a mistake: their value is a leftover, about which nothing more is said.
    broken: BTreeSet<Name>,
    /// For each endpoint of the file where each key stands; empty for the default endpoints.
    endpoint_places: Vec<BTreeMap<&'static str, Place>>,
}

impl Draft {
    /// Notes a mistake.
    pub fn mistake(
        &mut self,
        place: Place,
        setting: String,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.mistakes.push(Mistake { place, setting, what: what.into(), advice: advice.into() });
    }

    /// Section and key of every setting outside `[[endpoint]]`.
    pub fn setting_names(&self) -> impl Iterator<Item = Name> + use<> {
        names(&self.config).into_iter()
    }

    /// Sets a general setting that is known to exist.
    pub fn set(
        &mut self,
        section: &'static str,
        key: &'static str,
        input: Input<'_>,
        place_at: &dyn Fn(Option<usize>) -> Place,
    ) {
        self.places.insert((section, key), place_at(None));
        for table in self.config.sections_mut() {
            if table.name() != section {
                continue;
            }
            if let Err(problems) = table.set(key, input) {
                self.broken.insert((section, key));
                self.mistakes.extend(problems.into_iter().map(|problem| Mistake {
                    place: place_at(problem.at),
                    setting: format!("{section}.{key}"),
                    what: problem.what,
                    advice: problem.advice,
                }));
            }
        }
    }

    /// Whether all of these settings were read without mistake.
    pub fn sound(&self, names: &[Name]) -> bool {
        debug_assert!(
            names.iter().all(|n| self.setting_names().any(|known| known == *n)),
            "a check names a setting that does not exist: {names:?}"
        );
        !names.iter().any(|name| self.broken.contains(name))
    }

    /// Where the first of these settings was written that was written at all.
    pub fn place(&self, names: &[Name]) -> Place {
        let written = names.iter().find_map(|name| self.places.get(name));
        written.cloned().unwrap_or(Place::Default)
    }

    /// Where a key of an endpoint was written; `None` where it was not, or has a mistake.
    pub fn endpoint_place(&self, endpoint: usize, key: &'static str) -> Option<Place> {
        self.endpoint_places.get(endpoint)?.get(key).cloned()
    }

    /// Reads the file's settings over the defaults.
    pub fn read_file(&mut self, text: &Text) {
        let (root, errors) = DeTable::parse_recoverable(text.as_str());
        let mut line_before = None;
        for error in &errors {
            let offset = error.span().map_or(text.as_str().len(), |span| span.start);
            // Of several on one line, the later ones mostly follow from the first.
            let line = Some(text.line(offset));
            if line == line_before {
                continue;
            }
            line_before = line;
            let advice = if error.message() == DUPLICATE_KEY {
                "write each key and each table once"
            } else {
                "correct the TOML"
            };
            let place = text.position(offset);
            self.mistake(place, String::new(), error.message(), advice);
        }
        // After any other error the parser guesses, and what it guesses would be blamed on the user.
        if errors.iter().any(|error| error.message() != DUPLICATE_KEY) {
            return;
        }
        for (key, value) in root.get_ref() {
            let name: &str = key.get_ref();
            let place = text.line(key.span().start);
            let known = self.config.sections().map(Section::name);
            if name == "endpoint" {
                self.read_endpoints(text, place, value);
            } else if let Some(section) = known.into_iter().find(|known| *known == name) {
                self.read_section(text, section, place, value);
            } else {
                let advice = self.advice_for_section(name, value.get_ref());
                let shown = quote_name(name).trim_matches('"').to_owned();
                let what = match value.get_ref() {
                    DeValue::Table(_) | DeValue::Array(_) => "is not a section",
                    _ => "is not a setting of the top level",
                };
                self.mistake(place, shown, what, advice);
            }
        }
    }

    fn read_section(
        &mut self,
        text: &Text,
        section: &'static str,
        place: Place,
        value: &Spanned<DeValue<'_>>,
    ) {
        let DeValue::Table(table) = value.get_ref() else {
            let what = format!("is {}", type_name(value.get_ref()));
            let advice = format!("write [{section}] on a line of its own, and its keys below");
            return self.mistake(place, section.to_owned(), what, advice);
        };
        for (key, value) in table {
            let place = text.line(key.span().start);
            match self.find_key(section, key.get_ref()) {
                Some(key) => self.set(section, key, Input::Toml(value), &|at| {
                    at.map_or_else(|| place.clone(), |at| text.line(at))
                }),
                None => self.unknown_key(section, key.get_ref(), place),
            }
        }
    }

    fn read_endpoints(&mut self, text: &Text, place: Place, value: &Spanned<DeValue<'_>>) {
        let setting = || "endpoint".to_owned();
        let DeValue::Array(tables) = value.get_ref() else {
            let what = format!("is {}, not a list of tables", type_name(value.get_ref()));
            return self.mistake(place, setting(), what, "write [[endpoint]] with two brackets");
        };
        self.config.endpoints.clear();
        if tables.is_empty() {
            let advice = "write at least one [[endpoint]], or none of it for the default ones";
            return self.mistake(place, setting(), "is empty", advice);
        }
        if tables.len() > ENDPOINTS_MAX {
            let what = format!("occurs {} times", tables.len());
            let advice = format!("write at most {ENDPOINTS_MAX}");
            return self.mistake(place, setting(), what, advice);
        }
        for table in tables {
            let place = text.line(table.span().start);
            match table.get_ref() {
                DeValue::Table(table) => self.read_endpoint(text, &place, table),
                other => {
                    let what = format!("is {}", type_name(other));
                    self.mistake(place, setting(), what, "write [[endpoint]] tables");
                }
            }
        }
    }

    fn read_endpoint(&mut self, text: &Text, header: &Place, table: &DeTable<'_>) {
        let mut endpoint = Endpoint::default();
        let mut places = BTreeMap::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            let place = text.line(key.span().start);
            let Some(field) = endpoint.fields().iter().find(|field| field.key == name) else {
                self.unknown_key("endpoint", name, place);
                continue;
            };
            match endpoint.set(field.key, Input::Toml(value)) {
                Ok(()) => {
                    places.insert(field.key, place);
                }
                Err(problems) => {
                    self.mistakes.extend(problems.into_iter().map(|problem| Mistake {
                        place: problem.at.map_or_else(|| place.clone(), |at| text.line(at)),
                        setting: format!("endpoint.{}", field.key),
                        what: problem.what,
                        advice: problem.advice,
                    }));
                }
            }
        }
        for field in endpoint.fields().iter().filter(|field| field.required) {
            if !table.keys().any(|key| &**key.get_ref() == field.key) {
                let setting = format!("endpoint.{}", field.key);
                let advice = format!("write {} = \"/…\" below this [[endpoint]]", field.key);
                self.mistake(header.clone(), setting, "is missing", advice);
            }
        }
        self.config.endpoints.push(endpoint);
        self.endpoint_places.push(places);
    }

    fn find_key(&self, section: &str, key: &str) -> Option<&'static str> {
        self.setting_names().find(|name| *name == (section, key)).map(|(_, known)| known)
    }

    fn unknown_key(&mut self, section: &str, key: &str, place: Place) {
        let own: Vec<&str> = if section == "endpoint" {
            Endpoint::default().fields().iter().map(|field| field.key).collect()
        } else {
            let of_section = self.setting_names().filter(|(s, _)| *s == section);
            of_section.map(|(_, key)| key).collect()
        };
        let elsewhere = self.setting_names().find(|(_, known)| *known == key);
        let endpoint = Endpoint::default();
        let of_endpoint = endpoint.fields().iter().any(|field| field.key == key);
        let advice = match (elsewhere, closest(key, own.iter().copied())) {
            (Some((other, _)), _) => format!("it belongs to [{other}]"),
            (None, _) if of_endpoint => "it belongs below an [[endpoint]]".to_owned(),
            (None, Some(known)) => format!("did you mean {known}?"),
            (None, None) => format!("there are {}", own.join(", ")),
        };
        let shown = quote_name(key);
        let setting = format!("{section}.{}", shown.trim_matches('"'));
        self.mistake(place, setting, "is not a setting", advice);
    }

    fn advice_for_section(&self, name: &str, value: &DeValue<'_>) -> String {
        let sections = self.config.sections().map(Section::name);
        let elsewhere = self.setting_names().find(|(_, key)| *key == name);
        if let (Some((section, key)), false) = (elsewhere, value.is_table()) {
            return format!("write {key} below [{section}]");
        }
        match closest(name, sections.into_iter().chain(["endpoint"])) {
            Some("endpoint") => "did you mean [[endpoint]]?".to_owned(),
            Some(section) => format!("did you mean [{section}]?"),
            None => format!("there are [{}], [[endpoint]]", sections.join("], [")),
        }
    }
}

/// Section and key of every setting outside `[[endpoint]]`.
fn names(config: &Config) -> Vec<Name> {
    let sections = config.sections().into_iter();
    sections.flat_map(|section| section.fields().iter().map(|f| (section.name(), f.key))).collect()
}
