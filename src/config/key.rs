//! Keys of the API: `name:secret`. What is wrong with one is said without quoting any of it: a
//! colon that is missing or misplaced makes a secret of whatever stands there.

use std::fmt;

use super::mistake::Problem;
use super::rule::Rule;
use super::value::Word;

/// Names stand in log lines and answers.
const NAME_CHARS_MAX: usize = 64;

/// A shorter secret can be guessed; a longer one is never meant, and each is hashed per request.
const SECRET_CHARS_MIN: usize = 16;

/// So long is the longest secret, in bytes: what is longer needs no comparison.
pub const SECRET_CHARS_MAX: usize = 256;

/// What stands where a secret is.
const MASK: &str = "***";

/// What must stay unknown: nothing that writes values shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes it as it is; keys of the configuration are checked before.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself. Its only uses are to compare it and to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Who may use the API, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Whose key it is: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What is sent as `Authorization: Bearer SECRET`: 16 to 256 visible ASCII characters without
    /// comma, space and quotes.
    pub secret: Secret,
}

impl Word for ApiKey {
    const ACCEPTS: &'static str = "`name:secret` each. Name: 1 to 64 letters, digits, `-`, `_`, \
                                   `.`; secret: 16 to 256 visible ASCII characters without comma, \
                                   space and quotes; each name and each secret once";
    const ADVICE: &'static str = "write \"name:secret\", such as \"backend:\" and the output of \
                                  `openssl rand -hex 24`";
    const SECRET: bool = true;

    fn parse(text: &str, _: Rule) -> Result<Self, Problem> {
        let problem = |what: &str| Err(Problem::new(what, Self::ADVICE));
        let Some((name, secret)) = text.split_once(':') else {
            return problem("has no `:` between name and secret");
        };
        if secret.contains(':') {
            return problem("has more than one `:`");
        }
        if secret == MASK {
            return Err(Problem::new(
                format!("has {MASK} for its secret, which is how `gaugeway config` hides it"),
                "write the secret itself",
            ));
        }
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
            return problem(&format!(
                "has a name that is not 1 to {NAME_CHARS_MAX} characters long"
            ));
        }
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return problem("has a name with other characters than letters, digits, `-`, `_`, `.`");
        }
        if secret.chars().count() < SECRET_CHARS_MIN {
            let what = format!("has a secret of less than {SECRET_CHARS_MIN} characters");
            return problem(&what);
        }
        if secret.chars().count() > SECRET_CHARS_MAX {
            let what = format!("has a secret of more than {SECRET_CHARS_MAX} characters");
            return problem(&what);
        }
        if !secret.chars().all(|c| c.is_ascii_graphic() && !",\"'`".contains(c)) {
            return problem(
                "has a secret with a space, a comma, a quote or a character beyond visible ASCII",
            );
        }
        Ok(Self { name: name.to_owned(), secret: Secret::new(secret) })
    }

    fn show(&self) -> String {
        format!("{}:{}", self.name, self.secret)
    }
}
