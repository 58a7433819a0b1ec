//! How each type of setting is read from TOML or plain text, and written as TOML.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::duration;
use super::mistake::{Problem, quote};
use super::rule::Rule;

/// Elements of one list; beyond that a list is a mistake, and each costs a comparison per handshake.
const LIST_MAX: usize = 1_000;

/// A value as it was written.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    /// In the file.
    Toml(&'a Spanned<DeValue<'a>>),
    /// In the environment or on the command line.
    Text(&'a str),
}

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// What is accepted where the setting has no rule of its own, in words.
    const ACCEPTS: &'static str;

    /// Reads it; every problem that the value has.
    fn read(input: Input<'_>, rule: Rule) -> Result<Self, Vec<Problem>>;

    /// As TOML; `None`: not set.
    fn toml(&self) -> Option<String>;
}

/// A value that is written as a string.
pub(super) trait Word: Sized {
    /// What is accepted, in words.
    const ACCEPTS: &'static str;
    /// What to write when something else than a string was found.
    const ADVICE: &'static str;
    /// It must not be quoted in a message; its place in a list says which one is meant.
    const SECRET: bool = false;

    fn parse(text: &str, rule: Rule) -> Result<Self, Problem>;

    fn show(&self) -> String;

    /// The problem of a TOML value that is not a string.
    fn wrong_type(value: &DeValue<'_>) -> Problem {
        Problem::new(format!("is {}", type_name(value)), Self::ADVICE)
    }
}

impl<T: Word> Value for T {
    const ACCEPTS: &'static str = T::ACCEPTS;

    fn read(input: Input<'_>, rule: Rule) -> Result<Self, Vec<Problem>> {
        match input {
            Input::Text(text) => T::parse(unquote(text), rule),
            Input::Toml(value) => match value.get_ref() {
                DeValue::String(text) => T::parse(text, rule),
                other => Err(T::wrong_type(other)),
            },
        }
        .map_err(|problem| vec![problem])
    }

    fn toml(&self) -> Option<String> {
        Some(toml_string(&self.show()))
    }
}

impl Value for bool {
    const ACCEPTS: &'static str = "true or false";

    fn read(input: Input<'_>, _: Rule) -> Result<Self, Vec<Problem>> {
        let problem = |what| Err(vec![Problem::new(what, "write true or false")]);
        match input {
            Input::Text("true") => Ok(true),
            Input::Text("false") => Ok(false),
            Input::Text(other) => problem(format!("{} is not a switch", quote(other))),
            Input::Toml(value) => match value.get_ref() {
                DeValue::Boolean(on) => Ok(*on),
                other => problem(format!("is {}", type_name(other))),
            },
        }
    }

