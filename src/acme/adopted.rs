//! Certificates that another program got and keeps: read as they lie there, checked, and kept in the Store like our own.
//! Nothing of theirs is written, and no CA is asked.

use super::{
    bad_news::Trouble,
    keys::{HeldKey, block},
    load_lineage,
    paper::Chain,
    replace, stored,
};
use crate::{
    certificate::{Certificate, pem_certificates},
    facts::{Deployment, Lineage, Source},
    plan::Adopt,
    world::{self, Look as _, Machine, Store},
};

/// Takes in what lies in the files of `wanted`, so that a change can put it in place. Doing it twice is once.
///
/// # Errors
/// When a file is missing, is no chain, holds another key than its chain, has ended, or lacks a name. What was taken in before
/// stays.
pub fn adopt(store: &Store, wanted: &Adopt) -> Result<Lineage, Trouble> {
    let (mut keys, mut chains) = (Vec::new(), Vec::new());
    for source in &wanted.sources {
        let chain = chain(source, wanted)?;
        keys.push(HeldKey::of_chain(store, &wanted.lineage, &source.key, &chain.leaf)?);
        chains.push(chain);
    }
    let known = load_lineage(store, &wanted.lineage)?;
    let was =
        known.unwrap_or_else(|| Lineage { deployment: Deployment::Issued, ..Lineage::begun(wanted.lineage.clone(), wanted.live.clone()) });
    let mut lineage = was.clone();
    stored(store, &mut lineage, &keys, &chains)?;
    lineage.directory.clear();
    lineage.acme_profile = None;
    // Whoever keeps the key decides which one follows.
    lineage.successor = None;
    lineage.adopted.clone_from(&wanted.sources);
    lineage.live.clone_from(&wanted.live);
    replace(store, &was, &lineage)?;
    Ok(lineage)
}

/// The chain of a source, written anew from its bytes.
fn chain(source: &Source, wanted: &Adopt) -> Result<Chain, Trouble> {
    let wrong = |why: String| Trouble::Kept { keeper: source.keeper.clone(), file: source.chain.clone(), why };
    let (bytes, _) = Machine.read(&source.chain).map_err(|e| wrong(e.to_string()))?.ok_or_else(|| wrong("it is gone".into()))?;
    let ders = pem_certificates(&bytes).map_err(|e| wrong(e.to_string()))?;
    let first = ders.first().ok_or_else(|| wrong("it holds no certificate".into()))?;
    let leaf = Certificate::read(first).map_err(|e| wrong(e.to_string()))?;
    if leaf.not_after <= world::now() {
        return Err(wrong(format!("it has ended on {}", leaf.not_after.day())));
    }
    if let Some(name) = wanted.names.iter().find(|name| !leaf.covers(name)) {
        return Err(wrong(format!("it does not hold {name}")));
    }
    Ok(Chain { pem: ders.iter().map(|der| block("CERTIFICATE", der).to_string()).collect(), leaf })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{acme::lineage, certificate::KeyType};
    use rcgen::{CertificateParams, KeyPair};
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    fn write(dir: &Path, names: &[&str], key: Option<&KeyPair>) -> KeyPair {
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        fs::write(dir.join("fullchain.pem"), params.self_signed(&own).unwrap().pem()).unwrap();
        fs::write(dir.join("privkey.pem"), key.unwrap_or(&own).serialize_pem()).unwrap();
        own
    }

    fn wanted(dir: &Path) -> Adopt {
        Adopt {
            lineage: "mx.example.org".parse().unwrap(),
            names: vec!["mx.example.org".parse().unwrap()],
            sources: vec![Source {
                key_type: KeyType::Ecdsa,
                keeper: "certbot".into(),
                name: "mx.example.org".into(),
                chain: dir.join("fullchain.pem"),
                key: dir.join("privkey.pem"),
            }],
            live: "/etc/mxseal/live/mx.example.org.pem".into(),
        }
    }

    #[test]
    fn what_lies_there_is_taken_in_once_and_again_when_it_was_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("state")).unwrap();
        write(dir.path(), &["mx.example.org"], None);
        let first = adopt(&store, &wanted(dir.path())).unwrap();
        assert_eq!((first.deployment, first.adopted.len(), first.keys.len()), (Deployment::Issued, 1, 1));
        let bundle = String::from_utf8(store.get(first.bundle.as_ref().unwrap()).unwrap()).unwrap();
        assert!(bundle.starts_with("-----BEGIN PRIVATE KEY") && bundle.contains("BEGIN CERTIFICATE"), "one file for the server");
        assert_eq!(adopt(&store, &wanted(dir.path())).unwrap(), first);
        lineage::mark(&store, &first.name, Deployment::Proved).unwrap();

        write(dir.path(), &["*.example.org"], None);
        let renewed = adopt(&store, &wanted(dir.path())).unwrap();
        assert_ne!(renewed.bundle, first.bundle);
        assert_eq!(renewed.deployment, Deployment::Issued, "nobody has seen it on the wire");
        let keys: Vec<_> = fs::read_dir(store.path("lineages/mx.example.org")).unwrap().flatten().collect();
        assert!(keys.iter().all(|k| k.metadata().unwrap().permissions().mode() & 0o077 == 0), "{keys:?}");
    }

    #[test]
    fn what_cannot_be_served_is_not_taken_in() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("state")).unwrap();
        let said = |why: &str| {
            let error = adopt(&store, &wanted(dir.path())).expect_err(why).to_string();
            assert!(error.contains(why) && !error.contains("PRIVATE"), "{error}");
            assert_eq!(load_lineage(&store, &"mx.example.org".parse().unwrap()).unwrap(), None);
        };
        said("it is gone");
        write(dir.path(), &["other.example.org"], None);
        said("does not hold mx.example.org");
        let other = KeyPair::generate().unwrap();
        write(dir.path(), &["mx.example.org"], Some(&other));
        said("privkey.pem: holds the key");
        fs::write(dir.path().join("fullchain.pem"), "").unwrap();
        said("holds no certificate");
    }
}
