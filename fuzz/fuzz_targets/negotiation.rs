//! Negotiation: never a crash, and an answer is one that our own client's side accepts.
//!
//! Lines of the input are header values; the first byte chooses the policy.

#![no_main]

use gaugeway::wire::{DeflatePolicy, accept_answer, negotiate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((policy, headers)) = data.split_first() else {
        return;
    };
    let policy = DeflatePolicy {
        context_takeover: policy & 1 != 0,
    };
    let headers = || headers.split(|&byte| byte == b'\n');
    if let Some(agreed) = negotiate(headers(), policy) {
        assert!((9..=15).contains(&agreed.server_max_window_bits));
        assert!((9..=15).contains(&agreed.client_max_window_bits));
        assert!(policy.context_takeover || agreed.server_no_context_takeover);
        assert!(policy.context_takeover || agreed.client_no_context_takeover);
        let answer = agreed.to_string();
        let read = accept_answer([answer.as_bytes()].into_iter(), policy);
        assert_eq!(read, Ok(Some(agreed)));
    }
    let _ = accept_answer(headers(), policy);
});
