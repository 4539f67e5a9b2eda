//! An order as the Store keeps it, and what a chain must be to count as its fruit.

use super::{
    bad_news::{Trouble, said},
    keys::{HeldKey, block},
};
use crate::{
    certificate::{Certificate, Digest, pem_certificates},
    moment::Moment,
    plan::Obtain,
    world::Store,
};
use instant_acme::CertificateIdentifier;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A clock that differs by less is not worth a word, and CAs date certificates back by an hour.
const CLOCK_SLACK: Duration = Duration::from_secs(600);

/// What the Store keeps of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Of which certificate.
    pub(super) lineage: String,
    /// The CA's directory.
    pub(super) directory: String,
    /// The thumbprint of the account.
    pub(super) account: String,
    /// The names, sorted.
    pub(super) names: Vec<String>,
    /// The CA's profile.
    pub(super) acme_profile: Option<String>,
    /// The key.
    pub(super) spki: Digest,
    /// Where the CA keeps it; `None` until it said so.
    pub(super) url: Option<String>,
    /// The chain that came, leaf first, as PEM.
    pub(super) chain: Option<String>,
}

/// A chain that passed the checks of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// As PEM, leaf first.
    pub(super) pem: String,
    /// Its leaf.
    pub(super) leaf: Certificate,
}

/// What one order is about, and its place in the Store.
pub(super) struct Paper<'a> {
    store: &'a Store,
    file: String,
    /// As it is kept.
    pub(super) record: Record,
    replaces: Option<String>,
}

impl<'a> Paper<'a> {
    /// The order of `wanted` for `key` by the account with this thumbprint, as far as the Store knows it.
    pub(super) fn of(store: &'a Store, wanted: &Obtain, key: &HeldKey, account: &str) -> Result<Self, Trouble> {
        let mut names: Vec<String> = wanted.names.iter().map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        let record = Record {
            lineage: wanted.lineage.to_string(),
            directory: wanted.directory.clone(),
            account: account.to_owned(),
            names,
            acme_profile: wanted.acme_profile.clone(),
            spki: key.spki.clone(),
            url: None,
            chain: None,
        };
        let replaces = wanted.keys.iter().find(|k| k.key_type == key.key_type).and_then(|k| k.replaces.clone());
        let file = format!("orders/{}.json", Digest::of(&serde_json::to_vec(&record).map_err(std::io::Error::from)?));
        let record = store.load(&file)?.unwrap_or(record);
        Ok(Self { store, file, record, replaces })
    }

    /// The certificate that is in hand, while it is good and not the one to be replaced.
    pub(super) fn in_hand(&self, now: Moment) -> Option<Chain> {
        let chain = arrived(self.record.chain.as_deref()?, &self.record.spki, &self.record.names, now).ok()?;
        (self.replaces.as_ref() != Some(&chain.leaf.serial)).then_some(chain)
    }

    /// How the CA calls the certificate that is to be replaced (RFC 9773 §4.1), where it is the one in hand.
    pub(super) fn replaced(&self) -> Option<CertificateIdentifier<'static>> {
        let leaf = Certificate::read_pem(self.record.chain.as_deref()?.as_bytes()).ok()?.into_iter().next()?;
        if self.replaces.as_ref() != Some(&leaf.serial) {
            return None;
        }
        let (authority, serial) = leaf.renewal_id()?.split_once('.').map(|(a, s)| (a.to_owned(), s.to_owned()))?;
        Some(CertificateIdentifier { authority_key_identifier: authority.into(), serial: serial.into() })
    }

    /// Keeps it.
    pub(super) fn save(&self) -> Result<(), Trouble> {
        Ok(self.store.save(&self.file, &self.record)?)
    }

    /// Removes what is left of other orders of this lineage.
    pub(super) fn keep_only(store: &Store, lineage: &str, kept: &[Paper<'_>]) -> Result<(), Trouble> {
        for name in store.list("orders")? {
            let file = format!("orders/{name}");
            let old: Option<Record> = store.load(&file).unwrap_or_default();
            if old.is_some_and(|o| o.lineage == lineage) && kept.iter().all(|p| p.file != file) {
                store.remove(&file)?;
            }
        }
        Ok(())
    }
}

