//! The policies that this host keeps, in the Store: a file each.

use super::KeptPolicy;
use crate::{name::DnsName, world::Store};
use std::io;

const FOLDER: &str = "policies";

fn file(domain: &DnsName) -> String {
    format!("{FOLDER}/{domain}.json")
}

/// What is kept of a domain's policy.
///
/// # Errors
/// When it is there and cannot be read.
pub fn load(store: &Store, domain: &DnsName) -> io::Result<Option<KeptPolicy>> {
    store.load(file(domain))
}

/// All that are kept, by domain.
///
/// # Errors
/// When one cannot be read; the text names its file.
pub fn all(store: &Store) -> io::Result<Vec<KeptPolicy>> {
    let names = store.list(FOLDER)?;
    let found = names.iter().filter(|n| n.ends_with(".json") && !n.starts_with('.'));
    found.filter_map(|n| store.load(format!("{FOLDER}/{n}")).transpose()).collect()
}

/// Keeps it; what is the same already is not written again.
///
/// # Errors
/// When it cannot be written; the old one then stays.
pub fn save(store: &Store, kept: &KeptPolicy) -> io::Result<()> {
    if load(store, &kept.domain)?.as_ref() == Some(kept) { Ok(()) } else { store.save(file(&kept.domain), kept) }
}

/// The policy was left.
///
/// # Errors
/// When its file stays.
pub fn forget(store: &Store, domain: &DnsName) -> io::Result<()> {
    store.remove(file(domain))
}
