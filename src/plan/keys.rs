//! Which keys to certify: no served type is dropped unasked, and no published TLSA record is contradicted.

use crate::{
    certificate::{Digest, KeyType},
    facts::{Facts, Known, Lineage, MxFacts, Server, Tlsa, Version},
    finding::{Finding, Remedy, Subject, Verdict},
    intent::Intent,
    mta::profile::{Holds, Profile},
    name::DnsName,
    plan::KeyChoice,
};

/// The choice, and what stands against it.
pub(super) struct Keys {
    pub(super) choices: Vec<KeyChoice>,
    pub(super) held: Vec<Finding>,
    pub(super) notes: Vec<Finding>,
}

/// Whether the server can serve two key types from one file (Postfix since 3.4).
pub(super) fn holds_both(profile: &Profile, version: &Version) -> bool {
    profile.holds == Holds::Both && (profile.id != "postfix" || *version >= Version(vec![3, 4]))
}

/// Key types by wish, by what is served and by what TLSA records allow; for each the key.
pub(super) fn choose(
    facts: &Facts,
    intent: &Intent,
    profile: &Profile,
    server: &Server,
    lineage: Option<&Lineage>,
    mx: &[DnsName],
) -> Keys {
    let (mut held, mut notes) = (Vec::new(), Vec::new());
    let served = served(facts);
    let both = holds_both(profile, &server.version);
    let types: Vec<KeyType> = match intent.key_types {
        Some(wish) => wish.list().to_vec(),
        None if both => vec![KeyType::Ecdsa, KeyType::Rsa],
        None if served == [KeyType::Ecdsa] => vec![KeyType::Ecdsa],
        None => vec![KeyType::Rsa],
    };
    let dropped: Vec<String> = served.iter().filter(|t| !types.contains(t)).map(ToString::to_string).collect();
    if intent.key_types.is_none() && !dropped.is_empty() {
        held.push(
            Finding::new(
                "key-type-would-drop",
                Verdict::Fail,
                Subject::Host,
                format!(
                    "{} {} serves one certificate from a file, and today it presents {} too",
                    profile.title,
                    server.version,
                    dropped.join(", ")
                ),
            )
            .means("clients that speak only that key type would get no TLS")
            .remedy(Remedy::Do("choose one with --key-type ecdsa or --key-type rsa".into())),
        );
    }
    if types.len() > 1 && !both {
        held.push(
            Finding::new(
                "key-type-would-drop",
                Verdict::Fail,
                Subject::Host,
                format!("{} {} cannot serve two key types from one file", profile.title, server.version),
            )
            .remedy(Remedy::Do("choose one with --key-type ecdsa or --key-type rsa".into())),
        );
    }
    let told: Vec<Told<'_>> = mx.iter().filter_map(|name| told(facts, name, &mut held)).collect();
    if told.is_empty() {
        let choices = types.into_iter().map(|key_type| KeyChoice { key_type, reuse: None }).collect();
        return Keys { choices, held, notes };
    }
    let allowed = |spki: &Digest| {
        told.iter().all(|t| {
            (t.records.is_empty() || t.records.iter().any(|r| matches(r, spki)))
                && facts.claims.broken_by(t.name, spki, facts.now).is_empty()
        })
    };
    let mut choices = Vec::new();
    let mut unpublished = Vec::new();
    for key_type in types {
        let own = lineage.into_iter().flat_map(|l| &l.keys).any(|k| k.key_type == key_type && allowed(&k.spki));
        let in_use = facts.foreign.iter().filter(|f| f.leaf.key_type == key_type && allowed(&f.leaf.spki)).max_by_key(|f| f.in_use);
        match (own, in_use) {
            (true, _) => choices.push(KeyChoice { key_type, reuse: None }),
            (false, Some(f)) => choices.push(KeyChoice { key_type, reuse: Some((f.key.clone(), f.leaf.spki.clone())) }),
            (false, None) => unpublished.push(key_type.to_string()),
        }
    }
    if choices.is_empty() {
        held.extend(told.iter().map(|t| would_break(facts, lineage, t)));
    } else if !unpublished.is_empty() {
        notes.push(
            Finding::new(
                "key-type-unpublished",
                Verdict::Warn,
                Subject::Mx(told[0].name.clone()),
                format!("TLSA records name no {} key, so none is served", unpublished.join(", ")),
            )
            .means("DANE senders accept only keys that are published (RFC 7672)"),
        );
    }
    Keys { choices, held, notes }
}

