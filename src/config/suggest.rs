//! "Did you mean": the known name that is nearest to an unknown one.

/// Longer words are nobody's typing mistake, and the distance costs the product of both lengths.
const WORD_BYTES_MAX: usize = 80;

/// From this Jaro-Winkler similarity (0 to 1) upwards an abbreviation is taken for its word.
const SIMILARITY_MIN: f64 = 0.9;

/// The nearest candidate within a third of the word's length in edits (at least one); else the one
/// that the word seems to abbreviate (`max_conns`).
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let edits_max = (word.chars().count() / 3).max(1);
    let mut nearest: Option<(usize, &str)> = None;
    let mut likest: Option<(f64, &str)> = None;
    for candidate in candidates {
        let known = candidate.to_ascii_lowercase();
        let edits = strsim::damerau_levenshtein(&word, &known);
        if edits <= edits_max && nearest.is_none_or(|(fewest, _)| edits < fewest) {
            nearest = Some((edits, candidate));
        }
        let similarity = strsim::jaro_winkler(&word, &known);
        if similarity >= SIMILARITY_MIN && likest.is_none_or(|(most, _)| similarity > most) {
            likest = Some((similarity, candidate));
        }
    }
    nearest.map(|(_, candidate)| candidate).or(likest.map(|(_, candidate)| candidate))
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn finds_slips_and_nothing_else() {
        let keys = ["ping_interval", "pong_wait", "listen"];
        for (word, expected) in [
            ("ping_intervall", Some("ping_interval")),
            ("pingInterval", Some("ping_interval")),
            ("PONG_WAIT", Some("pong_wait")),
            ("lisetn", Some("listen")),
            ("ping", None),
            ("ping_int", Some("ping_interval")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(closest(word, keys), expected, "{word}");
        }
        assert_eq!(closest(&"listen".repeat(100_000), keys), None);
    }
}
