//! What runs leave behind for those who look later: what the wire showed, and how a run ended.

use crate::{
    certificate::Certificate,
    finding::{Finding, Verdict},
    moment::Moment,
    view::{EndpointView, Offer},
};
use serde::{Deserialize, Serialize};

/// What the listeners presented when somebody looked last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The change that stood then.
    pub change: String,
    /// One conversation a question.
    pub views: Vec<EndpointView>,
}

impl Observed {
    /// What `views` say of `change`: the last conversation of each question.
    #[must_use]
    pub fn of(change: &str, views: &[EndpointView]) -> Self {
        let mut kept: Vec<EndpointView> = Vec::new();
        for view in views {
            let same = |k: &EndpointView| {
                let (a, b) = (&k.probe, &view.probe);
                (a.addr, a.wire, a.sni, a.offer, &a.name) == (b.addr, b.wire, b.sni, b.offer, &b.name)
            };
            match kept.iter_mut().find(|k| same(k)) {
                Some(known) => *known = view.clone(),
                None => kept.push(view.clone()),
            }
        }
        Self { change: change.to_owned(), views: kept }
    }

    /// When somebody looked last.
    #[must_use]
    pub fn at(&self) -> Option<Moment> {
        self.views.iter().map(|v| v.taken).max()
    }

    /// What is served, each certificate of each address once.
    pub fn served(&self) -> impl Iterator<Item = (&EndpointView, &Certificate)> {
        self.views.iter().filter(|v| v.probe.offer != Offer::Legacy).filter_map(|v| Some((v, v.leaf()?)))
    }

    /// The certificate that ends first.
    #[must_use]
    pub fn first_end(&self) -> Option<&Certificate> {
        self.served().map(|(_, leaf)| leaf).min_by_key(|leaf| leaf.not_after)
    }
}

/// One run of the timer, or of whoever does its work by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it began.
    pub began: Moment,
    /// When it ended; `None` while it runs, or where it died.
    pub ended: Option<Moment>,
    /// Its exit status.
    pub exit: u8,
    /// Its outcome, as in the JSON document.
    pub outcome: String,
    /// What it found.
    pub findings: Vec<Finding>,
}

impl Run {
    /// What of it needs a human: nothing where it ended well.
    #[must_use]
    pub fn needs(&self) -> Vec<Finding> {
        if self.ended.is_some() && self.exit == 0 {
            return Vec::new();
        }
        let bad = |f: &&Finding| matches!(f.verdict, Verdict::Fail | Verdict::Warn);
        let worst: Vec<Finding> = self.findings.iter().filter(bad).cloned().collect();
        if worst.is_empty() { self.findings.iter().filter(|f| f.verdict != Verdict::Pass).cloned().collect() } else { worst }
    }
}
