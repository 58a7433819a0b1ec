//! The API's keys as the gateway holds them: names and digests, compared in constant time.

use std::fmt;

use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use crate::config::{ApiKey, SECRET_CHARS_MAX};

const SCHEME: &[u8] = b"bearer";

/// Who may use the API. Only digests are kept, so that no dump of the memory shows a secret.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    name: String,
    digest: [u8; 32],
}

/// Why a request was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There was no `Authorization`.
    Missing,
    /// It is not `Bearer` and one word.
    Malformed,
    /// No key has this secret.
    Unknown,
}

impl Denied {
    /// What is wrong, and what to send.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Missing => "a key is needed: send `Authorization: Bearer SECRET`",
            Self::Malformed => {
                "the Authorization header has another form: send `Authorization: Bearer SECRET`"
            }
            Self::Unknown => {
                "no key has this secret: send `Authorization: Bearer SECRET` with one of [api] keys"
            }
        }
    }
}

impl ApiKeys {
    /// Takes the configuration's keys.
    pub fn new(keys: &[ApiKey]) -> Self {
        let entry = |key: &ApiKey| Entry {
            name: key.name.clone(),
            digest: Sha256::digest(key.secret.reveal()).into(),
        };
        Self(keys.iter().map(entry).collect())
    }

    /// There is no key at all. Whether then everybody may is the caller's decision: `check` denies.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of the key that the request's `Authorization` header carries (RFC 6750 §2.1; the
    /// scheme's case does not matter, RFC 9110 §11.1).
    ///
    /// How long it takes depends on the length of what was sent and the number of keys, not on
    /// how much of a secret was guessed, nor on whose it is.
    pub fn check(&self, authorization: Option<&HeaderValue>) -> Result<&str, Denied> {
        let secret = bearer(authorization.ok_or(Denied::Missing)?.as_bytes())?;
        if secret.len() > SECRET_CHARS_MAX {
            return Err(Denied::Unknown);
        }
        let digest: [u8; 32] = Sha256::digest(secret).into();
        // One past the last while nothing has been found.
        let mut found = self.0.len() as u64;
        for (index, entry) in (0_u64..).zip(&self.0) {
            found.conditional_assign(&index, entry.digest.ct_eq(&digest));
        }
        let entry = self.0.get(found as usize).ok_or(Denied::Unknown)?;
        Ok(&entry.name)
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|entry| &entry.name)).finish()
    }
}

/// What follows the scheme: one word of visible ASCII.
fn bearer(value: &[u8]) -> Result<&[u8], Denied> {
    let (scheme, rest) = value.split_at_checked(SCHEME.len()).ok_or(Denied::Malformed)?;
    let secret = rest.trim_ascii_start();
    let has_form = scheme.eq_ignore_ascii_case(SCHEME)
        && rest.first() == Some(&b' ')
        && !secret.is_empty()
        && secret.iter().all(u8::is_ascii_graphic);
    if has_form { Ok(secret) } else { Err(Denied::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    const BACKEND: &str = "0123456789abcdef";
    const CRON: &str = "!#$%&()*+-./;<=>?@[]^_{|}~";

    fn keys() -> ApiKeys {
        let key = |name: &str, secret| ApiKey { name: name.into(), secret: Secret::new(secret) };
        ApiKeys::new(&[key("backend", BACKEND), key("cron", CRON)])
    }

    #[track_caller]
    fn check(value: impl AsRef<[u8]>, expected: Result<&str, Denied>) {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        assert_eq!(keys().check(Some(&value)), expected, "{value:?}");
    }

    #[test]
    fn a_key_is_known_by_its_secret() {
        check(format!("Bearer {BACKEND}"), Ok("backend"));
        check(format!("Bearer {CRON}"), Ok("cron"));
        check(format!("bEARER   {CRON}"), Ok("cron"));
        let none = ApiKeys::new(&[]);
        assert!(none.is_empty() && !keys().is_empty());
        let value = HeaderValue::from_static("Bearer 0123456789abcdef");
        assert_eq!(none.check(Some(&value)), Err(Denied::Unknown));
    }

    #[test]
    fn whoever_has_no_key_learns_what_to_send() {
        assert_eq!(keys().check(None), Err(Denied::Missing));
        for malformed in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer   ",
            "Basic YmFja2VuZDow",
            "0123456789abcdef",
            "Bearer0123456789abcdef",
            "Bearer\t0123456789abcdef",
            "Bearer 0123456789abcdef ",
            "Bearer 01234567 89abcdef",
            "Bearer 0123456789abcdef, Bearer 0123456789abcdef",
            "Bearer 0123456789abcd\u{e9}",
        ] {
            check(malformed, Err(Denied::Malformed));
        }
        for unknown in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdefg",
            "Bearer 0123456789ABCDEF",
            "Bearer backend",
            "Bearer backend:0123456789abcdef",
            &format!("Bearer {}", "a".repeat(60_000)),
        ] {
            check(unknown, Err(Denied::Unknown));
        }
        for denied in [Denied::Missing, Denied::Malformed, Denied::Unknown] {
            assert!(denied.message().contains("send `Authorization: Bearer SECRET`"));
        }
    }

    #[test]
    fn neither_a_secret_nor_its_digest_is_shown() {
        assert_eq!(format!("{:?}", keys()), r#"["backend", "cron"]"#);
    }
}
