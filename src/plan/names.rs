//! Which names the certificate must hold.

use super::Refusal;
use crate::{
    certificate::Certificate,
    facts::{Facts, Here, Known, MxFacts},
    finding::{Finding, Subject, Verdict},
    intent::Intent,
    name::DnsName,
    view::{EndpointView, Judged},
};

/// The names, and those that had to be left out.
pub(super) struct Names {
    /// MX names of this host.
    pub(super) mx: Vec<DnsName>,
    /// Every name of the certificate, the MX names first.
    pub(super) all: Vec<DnsName>,
    /// Names of trusted certificates in use that cannot be validated here, as those certificates write them.
    pub(super) left_out: Vec<String>,
    /// What the admin should know of it.
    pub(super) notes: Vec<Finding>,
}

/// MX names of this host, as wished or measured.
pub(super) fn mx(facts: &Facts, intent: &Intent) -> Result<Vec<DnsName>, Refusal> {
    let mut mx = if intent.mx.is_empty() { measured(facts, intent)? } else { intent.mx.clone() };
    // A lineage keeps its name, whatever the order of the records is today.
    if let Some(first) = mx.iter().position(|n| facts.lineages.iter().any(|l| l.name == *n)) {
        mx[..=first].rotate_right(1);
    }
    Ok(mx)
}

/// The MX names, and the names of every trusted certificate that is replaced by others than `kept`.
pub(super) fn wanted(facts: &Facts, intent: &Intent, mx: Vec<DnsName>, kept: &[&Certificate]) -> Names {
    let (mut all, mut left_out, mut notes) = (mx.clone(), Vec::new(), Vec::new());
    for text in replaced(facts, intent).flat_map(|c| &c.names) {
        let name = text.parse::<DnsName>().ok();
        if name.as_ref().is_some_and(|n| all.contains(n)) || left_out.contains(text) || kept.iter().any(|c| c.names.contains(text)) {
            continue;
        }
        match name {
            Some(name) if points_here(facts, &name) => all.push(name),
            _ => {
                notes.push(
                    Finding::new(
                        "name-left-out",
                        Verdict::Warn,
                        Subject::Host,
                        format!("the certificate in use also holds {text}, which cannot be validated on this host"),
                    )
                    .means("the new certificate does not hold it; services for mail programs (465, 587) that present the old one keep it"),
                );
                left_out.push(text.clone());
            }
        }
    }
    Names { mx, all, left_out, notes }
}

/// Trusted certificates that the server presents or names, ours left out.
fn replaced<'a>(facts: &'a Facts, intent: &'a Intent) -> impl Iterator<Item = &'a Certificate> {
    let trusted = |v: &&EndpointView| v.tls.value().is_some_and(|t| t.trusted.value() == Some(&Judged::Good));
    let ours = |c: &&Certificate| facts.lineages.iter().flat_map(|l| &l.keys).any(|k| k.spki == c.spki && k.leaf.is_some());
    let kept = facts.foreign.iter().filter(|f| f.in_use && f.trusted).map(|f| &f.leaf);
    let beside = facts.companions_among(&intent.with).flat_map(|c| &c.reads).filter(|f| f.trusted).map(|f| &f.leaf);
    kept.chain(beside).chain(facts.views.iter().filter(trusted).filter_map(EndpointView::leaf)).filter(move |c| !ours(c))
}

fn points_here(facts: &Facts, name: &DnsName) -> bool {
    let mx = facts.mx_hosts.iter().map(|m| (&m.name, &m.here));
    let others = facts.other_names.iter().map(|n| (&n.name, &n.here));
    mx.chain(others).any(|(n, here)| n == name && here.value() == Some(&Here::Yes))
}

fn measured(facts: &Facts, intent: &Intent) -> Result<Vec<DnsName>, Refusal> {
    let of_wished = |m: &&MxFacts| {
        intent.domains.is_empty()
            || facts
                .domains
                .iter()
                .filter(|d| intent.domains.contains(&d.domain))
                .any(|d| d.mx.value().is_some_and(|a| a.records.iter().any(|(_, n)| *n == m.name)))
    };
    let candidates: Vec<&MxFacts> = facts.mx_hosts.iter().filter(of_wished).collect();
    if candidates.is_empty() {
        let all = facts.domains.iter().map(|d| match &d.mx {
            Known::Seen { .. } => d.domain.to_string(),
            Known::Unknown { why } => format!("{}: {why}", d.domain),
        });
        let all: Vec<String> = all.collect();
        return Err(Refusal::NoMx(if all.is_empty() { "no domain is known; name one with --domain".to_owned() } else { all.join(", ") }));
    }
    let here: Vec<DnsName> = candidates.iter().filter(|m| m.here.value() == Some(&Here::Yes)).map(|m| m.name.clone()).collect();
    if here.is_empty() {
        let why = candidates.iter().map(|m| match &m.here {
            Known::Seen { value: Here::Partly, .. } => format!("{} has other addresses too", m.name),
            Known::Seen { .. } => format!("{} points elsewhere", m.name),
            Known::Unknown { why } => format!("{}: {why}", m.name),
        });
        return Err(Refusal::NotHere(why.collect::<Vec<_>>().join(", ")));
    }
    Ok(here)
}
