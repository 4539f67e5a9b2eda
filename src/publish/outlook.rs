//! What senders are told after the proof, as an outlook: what can be said of it before there is a certificate. Pure.

use crate::{
    facts::{DomainFacts, Facts, Here, MxFacts, Security},
    finding::{Finding, Subject, Verdict},
    intent::Tell,
    name::DnsName,
};

/// More names than that are counted where another note tells them.
pub(super) const FEW: usize = 4;

/// What could be told of this host: what a wizard proposes.
#[must_use]
pub fn can_tell(facts: &Facts, mx: &[DnsName]) -> Vec<Tell> {
    let ours = ours(facts, mx);
    let domains = domains(facts, &ours);
    let possible = |tell: &Tell| match tell {
        Tell::TlsRpt | Tell::MtaSts => !domains.is_empty(),
        Tell::Dane => ours.iter().any(|mx| is_signed(mx)),
        Tell::Nothing => false,
    };
    Tell::ALL.into_iter().filter(possible).collect()
}

/// The domains whose mail comes to an MX name of this host, by what is seen or said.
#[must_use]
pub fn domains_here<'a>(facts: &'a Facts, mx: &[DnsName]) -> Vec<&'a DomainFacts> {
    domains(facts, &ours(facts, mx))
}

/// The note of a plan that says what follows the proof; `None` where nothing is to be told. `policies` are the domains that have a
/// policy then, `how` says by whom the records are published.
#[must_use]
pub fn outlook(facts: &Facts, mx: &[DnsName], tell: &[Tell], policies: &[&DnsName], how: &str) -> Option<Finding> {
    let ours = ours(facts, mx);
    let domains = domains(facts, &ours);
    let mut parts = Vec::new();
    for what in can_tell(facts, mx).into_iter().filter(|what| what.is_in(tell)) {
        parts.push(match what {
            Tell::TlsRpt => format!("where to report how TLS went, for {}", few(domains.iter().map(|d| &d.domain))),
            Tell::Dane => format!("the keys of {}, for DANE", list(ours.iter().filter(|mx| is_signed(mx)).map(|mx| &mx.name))),
            Tell::MtaSts if policies.is_empty() => continue,
            Tell::MtaSts => format!("the MTA-STS policy of {}, once it is served", few(policies.iter().copied())),
            Tell::Nothing => continue,
        });
    }
    if parts.is_empty() {
        return None;
    }
    let says = format!("once the proof stands, senders can be told: {}", parts.join("; "));
    Some(Finding::new("tell-planned", Verdict::Pass, Subject::Host, says).means(how))
}

/// The MX names of this host, by what is seen or said.
pub(super) fn ours<'a>(facts: &'a Facts, mx: &[DnsName]) -> Vec<&'a MxFacts> {
    facts.mx_hosts.iter().filter(|m| matches!(m.here.value(), Some(Here::Yes | Here::Partly)) || mx.contains(&m.name)).collect()
}

/// The domains whose mail comes to one of them.
pub(super) fn domains<'a>(facts: &'a Facts, ours: &[&MxFacts]) -> Vec<&'a DomainFacts> {
    let is_here = |d: &&DomainFacts| d.mx.value().is_some_and(|a| a.records.iter().any(|(_, n)| ours.iter().any(|m| m.name == *n)));
    facts.domains.iter().filter(is_here).collect()
}

fn is_signed(mx: &MxFacts) -> bool {
    mx.addresses.value().is_some_and(|a| a.security == Security::Secure) && mx.here.value() != Some(&Here::Partly)
}

fn list<'a>(names: impl Iterator<Item = &'a DnsName>) -> String {
    names.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Domains by name where they are few; all of them are among the facts, and their policies are told by name.
fn few<'a>(domains: impl ExactSizeIterator<Item = &'a DnsName>) -> String {
    if domains.len() > FEW { format!("{} domains", domains.len()) } else { list(domains) }
}
