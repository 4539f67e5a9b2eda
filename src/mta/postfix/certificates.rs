//! Which certificate files a service names, and who is shown them.

use super::{
    presents,
    sni::{SNI, is_ours, tables},
};
use crate::{
    facts::{Role, Server, Service},
    mta::understood::{ByName, Certificates},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Settings that name a certificate file, each with the one that names its key.
const PAIRS: [(&str, &str); 8] = [
    ("smtpd_tls_cert_file", "smtpd_tls_key_file"),
    ("smtpd_tls_eccert_file", "smtpd_tls_eckey_file"),
    ("smtpd_tls_dcert_file", "smtpd_tls_dkey_file"),
    ("tlsproxy_tls_cert_file", "tlsproxy_tls_key_file"),
    ("tlsproxy_tls_eccert_file", "tlsproxy_tls_eckey_file"),
    ("smtp_tls_cert_file", "smtp_tls_key_file"),
    ("smtp_tls_eccert_file", "smtp_tls_eckey_file"),
    ("lmtp_tls_cert_file", "lmtp_tls_key_file"),
];

/// Settings that name files in which each key comes before its chain (postconf(5) `smtpd_tls_chain_files`).
const CHAINS: [&str; 3] = ["smtpd_tls_chain_files", "tlsproxy_tls_chain_files", "smtp_tls_chain_files"];

pub(in crate::mta) fn certificates(service: &Service) -> Certificates {
    let value = |name: &str| service.settings.get(name).map(|e| e.value.trim()).filter(|v| v.starts_with('/'));
    let pair = |(chain, key): &(&str, &str)| value(chain).map(|chain| (PathBuf::from(chain), PathBuf::from(value(key).unwrap_or(chain))));
    let files = |list: &str| list.split([',', ' ', '\t', '\n']).filter(|f| !f.is_empty()).map(PathBuf::from).collect();
    Certificates {
        pairs: PAIRS.iter().filter_map(pair).collect(),
        chains: CHAINS.iter().filter_map(|name| value(name)).map(files).collect(),
    }
}

/// Behind postscreen strangers are served by tlsproxy: by its own files, which we are not shown.
pub(in crate::mta) fn strangers_see_another(server: &Server) -> bool {
    let files = |program: &str| -> BTreeSet<Vec<PathBuf>> {
        server.services.iter().filter(|s| s.role == Role::Mx && s.program == program).map(presents).collect()
    };
    let strangers = files("tlsproxy");
    !strangers.is_empty() && !strangers.is_subset(&files("smtpd"))
}

/// The tables of certificates by name, where some of them are not ours.
pub(in crate::mta) fn by_name<'a>(service: &'a Service, live_dir: &Path) -> Option<ByName<'a>> {
    let set = service.settings.get(SNI).filter(|e| tables(&e.value).iter().any(|table| !is_ours(table, live_dir)))?;
    Some(ByName { name: SNI, tables: set, again: "rebuild it with postmap -F, run postfix reload" })
}
