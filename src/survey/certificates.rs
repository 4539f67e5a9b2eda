//! The certificate files that the server's settings name and those that other programs keep, each with its key's place.
//! A key's bytes are passed over and never kept.

use super::keepers::{self, Found};
use crate::{
    certificate::Certificate,
    facts::{ForeignLineage, Service, Source},
    moment::Moment,
    mta::dialect::{Certificates, Dialect},
    world::{Look, Net},
};
use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    pki_types::{CertificateDer, UnixTime},
    server::ParsedCertificate,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

/// Every certificate that the services name or another program keeps, in use first. Files below `live_dir` are ours and
/// left out.
pub(super) fn foreign(
    look: &dyn Look,
    served: Option<(Dialect, &[Service])>,
    live_dir: &Path,
    roots: &RootCertStore,
    now: Moment,
) -> Vec<ForeignLineage> {
    let mut kept = Vec::new();
    for Found { keeper, chain, key, kept: by } in keepers::find(look) {
        let of_keeper = read(look, &chain, &key, keeper, false, roots, now);
        kept.extend(of_keeper.into_iter().map(|lineage| ForeignLineage { kept: Some(by.clone()), ..lineage }));
    }
    let same =
        |a: &ForeignLineage, b: &ForeignLineage| a.leaf.digest == b.leaf.digest && look.real(&a.chain).ok() == look.real(&b.chain).ok();
    let mut found: Vec<ForeignLineage> = Vec::new();
    for (chain, key) in served.map(|(dialect, services)| named(look, dialect, services)).unwrap_or_default() {
        // Every path begins with the empty one.
        if live_dir.is_absolute() && chain.starts_with(live_dir) {
            continue;
        }
        for mut lineage in read(look, &chain, &key, "", true, roots, now) {
            lineage.keeper = keeper(look, &chain, &lineage.leaf, &kept);
            lineage.kept = kept.iter().find(|k| same(k, &lineage)).and_then(|k| k.kept.clone());
            found.push(lineage);
        }
    }
    kept.retain(|k| !found.iter().any(|f| same(f, k)));
    found.extend(kept);
    found
}

/// The files that the settings name: chain and key. Chain files hold their keys before their chains.
fn named(look: &dyn Look, dialect: Dialect, services: &[Service]) -> BTreeSet<(PathBuf, PathBuf)> {
    let mut all = BTreeSet::new();
    for Certificates { pairs, chains } in services.iter().map(|s| dialect.certificates(s)) {
        for list in chains {
            let mut key: Option<PathBuf> = None;
            for file in list {
                let (holds_key, holds_chain) = contents(look, &file);
                if holds_key {
                    key = Some(file.clone());
                }
                if holds_chain {
                    all.insert((file.clone(), key.clone().unwrap_or(file)));
                }
            }
        }
        all.extend(pairs);
    }
    all
}

/// Whether a PEM file holds a private key, and whether it holds a certificate.
fn contents(look: &dyn Look, file: &Path) -> (bool, bool) {
    let bytes = Zeroizing::new(look.read(file).ok().flatten().map(|(b, _)| b).unwrap_or_default());
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
    (holds(b"PRIVATE KEY-----"), holds(b"-----BEGIN CERTIFICATE-----"))
}

/// What lies today in the files that a program keeps, and whether it verifies; `None` where they hold no certificate.
#[must_use]
pub fn kept(look: &dyn Look, net: &Net, source: &Source, now: Moment) -> Option<ForeignLineage> {
    read(look, &source.chain, &source.key, &source.keeper, false, &net.verdict_roots, now).into_iter().next()
}

/// The lineages in a chain file: one for each leaf in it. An unreadable file is none; the wire still shows what is served.
pub(super) fn read(
    look: &dyn Look,
    chain: &Path,
    key: &Path,
    keeper: &str,
    in_use: bool,
    roots: &RootCertStore,
    now: Moment,
) -> Vec<ForeignLineage> {
    let Ok(Some((bytes, _))) = look.read(chain) else { return Vec::new() };
    chains(&Zeroizing::new(bytes))
        .into_iter()
        .filter_map(|ders| {
            let leaf = Certificate::read(ders.first()?).ok()?;
            let trusted = trusted(&ders, roots, now);
            Some(ForeignLineage {
                keeper: keeper.to_owned(),
                chain: chain.to_owned(),
                key: key.to_owned(),
                leaf,
                trusted,
                in_use,
                kept: None,
            })
        })
        .collect()
}

/// The chains of a PEM text: a private key begins a new one. Damaged blocks end the reading.
fn chains(pem: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut all: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
    for mut block in x509_parser::pem::Pem::iter_from_buffer(pem).map_while(Result::ok) {
        if block.label.ends_with("PRIVATE KEY") {
            zeroize::Zeroize::zeroize(&mut block.contents);
            all.push(Vec::new());
        } else if block.label == "CERTIFICATE"
            && let Some(chain) = all.last_mut()
        {
            chain.push(block.contents);
        }
    }
    all.retain(|chain| !chain.is_empty());
    all
}

