//! The policies that this host keeps, in the Store: a file each.

use super::KeptPolicy;
use crate::{name::DnsName, world::Store};
use serde::Serialize;
use std::io;

const FOLDER: &str = "policies";
/// The format that this version writes.
const VERSION: u16 = 1;

#[derive(Serialize)]
struct Kept<'a> {
    version: u16,
    #[serde(flatten)]
    policy: &'a KeptPolicy,
}

fn file(domain: &DnsName) -> String {
    format!("{FOLDER}/{domain}.json")
}

/// What is kept of a domain's policy.
///
/// # Errors
/// When it is there and cannot be read, or another release wrote it.
pub fn load(store: &Store, domain: &DnsName) -> io::Result<Option<KeptPolicy>> {
    store.load_format(file(domain), VERSION)
}

/// All that are kept, by domain.
///
/// # Errors
/// When one cannot be read; the text names its file.
pub fn all(store: &Store) -> io::Result<Vec<KeptPolicy>> {
    let names = store.list(FOLDER)?;
    let found = names.iter().filter(|n| n.ends_with(".json") && !n.starts_with('.'));
    found.filter_map(|n| store.load_format(format!("{FOLDER}/{n}"), VERSION).transpose()).collect()
}

/// Keeps it; what is the same already is not written again.
///
/// # Errors
/// When it cannot be written; the old one then stays.
pub fn save(store: &Store, kept: &KeptPolicy) -> io::Result<()> {
    if load(store, &kept.domain)?.as_ref() == Some(kept) {
        return Ok(());
    }
    store.save(file(&kept.domain), &Kept { version: VERSION, policy: kept })
}

/// The policy was left.
///
/// # Errors
/// When its file stays.
pub fn forget(store: &Store, domain: &DnsName) -> io::Result<()> {
    store.remove(file(domain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        moment::Moment,
        policy::sts_policy::{Mode, MxPattern, StsPolicy},
        publish::PolicyHost,
    };

    #[test]
    fn what_is_kept_comes_back_and_another_release_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path().join("state")).expect("a store");
        let domain: DnsName = "example.org".parse().expect("a name");
        let policy = |mode| StsPolicy { mode, mx: vec![MxPattern::of(domain.clone())], max_age: 86400 };
        let host = PolicyHost::Export { dir: "/srv".into() };
        let kept = KeptPolicy::new(domain.clone(), policy(Mode::Testing), host, Moment(5)).becomes(policy(Mode::Enforce), Moment(6));
        save(&store, &kept).expect("kept");
        assert_eq!(load(&store, &domain).expect("read"), Some(kept.clone()));
        assert_eq!(all(&store).expect("read"), std::slice::from_ref(&kept));
        store.save(file(&domain), &serde_json::json!({ "version": 2, "domain": ["another", "form"] })).expect("written");
        for refused in [load(&store, &domain).map(drop), all(&store).map(drop), save(&store, &kept)] {
            let says = refused.expect_err("another release").to_string();
            assert!(says.contains("example.org.json was written by another release (format 2, this one reads 1)"), "{says}");
        }
        forget(&store, &domain).expect("forgotten");
        assert_eq!(all(&store).expect("none"), []);
    }
}
