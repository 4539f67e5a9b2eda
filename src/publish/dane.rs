//! TLSA at `_25._tcp.MX` and, where asked for, CAA at the MX name itself.

use super::{
    Data, Need, State, Wanted,
    sheet::{Asked, Sheet, Sight},
    sts::want_caa,
    tls_rpt::unknown,
};
use crate::{
    certificate::{Certificate, Digest},
    facts::{Answer, Deployment, Facts, FormerKey, Here, Known, Lineage, MxFacts, Security, Tlsa},
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    policy::dane::KeyDigest,
};

/// Wants the records of each key in use and of each that follows it. Records of others stay.
pub(super) fn want(facts: &Facts, mx: &MxFacts, sight: &Sight, asked: &Asked, sheet: &mut Sheet) {
    if let Some(issuer) = &asked.caa {
        want_caa(&mx.name, &mx.caa, issuer, sheet);
    }
    let Ok(owner) = mx.name.under("_25._tcp") else { return };
    let there = match &mx.tlsa {
        Known::Seen { value, .. } => value,
        Known::Unknown { why } => return sheet.findings.push(unknown(&owner, "its TLSA records", why)),
    };
    for record in &there.records {
        sheet.findings.extend(useless(mx, &owner, record));
    }
    let lineage = lineage_of(facts, &mx.name);
    sheet.findings.extend(lineage.into_iter().flat_map(|l| &l.former).filter_map(|key| former(facts, mx, &owner, &there.records, key)));
    let usable: Vec<&Tlsa> = there.records.iter().filter(|r| r.is_usable()).collect();
    // A record of a CA may fit every key of this host.
    let by_ca = usable.iter().any(|r| r.usage == 2);
    let fitting = by_ca || usable.iter().any(|r| lineage.is_some_and(|l| fits(r, l)));
    if there.security == Security::Secure && !usable.is_empty() {
        sheet.findings.extend(insecure_mx(facts, mx, lineage.is_none() || fitting));
    }
    let current: Vec<Tlsa> = lineage.into_iter().flat_map(|l| &l.keys).filter_map(|k| record(&k.spki)).collect();
    let next: Vec<Tlsa> = lineage.into_iter().flat_map(Lineage::next_keys).filter_map(|k| record(&k.spki)).collect();
    if let Some(reason) = reason(mx, lineage, &owner, !there.records.is_empty()) {
        return sheet.findings.push(reason);
    }
    if let Some(other) = other_key(facts, mx, lineage) {
        return sheet.findings.push(other);
    }
    let missing: Vec<&Tlsa> = current.iter().chain(&next).filter(|tlsa| !there.records.contains(tlsa)).collect();
    if let (Some(hidden), [_, ..]) = (hidden(mx, &owner, sight, &missing), missing.as_slice()) {
        return sheet.findings.push(hidden);
    }
    let broken = !there.records.is_empty() && !fitting;
    for (records, follows) in [(current, false), (next, true)] {
        for tlsa in records {
            let is_there = there.records.contains(&tlsa);
            let (need, why) = match (follows, broken, there.records.is_empty() || by_ca) {
                (false, true, _) => {
                    (Need::Required, "the records that are there name other keys than this host presents, so DANE senders defer its mail")
                }
                // A sender that meets this key and finds only the other named does not deliver.
                (false, false, false) => (Need::Required, "this host presents the key, and DANE senders know only others of it"),
                (false, false, true) => {
                    (Need::Recommended, "DANE senders then accept this key alone, and nobody on the way can pass for this host")
                }
                (true, ..) => (Need::Recommended, "it is the key that follows: senders must know it for two days before it can be used"),
            };
            let why = if is_there { "it names a key of this host" } else { why };
            let state = if is_there { State::Right } else { State::Missing };
            sheet.wanted.push(Wanted { owner: owner.clone(), data: Data::Tlsa(tlsa), need, state, why: why.to_owned(), whereabouts: None });
        }
    }
}

/// Records at the name itself would hide those that a wildcard gives it, the one in use among them.
fn hidden(mx: &MxFacts, owner: &DnsName, sight: &Sight, missing: &[&Tlsa]) -> Option<Finding> {
    let why = match sight.wildcards.get(owner)? {
        Known::Seen { value: false, .. } => return None,
        Known::Seen { .. } => format!("no TLSA record is proposed: those of {owner} come from a wildcard, which a record there would hide"),
        Known::Unknown { why } => return Some(unknown(owner, "whether its TLSA records come from a wildcard", why)),
    };
    let lines: Vec<String> = missing.iter().map(|tlsa| format!("{} IN TLSA {tlsa}", owner.absolute())).collect();
    let finding = Finding::new("tlsa-not-proposed", Verdict::Warn, Subject::Mx(mx.name.clone()), why);
    Some(
        lines
            .into_iter()
            .fold(finding, Finding::seen)
            .means("senders would know nothing any more but what stands at the name itself")
            .remedy(Remedy::Do("put the records above beside those of the wildcard, or all of them at the name itself".into())),
    )
}

