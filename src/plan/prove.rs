//! What the wire must show after a change: every listener has an expectation.

use crate::{
    change::{Expect, Presented, Want},
    check,
    facts::{Facts, Known, Lineage, LineageKey, Role, Server},
    intent::Intent,
    name::DnsName,
    view::{EndpointView, Offer, Wire},
};
use std::{collections::BTreeMap, net::SocketAddr};

/// An address of this host on which a service answers.
pub(super) struct Place {
    pub(super) addr: SocketAddr,
    pub(super) role: Role,
    wire: Wire,
    /// What we bring is, or will be, presented there.
    pub(super) ours: bool,
}

/// Every address of each service.
pub(super) fn places(facts: &Facts, is_ours: impl Fn(&str) -> bool) -> Vec<Place> {
    // Behind postscreen several programs answer on one address: it is ours where all of them are.
    let mut places: BTreeMap<SocketAddr, Place> = BTreeMap::new();
    for check::Place { addr, wire, service } in check::places(facts) {
        let place = places.entry(addr).or_insert(Place { addr, role: service.role, wire, ours: true });
        place.ours &= is_ours(&service.name);
    }
    places.into_values().collect()
}

/// What a listener of this lineage presents: the certificate of each key.
pub(super) fn presented(lineage: &Lineage) -> Vec<Presented> {
    let one = |k: &LineageKey| Some(Presented { key_type: k.key_type, spki: k.spki.clone(), serial: k.leaf.as_ref()?.serial.clone() });
    lineage.keys.iter().filter_map(one).collect()
}

/// One expectation for each place; that of an MX service is asked for every MX name, of which `served` says who holds it: the
/// first is shown to who sends no name.
pub(super) fn expectations(
    facts: &Facts,
    server: &Server,
    intent: &Intent,
    served: &[(&[DnsName], &Lineage)],
    places: &[Place],
) -> Vec<Expect> {
    let Some((_, first)) = served.first() else { return Vec::new() };
    let names: Vec<(&DnsName, &Lineage)> = served.iter().flat_map(|(names, lineage)| names.iter().map(|n| (n, *lineage))).collect();
    let mut all = Vec::new();
    for &Place { addr, role, wire, ours } in places {
        let asked = if role == Role::Mx { names.len() } else { 1 };
        for &(name, lineage) in names.iter().take(asked) {
            let want = if ours { Want::Ours(presented(lineage)) } else { Want::Unchanged };
            let unnamed = if ours && lineage.name != first.name { presented(first) } else { Vec::new() };
            let domain = if role == Role::Mx { domain_of(facts, server, intent, name) } else { None };
            all.push(Expect { addr, wire, name: name.clone(), domain, want, unnamed });
        }
    }
    all
}

/// The domain whose postmaster the dialogue asks for: one whose MX the name is, else the first that the server receives for.
fn domain_of(facts: &Facts, server: &Server, intent: &Intent, name: &DnsName) -> Option<DnsName> {
    let has = |mx: &Known<crate::facts::Answer<(u16, DnsName)>>| mx.value().is_some_and(|a| a.records.iter().any(|(_, n)| n == name));
    let mut of_name = facts.domains.iter().filter(|d| has(&d.mx)).map(|d| &d.domain);
    let first = of_name.clone().find(|d| intent.domains.contains(d)).or_else(|| of_name.next());
    first.or_else(|| server.receives_for.value().and_then(|d| d.first())).cloned()
}

/// Whether a view shows something else than what is expected of its address: the server has not read what its files say.
pub(super) fn differ(facts: &Facts, expected: &[Expect]) -> bool {
    facts.views.iter().any(|view| {
        let mut at_address = expected.iter().filter(|e| (e.addr, e.wire) == (view.probe.addr, view.probe.wire));
        let first = at_address.next();
        let named = at_address.find(|e| e.name == view.probe.name).or(first);
        match named.map(|e| &e.want) {
            Some(Want::Ours(ours)) => shows_another(view, named.map_or(ours, |e| e.asked_by(&view.probe, ours))),
            Some(Want::Unchanged | Want::Former(_)) | None => false,
        }
    })
}

fn shows_another(view: &EndpointView, ours: &[Presented]) -> bool {
    let asked = |p: &Presented| view.probe.offer.key_type().is_none_or(|t| t == p.key_type);
    if view.probe.offer == Offer::Legacy || !ours.iter().any(asked) || view.greeting.value().is_none() {
        return false;
    }
    view.leaf().is_none_or(|leaf| !ours.iter().any(|p| p.spki == leaf.spki && p.serial == leaf.serial))
}
