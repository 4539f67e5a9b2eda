//! The sheet of records, and what it is made of beside the facts.

use super::{Data, KeptPolicy, State, Wanted};
use crate::{
    facts::{Answer, Known, Whereabouts},
    finding::{Finding, Remedy, Subject, Verdict},
    intent::{ChallengeType, Tell},
    name::DnsName,
    policy::{Fetched, tls_rpt::Rua},
};
use std::{collections::BTreeMap, net::IpAddr};

/// Who may issue, and how it checks (RFC 8659 §4.2, RFC 8657 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The CA, as it calls itself in CAA records.
    pub name: String,
    /// Every challenge that a renewal may come to use.
    pub methods: Vec<ChallengeType>,
}

/// What the admin asks for beyond what follows from the facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// MX names that are this host's although it cannot see so (behind NAT).
    pub mx: Vec<DnsName>,
    /// Where TLS reports go; empty means to whom they go now, else to each domain's postmaster.
    pub rua: Vec<Rua>,
    /// Who alone may issue for the MX names and policy hosts, by CAA records.
    pub caa: Option<Issuer>,
    /// What senders are to be told; empty means all that there is.
    pub tell: Vec<Tell>,
}

/// What was looked up beside the facts of the survey.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// Addresses of `mta-sts.DOMAIN`, by domain.
    pub policy_hosts: BTreeMap<DnsName, Known<Answer<IpAddr>>>,
    /// What senders get there, by domain; missing where it has no address.
    pub policies: BTreeMap<DnsName, Fetched>,
    /// CAA records that govern `mta-sts.DOMAIN`, by domain.
    pub policy_caa: BTreeMap<DnsName, Known<Answer<String>>>,
    /// What this host keeps of the policies that it looks after, by domain.
    pub kept: BTreeMap<DnsName, KeptPolicy>,
    /// Names whose TLSA records come from a wildcard, which a record at the name itself would hide; or why that is not known.
    pub wildcards: BTreeMap<DnsName, Known<bool>>,
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
        // What governs an alias is found where it leads: at an MX name, which has a record of its own, or at a name that is not ours.
        self.wanted.retain(|w| !matches!(w.data, Data::Caa(_)) || *w.at() == w.owner);
        // Two names that are aliases of one have their records once.
        let mut once: Vec<Wanted> = Vec::new();
        for wanted in std::mem::take(&mut self.wanted) {
            if !once.iter().any(|w| w.at() == wanted.at() && w.data == wanted.data) {
                once.push(wanted);
            }
        }
        self.wanted = once;
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
