//! Parameters of queries and paths: decoded strictly, and none that is unknown.

use std::borrow::Cow;

use super::problem::{Code, Problem};
use crate::handshake::{check_user, decode_form};

/// The parameters of a query, each at most once and each of the expected ones.
pub(super) struct Query<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Query<'q> {
    /// Reads a query of which these parameters are known.
    pub(super) fn read(query: Option<&'q str>, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(Cow<'_, str>, _)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).map_err(|why| {
                let message = format!("the name of a query parameter {why}");
                Problem::new(Code::BadParameter, message).field("query")
            })?;
            if !known.contains(&&*name) {
                return Err(unknown(&name, known));
            }
            if pairs.iter().any(|(earlier, _)| *earlier == name) {
                return Err(wrong(&name, "is given twice").hint("give it once"));
            }
            let value = decode(value).map_err(|why| wrong(&name, why))?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter, if it was sent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(own, _)| own == name)?;
        Some(value)
    }

    /// The value of a parameter that is read by a type's own rules, which `must` says in words.
    pub(super) fn parse<T: std::str::FromStr>(
        &self,
        name: &str,
        must: &str,
        fits: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        // `from_str` of numbers would take a plus sign.
        let read = if value.starts_with('+') { None } else { value.parse().ok() };
        match read.filter(fits) {
            Some(read) => Ok(Some(read)),
            None => Err(wrong(name, &format!("must be {must}"))),
        }
    }
}

/// The error of a parameter; `why` continues a sentence that begins with its name.
pub(super) fn wrong(name: &str, why: &str) -> Problem {
    Problem::new(Code::BadParameter, format!("{name} {why}")).field(name)
}

/// A user's name in the path.
pub(super) fn user_of_path(encoded: &str) -> Result<String, Problem> {
    let user = path_segment(encoded).map_err(|why| wrong("user", why))?;
    check_user_name(&user).map_err(|why| wrong("user", why))?;
    Ok(user)
}

/// A user's name that must not be empty: see [`check_user`].
pub(super) fn check_user_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty: name the user");
    }
    check_user(name)
}

/// In a path a plus sign is itself, otherwise it is encoded as in a form (RFC 3986 §2.1).
fn path_segment(encoded: &str) -> Result<String, &'static str> {
    decode(&encoded.replace('+', "%2B")).map(Cow::into_owned)
}

fn decode(encoded: &str) -> Result<Cow<'_, str>, &'static str> {
    let decoded =
        decode_form(encoded).ok_or("has a percent sign without two hexadecimal digits")?;
    let text = match decoded {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    text.ok_or("is not UTF-8")
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let message = format!("there is no query parameter {}", quoted(name));
    let problem = Problem::new(Code::BadParameter, message).field(shortened(name));
    match known {
        [] => problem.hint("this route takes none"),
        known => problem.hint(format!("there are {}", known.join(", "))),
    }
}

/// What a stranger wrote, in quotes and without control characters, short enough for a message.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

pub(super) fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Result<&str, (&str, &str)>) {
        match (Query::read(Some(query), &["user", "limit"]), expected) {
            (Ok(query), Ok(user)) => assert_eq!(query.get("user").unwrap_or("-"), user),
            (Err(problem), Err((field, part))) => {
                let shown = format!("{problem:?}");
                assert!(shown.contains(&format!("field: Some({field:?})")), "{shown}");
                assert!(shown.contains(part), "{shown}");
            }
            (Ok(_), Err(expected)) => panic!("{query} is good, but {expected:?} was expected"),
            (Err(problem), Ok(_)) => panic!("{query}: {problem:?}"),
        }
    }

    #[test]
    fn a_query_has_known_parameters_once() {
        check("", Ok("-"));
        check("&&", Ok("-"));
        check("user=a+b%2B%C3%B6&limit=1", Ok("a b+\u{f6}"));
        check("%75ser=a", Ok("a"));
        check("user", Ok(""));
        check("users=a", Err(("users", "there are user, limit")));
        check("user=a&user=a", Err(("user", "twice")));
        check("user=%zz", Err(("user", "percent sign")));
        check("user=%ff", Err(("user", "UTF-8")));
        check("%ff=a", Err(("query", "UTF-8")));
        check(&"x".repeat(1000), Err((&format!("{}…", "x".repeat(64)), "no query parameter")));
    }

    #[test]
    fn numbers_are_read_strictly() {
        let limit = |text: &str| {
            let query = format!("limit={text}");
            let query = Query::read(Some(&query), &["limit"]).unwrap_or_else(|_| panic!("{text}"));
            query.parse::<usize>("limit", "a number from 1 to 9", |limit| (1..=9).contains(limit))
        };
        assert!(matches!(limit("9"), Ok(Some(9))));
        for wrong in ["0", "10", "", "%2B5", "-1", "5.0", " 5", "0x5", &"9".repeat(100)] {
            let problem = limit(wrong).expect_err(wrong);
            assert!(format!("{problem:?}").contains("limit must be a number from 1 to 9"));
        }
    }

    #[test]
    fn a_user_in_a_path_may_be_any_name() {
        let user = |encoded: &str| user_of_path(encoded).map_err(|problem| format!("{problem:?}"));
        assert_eq!(user("a+b%2Fc%20%C3%B6").as_deref(), Ok("a+b/c \u{f6}"));
        for (encoded, part) in
            [("", "empty"), ("%00", "control"), ("%f", "percent"), (&"a".repeat(129), "longer")]
        {
            assert!(user(encoded).is_err_and(|why| why.contains(part)), "{encoded}");
        }
    }
}