/// Checks a chain as it came: our key, every name, dates that make sense. What is kept is written anew from its bytes.
pub(super) fn arrived(pem: &str, spki: &Digest, names: &[String], now: Moment) -> Result<Chain, Trouble> {
    let wrong = |why: String| Err(Trouble::Arrived(why));
    let ders = match pem_certificates(pem.as_bytes()) {
        Ok(ders) if !ders.is_empty() && ders.len() <= 10 => ders,
        Ok(ders) => return wrong(format!("{} certificates came in one chain", ders.len())),
        Err(e) => return wrong(e.to_string()),
    };
    let leaf = match Certificate::read(&ders[0]) {
        Ok(leaf) => leaf,
        Err(e) => return wrong(e.to_string()),
    };
    if leaf.spki != *spki {
        return wrong(format!("it is for the key {}, not {spki}", leaf.spki));
    }
    if let Some(name) = names.iter().find(|n| !leaf.names.contains(n)) {
        return wrong(format!("it does not name {name}, only {}", said(&leaf.names.join(", "))));
    }
    if leaf.not_after <= leaf.not_before {
        return wrong(format!("it ends ({}) before it begins ({})", leaf.not_after, leaf.not_before));
    }
    let why = |what: &str, at: Moment| format!("the certificate that came {what} {at}");
    let ahead = |at: Moment| i64::try_from(now.0).unwrap_or(0) - i64::try_from(at.0).unwrap_or(0);
    if leaf.not_before > now.after(CLOCK_SLACK) {
        return Err(Trouble::Clock { why: why("begins only at", leaf.not_before), ahead: ahead(leaf.not_before), now });
    }
    if leaf.not_after <= now {
        return Err(Trouble::Clock { why: why("has ended at", leaf.not_after), ahead: ahead(leaf.not_after), now });
    }
    Ok(Chain { pem: ders.iter().map(|der| block("CERTIFICATE", der).to_string()).collect(), leaf })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};

    #[test]
    fn only_what_was_ordered_arrives() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["a.example".to_owned(), "b.example".to_owned()]).expect("names");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let spki = Digest::of(&key.subject_public_key_info());
        let names = |n: &[&str]| n.iter().map(ToString::to_string).collect::<Vec<_>>();
        let day = |n: u64| Moment(1_767_225_600 + n * 86_400);
        let ok = |pem: &str, spki: &Digest, n: &[&str], now| arrived(pem, spki, &names(n), now);
        assert_eq!(
            ok(&pem, &spki, &["a.example", "b.example"], day(1)).expect("good").pem.replace('\n', ""),
            pem.replace("\r\n", "").replace('\n', "")
        );
        assert!(ok(&pem, &Digest::of(b"x"), &["a.example"], day(1)).expect_err("another key").to_string().contains("for the key"));
        assert!(ok(&pem, &spki, &["c.example"], day(1)).expect_err("a name").to_string().contains("does not name c.example"));
        assert!(matches!(ok(&pem, &spki, &["a.example"], day(90)), Err(Trouble::Clock { ahead: 0, .. })));
        assert!(matches!(
            ok(&pem, &spki, &["a.example"], day(0).before(CLOCK_SLACK).before(CLOCK_SLACK)),
            Err(Trouble::Clock { ahead: -1200, .. })
        ));
        assert!(ok("", &spki, &["a.example"], day(1)).is_err());
    }

    #[test]
    fn what_is_in_hand_counts_unless_it_is_to_be_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("a store");
        let issuer = rcgen::CertifiedIssuer::self_signed(CertificateParams::default(), KeyPair::generate().expect("a key")).expect("a CA");
        let key = KeyPair::generate().expect("a key");
        let begin = 1_767_225_600;
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("names");
        params.not_before = time::OffsetDateTime::from_unix_timestamp(begin).expect("a date");
        params.not_after = params.not_before + time::Duration::days(90);
        params.use_authority_key_identifier_extension = true;
        let pem = params.signed_by(&key, &issuer).expect("a certificate").pem();
        let leaf = Certificate::read_pem(pem.as_bytes()).expect("a certificate").remove(0);
        let record = Record {
            lineage: "a.example".into(),
            directory: "https://ca.example/dir".into(),
            account: "thumb".into(),
            names: vec!["a.example".into()],
            acme_profile: None,
            spki: leaf.spki.clone(),
            url: None,
            chain: Some(pem),
        };
        let paper = |replaces: Option<&str>| Paper {
            store: &store,
            file: "orders/x.json".into(),
            record: record.clone(),
            replaces: replaces.map(ToOwned::to_owned),
        };
        let day = |n: u64| Moment(u64::try_from(begin).expect("a moment") + n * 86_400);
        for (case, replaces, now, counts) in [
            ("nothing is to be replaced", None, 1, true),
            ("late in its life, when that is not known to be due", None, 89, true),
            ("expired", None, 91, false),
            ("to be replaced", Some(&*leaf.serial), 1, false),
            ("another was to be replaced: this is the new one", Some("0102"), 1, true),
        ] {
            assert_eq!(paper(replaces).in_hand(day(now)).is_some(), counts, "{case}");
        }
        let named = paper(Some(&leaf.serial)).replaced().expect("who is replaced");
        assert_eq!(Some(format!("{}.{}", named.authority_key_identifier, named.serial)), leaf.renewal_id());
        assert!(paper(Some("0102")).replaced().is_none() && paper(None).replaced().is_none());
    }
}