/// Signed TLSA records that unsigned MX records lead to: most DANE senders pass over them (RFC 7672 §2.2.1), Postfix 3.6 and
/// later goes by them (smtp_tls_dane_insecure_mx_policy).
fn insecure_mx(facts: &Facts, mx: &MxFacts, fit: bool) -> Vec<Finding> {
    let leads = |a: &Answer<(u16, DnsName)>| a.security == Security::Insecure && a.records.iter().any(|(_, name)| *name == mx.name);
    let domains = facts.domains.iter().filter(|d| d.mx.value().is_some_and(leads));
    let one = |domain: &DnsName| {
        let of = format!("{} has signed TLSA records, and the MX records of {domain} are not signed", mx.name);
        let finding = |verdict, says| Finding::new("tlsa-insecure-mx", verdict, Subject::Mx(mx.name.clone()), says);
        if fit {
            finding(Verdict::Warn, of)
                .means("Postfix holds the host to them; most other DANE senders pass over them, and whoever forges the MX records leads all of them elsewhere")
                .remedy(Remedy::Do(format!("have whoever serves {domain} sign it")))
        } else {
            finding(Verdict::Fail, format!("{of}; they name other keys than this host presents"))
                .means("Postfix senders that go by DANE defer the domain's mail all the same")
                .remedy(Remedy::Do("publish the records that are required below, or withdraw those that do not fit".into()))
        }
    };
    domains.map(|d| one(&d.domain)).collect()
}

/// The record of a key that was left in a roll-over: it stays for a while, and then goes.
fn former(facts: &Facts, mx: &MxFacts, owner: &DnsName, there: &[Tlsa], key: &FormerKey) -> Option<Finding> {
    let tlsa = record(&key.spki).filter(|tlsa| there.contains(tlsa))?;
    let finding = |id, verdict, says| Finding::new(id, verdict, Subject::Mx(mx.name.clone()), says);
    let line = format!("{} IN TLSA {tlsa}", owner.absolute());
    Some(match key.left.map(|left| facts.claims.not_expected_from(&key.spki, left)) {
        Some(from) if from <= facts.now => {
            let says = format!("a TLSA record of {} names a key that it had before its roll-over, and can go now", mx.name);
            finding("rollover-retire", Verdict::Warn, says)
                .seen(line)
                .means("whoever holds that key can go on passing for this host to DANE senders")
                .remedy(Remedy::Do(
                    "run mxseal rollover, which takes away what mxseal published; else take it away where it was put".into(),
                ))
        }
        until => {
            let until = until.map_or_else(|| "the keys in use are proved".to_owned(), |until| until.to_string());
            let says = format!("a TLSA record of {} names a key that it had before its roll-over, and stays until {until}", mx.name);
            finding("rollover-hold", Verdict::Pass, says).seen(line)
        }
    })
}

/// Whether a record may be about a certificate or key that is in use.
fn fits(record: &Tlsa, lineage: &Lineage) -> bool {
    let leaves = || lineage.keys.iter().filter_map(|k| k.leaf.as_ref());
    match (record.selector, record.matching) {
        (1, 1) => lineage.keys.iter().any(|k| k.spki.0 == record.data),
        (1, 2) => leaves().any(|leaf| leaf.spki_sha512 == record.data),
        (0, 1) => leaves().any(|leaf| leaf.digest.0 == record.data),
        // Whole keys and certificates, and the SHA-512 of one, are not at hand.
        _ => true,
    }
}

/// An address of the name presents another key than ours: a promise for the name could not be kept there.
fn other_key(facts: &Facts, mx: &MxFacts, lineage: Option<&Lineage>) -> Option<Finding> {
    let addresses = &mx.addresses.value()?.records;
    let keys = &lineage?.keys;
    let at_name = facts.views.iter().filter(|v| v.probe.addr.port() == 25 && addresses.contains(&v.probe.addr.ip()));
    // Who sends another name of ours, or none, may be shown another certificate of ours; DANE senders send this one (RFC 7672 §8.1).
    let ours = |leaf: &Certificate| facts.lineages.iter().flat_map(|l| &l.keys).any(|k| k.spki == leaf.spki);
    let of_name = at_name.filter_map(|v| Some((&v.probe, v.leaf()?)));
    let of_name = of_name.filter(|(probe, leaf)| (probe.sni && probe.name == mx.name) || !ours(leaf));
    let other = of_name.map(|(probe, leaf)| (probe.addr, leaf)).find(|(_, leaf)| keys.iter().all(|k| k.spki != leaf.spki))?;
    let says =
        format!("no TLSA record is proposed: {} of {} presents the key {}, which is not ours", other.0, mx.name, other.1.spki.short());
    Some(
        Finding::new("tlsa-not-proposed", Verdict::Warn, Subject::Mx(mx.name.clone()), says)
            .means("DANE senders that reach the name there would find no record that fits and defer their mail")
            .remedy(Remedy::Command("mxseal setup".into())),
    )
}