struct Told<'a> {
    name: &'a DnsName,
    records: Vec<&'a Tlsa>,
}

/// What the world was told of the keys of one MX name; `None` where nothing.
fn told<'a>(facts: &'a Facts, name: &'a DnsName, held: &mut Vec<Finding>) -> Option<Told<'a>> {
    let claimed = !facts.claims.broken_by(name, &Digest(String::new()), facts.now).is_empty();
    let unknown = |why: &str| {
        Finding::new(
            "tlsa-unknown",
            Verdict::Unknown,
            Subject::Mx(name.clone()),
            format!("whether _25._tcp.{name} has TLSA records could not be looked up: {why}"),
        )
        .means("where it has, a new key makes DANE senders defer their mail (RFC 7672)")
        .remedy(Remedy::Do("repair DNS on this host, or name a resolver with --resolver".into()))
    };
    let records = match facts.mx_hosts.iter().find(|m| m.name == *name) {
        Some(MxFacts { tlsa: Known::Seen { value, .. }, .. }) => {
            // An insecure answer counts too: Postfix enforces what it can validate, whatever we can (RFC 7672 section 2.2).
            value.records.iter().filter(|r| matches!(r.usage, 2 | 3)).collect()
        }
        Some(MxFacts { tlsa: Known::Unknown { why }, .. }) => {
            held.push(unknown(why));
            Vec::new()
        }
        None => {
            held.push(unknown("it was not asked for"));
            Vec::new()
        }
    };
    (claimed || !records.is_empty()).then_some(Told { name, records })
}

/// Whether a record stays true as long as the key stays: DANE-EE of the key itself.
fn matches(record: &Tlsa, spki: &Digest) -> bool {
    let data = record.data.to_ascii_lowercase();
    match (record.usage, record.selector, record.matching) {
        (3, 1, 1) => data == spki.0,
        (3, 1, 0) => data_encoding::HEXLOWER.decode(data.as_bytes()).is_ok_and(|key| Digest::of(&key) == *spki),
        _ => false,
    }
}

fn would_break(facts: &Facts, lineage: Option<&Lineage>, told: &Told<'_>) -> Finding {
    let own = lineage.and_then(|l| l.keys.first()).map(|k| &k.spki);
    let in_use = facts.foreign.iter().find(|f| f.in_use && f.leaf.key_type != KeyType::Other).map(|f| &f.leaf.spki);
    let finding = told.records.iter().fold(
        Finding::new(
            "tlsa-would-break",
            Verdict::Fail,
            Subject::Mx(told.name.clone()),
            "TLSA records are published, and none names a key that this host has and could keep",
        )
        .means("senders that check DANE would defer their mail until a record names the new key (RFC 7672)"),
        |f, r| f.seen(format!("_25._tcp.{}. IN TLSA {r}", told.name)),
    );
    match own.or(in_use) {
        Some(spki) => finding.remedy(Remedy::Record(format!("_25._tcp.{}. IN TLSA 3 1 1 {spki}", told.name))),
        None => finding.remedy(Remedy::Do(
            "put the private key that a record names where the mail server reads it, or withdraw the records and wait for their TTL".into(),
        )),
    }
}

/// The key types that senders are served today.
fn served(facts: &Facts) -> Vec<KeyType> {
    let seen = facts.views.iter().filter_map(|v| v.leaf()).map(|c| c.key_type);
    let named = facts.foreign.iter().filter(|f| f.in_use).map(|f| f.leaf.key_type);
    let all: Vec<KeyType> = if facts.views.iter().any(|v| v.leaf().is_some()) { seen.collect() } else { named.collect() };
    [KeyType::Ecdsa, KeyType::Rsa].into_iter().filter(|t| all.contains(t)).collect()
}
