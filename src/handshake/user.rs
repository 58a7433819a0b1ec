//! Who a client says it is: `?user_id=` or `?id=` in the query.

use std::borrow::Cow;

use super::refusal::Refusal;
use crate::telemetry::labels::Outcome;

/// Bytes of a user's name, decoded.
pub const USER_BYTES_MAX: usize = 128;

const TOO_LONG: &str = "is longer than 128 bytes";

const USER_ID: &str = "user_id";
const ID: &str = "id";

/// The user of a query; `None` if it names none. An empty value names none.
///
/// `user_id` and `id` mean the same. Two different names in one query are refused: a gateway that
/// picks one and an application that picks the other would disagree about who the user is.
pub(super) fn user_of(query: Option<&str>) -> Result<Option<Cow<'_, str>>, Refusal> {
    let mut user = None;
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A name that does not decode is not one of ours; the application may know what it is.
        let field = match decode(name).as_deref() {
            Some(b"user_id") => USER_ID,
            Some(b"id") => ID,
            Some(_) | None => continue,
        };
        let value = decode_user(value).map_err(|why| {
            let message = format!("{field} {why}");
            Refusal::new(Outcome::BadUser, message).field(field)
        })?;
        match &user {
            _ if value.is_empty() => {}
            Some(earlier) if *earlier != value => {
                let message = "the query names two different users; send user_id or id, once";
                return Err(Refusal::new(Outcome::BadUser, message).field(field));
            }
            Some(_) | None => user = Some(value),
        }
    }
    Ok(user)
}

/// The refusal of a client that named no user where it must.
pub(super) fn user_required() -> Refusal {
    Refusal::new(Outcome::UserRequired, "this endpoint needs to know the user")
        .field(USER_ID)
        .hint("add ?user_id=NAME to the URL")
}

fn decode_user(encoded: &str) -> Result<Cow<'_, str>, &'static str> {
    // Before decoding: what cannot fit is not worth the work.
    if encoded.len() > 3 * USER_BYTES_MAX {
        return Err(TOO_LONG);
    }
    let decoded = decode(encoded).ok_or("has a percent sign without two hexadecimal digits")?;
    if decoded.len() > USER_BYTES_MAX {
        return Err(TOO_LONG);
    }
    let user = match decoded {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    let user = user.ok_or("is not UTF-8")?;
    check_user(&user)?;
    Ok(user)
}

/// What every user's name must be, however it was sent: at most 128 bytes, without control
/// characters. The error continues a sentence that begins with the field's name. (An empty name is
/// for the caller to judge.)
pub fn check_user(name: &str) -> Result<(), &'static str> {
    if name.len() > USER_BYTES_MAX {
        return Err(TOO_LONG);
    }
    if name.chars().any(char::is_control) {
        return Err("has control characters");
    }
    Ok(())
}

/// Undoes `application/x-www-form-urlencoded`: `+` is a space, `%XX` a byte. `None` for a percent
/// sign without two hexadecimal digits; the usual decoders leave such a one standing, and two
/// programs may then read two names.
pub fn decode(encoded: &str) -> Option<Cow<'_, [u8]>> {
    let mut rest = encoded.as_bytes();
    if !rest.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Some(Cow::Borrowed(rest));
    }
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (digits, tail) = tail.split_first_chunk::<2>()?;
                rest = tail;
                hex(digits[0])? << 4 | hex(digits[1])?
            }
            plain => plain,
        });
    }
    Some(Cow::Owned(decoded))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Result<Option<&str>, &str>) {
        match (user_of(Some(query)), expected) {
            (Ok(user), Ok(expected)) => assert_eq!(user.as_deref(), expected, "{query}"),
            (Err(refusal), Err(part)) => {
                assert!(refusal.message.contains(part), "{query}: {refusal:?}");
                assert_eq!(refusal.outcome, Outcome::BadUser, "{query}");
                assert!(refusal.field.is_some(), "{query}");
            }
            (user, expected) => panic!("{query}: {user:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn the_query_names_the_user() {
        assert_eq!(user_of(None), Ok(None));
        check("", Ok(None));
        check("user_id=42", Ok(Some("42")));
        check("id=anna", Ok(Some("anna")));
        check("a=b&&=&id=anna&c", Ok(Some("anna")));
        check("user%5Fid=42", Ok(Some("42")));
        check("user_id=anna+k%C3%B6nig%2b", Ok(Some("anna k\u{f6}nig+")));
        check("user_id=k\u{f6}nig", Ok(Some("k\u{f6}nig")));
        check("user_id=a=b", Ok(Some("a=b")));
        check("USER_ID=42&uid=1&myid=2&id[]=3", Ok(None));
        check("other=%zz&%=%&id=7", Ok(Some("7")));
    }

    #[test]
    fn an_empty_value_names_nobody() {
        check("user_id", Ok(None));
        check("user_id=", Ok(None));
        check("user_id=&id=anna", Ok(Some("anna")));
        check("id=anna&id=", Ok(Some("anna")));
    }

    #[test]
    fn two_different_users_are_refused() {
        check("user_id=1&id=1&user_id=%31", Ok(Some("1")));
        check("user_id=1&id=2", Err("two different"));
        check("id=2&id=3", Err("two different"));
        check("user_id=1&user_id=1+", Err("two different"));
    }

    #[test]
    fn hostile_values_are_refused() {
        check("id=%", Err("percent"));
        check("id=%4", Err("percent"));
        check("id=%zz", Err("percent"));
        check("id=%+1", Err("percent"));
        check("id=a%00b", Err("control"));
        check("id=a%0d%0ab", Err("control"));
        check("id=%7f", Err("control"));
        check("id=%C2%85", Err("control"));
        check("id=%ff", Err("UTF-8"));
        check("id=%ed%a0%80", Err("UTF-8"));
        check("id=%c0%80", Err("UTF-8"));
        check(&format!("id={}", "a".repeat(1_000_000)), Err("longer"));
    }

    #[test]
    fn the_limit_counts_decoded_bytes() {
        let longest = "a".repeat(USER_BYTES_MAX);
        check(&format!("id={longest}"), Ok(Some(&longest)));
        check(&format!("id={}", "%61".repeat(128)), Ok(Some(&longest)));
        check(&format!("id={longest}a"), Err("longer"));
        check(&format!("id={}", "%61".repeat(129)), Err("longer"));
        check(&format!("id={}", "%C3%B6".repeat(65)), Err("longer"));
    }
}
