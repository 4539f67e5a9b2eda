//! What the configuration files mean to the stand-in: where it listens, how strict it is about TLS, which certificates it
//! presents. Read as survey reads them; what Postfix would find out only in a handshake is found out here.

use crate::{
    certificate::{Digest, pem_certificates},
    change::{Image, Raw},
    facts::{ConfigFile, Service, Version},
    mta::{
        config::ConfigText,
        dialect::Dialect,
        postfix::{Config, Level, level},
    },
    name::DnsName,
    view::Wire,
    world::Look,
};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The files, understood.
pub(super) struct Planned {
    pub(super) hostname: String,
    /// The domains that mail is taken for.
    pub(super) domains: Vec<DnsName>,
    pub(super) desks: Vec<Desk>,
}

/// One address with its service.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) addr: SocketAddr,
    pub(super) wire: Wire,
    pub(super) level: Level,
    /// Why not, where a certificate or key cannot be used: such a server goes on without TLS.
    pub(super) tls: Result<Arc<ServerConfig>, String>,
}

impl Planned {
    /// Reads the files of a configuration directory.
    pub(super) fn read(look: &dyn Look, dir: &Path) -> Result<Self, String> {
        let files = files(look, dir)?;
        let understood = Dialect::PostfixCf.understand(&Version::default(), &files, &BTreeMap::new()).map_err(|e| e.to_string())?;
        let mut desks = Vec::new();
        for service in understood.services.iter().filter(|s| s.program == "smtpd") {
            let (wire, level) = (service.wire(), level(service));
            let tls = server_config(look, service);
            desks.extend(service.listens.iter().map(|&addr| Desk { addr, wire, level, tls: tls.clone() }));
        }
        let hostname = understood.hostname.value().map_or_else(|| "localhost".to_owned(), ToString::to_string);
        Ok(Self { hostname, domains: understood.receives_for.value().cloned().unwrap_or_default(), desks })
    }
}

/// The values of settings, one a line, as `postconf -x` says them.
pub(super) fn values(look: &dyn Look, dir: &Path, names: &[String]) -> Result<String, String> {
    let (files, defaults) = (files(look, dir)?, BTreeMap::new());
    let config = Config::read(&files, &defaults).map_err(|e| e.to_string())?;
    let mut lines = String::new();
    for name in names {
        let effective = config.effective(name, None).map_err(|e| e.to_string())?;
        lines.push_str(&format!("{name} = {}\n", effective.value));
    }
    Ok(lines)
}

fn files(look: &dyn Look, dir: &Path) -> Result<Vec<ConfigFile>, String> {
    let read = |name: &str| {
        let path = dir.join(name);
        let (bytes, meta) = read(look, &path)?;
        let image = Image { digest: Digest::of(&bytes), meta };
        Ok(ConfigFile { real: path.clone(), path, image, text: ConfigText(Raw(bytes)) })
    };
    ["main.cf", "master.cf"].into_iter().map(read).collect()
}

fn read(look: &dyn Look, path: &Path) -> Result<(Vec<u8>, crate::change::Meta), String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    look.read(path).map_err(|e| wrong(e.to_string()))?.ok_or_else(|| wrong("there is no such file".into()))
}

/// Every chain whose key lies in the files that a service names (postconf(5) smtpd_tls_chain_files and its elders).
fn server_config(look: &dyn Look, service: &Service) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut pem = zeroize::Zeroizing::new(Vec::new());
    for path in key_files(service) {
        pem.extend(zeroize::Zeroizing::new(read(look, &path)?.0).as_slice());
        pem.push(b'\n');
    }
    let chains = chains(&pem, &provider)?;
    if chains.is_empty() {
        return Err(format!("{} names no certificate with its key", service.name));
    }
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    Ok(Arc::new(config.with_no_client_auth().with_cert_resolver(Arc::new(Presented(chains)))))
}

fn key_files(service: &Service) -> Vec<PathBuf> {
    let paths = |name: &str| {
        let value = service.settings.get(&format!("smtpd_tls_{name}")).map_or("", |e| e.value.as_str());
        value.split([' ', ',', '\t']).filter(|w| !w.is_empty() && *w != "none").map(PathBuf::from).collect::<Vec<_>>()
    };
    let mut all = paths("chain_files");
    if all.is_empty() {
        all = ["cert_file", "key_file", "eccert_file", "eckey_file"].into_iter().flat_map(paths).collect();
        all.sort();
        all.dedup();
    }
    all
}

/// Each key with the certificate that is of it and what follows that, up to the next such certificate.
fn chains(pem: &[u8], provider: &CryptoProvider) -> Result<Vec<Arc<CertifiedKey>>, String> {
    let certificates = pem_certificates(pem).map_err(|e| e.to_string())?;
    let certificates: Vec<CertificateDer<'static>> = certificates.into_iter().map(CertificateDer::from).collect();
    let keys = PrivateKeyDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|e| format!("a key cannot be read: {e}"))?;
    let mut found = Vec::new();
    for key in keys {
        let key = provider.key_provider.load_private_key(key).map_err(|e| format!("a key cannot be used: {e}"))?;
        let of_key = |leaf: &CertificateDer<'static>| CertifiedKey::new(vec![leaf.clone()], key.clone()).keys_match().is_ok();
        let at = certificates.iter().position(of_key).ok_or("a key comes without its certificate")?;
        found.push((at, key));
    }
    let starts: Vec<usize> = found.iter().map(|(at, _)| *at).collect();
    let chain = |at: usize| {
        let end = starts.iter().copied().filter(|s| *s > at).min().unwrap_or(certificates.len());
        certificates.get(at..end).unwrap_or_default().to_vec()
    };
    Ok(found.into_iter().map(|(at, key)| Arc::new(CertifiedKey::new(chain(at), key))).collect())
}

/// The certificates of a service: the first that the client can verify.
#[derive(Debug)]
struct Presented(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Presented {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.iter().find(|chain| chain.key.choose_scheme(hello.signature_schemes()).is_some()).cloned()
    }
}
