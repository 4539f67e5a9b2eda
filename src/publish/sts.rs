//! MTA-STS: the policy host's name, the record, and the policy that fits what is served now.

use super::{
    Data, Need, State, Wanted,
    sheet::{Asked, Issuer, Sheet, Sight},
    tls_rpt::unknown,
};
use crate::{
    facts::{DomainFacts, Known, MxFacts},
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    policy::{
        Fetched, Published, Reading,
        caa::{Caa, permits},
        mta_sts::StsRecord,
        sts_policy::{Mode, MxPattern, StsPolicy, TESTING_AGE},
    },
};
use std::net::IpAddr;

/// The policy for a domain whose mail goes to these MX hosts: what is served now with every host in it, or one that is to be
/// tried. The mode that is served stays, and so does its age.
#[must_use]
pub fn policy_for(served: Option<&StsPolicy>, mx: &[DnsName]) -> StsPolicy {
    let mut policy = served.cloned().unwrap_or(StsPolicy { mode: Mode::Testing, mx: Vec::new(), max_age: TESTING_AGE });
    for name in mx {
        if !policy.covers(name) {
            policy.mx.push(MxPattern::of(name.clone()));
        }
    }
    policy
}

/// Wants the name of the policy host where there is none and, once a policy is served, the record that announces it: the
/// file comes before the TXT (RFC 8461 §8.1).
pub(super) fn want(domain: &DomainFacts, ours: &[&MxFacts], sight: &Sight, asked: &Asked, sheet: &mut Sheet) {
    let (Ok(owner), Ok(host)) = (domain.domain.under("_mta-sts"), domain.domain.under("mta-sts")) else { return };
    let texts = match &domain.mta_sts {
        Known::Seen { value, .. } => &value.records,
        Known::Unknown { why } => return sheet.findings.push(unknown(&owner, "its TXT records", why)),
    };
    let published = StsRecord::published(texts);
    policy_host(domain, &host, ours, sight, sheet);
    certificate(domain, &host, sight, asked, sheet);
    let served = match sight.policies.get(&domain.domain) {
        Some(Fetched::Policy { reading, unasked }) => {
            sheet.findings.extend(unasked_of(&domain.domain, unasked));
            strict(domain, reading, sheet)
        }
        Some(Fetched::Nothing(why)) => return sheet.findings.push(not_served(domain, why, &published)),
        Some(Fetched::Untold(why)) => return sheet.findings.push(untold(&domain.domain, why)),
        None => return sheet.findings.push(not_served(domain, &format!("{host} has no address"), &published)),
    };
    let Some(served) = served else { return };
    sheet.findings.extend(uncovered(domain, &served));
    let mut add = |need, state, text: String, why: String| {
        sheet.wanted.push(Wanted { owner: owner.clone(), data: Data::Txt(text), need, state, why, whereabouts: None });
    };
    let kept = sight.kept.get(&domain.domain).filter(|k| k.policy == served);
    // A policy that is left has had its record.
    if kept.is_some_and(|k| k.policy.mode == Mode::None) && published == Published::Absent {
        return;
    }
    let old = || State::instead(texts, StsRecord::is);
    let text = served.record().text();
    // What the new record announces may not be there for all (RFC 8461 §8.1).
    let changes = !matches!(published, Published::Absent) && published.strict() != Some(&served.record());
    if changes && sight.policies.get(&domain.domain).is_some_and(|fetched| !fetched.is_from_all()) {
        return;
    }
    match published {
        Published::One(_, reading) if kept.is_some_and(|k| reading.strict().is_some_and(|r| *r != k.policy.record())) => {
            add(
                Need::Required,
                old(),
                text,
                "the policy changed: senders fetch it again when the id is another than the one they know".into(),
            );
        }
        Published::One(there, reading) if reading.strict().is_some() => {
            add(Need::Recommended, State::Right, there, "it announces the policy to senders".into());
        }
        Published::One(_, reading) => {
            let faults: Vec<&str> = reading.remarks.iter().filter(|r| r.fails).map(|r| r.says.as_str()).collect();
            add(Need::Required, old(), text, format!("senders refuse the one that is there, and see no policy: {}", faults.join("; ")));
        }
        Published::Several(count) => {
            add(Need::Required, old(), text, format!("there are {count} such records, which senders take for none, so they see no policy"));
        }
        Published::Absent => {
            let why =
                "the policy is served, and nobody knows of it: this makes senders that verify look for it, and again when the id changes";
            add(Need::Recommended, State::Missing, text, why.into());
        }
    }
}

