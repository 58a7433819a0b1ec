//! "Did you mean": the known name that is nearest to an unknown one.

/// Longer words are nobody's typing mistake, and the distance costs the product of both lengths.
const WORD_BYTES_MAX: usize = 80;

/// The candidate within a third of the word's length (at least one edit), the nearest first.
pub(super) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let edits_max = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let edits = strsim::damerau_levenshtein(&word, &candidate.to_ascii_lowercase());
            (edits, candidate)
        })
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
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
            ("port", None),
            ("", None),
        ] {
            assert_eq!(closest(word, keys), expected, "{word}");
        }
        assert_eq!(closest(&"listen".repeat(100_000), keys), None);
    }
}
