//! When a certificate is renewed: at a moment in the window that its CA suggests (RFC 9773 §4.2), else by its lifetime.

use crate::{
    certificate::Certificate,
    facts::{Lineage, Window},
    moment::Moment,
};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Whether a certificate is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Not before this moment, as things stand.
    Later(Moment),
    /// Now: by the CA's window, or by its lifetime.
    Now {
        /// The CA wants it so.
        told: bool,
    },
}

/// Whether `leaf` is to be renewed at `now`.
///
/// The moment in the window is the same in every run, and another one for each certificate: a machine that slept through it
/// renews at once. A window that ends before it starts, or after the certificate, is none (RFC 9773 §4.2).
#[must_use]
pub fn due(leaf: &Certificate, window: Option<&Window>, now: Moment) -> Due {
    let window = window.filter(|w| w.start < w.end && w.end <= leaf.not_after);
    let at = window.map_or_else(|| by_lifetime(leaf), |w| w.start.after(share(leaf, w.end.since(w.start))));
    // A certificate of the future is a clock that was set back, or none at all.
    if now < leaf.not_before || at <= now { Due::Now { told: window.is_some() && at <= now } } else { Due::Later(at) }
}

/// Whether a lineage is to be renewed: its keys were certified together and are renewed together.
#[must_use]
pub fn lineage_due(lineage: &Lineage, now: Moment) -> Due {
    let each = lineage.keys.iter().map(|k| k.leaf.as_ref().map_or(Due::Now { told: false }, |leaf| due(leaf, k.window.as_ref(), now)));
    each.min_by_key(|due| match due {
        Due::Now { told } => (Moment::default(), !told),
        Due::Later(at) => (*at, false),
    })
    .unwrap_or(Due::Now { told: false })
}

/// Whether somebody else should have renewed a certificate by now: a third of the time that is left when it falls due has
/// gone by.
#[must_use]
pub fn is_late(leaf: &Certificate, now: Moment) -> bool {
    let due = by_lifetime(leaf);
    now >= due.after(leaf.not_after.since(due) / 3)
}

/// After two thirds of the lifetime; after half where it is ten days or less.
fn by_lifetime(leaf: &Certificate) -> Moment {
    let life = leaf.not_after.since(leaf.not_before);
    leaf.not_after.before(if life <= 10 * DAY { life / 2 } else { life / 3 })
}

/// A part of `whole` that looks random and is the certificate's own.
fn share(leaf: &Certificate, whole: Duration) -> Duration {
    let seed = u64::from_str_radix(leaf.digest.short(), 16).unwrap_or(0);
    Duration::from_secs(whole.as_secs().saturating_mul(seed) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Digest, KeyType};

    const START: u64 = 1_800_000_000;
    const HOUR: u64 = 3600;

    fn leaf(days: u64) -> Certificate {
        Certificate {
            digest: Digest::of(b"leaf"),
            spki: Digest::of(b"key"),
            spki_sha512: String::new(),
            key_type: KeyType::Ecdsa,
            serial: "01".into(),
            authority: String::new(),
            names: Vec::new(),
            issuer: String::new(),
            self_signed: false,
            not_before: Moment(START),
            not_after: Moment(START + days * 24 * HOUR),
            client_auth: false,
        }
    }

    fn at(hours: u64) -> Moment {
        Moment(START + hours * HOUR)
    }

    #[test]
    fn without_a_window_the_lifetime_tells() {
        for (days, due_at) in [(90, 60 * 24), (64, 1024), (45, 30 * 24), (10, 5 * 24), (6, 3 * 24)] {
            assert_eq!(due(&leaf(days), None, at(due_at - 1)), Due::Later(at(due_at)), "{days} days");
            assert_eq!(due(&leaf(days), None, at(due_at)), Due::Now { told: false }, "{days} days");
            assert_eq!(due(&leaf(days), None, at(days * 24 + 1)), Due::Now { told: false }, "{days} days, expired");
        }
        assert_eq!(due(&leaf(90), None, Moment(START - 1)), Due::Now { told: false }, "of the future");
    }

    #[test]
    fn somebody_else_gets_a_third_of_what_is_left() {
        for (days, late_at) in [(90, 70 * 24), (6, 4 * 24)] {
            assert!(!is_late(&leaf(days), at(late_at - 1)) && is_late(&leaf(days), at(late_at)), "{days} days");
        }
    }

    #[test]
    fn the_window_of_the_ca_comes_first() {
        let window = |start, end| Window { start: at(start), end: at(end), explanation: None, again: at(0) };
        let told = |w: &Window, now| due(&leaf(90), Some(w), now);
        let Due::Later(chosen) = told(&window(100, 200), at(0)) else { panic!("not before the window") };
        assert!(at(100) <= chosen && chosen < at(200), "{chosen}");
        assert_eq!(told(&window(100, 200), chosen.before(Duration::from_secs(1))), Due::Later(chosen));
        assert_eq!(told(&window(100, 200), chosen), Due::Now { told: true });
        assert_eq!(told(&window(100, 200), at(5000)), Due::Now { told: true }, "slept through it");
        assert_eq!(told(&window(2000, 2100), at(1500)), due(&leaf(90), Some(&window(2000, 2100)), at(0)), "later than the lifetime says");
        for nonsense in [window(200, 200), window(200, 100), window(100, 90 * 24 + 1)] {
            assert_eq!(told(&nonsense, at(60 * 24 - 1)), Due::Later(at(60 * 24)), "{nonsense:?}");
        }
        let mut other = leaf(90);
        other.digest = Digest::of(b"another");
        assert_ne!(due(&other, Some(&window(100, 200)), at(0)), Due::Later(chosen), "not all at once");
    }
}