/// The policy as every sender reads it, else why some do not.
fn strict(domain: &DomainFacts, reading: &Reading<StsPolicy>, sheet: &mut Sheet) -> Option<StsPolicy> {
    if let Some(policy) = reading.strict() {
        return Some(policy.clone());
    }
    let mut finding = Finding::new(
        "mta-sts-policy-wrong",
        Verdict::Fail,
        Subject::Domain(domain.domain.clone()),
        format!("senders refuse the MTA-STS policy that is served for {}", domain.domain),
    );
    for remark in reading.remarks.iter().filter(|r| r.fails) {
        let line = if remark.line == 0 { String::new() } else { format!("line {}: ", remark.line) };
        finding = finding.seen(format!("{line}{} ({})", remark.says, remark.section));
    }
    let remedy = Remedy::Command(format!("mxseal policy show --domain {}", domain.domain));
    sheet.findings.push(finding.means("they deliver as if there were none, or by the one they still know").remedy(remedy));
    None
}

fn policy_host(domain: &DomainFacts, host: &DnsName, ours: &[&MxFacts], sight: &Sight, sheet: &mut Sheet) {
    match sight.policy_hosts.get(&domain.domain) {
        Some(Known::Seen { value, .. }) if value.records.is_empty() => {
            let receives = |m: &&&MxFacts| domain.mx.value().is_some_and(|a| a.records.iter().any(|(_, n)| *n == m.name));
            let Some(mx) = ours.iter().find(receives) else { return };
            let why = format!(
                "senders fetch the policy from https://{host}/, so that name must lead to the host that serves it, here or elsewhere"
            );
            let (need, state, data) = (Need::Recommended, State::Missing, Data::Cname(mx.name.clone()));
            sheet.wanted.push(Wanted { owner: host.clone(), data, need, state, why, whereabouts: None });
        }
        Some(Known::Unknown { why }) => sheet.findings.push(unknown(host, "its addresses", why)),
        _ => {}
    }
}

/// CAA for the policy host, where it was asked for. An alias has no other record, and what governs is found where it leads: at the
/// MX name (RFC 8659 §3).
fn certificate(domain: &DomainFacts, host: &DnsName, sight: &Sight, asked: &Asked, sheet: &mut Sheet) {
    if sheet.wanted.iter().any(|w| w.owner == *host && matches!(w.data, Data::Cname(_))) {
        return;
    }
    if let (Some(issuer), Some(governing)) = (&asked.caa, sight.policy_caa.get(&domain.domain)) {
        want_caa(host, governing, issuer, sheet);
    }
}

/// The CAA record of exactly this name: nothing above it changes (RFC 8659 §3).
pub(super) fn want_caa(name: &DnsName, governing: &Known<crate::facts::Answer<String>>, issuer: &Issuer, sheet: &mut Sheet) {
    let records: Vec<Caa> = match governing {
        Known::Seen { value, .. } => value.records.iter().filter_map(|r| r.parse().ok()).collect(),
        Known::Unknown { why } => return sheet.findings.push(unknown(name, "its CAA records", why)),
    };
    let methods: Vec<&str> = issuer.methods.iter().map(|m| m.name()).collect();
    let (issuer, ours) = (&issuer.name, Caa::issue(&issuer.name, &methods));
    let forbidden: Vec<&str> = methods.iter().copied().filter(|method| !permits(&records, issuer, method)).collect();
    let (need, state, why) = match (records.iter().any(|c| c.tag == "issue"), forbidden.is_empty()) {
        (false, true) => (Need::Recommended, State::Missing, format!("only {issuer} may issue a certificate for this name")),
        (true, true) => (Need::Recommended, State::Right, format!("{issuer} may issue a certificate for this name, and not everybody")),
        (_, false) if forbidden.len() < methods.len() => {
            let how = forbidden.join(" and ");
            (
                Need::Recommended,
                State::Missing,
                format!("what governs this name now lets {issuer} issue, but not by {how}, which a renewal may need"),
            )
        }
        (_, false) => {
            (Need::Required, State::Missing, format!("what governs this name now forbids {issuer} to issue, so the next renewal fails"))
        }
    };
    sheet.wanted.push(Wanted { owner: name.clone(), data: Data::Caa(ours), need, state, why, whereabouts: None });
}

