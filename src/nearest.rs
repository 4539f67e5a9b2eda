//! What was meant by a word that does not exist.

/// The most alike of `known`, best first, at most three; empty where none is like it.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    let mut alike: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|k| {
            let holds = word.len() > 3 && (k.contains(&word) || word.contains(k));
            // The beginning of a name is enough.
            let beginnings = k.match_indices(['-', '_']).map(|(at, _)| &k[..at]).filter(|b| word.len() > 3 && b.len() > 3);
            let from_start = beginnings.map(|b| strsim::damerau_levenshtein(&word, b)).filter(|far| *far <= word.len() / 4).min();
            let far = strsim::damerau_levenshtein(&word, k).min(from_start.map_or(usize::MAX, |far| far + 1));
            (holds || far <= word.len().max(k.len()) / 3).then_some((if holds { far.min(2) } else { far }, k))
        })
        .collect();
    alike.sort_unstable();
    alike.into_iter().map(|(_, k)| k).take(3).collect()
}

/// "; do you mean …?", or nothing.
#[must_use]
pub fn meant(alike: &[&str]) -> String {
    match alike {
        [] => String::new(),
        [one] => format!("; do you mean {one}?"),
        [others @ .., last] => format!("; do you mean {} or {last}?", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_its_neighbours() {
        let known = ["email", "mx", "domain", "eab-kid", "trust-anchor", "starttls-gone", "starttls-refused"];
        for (word, expected) in [
            ("emial", "; do you mean email?"),
            ("trust_anchor", "; do you mean trust-anchor?"),
            ("Trust-Anchors", "; do you mean trust-anchor?"),
            ("domains", "; do you mean domain?"),
            ("startls", "; do you mean starttls-gone or starttls-refused?"),
            ("starttls", "; do you mean starttls-gone or starttls-refused?"),
            ("port", ""),
            ("", ""),
        ] {
            assert_eq!(meant(&nearest(word, known)), expected, "{word}");
        }
    }
}
