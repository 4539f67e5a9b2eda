//! Whether what a run found is news to the admin. Pure.

use crate::{
    finding::{Finding, Verdict},
    moment::Moment,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// What the admin was told last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub at: Moment,
    /// What needed a human then; empty where all was well.
    pub findings: Vec<Finding>,
    /// How often the end of the certificate had come nearer: see [`nearness`].
    pub near: u8,
}

/// Why the admin is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Something needs a human that was not so before, or in another way.
    Changed,
    /// Nothing needs a human any more.
    Well,
    /// It is as it was, and the certificate's end has come nearer.
    Nearer,
}

/// What is to be told of `findings`, which need a human.
#[must_use]
pub fn news(told: &Told, findings: &[Finding], near: u8) -> Option<News> {
    let (before, now) = (keys(&told.findings), keys(findings));
    match (before == now, now.is_empty()) {
        (true, true) => None,
        (false, true) => Some(News::Well),
        (false, false) => Some(News::Changed),
        (true, false) => (near > told.near).then_some(News::Nearer),
    }
}

/// What makes two situations the same: what is wrong with what, not in which words.
fn keys(findings: &[Finding]) -> BTreeSet<(&str, String, Verdict)> {
    findings.iter().map(|f| (f.id.as_str(), f.subject.to_string(), f.verdict)).collect()
}

/// How near the end of a certificate is: 1 where a third of its lifetime is left, 2 from a sixth, 3 from a twelfth on.
#[must_use]
pub fn nearness(not_before: Moment, not_after: Moment, now: Moment) -> u8 {
    let (life, left) = (not_after.since(not_before), not_after.since(now));
    let reached = |part: u32| u8::from(left <= life / part && life > Duration::ZERO);
    reached(3) + reached(6) + reached(12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Subject;

    fn finding(id: &str, verdict: Verdict) -> Finding {
        Finding::new(id, verdict, Subject::Host, "")
    }

    #[test]
    fn what_is_as_it_was_is_no_news() {
        let (drift, other) = (finding("drift", Verdict::Warn), finding("served-other", Verdict::Fail));
        let worse = finding("drift", Verdict::Fail);
        let reworded = drift.clone().seen("another line");
        for (before, near_then, now, near, expected) in [
            (vec![], 0, vec![], 3, None),
            (vec![], 0, vec![drift.clone()], 0, Some(News::Changed)),
            (vec![drift.clone()], 0, vec![reworded], 0, None),
            (vec![drift.clone()], 0, vec![worse], 0, Some(News::Changed)),
            (vec![drift.clone()], 0, vec![drift.clone(), other.clone()], 0, Some(News::Changed)),
            (vec![drift.clone(), other.clone()], 0, vec![drift.clone()], 0, Some(News::Changed)),
            (vec![drift.clone()], 1, vec![drift.clone()], 1, None),
            (vec![drift.clone()], 1, vec![drift.clone()], 2, Some(News::Nearer)),
            (vec![drift], 1, vec![], 2, Some(News::Well)),
        ] {
            let told = Told { at: Moment(1), findings: before, near: near_then };
            assert_eq!(news(&told, &now, near), expected, "{told:?} {now:?}");
        }
    }

    #[test]
    fn the_end_comes_nearer() {
        let near = |hours: u64| nearness(Moment(0), Moment(120 * 3600), Moment(hours * 3600));
        for (hours, expected) in [(0, 0), (79, 0), (80, 1), (99, 1), (100, 2), (109, 2), (110, 3), (120, 3), (130, 3)] {
            assert_eq!(near(hours), expected, "{hours}");
        }
        assert_eq!(nearness(Moment(0), Moment(0), Moment(5)), 0, "of no certificate");
    }
}