fn not_served(domain: &DomainFacts, why: &str, published: &Published<StsRecord>) -> Finding {
    let announced = !matches!(published, Published::Absent);
    let (verdict, means) = if announced {
        (Verdict::Fail, "a record announces it: senders that know it go on by what they know, others see none")
    } else {
        (Verdict::Warn, "senders without DANE can be made to deliver in clear; no record is proposed before the policy is served")
    };
    Finding::new(
        "mta-sts-not-served",
        verdict,
        Subject::Domain(domain.domain.clone()),
        format!("no MTA-STS policy is served for {}: {why}", domain.domain),
    )
    .means(means)
    .remedy(Remedy::Command(format!("mxseal policy show --domain {}", domain.domain)))
}

/// Whether there is a policy could not be told from here.
pub(super) fn untold(domain: &DnsName, why: &str) -> Finding {
    let says = format!("whether senders get an MTA-STS policy of {domain} could not be told from here: {why}");
    Finding::new("mta-sts-untold", Verdict::Unknown, Subject::Domain(domain.clone()), says)
        .means("no record is proposed before the policy was fetched as senders do it")
        .remedy(elsewhere(domain))
}

/// Addresses of the policy host that nobody can ask from here.
pub(super) fn unasked_of(domain: &DnsName, unasked: &[IpAddr]) -> Option<Finding> {
    let all: Vec<String> = unasked.iter().map(ToString::to_string).collect();
    let says = format!("the MTA-STS policy of {domain} was not fetched from {}: nothing leads there from this host", all.join(", "));
    let finding = Finding::new("mta-sts-untold", Verdict::Warn, Subject::Domain(domain.clone()), says);
    (!all.is_empty()).then(|| finding.means("its other addresses serve it; what senders get there is not known, so a record that is there is not changed for it: do that by hand").remedy(elsewhere(domain)))
}

fn elsewhere(domain: &DnsName) -> Remedy {
    Remedy::Do(format!("look from a host that has IPv4 and IPv6: curl -4 and curl -6 https://mta-sts.{domain}/.well-known/mta-sts.txt"))
}

/// MX hosts that the policy does not name: senders that verify do not deliver to them.
fn uncovered(domain: &DomainFacts, served: &StsPolicy) -> Option<Finding> {
    let names = domain.mx.value().into_iter().flat_map(|a| &a.records).map(|(_, name)| name);
    let out: Vec<String> = names.filter(|name| !served.covers(name)).map(ToString::to_string).collect();
    if out.is_empty() || served.mode == Mode::None {
        return None;
    }
    let (verdict, means) = match served.mode {
        Mode::Enforce => (Verdict::Fail, "senders that verify do not deliver to them: with no other host up, mail waits and bounces"),
        _ => (Verdict::Warn, "senders report it; in mode enforce they would not deliver to them"),
    };
    let says = format!("the MTA-STS policy of {} does not name {}", domain.domain, out.join(", "));
    let remedy = Remedy::Command(format!("mxseal policy show --domain {}", domain.domain));
    Some(Finding::new("mta-sts-uncovered", verdict, Subject::Domain(domain.domain.clone()), says).means(means).remedy(remedy))
}
