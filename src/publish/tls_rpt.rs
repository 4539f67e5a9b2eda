//! Where senders report: `_smtp._tls.DOMAIN`.

use super::{
    Data, Need, State, Wanted,
    sheet::{Asked, Sheet, Sight},
};
use crate::{
    facts::{DomainFacts, Known},
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    policy::{
        Published,
        tls_rpt::{Rua, TlsRptRecord},
    },
};

/// Wants the record. A place that is published now stays; ours are put behind it.
pub(super) fn want(domain: &DomainFacts, sight: &Sight, asked: &Asked, sheet: &mut Sheet) {
    let Ok(owner) = domain.domain.under("_smtp._tls") else { return };
    let texts = match &domain.tls_rpt {
        Known::Seen { value, .. } => &value.records,
        Known::Unknown { why } => return sheet.findings.push(unknown(&owner, "its TXT records", why)),
    };
    let mut add = |need, state, rua: Vec<Rua>, why: String| {
        sheet.findings.extend(rua.iter().filter_map(|r| undeliverable(domain, r, sight)));
        sheet.findings.extend(same_way(domain, &rua));
        let data = Data::Txt(TlsRptRecord { rua }.text());
        sheet.wanted.push(Wanted { owner: owner.clone(), data, need, state, why, whereabouts: None });
    };
    let old = || State::instead(texts, TlsRptRecord::is);
    match TlsRptRecord::published(texts) {
        Published::Absent => {
            let why = "senders report to it once a day whether their TLS sessions with this host worked, and why not";
            add(Need::Recommended, State::Missing, ours(domain, asked), why.into());
        }
        Published::Several(count) => {
            let now: Vec<Rua> = texts.iter().filter_map(|t| TlsRptRecord::read(t.as_str()).value).flat_map(|r| r.rua).collect();
            let fallback = ours_if_any(domain, asked, now.is_empty());
            let why = format!("there are {count} such records, and senders then report to none of them");
            add(Need::Required, old(), joined(now, &fallback), why);
        }
        Published::One(text, reading) => match (reading.strict(), &reading.value) {
            (Some(record), _) => {
                let all = joined(record.rua.clone(), &asked.rua);
                if all == record.rua {
                    sheet.findings.extend(all.iter().filter_map(|r| undeliverable(domain, r, sight)));
                    let why = "senders report to it whether their TLS sessions with this host worked".to_owned();
                    let data = Data::Txt(text);
                    sheet.wanted.push(Wanted { owner, data, need: Need::Recommended, state: State::Right, why, whereabouts: None });
                } else {
                    add(Need::Recommended, old(), all, "the place that was asked for is put behind those that are there".into());
                }
            }
            (None, value) => {
                let now: Vec<Rua> = value.iter().flat_map(|r| r.rua.clone()).collect();
                let faults: Vec<&str> = reading.remarks.iter().filter(|r| r.fails).map(|r| r.says.as_str()).collect();
                let why = format!("senders refuse the one that is there, and report nothing: {}", faults.join("; "));
                let fallback = ours_if_any(domain, asked, now.is_empty());
                add(Need::Required, old(), joined(now, &fallback), why);
            }
        },
    }
}

/// What was asked for, else the mailbox that every domain must have (RFC 5321 §4.5.1).
fn ours(domain: &DomainFacts, asked: &Asked) -> Vec<Rua> {
    ours_if_any(domain, asked, true)
}

fn ours_if_any(domain: &DomainFacts, asked: &Asked, needed: bool) -> Vec<Rua> {
    if needed && asked.rua.is_empty() {
        return format!("mailto:postmaster@{}", domain.domain).parse().into_iter().collect();
    }
    asked.rua.clone()
}

/// Those that are there, then those of ours that are not yet among them.
fn joined(mut now: Vec<Rua>, ours: &[Rua]) -> Vec<Rua> {
    for rua in ours {
        if !now.iter().any(|r| r.to_string().eq_ignore_ascii_case(&rua.to_string())) {
            now.push(rua.clone());
        }
    }
    now
}

/// Mail to a domain without MX records goes nowhere that anybody looks.
fn undeliverable(domain: &DomainFacts, rua: &Rua, sight: &Sight) -> Option<Finding> {
    let to = rua.mail_domain()?;
    let subject = Subject::Domain(domain.domain.clone());
    let asked = if *to == domain.domain { &domain.mx } else { sight.report_mx.get(to)? };
    match asked {
        Known::Seen { value, .. } if !value.records.is_empty() => None,
        Known::Seen { .. } => Some(
            Finding::new(
                "tlsrpt-undeliverable",
                Verdict::Fail,
                subject,
                format!("TLS reports about {} go to {rua}, and {to} has no MX record", domain.domain),
            )
            .means("every report is lost, and nobody learns that senders fail")
            .remedy(Remedy::Do("name a mailbox that exists with --rua mailto:ADDRESS".into())),
        ),
        Known::Unknown { why } => Some(Finding::new(
            "tlsrpt-undeliverable",
            Verdict::Unknown,
            subject,
            format!("whether TLS reports about {} reach {rua} is unknown: {why}", domain.domain),
        )),
    }
}

/// Reports that only come through the host that they are about come late or never when it fails.
fn same_way(domain: &DomainFacts, rua: &[Rua]) -> Option<Finding> {
    if !rua.iter().all(|r| r.mail_domain() == Some(&domain.domain)) {
        return None;
    }
    let says = format!("TLS reports about the mail hosts of {0} are mailed to {0} alone", domain.domain);
    Some(
        Finding::new("tlsrpt-same-way", Verdict::Warn, Subject::Domain(domain.domain.clone()), says)
            .means("reporters should deliver them although TLS fails, but not all do: the worst news may come last")
            .remedy(Remedy::Do("add a mailbox elsewhere with --rua mailto:ADDRESS".into())),
    )
}

/// What DNS says of a name could not be learnt.
pub(super) fn unknown(name: &DnsName, what: &str, why: &str) -> Finding {
    Finding::new("dns-unknown", Verdict::Unknown, Subject::Domain(name.clone()), format!("{name}: {what} could not be looked up: {why}"))
        .means("nothing is proposed there, because it might contradict what is published")
        .remedy(Remedy::Do("repair DNS on this host, or name a resolver with --resolver".into()))
}
