//! Comparators, which a profile names: is the present value at least as strong as the wanted one?

use serde::Deserialize;

/// Comparators: is the present value at least as strong as the wanted one?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtLeast {
    /// Only the same text is.
    Same,
    /// `none` < `may` < `encrypt`; legacy switches are counted in.
    Level,
    /// A number that is not smaller.
    Number,
    /// Whatever is set.
    Set,
    /// A list of hosts that holds `*`.
    Everyone,
    /// A list of protocols that admits nothing older than the wanted one.
    Floor,
}

impl AtLeast {
    /// Whether the present value is at least as strong as the wanted one; `None` is not set.
    #[must_use]
    pub fn holds(self, present: Option<&str>, want: &str) -> bool {
        let present = present.unwrap_or_default();
        let number = |t: &str| t.trim().parse::<u32>().ok();
        match self {
            Self::Same => present == want,
            Self::Set => !present.is_empty(),
            Self::Everyone => present.split([':', ';', ' ']).any(|item| item == "*"),
            Self::Number => number(present) >= number(want),
            Self::Level => rank(present) >= rank(want),
            Self::Floor => modern_only(present),
        }
    }
}

fn rank(level: &str) -> u8 {
    match level {
        "may" => 1,
        "encrypt" => 2,
        _ => 0,
    }
}

/// Whether a list of protocols admits nothing older than TLS 1.2 (postconf(5) smtpd_tls_mandatory_protocols).
fn modern_only(list: &str) -> bool {
    let words: Vec<&str> = list.split([' ', ',', ':', '\t']).filter(|w| !w.is_empty()).collect();
    let has = |w: &str| words.iter().any(|x| x.eq_ignore_ascii_case(w));
    if has(">=TLSv1.2") || has(">=TLSv1.3") {
        return true;
    }
    let admits = words.iter().filter(|w| !w.starts_with(['!', '>', '<'])).count();
    if admits > 0 {
        return words
            .iter()
            .filter(|w| !w.starts_with(['!', '>', '<']))
            .all(|w| w.eq_ignore_ascii_case("TLSv1.2") || w.eq_ignore_ascii_case("TLSv1.3"));
    }
    has("!TLSv1") && has("!TLSv1.1") && has("!SSLv3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stronger_values_stay() {
        for (how, present, want, holds) in [
            (AtLeast::Same, Some("/a"), "/a", true),
            (AtLeast::Same, None, "/a", false),
            (AtLeast::Set, Some("no"), "yes", true),
            (AtLeast::Set, None, "yes", false),
            (AtLeast::Everyone, Some("!192.0.2.1 : *"), "*", true),
            (AtLeast::Everyone, Some("192.0.2.0/24 : *.example.org"), "*", false),
            (AtLeast::Number, Some("2"), "1", true),
            (AtLeast::Number, Some("0"), "1", false),
            (AtLeast::Level, Some("encrypt"), "may", true),
            (AtLeast::Level, Some(""), "may", false),
            (AtLeast::Floor, Some(">=TLSv1.2"), ">=TLSv1.2", true),
            (AtLeast::Floor, Some(">=TLSv1"), ">=TLSv1.2", false),
            (AtLeast::Floor, Some("!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"), ">=TLSv1.2", true),
            (AtLeast::Floor, Some("!SSLv2, !SSLv3"), ">=TLSv1.2", false),
            (AtLeast::Floor, Some("TLSv1.2, TLSv1.3"), ">=TLSv1.2", true),
            (AtLeast::Floor, Some("TLSv1, TLSv1.2"), ">=TLSv1.2", false),
            (AtLeast::Floor, Some(""), ">=TLSv1.2", false),
        ] {
            assert_eq!(how.holds(present, want), holds, "{how:?} {present:?}");
        }
    }
}
