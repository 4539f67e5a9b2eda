//! What TLSA records told the world of the keys of an MX name (RFC 6698, RFC 7672).

use crate::{
    certificate::{Certificate, Digest, KeyType},
    facts::{Facts, Known, Lineage, LineageKey, MxFacts, Security, Tlsa},
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
};

/// Caches may hold a record that long after it was replaced, in hours, whatever its TTL.
const HOLD_HOURS: u32 = 48;

/// What the world was told of one MX name.
pub(super) struct Told<'a> {
    pub(super) name: &'a DnsName,
    records: Vec<&'a Tlsa>,
    ttl: u32,
}

/// The fingerprints of a key that a record may name. The longer one is known only where there is a certificate.
pub(super) struct Fingerprint<'a> {
    pub(super) spki: &'a Digest,
    sha512: &'a str,
}

impl<'a> From<&'a Certificate> for Fingerprint<'a> {
    fn from(leaf: &'a Certificate) -> Self {
        Self { spki: &leaf.spki, sha512: &leaf.spki_sha512 }
    }
}

impl<'a> From<&'a LineageKey> for Fingerprint<'a> {
    fn from(key: &'a LineageKey) -> Self {
        Self { spki: &key.spki, sha512: key.leaf.as_ref().map_or("", |leaf| &leaf.spki_sha512) }
    }
}

/// What is published or claimed of a name; `None` where that is nothing, or nobody could tell.
pub(super) fn told<'a>(facts: &'a Facts, name: &'a DnsName) -> Option<Told<'a>> {
    let claimed = !facts.claims.broken_by(name, &Digest(String::new()), facts.now).is_empty();
    let answer = facts.mx_hosts.iter().find(|m| m.name == *name).and_then(|m| m.tlsa.value());
    // An insecure answer counts too: Postfix enforces what it can validate, whatever we can (RFC 7672 section 2.2).
    let records: Vec<_> = answer.iter().flat_map(|a| &a.records).filter(|r| matches!(r.usage, 2 | 3)).collect();
    let ttl = answer.map_or(0, |a| a.ttl);
    (claimed || !records.is_empty()).then_some(Told { name, records, ttl })
}

/// Why nobody can tell whether a name has records; `None` where it is known.
pub(super) fn unknown(facts: &Facts, name: &DnsName) -> Option<Finding> {
    let owner = format!("_25._tcp.{name}");
    let (says, remedy) = match facts.mx_hosts.iter().find(|m| m.name == *name) {
        Some(MxFacts { tlsa: Known::Seen { value, .. }, .. }) if value.security == Security::Bogus => (
            format!("DNSSEC says that the answer about TLSA records of {owner} is forged or broken"),
            format!("repair the signatures of the zone of {name} (or this host's clock), then run this again"),
        ),
        Some(MxFacts { tlsa: Known::Seen { .. }, .. }) => return None,
        other => {
            let why = match other {
                Some(MxFacts { tlsa: Known::Unknown { why }, .. }) => why.as_str(),
                _ => "it was not asked for",
            };
            (
                format!("whether {owner} has TLSA records could not be looked up: {why}"),
                "repair DNS on this host, or name a resolver with --resolver".to_owned(),
            )
        }
    };
    Some(
        Finding::new("tlsa-unknown", Verdict::Unknown, Subject::Mx(name.clone()), says)
            .means("where it has records, a new key makes DANE senders defer their mail (RFC 7672), so nothing is ordered")
            .remedy(Remedy::Do(remedy)),
    )
}

