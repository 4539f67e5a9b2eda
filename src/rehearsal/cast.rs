//! Who plays in a rehearsal: the domains and MX names of the host as far as they are known, else made-up ones; and what the
//! made-up DNS says of them.

use super::dns::{Record, Signing, Table};
use crate::{
    facts::{Facts, Here, MxFacts},
    name::DnsName,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The names of a rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// Mail domains.
    pub domains: Vec<DnsName>,
    /// MX names, all of this host.
    pub mx: Vec<MxFacts>,
    /// Where a name comes from, if DNS does not show it, as the user reads it.
    pub notes: Vec<String>,
}

/// Names for those who have none.
const NOBODY: &str = "example.test";

impl Cast {
    /// Who plays: what is wished, else what a survey saw, else what the server calls itself.
    #[must_use]
    pub fn of(facts: &Facts, domains: &[DnsName], mx: &[DnsName]) -> Self {
        let mut notes = Vec::new();
        let here = |m: &&MxFacts| m.here.value().is_none_or(|here| *here != Here::No);
        let seen: Vec<MxFacts> = facts.mx_hosts.iter().filter(here).cloned().collect();
        let known = |name: &DnsName| facts.mx_hosts.iter().find(|m| m.name == *name).cloned().unwrap_or_else(|| unseen(name));
        let own = || facts.server.value().and_then(|s| s.hostname.value().cloned()).filter(|n| n.parent().is_some());
        let mut domains = match (domains, facts.domains.as_slice()) {
            ([], []) => facts.server.value().and_then(|s| s.receives_for.value().cloned()).unwrap_or_default(),
            ([], seen) => seen.iter().map(|d| d.domain.clone()).collect(),
            (wished, _) => wished.to_vec(),
        };
        let mx = match (mx, seen.is_empty()) {
            ([], false) => seen,
            ([], true) => {
                let name = own().or_else(|| domains.first()?.under("mx").ok()).or_else(|| format!("mx.{NOBODY}").parse().ok());
                notes.extend(name.iter().map(|n| format!("DNS shows no MX name that points here: the rehearsal takes {n}")));
                name.iter().map(unseen).collect()
            }
            (wished, _) => wished.iter().map(known).collect(),
        };
        if domains.is_empty() {
            let of_mx = mx.first().map(|m| m.name.parent().filter(|p| p.parent().is_some()).unwrap_or_else(|| m.name.clone()));
            notes.extend(of_mx.iter().map(|d| format!("no mail domain is known here: the rehearsal takes {d}")));
            domains.extend(of_mx);
        }
        Self { domains, mx, notes }
    }

    /// What the made-up DNS says: every domain's mail goes to every MX name, each is at `addresses`, and published keys are as
    /// they are.
    #[must_use]
    pub fn table(&self, addresses: &[IpAddr], signing: Signing) -> Table {
        let mut table = Table::default();
        for domain in &self.domains {
            table = table.zone(domain, signing);
            for mx in &self.mx {
                table = table.record(domain, Record::Mx(10, mx.name.clone()));
            }
        }
        for mx in &self.mx {
            let zone = mx.name.parent().filter(|p| p.parent().is_some()).unwrap_or_else(|| mx.name.clone());
            table = addresses.iter().fold(table.zone(&zone, signing), |t, ip| t.record(&mx.name, Record::Address(*ip)));
            if let (Some(known), Ok(owner)) = (mx.tlsa.value(), mx.name.under("_25._tcp")) {
                table = known.records.iter().cloned().fold(table, |t, tlsa| t.record(&owner, Record::Tlsa(tlsa)));
            }
        }
        table
    }
}

fn unseen(name: &DnsName) -> MxFacts {
    let unknown = "it is made up for a rehearsal";
    MxFacts {
        name: name.clone(),
        addresses: crate::facts::Known::unknown(unknown),
        here: crate::facts::Known::unknown(unknown),
        tlsa: crate::facts::Known::unknown(unknown),
        caa: crate::facts::Known::unknown(unknown),
    }
}
