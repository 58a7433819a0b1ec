//! RFC 7692 §7.1: offers and answers.

use crate::wire::{AnswerError, Deflate, DeflatePolicy, accept_answer, negotiate, offer};

const POOLED: DeflatePolicy = DeflatePolicy { context_takeover: false };
const TAKEOVER: DeflatePolicy = DeflatePolicy { context_takeover: true };

/// What is answered to `headers` (one per line), by either policy.
#[track_caller]
fn check(headers: &str, pooled: Option<&str>, takeover: Option<&str>) {
    for (policy, expected) in [(POOLED, pooled), (TAKEOVER, takeover)] {
        let agreed = negotiate(headers.lines().map(str::as_bytes), policy);
        let answer = agreed.map(|agreed| agreed.to_string());
        assert_eq!(answer.as_deref(), expected, "{headers:?} with {policy:?}");
    }
}

#[test]
fn offers_that_are_accepted() {
    let pooled = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let plain = "permessage-deflate";
    check("permessage-deflate", Some(pooled), Some(plain));
    check("permessage-deflate; client_max_window_bits", Some(pooled), Some(plain));
    check("permessage-deflate; client_max_window_bits=15", Some(pooled), Some(plain));
    check("permessage-deflate; client_max_window_bits=8", Some(pooled), Some(plain));
    check(" , permessage-deflate ,", Some(pooled), Some(plain));
    check("x-other; a=b, permessage-deflate", Some(pooled), Some(plain));
    check("x-other\npermessage-deflate", Some(pooled), Some(plain));
    check("x-other; a=\"permessage-deflate, \", permessage-deflate", Some(pooled), Some(plain));
    for bits in 9..=15 {
        let window = format!("; server_max_window_bits={bits}");
        let (pooled, plain) = (format!("{pooled}{window}"), format!("{plain}{window}"));
        let unquoted = format!("permessage-deflate{window}");
        check(&unquoted, Some(&pooled), Some(&plain));
        let quoted = format!("permessage-deflate; server_max_window_bits=\"{bits}\"");
        check(&quoted, Some(&pooled), Some(&plain));
    }
    for bits in 9..15 {
        let window = format!("; client_max_window_bits={bits}");
        let (pooled, plain) = (format!("{pooled}{window}"), format!("{plain}{window}"));
        check(&format!("permessage-deflate{window}"), Some(&pooled), Some(&plain));
    }
    check(
        "permessage-deflate; client_no_context_takeover",
        Some(pooled),
        Some("permessage-deflate; client_no_context_takeover"),
    );
    check(
        "permessage-deflate; server_no_context_takeover",
        Some(pooled),
        Some("permessage-deflate; server_no_context_takeover"),
    );
}

#[test]
fn offers_that_are_declined() {
    for header in [
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate2",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=0",
        "permessage-deflate; client_max_window_bits=nine",
        "permessage-deflate;",
        "permessage-deflate; ;",
        "permessage-deflate; =",
        "permessage-deflate; \"",
        "permessage deflate",
    ] {
        check(header, None, None);
    }
}

#[test]
fn the_first_acceptable_offer_wins() {
    let good = "permessage-deflate; server_max_window_bits=10";
    let expected = "permessage-deflate; server_max_window_bits=10";
    let pooled = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10";
    for bad in [
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits=\"10",
    ] {
        let separate = format!("{bad}\n{good}, permessage-deflate");
        check(&separate, Some(pooled), Some(expected));
    }
    let together = format!("permessage-deflate; unknown, {good}, permessage-deflate");
    check(&together, Some(pooled), Some(expected));
}

#[test]
fn our_own_offer_is_accepted_and_its_answer_read() {
    for policy in [POOLED, TAKEOVER] {
        let agreed = negotiate([offer(policy).as_bytes()].into_iter(), policy).unwrap();
        let answer = agreed.to_string();
        let read = accept_answer([answer.as_bytes()].into_iter(), policy);
        assert_eq!(read, Ok(Some(agreed)));
    }
}

#[test]
fn answers() {
    let check = |answer: &str, expected: Result<Option<Deflate>, AnswerError>| {
        let read = accept_answer(answer.lines().map(str::as_bytes), TAKEOVER);
        assert_eq!(read, expected, "{answer:?}");
    };
    check("", Ok(None));
    check("permessage-deflate", Ok(Some(Deflate::default())));
    check(
        "permessage-deflate; server_max_window_bits=8; client_max_window_bits=9",
        Ok(Some(Deflate {
            server_max_window_bits: 8,
            client_max_window_bits: 9,
            server_window_named: true,
            ..Deflate::default()
        })),
    );
    check("x-other", Err(AnswerError::NotOffered));
    check("permessage-deflate, permessage-deflate", Err(AnswerError::NotOffered));
    check("permessage-deflate; =", Err(AnswerError::Malformed));
    check("permessage-deflate; other", Err(AnswerError::Parameters));
    check("permessage-deflate; client_max_window_bits", Err(AnswerError::Parameters));
    check("permessage-deflate; client_max_window_bits=8", Err(AnswerError::Parameters));
    check("permessage-deflate; server_max_window_bits", Err(AnswerError::Parameters));
}
