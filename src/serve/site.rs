//! What is served, in one file: replaced in one rename, so that a policy and the certificate of its host are never of two minds.

use crate::{name::DnsName, world::Look as _, world::Machine};
use bytes::Bytes;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::{Zeroize as _, Zeroizing};

/// The format that this version writes.
const VERSION: u16 = 1;

/// How the protocol of tls-alpn-01 calls itself (RFC 8737 §6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// The file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    version: u16,
    /// What is served under each name, such as `mta-sts.example.org`.
    pub hosts: BTreeMap<DnsName, ServedHost>,
    /// What a CA that asks by `acme-tls/1` is shown for each name while an order is open (RFC 8737): key and certificate as PEM,
    /// worth nothing to anybody else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<DnsName, String>,
}

/// One name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedHost {
    /// The policy, exactly.
    pub policy: String,
    /// Key and chain, as PEM.
    pub bundle: String,
}

impl Served {
    /// The file for these names.
    #[must_use]
    pub const fn new(hosts: BTreeMap<DnsName, ServedHost>) -> Self {
        Self { version: VERSION, hosts, answers: BTreeMap::new() }
    }
}

impl fmt::Debug for ServedHost {
    /// A key has no text form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedHost").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Drop for ServedHost {
    fn drop(&mut self) {
        self.bundle.zeroize();
    }
}

/// Why a file cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be served: {why}", .file.display())]
pub struct Unservable {
    file: PathBuf,
    why: String,
}

/// A file, opened: keys and policies by name, and how TLS is spoken.
pub(super) struct Site {
    policies: BTreeMap<String, Bytes>,
    /// No state of a client is kept.
    pub(super) tls: Arc<ServerConfig>,
}

#[derive(Debug, Default)]
struct Keys {
    hosts: BTreeMap<String, Arc<CertifiedKey>>,
    answers: BTreeMap<String, Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asks = hello.alpn().is_some_and(|offered| offered.eq([ACME_TLS]));
        let keys = if asks { &self.answers } else { &self.hosts };
        keys.get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}

impl Site {
    /// Reads the file.
    pub(super) fn read(file: &Path) -> Result<Self, Unservable> {
        let wrong = |why: String| Unservable { file: file.to_owned(), why };
        let (bytes, _) = Machine.read(file).map_err(|e| wrong(e.to_string()))?.ok_or_else(|| wrong("there is no such file".into()))?;
        let bytes = Zeroizing::new(bytes);
        let served: Served = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        if served.version != VERSION {
            return Err(wrong(format!("it is of another release (format {}, this one reads {VERSION})", served.version)));
        }
        let (mut keys, mut policies) = (Keys::default(), BTreeMap::new());
        for (name, host) in &served.hosts {
            let key = certified(&host.bundle).map_err(|why| wrong(format!("the certificate of {name}: {why}")))?;
            key.keys_match().map_err(|e| wrong(format!("the certificate of {name}: {e}")))?;
            keys.hosts.insert(name.to_string(), Arc::new(key));
            policies.insert(name.to_string(), Bytes::from(host.policy.clone()));
        }
        for (name, answer) in &served.answers {
            // Whether key and certificate match cannot be asked of one with an extension that is critical and unknown there.
            let key = certified(answer).map_err(|why| wrong(format!("the answer for {name}: {why}")))?;
            keys.answers.insert(name.to_string(), Arc::new(key));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut tls = tls.map_err(|e| wrong(e.to_string()))?.with_no_client_auth().with_cert_resolver(Arc::new(keys));
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        if !served.answers.is_empty() {
            tls.alpn_protocols.push(ACME_TLS.to_vec());
        }
        Ok(Self { policies, tls: Arc::new(tls) })
    }

    /// The policy of a host.
    pub(super) fn policy(&self, host: &str) -> Option<Bytes> {
        self.policies.get(host).cloned()
    }

    /// What is served, in words.
    pub(super) fn told(&self) -> String {
        match self.policies.len() {
            0 => "no policy".to_owned(),
            1..=8 => self.policies.keys().cloned().collect::<Vec<_>>().join(", "),
            many => format!("{many} policies"),
        }
    }
}

fn certified(bundle: &str) -> Result<CertifiedKey, String> {
    let chain = CertificateDer::pem_slice_iter(bundle.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(|e| format!("{e:?}"))?;
    let key = PrivateKeyDer::from_pem_slice(bundle.as_bytes()).map_err(|e| format!("{e:?}"))?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|e| e.to_string())?;
    Ok(CertifiedKey::new(chain, key))
}
