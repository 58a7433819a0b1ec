//! Durations as people write them: `"500ms"`, `"30s"`, `"2m"`, `"1h"`, `"1d"`.

use std::time::Duration;

use super::mistake::{Problem, quote};

/// Units and their milliseconds, in the order in which they are tried.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a whole number with a unit. A bare number is refused: nobody can tell whether 30 means
/// seconds or milliseconds, and the difference is an outage.
pub(crate) fn parse(text: &str) -> Result<Duration, Problem> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    if digits.is_empty() {
        let what = if text.starts_with('-') {
            format!("{} is negative", quote(text))
        } else {
            format!("{} is not a duration", quote(text))
        };
        return Err(Problem::new(what, "write a duration such as \"30s\""));
    }
    if unit.is_empty() {
        return Err(Problem::new(
            format!("{} has no unit", quote(text)),
            format!(
                "write \"{0}s\" for seconds, or \"{0}ms\", \"{0}m\", \"{0}h\"",
                quote(digits).trim_matches('"')
            ),
        ));
    }
    let Some((_, unit_ms)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(Problem::new(
            format!("{} is not a duration", quote(text)),
            "write one whole number and one of ms, s, m, h, d, such as \"90m\" or \"1500ms\"",
        ));
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(*unit_ms))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            Problem::new(format!("{} is too long", quote(text)), "write a duration such as \"30s\"")
        })
}

/// Writes a duration of whole milliseconds so that [`parse`] gives it back. Minutes and hours are
/// used from two upwards: `"60s"` reads better beside `"30s"` than `"1m"`.
pub(crate) fn show(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    for (unit, unit_ms) in [("h", 3_600_000), ("m", 60_000)] {
        if ms.is_multiple_of(unit_ms) && ms >= 2 * unit_ms {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_meant() {
        for (text, ms, shown) in [
            ("30s", 30_000, "30s"),
            ("500ms", 500, "500ms"),
            ("1000ms", 1_000, "1s"),
            ("1m", 60_000, "60s"),
            ("2m", 120_000, "2m"),
            ("1h", 3_600_000, "60m"),
            ("1d", 86_400_000, "24h"),
            ("0s", 0, "0s"),
            ("90s", 90_000, "90s"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(ms), "{text}");
            assert_eq!(show(duration), shown);
            assert_eq!(parse(shown).unwrap(), duration);
        }
    }

    #[test]
    fn anything_else_is_refused_with_advice() {
        for (text, what) in [
            ("30", "has no unit"),
            ("-5s", "is negative"),
            ("", "is not a duration"),
            ("s", "is not a duration"),
            ("1.5s", "is not a duration"),
            ("1m30s", "is not a duration"),
            ("30 s", "is not a duration"),
            ("30S", "is not a duration"),
            ("30us", "is not a duration"),
            ("٣s", "is not a duration"),
            ("99999999999999999999s", "is too long"),
            ("18446744073709551615d", "is too long"),
            ("NaN", "is not a duration"),
            ("infs", "is not a duration"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.what.contains(what), "{text}: {problem:?}");
            assert!(problem.advice.starts_with("write "), "{text}: {problem:?}");
        }
    }
}
