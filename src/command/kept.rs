//! What runs leave in the Store for those who look later: what was seen, how the last one went, what rests after a failure.

use crate::{
    acme,
    facts::Lineage,
    finding::{Finding, Remedy, Subject, Verdict},
    maintain::{Observed, Rest, Run},
    name::DnsName,
    view::EndpointView,
    world::{self, Store},
};

pub(super) const RUN: &str = "watch/run.json";
const OBSERVED: &str = "watch/observed.json";

/// What the listeners present is kept, with the change that stands; of those that were not asked stays what was known. What
/// cannot be kept is no reason to stop.
pub(super) fn observed(store: &Store, change: &str, views: &[EndpointView]) {
    let known = last_observed(store, change).unwrap_or_default();
    let _ = store.save(OBSERVED, &Observed::of(change, &[&known.views, views].concat()));
}

/// What was kept of the change that stands.
pub(super) fn last_observed(store: &Store, change: &str) -> Option<Observed> {
    store.load::<Observed>(OBSERVED).ok().flatten().filter(|kept| kept.change == change)
}

/// The last run of `renew`.
pub(super) fn last_run(store: &Store) -> Option<Run> {
    store.load(RUN).ok().flatten()
}

fn rest_of(name: &DnsName) -> String {
    format!("watch/rest-{name}.json")
}

/// What is kept of a renewal that failed.
pub(super) fn rest(store: &Store, name: &DnsName) -> Option<Rest> {
    store.load(rest_of(name)).ok().flatten()
}

/// The renewal came.
pub(super) fn rested(store: &Store, name: &DnsName) {
    let _ = store.remove(rest_of(name));
}

/// The renewal failed once more: what is said of it, and when it is tried again.
pub(super) fn failed(store: &Store, lineage: &Lineage, trouble: &acme::Trouble) -> Rest {
    use crate::topics::Explained as _;
    let now = world::now();
    let asked = if let acme::Trouble::RateLimited { until, .. } = trouble { *until } else { None };
    let passing = ["ca-unreachable", "ca-broken", "ca-late", "ca-rate-limit"].contains(&trouble.topic());
    let verdict = if passing { Verdict::Warn } else { Verdict::Fail };
    let ends = lineage.keys.iter().filter_map(|k| k.leaf.as_ref()).map(|l| l.not_after).min();
    let (says, means) = match ends {
        Some(ends) => (
            "the certificate is due and could not be renewed".to_owned(),
            format!("senders that verify refuse it from {} on, unless it is renewed before", ends.day()),
        ),
        None => (format!("no certificate for {} was got yet", lineage.name), "what is to be served under that name is not".to_owned()),
    };
    let finding = Finding::new("renewal-failed", verdict, Subject::Mx(lineage.name.clone()), says)
        .seen(trouble.to_string())
        .means(means)
        .remedy(Remedy::Command("mxseal renew --force".into()));
    let left = ends.unwrap_or_default().since(now);
    let rest = Rest::after(rest(store, &lineage.name).as_ref(), left, asked, passing, finding, now);
    let _ = store.save(rest_of(&lineage.name), &rest);
    rest
}

/// A run began. Where it dies, this stays.
pub(super) fn began(store: &Store) {
    let _ = store.save(RUN, &Run { began: world::now(), ..Run::default() });
}
