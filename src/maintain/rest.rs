//! How long a renewal that failed rests before it is tried again. Pure.

use crate::{finding::Finding, moment::Moment};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// From so many failures in a row on, so many hours of rest, and why.
const TABLE: &[(u32, u32, &str)] = &[
    (1, 1, "a restart is over by then, and a CA counts five failed validations of a name an hour"),
    (2, 3, "every run of the timer tries: most troubles of a night end in it"),
    (4, 8, "somebody has been told; three tries a day see the repair within hours"),
    (10, 24, "days of failures do not end by asking more often, and CAs shut out who does"),
];

/// What is kept of a renewal that failed, for each lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Failures in a row.
    pub failures: u32,
    /// The last of them.
    pub failed: Moment,
    /// Not tried again before.
    pub until: Moment,
    /// The CA itself asked for it.
    pub asked: bool,
    /// The trouble mostly ends by itself: the CA is away, or busy.
    pub passing: bool,
    /// What went wrong last, in words.
    pub finding: Finding,
}

impl Rest {
    /// After one more failure: as the table says, sooner where the certificate ends soon (a twelfth of what is `left` of it, but
    /// an hour), and never before the moment that the CA named.
    #[must_use]
    pub fn after(before: Option<&Self>, left: Duration, asked: Option<Moment>, passing: bool, finding: Finding, now: Moment) -> Self {
        let failures = before.map_or(0, |b| b.failures).saturating_add(1);
        let hours = TABLE.iter().rev().find(|(from, ..)| *from <= failures).map_or(1, |(_, hours, _)| *hours);
        let until = now.after((HOUR * hours).min(left / 12).max(HOUR));
        let asked = asked.filter(|at| *at > now);
        Self { failures, failed: now, until: asked.map_or(until, |at| at.max(until)), asked: asked.is_some(), passing, finding }
    }

    /// Whether it still rests. Somebody who insists waits only for the CA; a clock that was set back ends it.
    #[must_use]
    pub fn holds(&self, insists: bool, now: Moment) -> bool {
        self.failed <= now && now < self.until && (self.asked || !insists)
    }

    /// Whether somebody should hear of it: what mostly ends by itself is given a second try.
    #[must_use]
    pub const fn is_news(&self) -> bool {
        !self.passing || self.failures > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Subject, Verdict};

    const NOW: Moment = Moment(1_800_000_000);

    fn after(failures: u32, left_hours: u32, asked: Option<u64>) -> Rest {
        let finding = || Finding::new("renewal-failed", Verdict::Warn, Subject::Host, "");
        let before = Rest { failures, failed: NOW, until: NOW, asked: false, passing: true, finding: finding() };
        let asked = asked.map(|hours| NOW.after(HOUR * u32::try_from(hours).unwrap()));
        Rest::after((failures > 0).then_some(&before), HOUR * left_hours, asked, true, finding(), NOW)
    }

    #[test]
    fn the_longer_it_fails_the_longer_it_rests() {
        const MONTH: u32 = 30 * 24;
        for (failures, left, asked, hours) in [
            (0, MONTH, None, 1),
            (1, MONTH, None, 3),
            (2, MONTH, None, 3),
            (3, MONTH, None, 8),
            (9, MONTH, None, 24),
            (u32::MAX, MONTH, None, 24),
            (9, 72, None, 6),
            (9, 6, None, 1),
            (9, 0, None, 1),
            (0, MONTH, Some(48), 48),
            (9, 6, Some(48), 48),
            (9, MONTH, Some(2), 24),
        ] {
            assert_eq!(after(failures, left, asked).until, NOW.after(HOUR * hours), "{failures} failures, {left} h left, asked {asked:?}");
        }
        assert!(TABLE.is_sorted() && TABLE.iter().all(|(.., why)| why.len() > 20));
    }

    #[test]
    fn who_insists_waits_for_the_ca_alone() {
        let (ours, theirs) = (after(1, 720, None), after(1, 720, Some(48)));
        let at = |hours: u32| NOW.after(HOUR * hours);
        for (rest, insists, now, holds) in [
            (&ours, false, at(2), true),
            (&ours, false, at(3), false),
            (&ours, true, at(0), false),
            (&theirs, true, at(47), true),
            (&theirs, true, at(48), false),
            (&theirs, false, Moment(NOW.0 - 1), false),
        ] {
            assert_eq!(rest.holds(insists, now), holds, "{insists} {now}");
        }
        assert!(!after(0, 720, None).is_news() && after(1, 720, None).is_news());
    }
}
