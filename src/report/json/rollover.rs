//! How a certificate stands to its next keys, version 1.

use crate::{
    certificate::{Digest, KeyType},
    claims::Claims,
    facts::Lineage,
    maintain::{SeenKeys, next_keys, retired_from},
    name::DnsName,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// The next keys of a certificate, and those that left.
#[derive(Debug, PartialEq, Serialize)]
pub struct RollOverDoc {
    /// The certificate.
    pub name: String,
    /// The MX names that present it.
    pub mx: Vec<String>,
    /// The keys that follow.
    pub next: Vec<KeyDoc>,
    /// Seconds since 1970 since which every name server is seen to have the records of all of them; absent where that is not so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_since: Option<u64>,
    /// Seconds since 1970 from which on no cache can lack them, so that they may be used; absent where they are not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_from: Option<u64>,
    /// Keys that left, whose records are there still.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<KeyDoc>,
    /// Seconds since 1970 until which those records have to stay; absent where none is there, or the keys in use are not proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former_until: Option<u64>,
}

/// A key.
#[derive(Debug, PartialEq, Serialize)]
pub struct KeyDoc {
    /// Its kind.
    pub key_type: KeyType,
    /// What a TLSA `3 1 1` record says of it.
    pub spki: Digest,
}

impl RollOverDoc {
    /// What is kept of it in the form of version 1.
    #[must_use]
    pub fn of(lineage: &Lineage, mx: &BTreeSet<DnsName>, seen: &SeenKeys, claims: &Claims) -> Self {
        let keys = next_keys(lineage);
        let since = mx.iter().flat_map(|mx| keys.iter().map(|key| seen.of(mx, key).map(|k| k.since)));
        let since = since.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
        let all =
            |keys: Vec<(KeyType, &Digest)>| keys.into_iter().map(|(key_type, spki)| KeyDoc { key_type, spki: spki.clone() }).collect();
        Self {
            name: lineage.name.to_string(),
            mx: mx.iter().map(ToString::to_string).collect(),
            next: all(lineage.next_keys().map(|k| (k.key_type, &k.spki)).collect()),
            seen_since: since.map(|at| at.0),
            known_from: seen.known_from(&keys, mx).map(|at| at.0),
            former: all(lineage.former.iter().map(|k| (k.key_type, &k.spki)).collect()),
            former_until: retired_from(lineage, claims).map(|at| at.0),
        }
    }
}
