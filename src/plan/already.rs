//! A host that is good already: somebody else keeps a certificate that senders can verify. It is not touched.

use super::{is_of, prove::Place, tlsa};
use crate::{
    certificate::{Certificate, KeyType},
    facts::{Facts, Lineage, Role, Server},
    finding::{Finding, Subject, Verdict},
    intent::{Certificates, Intent},
    maintain::{Due, due},
    mta::profile::Profile,
    name::DnsName,
    view::{EndpointView, Judged, Offer},
};
use std::collections::BTreeSet;

/// The note that nothing is to be done, where every MX listener that answers presents, with SNI and without, what a new
/// certificate would bring: trusted, for every MX name, not due, as TLSA says; and nothing else is wished.
pub(super) fn good(
    facts: &Facts,
    intent: &Intent,
    server: &Server,
    profile: &Profile,
    mx: &[DnsName],
    lineage: Option<&Lineage>,
    places: &[Place],
) -> Option<Finding> {
    // Whoever says what becomes of it wants more than that it stays.
    if intent.existing.is_some()
        || intent.certificates == Certificates::Each
        || !intent.with.is_empty()
        || lineage.is_some_and(|l| is_installed(l, facts, server) || !is_of(l, intent))
        || profile.dialect.hides_certificates(server)
    {
        return None;
    }
    // Whoever sends a name of ours that was not asked for may be served another certificate.
    if mx.len() > 1 && super::sni::tables(server, profile.dialect, intent).next().is_some() {
        return None;
    }
    let mut served: Vec<&Certificate> = Vec::new();
    for place in places.iter().filter(|p| p.role == Role::Mx && p.ours) {
        let views: Vec<_> = facts.views.iter().filter(|v| v.probe.addr == place.addr && v.probe.offer != Offer::Legacy).collect();
        if views.is_empty() {
            return None;
        }
        if views.iter().all(|v| v.silent()) {
            continue;
        }
        let seen = |sni| views.iter().any(|v| v.probe.sni == sni && v.probe.offer == Offer::Any && v.leaf().is_some());
        let good = |v: &&EndpointView| v.leaf().is_none_or(|leaf| is_good(facts, v, leaf, mx));
        let types: BTreeSet<KeyType> = views.iter().filter_map(|v| v.leaf()).map(|leaf| leaf.key_type).collect();
        let wished = intent.key_types.is_none_or(|wish| wish.list().iter().all(|t| types.contains(t)));
        if !seen(true) || !seen(false) || !views.iter().all(good) || !wished {
            return None;
        }
        served.extend(views.iter().filter_map(|v| v.leaf()));
    }
    let first = served.iter().min_by_key(|leaf| leaf.not_after)?;
    let keeper = facts.foreign.iter().find(|f| f.leaf.digest == first.digest);
    let kept = match keeper.map(|f| (f.keeper.as_str(), f.chain.display())) {
        Some(("file", chain)) => format!("it is kept in {chain} by somebody else"),
        Some((keeper, chain)) => format!("{keeper} keeps it in {chain}"),
        None => "somebody else keeps it".to_owned(),
    };
    let says = format!("every MX listener presents a certificate that senders can verify, until {}; {kept}", first.not_after);
    Some(
        Finding::new("good-already", Verdict::Pass, Subject::Mx(mx.first()?.clone()), says)
            .means("nothing is ordered, changed or renewed here as long as that stays so"),
    )
}

fn is_good(facts: &Facts, view: &EndpointView, leaf: &Certificate, mx: &[DnsName]) -> bool {
    let Some(tls) = view.tls.value() else { return false };
    let told = mx.iter().all(|name| tlsa::told(facts, name).is_none_or(|told| told.accepts(facts, &tls.chain)));
    tls.trusted.value() == Some(&Judged::Good)
        && mx.iter().all(|name| leaf.covers(name))
        && matches!(due(leaf, None, facts.now), Due::Later(_))
        && told
}

/// Whether the server's files name what is ours, or the wire shows it: then it is judged as ours.
fn is_installed(lineage: &Lineage, facts: &Facts, server: &Server) -> bool {
    let live: Vec<String> = lineage.live_files().map(|path| path.display().to_string()).collect();
    let named = server.services.iter().flat_map(|s| s.settings.values()).any(|e| live.iter().any(|path| e.value.contains(path)));
    let ours = |leaf: &Certificate| lineage.keys.iter().any(|k| k.leaf.as_ref().is_some_and(|l| l.digest == leaf.digest));
    named || facts.views.iter().filter_map(EndpointView::leaf).any(ours)
}
