//! The syntax of single values.

use super::super::rule::Rule;

/// `expected` empty: accepted; otherwise a part of the message.
fn check(rule: Rule, text: &str, expected: &str) {
    match rule.check_text(text) {
        Ok(()) => assert_eq!(expected, "", "{text:?} was accepted"),
        Err(problem) => {
            let message = format!("{}; {}", problem.what, problem.advice);
            assert!(!expected.is_empty() && message.contains(expected), "{text:?}: {message}");
        }
    }
}

#[test]
fn paths() {
    for (path, expected) in [
        ("/", ""),
        ("/ws", ""),
        ("/ws-notifications", ""),
        ("/a/b.c_d~e/F9", ""),
        ("/...", ""),
        ("", "does not begin"),
        ("ws", "does not begin"),
        ("/ws/", "write \"/ws\""),
        ("//", "empty"),
        ("/a//b", "empty"),
        ("/a/../b", "`..`"),
        ("/.", "`.`"),
        ("/ws?x=1", "write the path alone: \"/ws\""),
        ("/ws#x", "fragment"),
        ("/w s", "contains"),
        ("/ü", "contains"),
        ("/{x}", "contains"),
        ("/*", "contains"),
        ("/%77s", "contains"),
        ("/a\u{1b}[2J", "contains"),
        ("/ping", "served by the gateway itself"),
        ("/client.js", "served by the gateway itself"),
    ] {
        check(Rule::Path, path, expected);
    }
    check(Rule::Path, &format!("/{}", "a".repeat(200)), "too long");
}

#[test]
fn origins() {
    for (origin, expected) in [
        ("*", ""),
        ("https://example.com", ""),
        ("HTTP://Example.com:3000", ""),
        ("http://[::1]:8080", ""),
        ("http://127.0.0.1", ""),
        ("capacitor://localhost", ""),
        ("", "not an origin"),
        ("null", "not an origin"),
        ("example.com", "not an origin"),
        ("https://", "no valid host"),
        ("://x", "no valid scheme"),
        ("wss://example.com", "the page's scheme"),
        ("https://example.com/", "write \"https://example.com\""),
        ("https://example.com/a?b", "has a path"),
        ("https://*.example.com", "wildcard"),
        ("https://exämple.com", "punycode"),
        ("https://u@example.com", "no valid host"),
        ("https://example.com:", "no valid port"),
        ("https://example.com:0", "no valid port"),
        ("https://example.com:65536", "no valid port"),
        ("http://[::1", "no valid host"),
        ("http://[::1]x", "no valid host"),
        ("http://::1", "no valid host"),
        ("https://a b", "no valid host"),
        ("https://a\r\nb", "no valid host"),
    ] {
        check(Rule::Origin, origin, expected);
    }
}

#[test]
fn log_filters() {
    for (filter, expected) in [
        ("info", ""),
        ("INFO", ""),
        ("off", ""),
        ("gaugeway=debug,warn", ""),
        ("gaugeway::events=trace", ""),
        ("hyper=warn, info", ""),
        ("hyper", "\"hyper\" is not a level"),
        ("", "is empty"),
        ("info,gaugeway", "\"gaugeway\" is not a level"),
        ("info,", "\"\" is not a level"),
        ("inof", "did you mean \"info\""),
        ("warning", "write \"warn\""),
        ("gaugeway=loud", "not a log filter"),
    ] {
        check(Rule::LogFilter, filter, expected);
    }
}
