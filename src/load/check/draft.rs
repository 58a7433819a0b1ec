//! What was asked, as it was written, with the place of each; and what is wrong with it so far.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::keys::Key;
use crate::config::{Mistake, Mistakes, Place, Problem, parse_duration, quote, show_duration};

/// What was asked, from a file and from flags.
#[derive(Debug, Default)]
pub struct Draft {
    given: BTreeMap<&'static str, Vec<Given>>,
    /// Keys with a mistake: nothing more is said about what hangs on them.
    broken: BTreeSet<&'static str>,
    mistakes: Vec<Mistake>,
}

/// One value as it was written.
#[derive(Debug, Clone)]
struct Given {
    place: Place,
    text: String,
}

impl Draft {
    /// Takes these values for a key in place of whatever it had: of file and flags the later wins.
    pub fn give(&mut self, key: &'static Key, values: impl IntoIterator<Item = (Place, String)>) {
        let values = values.into_iter().map(|(place, text)| Given { place, text });
        self.given.insert(key.name, values.collect());
    }

    /// As a flag gives it. A switch has the text `true`.
    pub fn give_flag(&mut self, key: &'static Key, values: impl IntoIterator<Item = String>) {
        let name = if key.name == "url" { "URL".to_owned() } else { format!("--{}", key.name) };
        self.give(key, values.into_iter().map(|text| (Place::Flag(name.clone()), text)));
    }

    /// Notes a mistake about a key, which counts as broken from now on.
    pub fn mistake(&mut self, place: Place, key: &'static str, what: String, advice: String) {
        self.broken.insert(key);
        let setting = key.replace('-', "_");
        self.mistakes.push(Mistake { place, setting, what, advice });
    }

    /// Notes a mistake that is about no key.
    pub fn mistake_in_file(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Notes a mistake where the key was written.
    pub fn wrong(&mut self, key: &'static str, what: impl Into<String>, advice: impl Into<String>) {
        let place = self.place(key);
        self.mistake(place, key, what.into(), advice.into());
    }

    /// Whether it was asked at all, rightly or wrongly.
    pub fn has(&self, key: &'static str) -> bool {
        self.given.contains_key(key) || self.broken.contains(key)
    }

    /// Whether it was asked rightly as far as is known.
    pub fn is_sound(&self, key: &'static str) -> bool {
        !self.broken.contains(key)
    }

    /// Where it was written: a flag's name where it was not.
    pub fn place(&self, key: &'static str) -> Place {
        let first = self.given.get(key).and_then(|given| given.first());
        first.map_or_else(|| Place::Flag(format!("--{key}")), |given| given.place.clone())
    }

    /// Whether it was written in the file and not in a flag.
    pub fn is_in_file(&self, key: &'static str) -> bool {
        self.has(key) && matches!(self.place(key), Place::File { .. })
    }

    /// Forgets a key.
    pub fn forget(&mut self, key: &'static str) {
        self.given.remove(key);
    }

    /// How the user would write it beside the key `near`: as a flag or as a line of the file.
    pub fn spelled(&self, near: &'static str, key: &'static str, value: &str) -> String {
        let takes = Key::named(key).map(|key| key.takes);
        match (self.is_in_file(near), takes) {
            (true, Some(super::Takes::Switch)) => format!("{} = true", key.replace('-', "_")),
            (true, Some(super::Takes::Number)) => format!("{} = {value}", key.replace('-', "_")),
            (true, _) => format!("{} = \"{value}\"", key.replace('-', "_")),
            (false, Some(super::Takes::Switch)) => format!("--{key}"),
            (false, _) => format!("--{key} {value}"),
        }
    }

    /// The switch is on.
    pub fn is_on(&self, key: &'static str) -> bool {
        self.given.contains_key(key)
    }

    /// The value, read by `read`; `None` where there is none or a wrong one.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        self.values(key, read).pop()
    }

    /// All values of a list, each read by `read`; the wrong ones are mistakes.
    pub(super) fn values<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, Problem>,
    ) -> Vec<T> {
        debug_assert!(Key::named(key).is_some(), "{key} is no key");
        let mut values = Vec::new();
        for Given { place, text } in self.given.get(key).cloned().unwrap_or_default() {
            match read(&text) {
                Ok(value) => values.push(value),
                Err(Problem { at: _, what, advice }) => self.mistake(place, key, what, advice),
            }
        }
        values
    }

    /// As it was written.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.value(key, |text| Ok(text.to_owned()))
    }

    /// A whole number within bounds.
    pub fn number(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        self.value(key, |text| {
            let number = without_separators(text).and_then(|digits| digits.parse().ok());
            number.filter(|number| range.contains(number)).ok_or_else(|| {
                let advice =
                    format!("write a whole number from {} to {}", range.start(), range.end());
                Problem::new(format!("{} is not within its bounds", quote(text)), advice)
            })
        })
    }

    /// A number with or without a fraction, above `above` and at most `most`.
    pub fn fraction(&mut self, key: &'static str, above: f64, most: f64) -> Option<f64> {
        self.value(key, |text| {
            let number = without_separators(text).and_then(|digits| digits.parse().ok());
            number.filter(|number: &f64| *number > above && *number <= most).ok_or_else(|| {
                let advice = format!("write a number above {above} and at most {most}");
                Problem::new(format!("{} is not within its bounds", quote(text)), advice)
            })
        })
    }

    /// A time within bounds.
    pub fn time(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.value(key, |text| time_within(text, &range))
    }

    /// All that is wrong, if anything is.
    pub fn finish(self) -> Result<(), Mistakes> {
        Mistakes::collect(self.mistakes).map_or(Ok(()), Err)
    }
}

/// A number without what separates its thousands: `10_000` or `10,000`. `None` where a comma stands
/// elsewhere: `1,5` is one and a half to whoever writes it, and must not become 15.
fn without_separators(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let is_group = |group: &str| group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit());
    let separates = !fraction.contains(',') && groups.all(is_group);
    let digits = first.strip_prefix('-').unwrap_or(first);
    let begins = !whole.contains(',')
        || ((1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()));
    (separates && begins).then(|| text.replace(['_', ','], ""))
}

/// A time such as `30s`, within bounds.
pub(super) fn time_within(
    text: &str,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, Problem> {
    let time = parse_duration(text)?;
    if range.contains(&time) {
        return Ok(time);
    }
    let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
    Err(Problem::new(
        format!("{} is not within its bounds", quote(text)),
        format!("write a time from {least} to {most}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::without_separators;

    #[test]
    fn a_comma_separates_thousands_and_nothing_else() {
        for (text, expected) in [
            ("1000", Some("1000")),
            ("10_000", Some("10000")),
            ("1_0,000", None),
            ("10,000,000", Some("10000000")),
            ("-1,000.5", Some("-1000.5")),
            ("1e5", Some("1e5")),
            ("1,5", None),
            ("1,0000", None),
            ("1000,000", None),
            (",100", None),
            ("100,", None),
            ("0.1,000", None),
        ] {
            assert_eq!(without_separators(text).as_deref(), expected, "{text}");
        }
    }
}
