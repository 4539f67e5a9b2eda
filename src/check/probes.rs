//! What to ask: few conversations for a baseline, enough for a proof. Pure.

use crate::{
    certificate::KeyType,
    change::{Expect, Want},
    name::DnsName,
    view::{EndpointView, Offer, Probe, Wire},
};
use std::net::SocketAddr;

/// Connections to a listener whose certificate is ours, after the activation: no old process answers unseen.
pub const ENOUGH: usize = 20;

/// The four probes of a baseline: with SNI, without, the RSA certificate, an old hello. [`super::observe`] asks for the
/// ECDSA certificate instead where the first showed RSA, and asks no more where nobody answers.
#[must_use]
pub fn baseline_probes(addr: SocketAddr, wire: Wire, name: &DnsName, domain: Option<&DnsName>) -> Vec<Probe> {
    let probe = |sni, offer| Probe { addr, wire, name: name.clone(), sni, offer, postmaster_of: domain.cloned() };
    vec![probe(true, Offer::Any), probe(false, Offer::Any), probe(true, Offer::Rsa), probe(true, Offer::Legacy)]
}

/// The probes that make the baseline of one expectation, before the change.
#[must_use]
pub fn probes_for(expect: &Expect) -> Vec<Probe> {
    baseline_probes(expect.addr, expect.wire, &expect.name, expect.domain.as_ref())
}

/// The probes after the change: those of the baseline again and, where the certificate shall be ours, each key type with
/// SNI and without, and short conversations up to [`ENOUGH`].
#[must_use]
pub fn proof_probes(expect: &Expect, baseline: &[EndpointView]) -> Vec<Probe> {
    let here = || baseline.iter().map(|v| &v.probe).filter(|p| p.addr == expect.addr);
    let presented = match &expect.want {
        Want::Ours(presented) => presented,
        Want::Former(brought) => {
            let as_before: Vec<Probe> = here().cloned().collect();
            let short = Probe { sni: false, offer: Offer::Any, postmaster_of: None, ..probes_for(expect).swap_remove(0) };
            let enough = if brought.is_empty() { 0 } else { ENOUGH.saturating_sub(as_before.len()) };
            return as_before.into_iter().chain(std::iter::repeat_n(short, enough)).collect();
        }
        Want::Unchanged => return if here().next().is_none() { probes_for(expect) } else { here().cloned().collect() },
    };
    // One address may be asked for several names.
    let named = here().any(|p| p.name == expect.name);
    let mut probes: Vec<Probe> = Vec::new();
    for probe in here().filter(|p| !named || p.name == expect.name).chain(&probes_for(expect)) {
        if !probes.iter().any(|p| same_question(p, probe)) {
            probes.push(Probe { name: expect.name.clone(), ..probe.clone() });
        }
    }
    let short = |sni, offer| Probe { addr: expect.addr, wire: expect.wire, name: expect.name.clone(), sni, offer, postmaster_of: None };
    let offers: Vec<Offer> = presented
        .iter()
        .filter_map(|p| match p.key_type {
            KeyType::Rsa => Some(Offer::Rsa),
            KeyType::Ecdsa => Some(Offer::Ecdsa),
            KeyType::Other => None,
        })
        .chain([Offer::Any])
        .collect();
    let rounds = offers.iter().flat_map(|offer| [short(true, *offer), short(false, *offer)]);
    let missing = ENOUGH.saturating_sub(probes.len());
    probes.extend(rounds.collect::<Vec<_>>().into_iter().cycle().take(missing.max(offers.len() * 2)));
    probes
}

/// The same expectations with every listener as it was just before: what a roll-back has to prove.
#[must_use]
pub fn as_it_was(expect: &[Expect]) -> Vec<Expect> {
    let was = |e: &Expect| match &e.want {
        Want::Ours(brought) => Want::Former([brought.clone(), e.unnamed.clone()].concat()),
        Want::Former(_) | Want::Unchanged => Want::Unchanged,
    };
    expect.iter().map(|e| Expect { want: was(e), unnamed: Vec::new(), ..e.clone() }).collect()
}

/// The view of the same question, of the same name where there is one.
pub(super) fn same<'a>(views: &[&'a EndpointView], probe: &Probe) -> Option<&'a EndpointView> {
    let alike = || views.iter().copied().filter(|v| same_question(&v.probe, probe));
    alike().find(|v| v.probe.name == probe.name).or_else(|| alike().next())
}

/// Whether two probes ask the same of a server, of whatever name.
fn same_question(one: &Probe, other: &Probe) -> bool {
    (one.addr, one.wire, one.sni, one.offer) == (other.addr, other.wire, other.sni, other.offer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{certificate::Digest, change::Presented};

    #[test]
    fn enough_and_of_every_kind() {
        let name: DnsName = "mx.example.test".parse().expect("a name");
        let presented = |key_type| Presented { key_type, spki: Digest::of(b"key"), serial: "01".into() };
        for types in [vec![KeyType::Ecdsa, KeyType::Rsa], vec![KeyType::Rsa]] {
            let expect = Expect {
                addr: ([127, 0, 0, 1], 25).into(),
                wire: Wire::StartTls,
                name: name.clone(),
                domain: Some(name.clone()),
                want: Want::Ours(types.iter().copied().map(presented).collect()),
                unnamed: Vec::new(),
            };
            let probes = proof_probes(&expect, &[]);
            assert_eq!(probes.len(), ENOUGH);
            assert_eq!(probes.iter().filter(|p| p.postmaster_of.is_some()).count(), 4);
            for key_type in types {
                for sni in [true, false] {
                    assert!(probes.iter().any(|p| p.sni == sni && p.offer.key_type() == Some(key_type)), "{key_type} {sni}");
                }
            }
            // Taken back, no connection may still show what the change brought.
            assert_eq!(proof_probes(&as_it_was(&[expect])[0], &[]).len(), ENOUGH);
        }
    }
}