impl Told<'_> {
    /// Whether this key may be served, with whatever certificate: a record names it, and no claim is broken.
    pub(super) fn allows(&self, facts: &Facts, key: &Fingerprint<'_>) -> bool {
        (self.records.is_empty() || self.records.iter().any(|r| names_key(r, key)))
            && facts.claims.broken_by(self.name, key.spki, facts.now).is_empty()
    }

    /// Whether a chain that is served, leaf first, is what the records say.
    pub(super) fn accepts(&self, facts: &Facts, chain: &[Certificate]) -> bool {
        let Some((leaf, rest)) = chain.split_first() else { return false };
        let says = |r: &&Tlsa| match r.usage {
            3 => names_certificate(r, leaf),
            _ => rest.iter().any(|issuer| names_certificate(r, issuer)),
        };
        (self.records.is_empty() || self.records.iter().any(says)) && facts.claims.broken_by(self.name, &leaf.spki, facts.now).is_empty()
    }

    /// No key that this host has could be kept: what to publish, and when to come back.
    pub(super) fn would_break(&self, facts: &Facts, lineage: Option<&Lineage>) -> Finding {
        let own = lineage.and_then(|l| l.keys.first()).map(|k| &k.spki);
        let in_use = facts.foreign.iter().find(|f| f.in_use && f.leaf.key_type != KeyType::Other);
        let mut finding = Finding::new(
            "tlsa-would-break",
            Verdict::Fail,
            Subject::Mx(self.name.clone()),
            "TLSA records are published, and none names a key that this host has and could keep",
        );
        for record in &self.records {
            let why = match (record.usage, record.selector) {
                (2, _) => "names a CA, which may not be the next certificate's",
                (_, 0) => "names one certificate, and the next one is another even with the same key",
                _ => "names a key that was not found here",
            };
            finding = finding.seen(format!("{} ({why})", self.line(record)));
        }
        let breaks = "senders that check DANE would defer their mail (RFC 7672), so nothing is ordered";
        match own.or(in_use.map(|f| &f.leaf.spki)) {
            Some(spki) => finding.means(format!("{breaks}; {}", self.then())).remedy(Remedy::Record(self.record(spki))),
            None => finding.means(breaks).remedy(Remedy::Do(
                "put the private key that a record names where the mail server reads it, or withdraw the records and wait for their TTL"
                    .into(),
            )),
        }
    }

    /// A key type that is served today has no record, and would be served no longer.
    pub(super) fn would_drop(&self, key_type: KeyType, key: Option<&Digest>) -> Finding {
        let finding = Finding::new(
            "key-type-would-drop",
            Verdict::Fail,
            Subject::Mx(self.name.clone()),
            format!("a certificate of type {key_type} is served today, and no TLSA record names its key"),
        );
        let means = "without that key type some senders get no TLS, and with it DANE senders defer their mail (RFC 7672)";
        match key {
            Some(spki) => finding.means(format!("{means}; {}", self.then())).remedy(Remedy::Record(self.record(spki))),
            None => finding.means(means).remedy(Remedy::Do("choose one key type with --key-type ecdsa or --key-type rsa".into())),
        }
    }

    /// The record that names a key, in zone-file form.
    pub(super) fn record(&self, spki: &Digest) -> String {
        format!("_25._tcp.{}. IN TLSA 3 1 1 {spki}", self.name)
    }

    /// What to do once a record is published.
    pub(super) fn then(&self) -> String {
        let hours = (2 * self.ttl).div_ceil(3600).max(HOLD_HOURS);
        format!("publish the record below beside the others and run mxseal setup again {hours} h later: that key is then kept")
    }

    fn line(&self, record: &Tlsa) -> String {
        format!("_25._tcp.{}. IN TLSA {record}", self.name)
    }
}

/// Whether a record stays true as long as the key stays: DANE-EE of the key itself.
fn names_key(record: &Tlsa, key: &Fingerprint<'_>) -> bool {
    let data = record.data.to_ascii_lowercase();
    match (record.usage, record.selector, record.matching) {
        (3, 1, 0) => is_digest_of(&data, key.spki),
        (3, 1, 1) => data == key.spki.0,
        (3, 1, 2) => !data.is_empty() && data == key.sha512,
        _ => false,
    }
}

/// Whether a record names this very certificate, or its key.
fn names_certificate(record: &Tlsa, certificate: &Certificate) -> bool {
    let data = record.data.to_ascii_lowercase();
    match (record.selector, record.matching) {
        (0, 0) => is_digest_of(&data, &certificate.digest),
        (0, 1) => data == certificate.digest.0,
        (1, 0) => is_digest_of(&data, &certificate.spki),
        (1, 1) => data == certificate.spki.0,
        (1, 2) => !data.is_empty() && data == certificate.spki_sha512,
        _ => false,
    }
}

fn is_digest_of(hex: &str, digest: &Digest) -> bool {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).is_ok_and(|bytes| Digest::of(&bytes) == *digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{certificate::sha512, moment::Moment};

    #[test]
    fn records_name_keys_and_certificates() {
        let leaf = Certificate {
            digest: Digest::of(b"certificate"),
            spki: Digest::of(b"key"),
            spki_sha512: sha512(b"key"),
            key_type: KeyType::Ecdsa,
            serial: "01".into(),
            authority: String::new(),
            names: Vec::new(),
            issuer: "CA".into(),
            self_signed: false,
            not_before: Moment(0),
            not_after: Moment(1),
            client_auth: false,
        };
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let (certificate, key) = (Digest::of(b"certificate").0, Digest::of(b"key").0);
        // Usage, selector, matching (RFC 6698 section 2.1), data; is it the key's; is it the certificate's.
        for (usage, selector, matching, data, of_key, of_certificate) in [
            (3, 1, 1, key.clone(), true, true),
            (3, 1, 1, key.to_ascii_uppercase(), true, true),
            (3, 1, 2, sha512(b"key"), true, true),
            (3, 1, 2, sha512(b"other"), false, false),
            (3, 1, 2, String::new(), false, false),
            (3, 1, 0, hex(b"key"), true, true),
            (3, 1, 0, "no hex".into(), false, false),
            (3, 0, 1, certificate.clone(), false, true),
            (3, 0, 0, hex(b"certificate"), false, true),
            (2, 1, 1, key, false, true),
            (2, 0, 1, certificate, false, true),
            (3, 1, 3, "00".into(), false, false),
        ] {
            let record = Tlsa { usage, selector, matching, data };
            assert_eq!(names_key(&record, &Fingerprint::from(&leaf)), of_key, "{record}");
            assert_eq!(names_certificate(&record, &leaf), of_certificate, "{record}");
        }
    }
}
