//! Our certificates in the Store: `lineages/NAME.json` says what there is and how far it got; the keys lie in
//! `lineages/NAME/`, 0600, and key and chain together are a secret object.

use crate::{
    facts::{Deployment, Lineage},
    name::DnsName,
    world::Store,
};
use std::io;

fn file(name: &DnsName) -> String {
    format!("lineages/{name}.json")
}

/// Every lineage, by name. What survey reads.
///
/// # Errors
/// When one cannot be read; the text names its file.
pub fn load_lineages(store: &Store) -> io::Result<Vec<Lineage>> {
    let names = store.list("lineages")?;
    let found = names.iter().filter(|n| n.ends_with(".json") && !n.starts_with('.'));
    found.filter_map(|n| store.load(format!("lineages/{n}")).transpose()).collect()
}

/// One lineage.
///
/// # Errors
/// When it is there and cannot be read.
pub fn load_lineage(store: &Store, name: &DnsName) -> io::Result<Option<Lineage>> {
    store.load(file(name))
}

pub(super) fn save(store: &Store, lineage: &Lineage) -> io::Result<()> {
    store.save(file(&lineage.name), lineage)
}

/// Records how far a lineage got, and gives it as it is now.
///
/// # Errors
/// When there is no such lineage, or it cannot be read or written.
pub fn mark(store: &Store, name: &DnsName, deployment: Deployment) -> io::Result<Lineage> {
    let missing =
        || io::Error::new(io::ErrorKind::NotFound, format!("there is no certificate {name} in {}", store.path("lineages").display()));
    let mut lineage = load_lineage(store, name)?.ok_or_else(missing)?;
    if lineage.deployment != deployment {
        lineage.deployment = deployment;
        save(store, &lineage)?;
    }
    Ok(lineage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("a store");
        let name: DnsName = "mx.example.org".parse().expect("a name");
        assert!(mark(&store, &name, Deployment::Proved).is_err());
        let lineage = Lineage {
            directory: "https://ca.example/dir".into(),
            deployment: Deployment::Issued,
            ..Lineage::begun(name.clone(), "/etc/postfix/mxseal.pem".into())
        };
        save(&store, &lineage).expect("saved");
        std::fs::create_dir(dir.path().join("lineages/mx.example.org")).expect("the keys' folder");
        mark(&store, &name, Deployment::Proved).expect("marked");
        assert_eq!(load_lineages(&store).expect("read"), [Lineage { deployment: Deployment::Proved, ..lineage }]);
    }
}