fn record(spki: &Digest) -> Option<Tlsa> {
    KeyDigest::try_from(spki).ok().map(Tlsa::from)
}

/// The certificate of ours that covers an MX name.
fn lineage_of<'a>(facts: &'a Facts, mx: &DnsName) -> Option<&'a Lineage> {
    let covers = |l: &&Lineage| l.keys.iter().filter_map(|k| k.leaf.as_ref()).any(|leaf| leaf.covers(mx));
    facts.lineages.iter().filter(covers).max_by_key(|l| l.deployment)
}

/// Why no record is proposed; `None` where it can be kept.
fn reason(mx: &MxFacts, lineage: Option<&Lineage>, owner: &DnsName, published: bool) -> Option<Finding> {
    let subject = || Subject::Mx(mx.name.clone());
    let none = |verdict, says: String| Finding::new("tlsa-not-proposed", verdict, subject(), says);
    let (security, at) = match &mx.addresses {
        Known::Seen { value, at } => (value.security, at),
        Known::Unknown { why } => return Some(unknown(&mx.name, "its addresses", why)),
    };
    match security {
        Security::Secure => {}
        Security::Insecure if published => {
            return Some(
                Finding::new(
                    "tlsa-in-vain",
                    Verdict::Warn,
                    subject(),
                    format!("{owner} has TLSA records, and the zone of {} is not signed", mx.name),
                )
                .means("DANE senders pass over them (RFC 7672 section 2.2), so they protect nothing; once the zone is signed they count")
                .remedy(Remedy::Do("sign the zone, or withdraw the records".into())),
            );
        }
        Security::Insecure => {
            return Some(
                none(Verdict::Warn, format!("no TLSA record is proposed: the zone of {} is not signed with DNSSEC", mx.name))
                    .means("DANE senders pass over unsigned records (RFC 7672 section 2.2), so they would protect nothing")
                    .remedy(Remedy::Do("have whoever serves the zone sign it; MTA-STS needs no signature".into())),
            );
        }
        Security::Bogus => {
            return Some(
                none(Verdict::Fail, format!("the signatures in the zone of {} are wrong", mx.name))
                    .means("validating senders see no address at all and defer their mail")
                    .remedy(Remedy::Command(format!("delv {} A", mx.name))),
            );
        }
        Security::Unknown => {
            return Some(
                none(
                    Verdict::Unknown,
                    format!("whether the zone of {} is signed is unknown: the resolver and our own validation do not both say so", mx.name),
                )
                .seen(at.as_str())
                .means("TLSA records are proposed only where they are signed")
                .remedy(Remedy::Do("name a validating resolver of your own with --resolver, such as unbound on 127.0.0.1".into())),
            );
        }
    }
    // A host that shares its name with another cannot promise for it.
    if mx.here.value() == Some(&Here::Partly) {
        return Some(
            none(Verdict::Warn, format!("no TLSA record is proposed: some addresses of {} are another host's", mx.name))
                .means("DANE senders that reach it there would find another key and defer their mail")
                .remedy(Remedy::Do("give each host an MX name of its own, or the same keys".into())),
        );
    }
    if let Some(source) = lineage.and_then(|l| l.adopted.first()) {
        let says = format!("no TLSA record is proposed: {} keeps the certificate for {}, and its key", source.keeper, mx.name);
        return Some(
            none(Verdict::Warn, says)
                .means("it may take another key at any renewal, and DANE senders would defer their mail from then on")
                .remedy(Remedy::Command("mxseal setup --take-over".into())),
        );
    }
    match lineage.map(|l| l.deployment) {
        Some(Deployment::Proved) => None,
        _ => Some(
            none(Verdict::Warn, format!("no TLSA record is proposed: no certificate of ours for {} is proved on the wire", mx.name))
                .means("a record may only name a key that senders are shown")
                .remedy(Remedy::Command("mxseal setup".into())),
        ),
    }
}

/// A record that helps nobody, whoever put it there.
fn useless(mx: &MxFacts, owner: &DnsName, record: &Tlsa) -> Option<Finding> {
    let faults: Vec<String> = record.lint().into_iter().filter(|r| r.fails).map(|r| format!("{} ({})", r.says, r.section)).collect();
    if faults.is_empty() {
        return None;
    }
    Some(
        Finding::new(
            "tlsa-useless",
            Verdict::Fail,
            Subject::Mx(mx.name.clone()),
            format!("a TLSA record of {} is of no use: {}", mx.name, faults.join("; ")),
        )
        .seen(format!("{} IN TLSA {record}", owner.absolute()))
        .means("beside others it is passed over; alone it makes senders insist on TLS that authenticates nobody, or defer")
        .remedy(Remedy::Do("withdraw it where it was put, after a record that fits is there".into())),
    )
}
