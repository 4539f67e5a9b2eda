//! All records that are wanted of this host's domains and MX names.

use super::{
    dane,
    sheet::{Asked, Sheet, Sight},
    sts, tls_rpt,
};
use crate::{
    facts::{DomainFacts, Facts, Here, Known, MxFacts},
    finding::{Finding, Remedy, Subject, Verdict},
    intent::Tell,
};

/// Records that are there bind this host, whatever it wishes to tell.
fn has_records(mx: &MxFacts) -> bool {
    mx.tlsa.value().is_none_or(|a| !a.records.is_empty())
}

/// Whether an MX name is this host's, all of it or some of its addresses, or is said to be.
fn is_ours(mx: &MxFacts, asked: &Asked) -> bool {
    matches!(mx.here.value(), Some(Here::Yes | Here::Partly)) || asked.mx.contains(&mx.name)
}

/// The sheet.
#[must_use]
pub fn sheet(facts: &Facts, sight: &Sight, asked: &Asked) -> Sheet {
    let mut sheet = Sheet::default();
    let ours: Vec<&MxFacts> = facts.mx_hosts.iter().filter(|m| is_ours(m, asked)).collect();
    for domain in &facts.domains {
        if serves(domain, &ours, &mut sheet) {
            if Tell::TlsRpt.is_in(&asked.tell) {
                tls_rpt::want(domain, sight, asked, &mut sheet);
            }
            if Tell::MtaSts.is_in(&asked.tell) {
                sts::want(domain, &ours, sight, asked, &mut sheet);
            }
        }
    }
    for mx in ours.into_iter().filter(|mx| Tell::Dane.is_in(&asked.tell) || has_records(mx)) {
        dane::want(facts, mx, sight, asked, &mut sheet);
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