    fn toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for u64 {
    const ACCEPTS: &'static str = "a whole number, 0 or more";

    fn read(input: Input<'_>, rule: Rule) -> Result<Self, Vec<Problem>> {
        let wrong = |what: String| Problem::new(what, format!("write a whole number: {rule}"));
        let number = match input {
            Input::Text(text) => read_integer(&text.replace('_', ""), 10, rule)
                .ok_or_else(|| wrong(format!("{} is not a whole number", quote(text)))),
            Input::Toml(value) => match value.get_ref() {
                DeValue::Integer(integer) => read_integer(integer.as_str(), integer.radix(), rule)
                    .ok_or_else(|| wrong(format!("{} is not a number", show_integer(integer)))),
                DeValue::String(text) => Err(wrong(format!("{} is a string", quote(text)))),
                other => Err(wrong(format!("is {}", type_name(other)))),
            },
        };
        let number = number.and_then(|number| number);
        number.map_err(|problem| vec![problem])
    }

    fn toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// `None`: no integer at all. Negative and huge ones are out of the rule's range.
fn read_integer(digits: &str, radix: u32, rule: Rule) -> Option<Result<u64, Problem>> {
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(match u64::from_str_radix(digits, radix) {
        Ok(number) => rule.check_number(number).map(|()| number),
        Err(_) => Err(rule.out_of_range(digits)),
    })
}

fn show_integer(integer: &DeInteger<'_>) -> String {
    quote(&integer.to_string())
}

/// Narrower whole numbers, whose rules keep them within the type.
macro_rules! narrow {
    ($($type:ty),*) => {$(
        impl Value for $type {
            const ACCEPTS: &'static str = u64::ACCEPTS;

            fn read(input: Input<'_>, rule: Rule) -> Result<Self, Vec<Problem>> {
                let number = u64::read(input, rule)?;
                Self::try_from(number).map_err(|_| vec![rule.out_of_range(&number.to_string())])
            }

            fn toml(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

narrow!(usize, u32);

impl<T: Word> Value for Vec<T> {
    const ACCEPTS: &'static str = T::ACCEPTS;

    /// In the environment and in flags: separated by commas, none of which occurs in an element.
    fn read(input: Input<'_>, rule: Rule) -> Result<Self, Vec<Problem>> {
        let mut elements = Self::new();
        let mut problems = Vec::new();
        let mut number = 0;
        let mut keep = |element: Result<T, Problem>, at| {
            number += 1;
            match element {
                Ok(element) => elements.push(element),
                Err(mut problem) => {
                    if T::SECRET {
                        problem.what = format!("element {number} {}", problem.what);
                    }
                    problems.push(Problem { at, ..problem });
                }
            }
        };
        match input {
            Input::Text(text) if text.trim().is_empty() => {}
            Input::Text(text) if text.trim_start().starts_with('[') => {
                let advice = "write the elements with commas between, without brackets";
                let shown = if T::SECRET { "the value".to_owned() } else { quote(text) };
                return Err(vec![Problem::new(format!("{shown} has brackets"), advice)]);
            }
            Input::Text(text) => {
                for element in text.split(',') {
                    keep(T::parse(unquote(element.trim()), rule), None);
                }
            }
            Input::Toml(value) => {
                let DeValue::Array(array) = value.get_ref() else {
                    let what = format!("is {}", type_name(value.get_ref()));
                    return Err(vec![Problem::new(what, "write a list: [\"…\", \"…\"]")]);
                };
                for element in array {
                    let read = match element.get_ref() {
                        DeValue::String(text) => T::parse(text, rule),
                        other => Err(T::wrong_type(other)),
                    };
                    keep(read, Some(element.span().start));
                }
            }
        }
        if elements.len() > LIST_MAX {
            let what = format!("has {} elements", elements.len());
            problems.push(Problem::new(what, format!("write at most {LIST_MAX}")));
        }
        if problems.is_empty() { Ok(elements) } else { Err(problems) }
    }

    fn toml(&self) -> Option<String> {
        let elements: Vec<String> = self.iter().map(|e| toml_string(&e.show())).collect();
        Some(format!("[{}]", elements.join(", ")))
    }
}

impl<T: Value> Value for Option<T> {
    const ACCEPTS: &'static str = T::ACCEPTS;

    fn read(input: Input<'_>, rule: Rule) -> Result<Self, Vec<Problem>> {
        T::read(input, rule).map(Some)
    }

    fn toml(&self) -> Option<String> {
        self.as_ref().and_then(T::toml)
    }
}

impl Word for String {
    const ACCEPTS: &'static str = "any text";
    const ADVICE: &'static str = "write a string in quotes";

    fn parse(text: &str, rule: Rule) -> Result<Self, Problem> {
        rule.check_text(text).map(|()| text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Word for Duration {
    const ACCEPTS: &'static str = "any duration";
    const ADVICE: &'static str = "write a duration such as \"30s\"";

    fn parse(text: &str, rule: Rule) -> Result<Self, Problem> {
        let time = duration::parse(text)?;
        rule.check_time(time).map(|()| time)
    }

    fn show(&self) -> String {
        duration::show(*self)
    }

    fn wrong_type(value: &DeValue<'_>) -> Problem {
        if let DeValue::Integer(number) = value
            && let Err(problem) = duration::parse(&number.to_string())
        {
            return problem;
        }
        Problem::new(format!("is {}", type_name(value)), Self::ADVICE)
    }
}

impl Word for SocketAddr {
    const ACCEPTS: &'static str = "an IP address with a port; port 0 takes any free one";
    const ADVICE: &'static str =
        "write an address and a port: \"127.0.0.1:8080\" or \"[::1]:8080\"";

    fn parse(text: &str, _: Rule) -> Result<Self, Problem> {
        text.parse().map_err(|_| {
            let port = text.strip_prefix(':').unwrap_or(text);
            let advice = if text.parse::<IpAddr>().is_ok() {
                "write the port too: \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned()
            } else if port.parse::<u16>().is_ok() {
                format!("write \"127.0.0.1:{port}\", or \"0.0.0.0:{port}\" for every interface")
            } else {
                Self::ADVICE.to_owned()
            };
            Problem::new(format!("{} is not an address with a port", quote(text)), advice)
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Word for IpNet {
    const ACCEPTS: &'static str = "addresses (\"10.0.0.7\") and networks (\"10.0.0.0/8\")";
    const ADVICE: &'static str = "write a network: \"10.0.0.0/8\", \"10.0.0.7\" or \"fd00::/8\"";

    /// Bits beyond the prefix are refused: `10.0.0.7/8` trusts sixteen million addresses where
    /// perhaps one was meant.
    fn parse(text: &str, _: Rule) -> Result<Self, Problem> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::from(address));
        }
        let network: Self = text
            .parse()
            .map_err(|_| Problem::new(format!("{} is not a network", quote(text)), Self::ADVICE))?;
        if network.trunc() != network {
            return Err(Problem::new(
                format!("{} has bits beyond its prefix", quote(text)),
                format!("write \"{}\" or \"{}\"", network.trunc(), network.addr()),
            ));
        }
        Ok(network)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// The type of a TOML value with its article.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Removes the quotes that Docker's `--env-file` leaves and that TOML's habit puts into `--set`.
fn unquote(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// A TOML basic string in which everything that a terminal would obey is escaped.
pub(super) fn toml_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
            quoted.push(c);
        } else if c != '\'' && c.escape_debug().count() > 1 {
            // Writing to a string cannot fail.
            let _ = write!(quoted, "\\U{:08X}", u32::from(c));
        } else {
            quoted.push(c);
        }
    }
    quoted.push('"');
    quoted
}
