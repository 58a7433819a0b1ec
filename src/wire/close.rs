//! Close codes and the body of Close frames (RFC 6455 §5.5.1, §7.4).

use super::violation::{ProtocolError, Violation};

/// The longest reason: a control frame's 125 bytes less the code.
const REASON_BYTES_MAX: usize = super::CONTROL_PAYLOAD_BYTES_MAX - 2;

/// Whether a Close frame may carry `code`: those of RFC 6455 §7.4.1 and IANA's registry that are
/// meant for the wire, and the ranges for libraries and applications (3000-4999).
///
/// 1004, 1005, 1006 and 1015 are words of an API about a connection, never sent.
pub const fn valid_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads the payload of a Close frame: code and reason, or `None` for an empty one (which an
/// API reports as 1005).
///
/// Fails on a body of one byte, on a code that may not be sent, on a reason that is not UTF-8.
pub fn parse_close(payload: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(ProtocolError::CloseBodyOfOneByte.into())
        };
    };
    let code = u16::from_be_bytes(*code);
    if !valid_close_code(code) {
        return Err(ProtocolError::CloseCode(code).into());
    }
    match simdutf8::compat::from_utf8(reason) {
        Ok(reason) => Ok(Some((code, reason))),
        Err(error) => Err(Violation::InvalidUtf8 { at: error.valid_up_to() as u64 }),
    }
}

/// Appends the payload of a Close frame to `out`; a reason of more than 123 bytes is cut at the end
/// of a character.
pub fn close_payload(code: u16, reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&code.to_be_bytes());
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    out.extend_from_slice(&reason.as_bytes()[..end]);
}

#[cfg(test)]
mod tests {
    use super::{ProtocolError, Violation, close_payload, parse_close, valid_close_code};

    #[test]
    fn bodies() {
        let check = |payload: &[u8], expected| assert_eq!(parse_close(payload), expected);
        check(b"", Ok(None));
        check(b"\x03", Err(ProtocolError::CloseBodyOfOneByte.into()));
        check(b"\x03\xe8", Ok(Some((1000, ""))));
        check("\u{3}\u{f}".as_bytes(), Err(ProtocolError::CloseCode(0x30f).into()));
        check(b"\x03\xe7", Err(ProtocolError::CloseCode(999).into()));
        check(b"\x0f\xa1bye \xe2\x82\xac", Ok(Some((4001, "bye €"))));
        check(b"\x03\xe8ok\xe2\x82", Err(Violation::InvalidUtf8 { at: 2 }));
    }

    #[test]
    fn codes() {
        let valid: Vec<u16> = (0..=u16::MAX).filter(|&code| valid_close_code(code)).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(valid, expected);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let check = |reason: &str, kept: usize| {
            let mut payload = Vec::new();
            close_payload(1008, reason, &mut payload);
            assert_eq!(parse_close(&payload), Ok(Some((1008, &reason[..kept]))));
        };
        check("", 0);
        check(&"a".repeat(123), 123);
        check(&"a".repeat(124), 123);
        check(&"€".repeat(42), 123);
        check(&format!("a{}", "€".repeat(42)), 121);
    }
}
