//! The sheet of all records that are wanted of this host's domains and MX names.

use super::{Data, State, Wanted, dane, sts, tls_rpt};
use crate::{
    facts::{Answer, DomainFacts, Facts, Here, Known, MxFacts, Whereabouts},
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    policy::{Reading, sts_policy::StsPolicy, tls_rpt::Rua},
};
use std::{collections::BTreeMap, net::IpAddr};

/// What the admin asks for beyond what follows from the facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// MX names that are this host's although it cannot see so (behind NAT).
    pub mx: Vec<DnsName>,
    /// Where TLS reports go; empty means to whom they go now, else to each domain's postmaster.
    pub rua: Vec<Rua>,
    /// CAA records that let this CA alone issue for the MX names and policy hosts.
    pub caa: Option<String>,
}

/// What was looked up beside the facts of the survey.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// Addresses of `mta-sts.DOMAIN`, by domain.
    pub policy_hosts: BTreeMap<DnsName, Known<Answer<IpAddr>>>,
    /// The policy that is served there, by domain; missing where nobody is asked for lack of an address.
    pub policies: BTreeMap<DnsName, Known<Reading<StsPolicy>>>,
    /// CAA records that govern `mta-sts.DOMAIN`, by domain.
    pub policy_caa: BTreeMap<DnsName, Known<Answer<String>>>,
    /// MX records of the domains that TLS reports are mailed to.
    pub report_mx: BTreeMap<DnsName, Known<Answer<(u16, DnsName)>>>,
}

/// What is wanted, and what is to be said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// Every record that is wanted, what is required first.
    pub wanted: Vec<Wanted>,
    /// Why records are not proposed, and what is wrong with those of others.
    pub findings: Vec<Finding>,
}

impl Sheet {
    /// What is missing or wrong.
    pub fn open(&self) -> impl Iterator<Item = &Wanted> {
        self.wanted.iter().filter(|w| w.state != State::Right)
    }

    /// Notes where each record lies. A name that is an alias of a dead one gets no second alias.
    pub fn place(&mut self, whereabouts: &BTreeMap<DnsName, Known<Whereabouts>>) {
        for wanted in &mut self.wanted {
            wanted.whereabouts = whereabouts.get(&wanted.owner).and_then(|w| w.value().cloned());
        }
        let dead = |w: &Wanted| matches!(w.data, Data::Cname(_)) && *w.at() != w.owner;
        let (aliases, kept) = std::mem::take(&mut self.wanted).into_iter().partition(dead);
        self.wanted = kept;
        self.findings.extend(aliases.into_iter().map(|w: Wanted| {
            let says = format!("{} is an alias of {}, which has no address", w.owner, w.at());
            Finding::new("mta-sts-not-served", Verdict::Warn, Subject::Domain(w.owner.clone()), says)
                .remedy(Remedy::Do("let it lead to the host that serves the policy, or remove it".into()))
        }));
    }
}

/// Whether an MX name is this host's, all of it or some of its addresses, or is said to be.
pub(super) fn is_ours(mx: &MxFacts, asked: &Asked) -> bool {
    matches!(mx.here.value(), Some(Here::Yes | Here::Partly)) || asked.mx.contains(&mx.name)
}

/// The sheet.
#[must_use]
pub fn sheet(facts: &Facts, sight: &Sight, asked: &Asked) -> Sheet {
    let mut sheet = Sheet::default();
    let ours: Vec<&MxFacts> = facts.mx_hosts.iter().filter(|m| is_ours(m, asked)).collect();
    for domain in &facts.domains {
        if serves(domain, &ours, &mut sheet) {
            tls_rpt::want(domain, sight, asked, &mut sheet);
            sts::want(domain, &ours, sight, asked, &mut sheet);
        }
    }
    for mx in ours {
        dane::want(facts, mx, asked, &mut sheet);
    }
    sheet.wanted.sort_by_key(|w| w.need);
    sheet
}

/// Whether one of our MX names receives for the domain. Other hosts' domains get no records from here.
fn serves(domain: &DomainFacts, ours: &[&MxFacts], sheet: &mut Sheet) -> bool {
    let value = match &domain.mx {
        Known::Seen { value, .. } => value,
        Known::Unknown { why } => {
            sheet.findings.push(tls_rpt::unknown(&domain.domain, "its MX records", why));
            return false;
        }
    };
    if value.records.iter().any(|(_, name)| ours.iter().any(|m| m.name == *name)) {
        return true;
    }
    let names: Vec<String> = value.records.iter().map(|(_, name)| name.to_string()).collect();
    let says = match names.as_slice() {
        [] => format!("{} has no MX record", domain.domain),
        _ => format!("mail for {} goes to {}, and none of that is known to be this host", domain.domain, names.join(", ")),
    };
    let finding = Finding::new("dns-not-ours", Verdict::Unknown, Subject::Domain(domain.domain.clone()), says)
        .means("no records are proposed for it: they would promise what another host has to keep");
    sheet.findings.push(finding.remedy(Remedy::Do("name an MX name of this host with --mx, where that is wrong".into())));
    false
}