/// Whether a chain ends in a root for verdicts at `now`, for a server (RFC 5280 §6).
fn trusted(ders: &[Vec<u8>], roots: &RootCertStore, now: Moment) -> bool {
    let certificates: Vec<CertificateDer<'_>> = ders.iter().map(|d| CertificateDer::from(d.as_slice())).collect();
    let Some((leaf, rest)) = certificates.split_first() else { return false };
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.0));
    ParsedCertificate::try_from(leaf)
        .is_ok_and(|leaf| verify_server_cert_signed_by_trust_anchor(&leaf, roots, rest, now, algorithms).is_ok())
}

/// Who keeps a file: by where it really lies, else by whose certificate it holds a copy of.
fn keeper(look: &dyn Look, chain: &Path, leaf: &Certificate, kept: &[ForeignLineage]) -> String {
    let real = look.real(chain).unwrap_or_else(|_| chain.to_owned());
    keepers::by_place(&real)
        .map(ToOwned::to_owned)
        .or_else(|| kept.iter().find(|k| k.leaf.digest == leaf.digest).map(|k| k.keeper.clone()))
        .unwrap_or_else(|| "file".into())
}

/// The names of trusted certificates in use: what a certificate that replaces them must cover too.
pub(super) fn trusted_names<'a>(foreign: impl Iterator<Item = &'a ForeignLineage>) -> BTreeMap<String, PathBuf> {
    let in_use = foreign.filter(|f| f.in_use && f.trusted);
    in_use.flat_map(|f| f.leaf.names.iter().map(|n| (n.clone(), f.chain.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{Effective, Origin, Role},
        world::Machine,
    };
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    fn service(settings: &[(&str, String)]) -> Service {
        Service {
            name: "smtp/inet".into(),
            at: (PathBuf::from("master.cf"), 1),
            program: "smtpd".into(),
            listens: Vec::new(),
            role: Role::Mx,
            wire: None,
            tests_strangers: false,
            chroot: false,
            settings: settings.iter().map(|(n, v)| ((*n).to_owned(), Effective { value: v.clone(), from: Origin::Default })).collect(),
        }
    }

    /// A root for verdicts, and PEM of a leaf below it and of its key.
    fn ca() -> (RootCertStore, impl Fn(&str) -> (String, String)) {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(Vec::new()).unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let issue = move |name: &str| {
            let leaf_key = KeyPair::generate().unwrap();
            let leaf =
                CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&leaf_key, &Issuer::from_params(&params, &key)).unwrap();
            (leaf.pem(), leaf_key.serialize_pem())
        };
        (roots, issue)
    }

    #[test]
    fn files_in_use_are_read_with_their_keys() {
        let dir = tempfile::tempdir().unwrap();
        let (roots, issue) = ca();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let ((a, a_key), (b, b_key), (c, c_key)) = (issue("a.example"), issue("b.example"), issue("c.example"));
        let both = write("both.pem", &format!("{a_key}{a}{b_key}{b}"));
        let (cert, key) = (write("c.pem", &c), write("c.key", &c_key));
        let ours = write("live.pem", &format!("{a_key}{a}"));
        std::fs::create_dir(dir.path().join("live")).unwrap();
        std::fs::rename(&ours, dir.path().join("live/x.pem")).unwrap();
        let text = |p: &Path| p.display().to_string();
        let services = [service(&[
            ("smtpd_tls_chain_files", format!("{}, {}/live/x.pem", text(&both), text(dir.path()))),
            ("smtpd_tls_cert_file", text(&cert)),
            ("smtpd_tls_key_file", text(&key)),
            ("smtpd_tls_eccert_file", "/nowhere.pem".into()),
        ])];
        let now = Moment(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
        let mut found = foreign(&Machine, Some((Dialect::PostfixCf, &services)), &dir.path().join("live"), &roots, now);
        found.retain(|f| f.in_use);
        let rows: Vec<_> =
            found.iter().map(|f| (f.leaf.names[0].as_str(), f.chain.clone(), f.key.clone(), f.trusted, f.keeper.as_str())).collect();
        assert_eq!(
            rows,
            vec![
                ("a.example", both.clone(), both.clone(), true, "file"),
                ("b.example", both.clone(), both, true, "file"),
                ("c.example", cert, key, true, "file"),
            ]
        );
        assert!(
            foreign(&Machine, Some((Dialect::PostfixCf, &services)), dir.path(), &RootCertStore::empty(), now)
                .iter()
                .all(|f| !f.in_use || !f.trusted)
        );
        let later = Moment(now.0 + 10_000 * 365 * 86_400);
        assert!(
            foreign(&Machine, Some((Dialect::PostfixCf, &services)), &dir.path().join("live"), &roots, later)
                .iter()
                .filter(|f| f.in_use)
                .all(|f| !f.trusted)
        );
    }
}
