//! Which keys to certify: no served type is dropped unasked, and no published TLSA record is contradicted.

use super::tlsa::{self, Fingerprint, Told};
use crate::{
    certificate::KeyType,
    facts::{Facts, Lineage, Server},
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
    /// What could not be seen: it stands against every step, and says nothing where none is to be taken.
    pub(super) unknown: Vec<Finding>,
    pub(super) notes: Vec<Finding>,
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
    let both = profile.holds(&server.version) != Holds::One;
    let types = types(intent, both, &served);
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
    let unknown = mx.iter().filter_map(|name| tlsa::unknown(facts, name)).collect();
    let told: Vec<Told<'_>> = mx.iter().filter_map(|name| tlsa::told(facts, name)).collect();
    if told.is_empty() {
        let choices = types.into_iter().map(|key_type| KeyChoice { key_type, reuse: None, replaces: None }).collect();
        return Keys { choices, held, unknown, notes };
    }
    let allowed = |key: Fingerprint<'_>| told.iter().all(|t| t.allows(facts, &key));
    let (mut choices, mut unpublished, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for key_type in types {
        let own = lineage.into_iter().flat_map(|l| &l.keys).any(|k| k.key_type == key_type && allowed(k.into()));
        let in_use = facts.foreign.iter().filter(|f| f.leaf.key_type == key_type && allowed((&f.leaf).into())).max_by_key(|f| f.in_use);
        match (own, in_use) {
            (true, _) => choices.push(KeyChoice { key_type, reuse: None, replaces: None }),
            (false, Some(f)) => choices.push(KeyChoice { key_type, reuse: Some((f.key.clone(), f.leaf.spki.clone())), replaces: None }),
            (false, None) if served.contains(&key_type) => lost.push(key_type),
            (false, None) => unpublished.push(key_type.to_string()),
        }
    }
    if choices.is_empty() {
        held.extend(told.iter().map(|t| t.would_break(facts, lineage)));
    }
    for key_type in lost.into_iter().filter(|_| !choices.is_empty()) {
        let own = lineage.into_iter().flat_map(|l| &l.keys).find(|k| k.key_type == key_type).map(|k| &k.spki);
        let in_use = || facts.foreign.iter().find(|f| f.in_use && f.leaf.key_type == key_type).map(|f| &f.leaf.spki);
        held.extend(told.iter().map(|t| t.would_drop(key_type, own.or_else(in_use))));
    }
    if !choices.is_empty() && !unpublished.is_empty() {
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
    Keys { choices, held, unknown, notes }
}

/// The key types to serve: as wished, else all that one server can hold.
pub(super) fn types(intent: &Intent, both: bool, served: &[KeyType]) -> Vec<KeyType> {
    match intent.key_types {
        Some(wish) => wish.list().to_vec(),
        None if both => vec![KeyType::Ecdsa, KeyType::Rsa],
        None if served == [KeyType::Ecdsa] => vec![KeyType::Ecdsa],
        None => vec![KeyType::Rsa],
    }
}

/// The key types that senders are served today.
pub(super) fn served(facts: &Facts) -> Vec<KeyType> {
    let seen = facts.views.iter().filter_map(|v| v.leaf()).map(|c| c.key_type);
    let named = facts.foreign.iter().filter(|f| f.in_use).map(|f| f.leaf.key_type);
    let all: Vec<KeyType> = if facts.views.iter().any(|v| v.leaf().is_some()) { seen.collect() } else { named.collect() };
    [KeyType::Ecdsa, KeyType::Rsa].into_iter().filter(|t| all.contains(t)).collect()
}
