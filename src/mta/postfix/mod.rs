//! Postfix: what its two files mean for each service that answers from the network.

mod certificates;
mod domains;
mod harmless;
mod sni;
mod tables;
mod wanted;

pub(super) use certificates::{by_name, certificates, strangers_see_another};
pub(super) use domains::received;
pub(super) use harmless::harmless;
pub(super) use tables::names_by_table;
pub(super) use wanted::{is_ours, wanted};

use super::{
    expand::{Cycle, expand},
    lines::Unreadable,
    lines::words,
    main_cf, master_cf,
    settings::ASKS,
    understood::{Expanded, Understood},
};
use crate::{
    facts::{ConfigFile, Effective, Known, Origin, Role, Service},
    name::DnsName,
    view::Wire,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// What `postconf -x` is asked.
pub(super) const EXPANDS: &[&str] =
    &["queue_directory", "myhostname", "mydestination", "relay_domains", "virtual_mailbox_domains", "virtual_alias_domains"];

/// The master process works in its queue, and keeps its lock file there (master(8)).
pub(super) fn expanded(values: &BTreeMap<String, String>) -> Expanded {
    let queue = PathBuf::from(values.get("queue_directory").map_or("/var/spool/postfix", String::as_str));
    Expanded {
        pid_file: queue.join("pid/master.pid"),
        works_in: queue,
        hostname: values.get("myhostname").and_then(|name| name.parse().ok()),
    }
}

/// The two files, and the defaults behind them.
pub(crate) struct Config<'a> {
    pub(crate) main: &'a ConfigFile,
    pub(crate) master: &'a ConfigFile,
    entries: Vec<main_cf::Entry>,
    pub(crate) services: Vec<master_cf::Entry>,
    defaults: &'a BTreeMap<String, String>,
}

impl<'a> Config<'a> {
    pub(crate) fn read(files: &'a [ConfigFile], defaults: &'a BTreeMap<String, String>) -> Result<Self, Unreadable> {
        let find = |name: &str| {
            files.iter().find(|f| f.path.file_name().is_some_and(|n| n == name)).ok_or_else(|| {
                let path = files.first().and_then(|f| f.path.parent()).map_or_else(|| PathBuf::from(name), |dir| dir.join(name));
                Unreadable { path, line: 0, why: "the file is missing".to_owned() }
            })
        };
        let (main, master) = (find("main.cf")?, find("master.cf")?);
        let entries = main_cf::read(&main.path, &main.text.0.0)?;
        let services = master_cf::read(&master.path, &master.text.0.0)?;
        Ok(Self { main, master, entries, services, defaults })
    }

    fn raw(&self, name: &str, service: Option<&master_cf::Entry>) -> (String, Origin) {
        if let Some(o) = service.and_then(|s| s.options.iter().rfind(|o| o.name == name)) {
            return (o.value.clone(), Origin::Service { path: self.master.path.clone(), line: o.line });
        }
        if let Some(e) = self.entries.iter().rfind(|e| e.name == name) {
            return (e.value.clone(), Origin::File { path: self.main.path.clone(), line: e.line });
        }
        (self.defaults.get(name).map_or_else(|| default_of(name), Clone::clone), Origin::Default)
    }

    /// The effective value of a setting, for one service or for the whole server.
    pub(crate) fn effective(&self, name: &str, service: Option<&master_cf::Entry>) -> Result<Effective, Unreadable> {
        let (raw, from) = self.raw(name, service);
        let get = |n: &str| match self.raw(n, service) {
            (value, Origin::Default) if value.is_empty() => None,
            (value, _) => Some(value),
        };
        let value = expand(&raw, &get).map_err(|Cycle(through)| {
            let (path, line) = match &from {
                Origin::File { path, line } | Origin::Service { path, line } => (path.clone(), *line),
                Origin::Default => (self.main.path.clone(), 0),
            };
            Unreadable { path, line, why: format!("the value of {name} refers to itself through ${through}") }
        })?;
        Ok(Effective { value: words(value.as_bytes()), from })
    }

    /// What main.cf says of a setting, not expanded.
    pub(crate) fn main_raw(&self, name: &str) -> Option<&str> {
        self.entries.iter().rfind(|e| e.name == name).map(|e| e.value.as_str())
    }

    fn value(&self, name: &str, service: Option<&master_cf::Entry>) -> Result<String, Unreadable> {
        Ok(self.effective(name, service)?.value)
    }
}

/// What Postfix says itself where nobody could be asked.
fn default_of(name: &str) -> String {
    match name {
        "inet_interfaces" | "inet_protocols" => "all".to_owned(),
        "mydestination" => "$myhostname, localhost.$mydomain, localhost".to_owned(),
        "smtpd_service_name" => "smtpd".to_owned(),
        "tlsproxy_service_name" => "tlsproxy".to_owned(),
        "smtpd_tls_loglevel" | "compatibility_level" => "0".to_owned(),
        "smtpd_use_tls" | "smtpd_enforce_tls" | "smtpd_tls_wrappermode" | "smtpd_tls_auth_only" => "no".to_owned(),
        "virtual_alias_domains" => "$virtual_alias_maps".to_owned(),
        "virtual_mailbox_domains" => "$virtual_mailbox_maps".to_owned(),
        "smtpd_tls_key_file" | "smtpd_tls_eckey_file" | "smtpd_tls_dkey_file" => format!("${}", name.replace("key", "cert")),
        _ => match name.split_once('_') {
            Some(("tlsproxy", rest)) if rest.contains("tls") => format!("$smtpd_{rest}"),
            Some(("postscreen", rest)) if rest.contains("tls") => format!("$smtpd_{rest}"),
            _ => String::new(),
        },
    }
}

/// Reads both files as Postfix does.
pub(super) fn understand(files: &[ConfigFile], defaults: &BTreeMap<String, String>) -> Result<Understood, Unreadable> {
    let config = Config::read(files, defaults)?;
    let mut services = Vec::new();
    for entry in config.services.iter().filter(|e| e.kind == "inet") {
        let program = program(entry);
        if program != "smtpd" && program != "postscreen" {
            continue;
        }
        let (listens, port) = listens(&config, entry)?;
        let wrapper = is_yes(&config.value("smtpd_tls_wrappermode", Some(entry))?);
        let role = match (wrapper, port, entry.name.as_str()) {
            (true, ..) | (_, Some(465), _) => Role::Submissions,
            (_, Some(587), _) => Role::Submission,
            _ => Role::Mx,
        };
        services.push(service(&config, entry, program, listens.clone(), role)?);
        if program == "postscreen" {
            for (setting, kind, program) in [("smtpd_service_name", "pass", "smtpd"), ("tlsproxy_service_name", "unix", "tlsproxy")] {
                let id = format!("{}/{kind}", config.value(setting, Some(entry))?);
                if let Some(behind) = config.services.iter().rfind(|e| e.id == id) {
                    services.push(service(&config, behind, program, listens.clone(), role)?);
                }
            }
        }
    }
    let own = config.effective("myhostname", None)?;
    let hostname = match own.value.parse::<DnsName>() {
        Ok(name) => Known::seen(name, said(&own.from, "myhostname")),
        Err(e) => Known::unknown(format!("myhostname: {e}")),
    };
    Ok(Understood { services, hostname, receives_for: receives_for(&config)? })
}

fn program(entry: &master_cf::Entry) -> &str {
    Path::new(&entry.command).file_name().and_then(|n| n.to_str()).unwrap_or(&entry.command)
}

fn service(
    config: &Config<'_>,
    entry: &master_cf::Entry,
    program: &str,
    listens: Vec<SocketAddr>,
    role: Role,
) -> Result<Service, Unreadable> {
    let prefix = match program {
        "tlsproxy" => "tlsproxy_",
        "postscreen" => "postscreen_",
        _ => "smtpd_",
    };
    let mut settings = BTreeMap::new();
    let own = |n: &&&str| n.starts_with(prefix) && n.contains("tls") || program == "smtpd" && n.starts_with("tls_");
    for name in ASKS.iter().filter(own) {
        settings.insert((*name).to_owned(), config.effective(name, Some(entry))?);
    }
    let by_default = || config.value("compatibility_level", None).map(|l| l.trim().starts_with('0'));
    let chroot = entry.chroot.map_or_else(by_default, Ok)?;
    let at = (config.master.path.clone(), entry.line);
    let wrapped = settings.get("smtpd_tls_wrappermode").map(|e| if is_yes(&e.value) { Wire::Implicit } else { Wire::StartTls });
    let mut service = Service {
        name: entry.id.clone(),
        at,
        program: program.to_owned(),
        listens,
        role,
        wire: None,
        tests_strangers: program == "postscreen",
        chroot,
        settings,
    };
    service.wire = wrapped.filter(|wire| *wire != service.wire());
    Ok(service)
}

/// Where a service listens, and its port. A host name other than `localhost` cannot be resolved here: the sockets tell.
fn listens(config: &Config<'_>, entry: &master_cf::Entry) -> Result<(Vec<SocketAddr>, Option<u16>), Unreadable> {
    let (host, port) = match entry.name.rsplit_once(':') {
        Some((host, port)) => (Some(host), port),
        None => (None, entry.name.as_str()),
    };
    let Some(port) = port_number(port) else { return Ok((Vec::new(), None)) };
    let protocols = config.value("inet_protocols", None)?;
    let allowed = |ip: &IpAddr| match protocols.as_str() {
        "ipv4" => ip.is_ipv4(),
        "ipv6" => ip.is_ipv6(),
        _ => true,
    };
    let interfaces = match host {
        Some(host) => host.to_owned(),
        None => config.value("inet_interfaces", None)?,
    };
    let mut found: Vec<IpAddr> = Vec::new();
    for word in interfaces.split([' ', ',', '\t']).filter(|w| !w.is_empty()) {
        let word = word.strip_prefix('[').and_then(|w| w.strip_suffix(']')).unwrap_or(word);
        match word {
            "all" => found.extend([IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]),
            "loopback-only" | "localhost" => found.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]),
            _ => found.extend(word.strip_prefix("IPv6:").unwrap_or(word).parse::<IpAddr>()),
        }
    }
    let mut addrs: Vec<SocketAddr> = found.into_iter().filter(allowed).map(|ip| SocketAddr::new(ip, port)).collect();
    addrs.dedup();
    Ok((addrs, Some(port)))
}

fn port_number(text: &str) -> Option<u16> {
    Some(match text {
        "smtp" => 25,
        "submission" => 587,
        "submissions" | "smtps" | "urd" | "ssmtp" => 465,
        number => number.parse().ok()?,
    })
}

/// The domains that are written down in the files; tables are named, not read.
fn receives_for(config: &Config<'_>) -> Result<Known<Vec<DnsName>>, Unreadable> {
    let (mut domains, mut tables, mut from) = (Vec::new(), Vec::new(), Vec::new());
    for setting in ["mydestination", "virtual_mailbox_domains", "virtual_alias_domains", "relay_domains"] {
        let effective = config.effective(setting, None)?;
        let before = domains.len();
        for word in effective.value.split([' ', ',', '\t']).filter(|w| !w.is_empty()) {
            if word.contains([':', '/']) {
                tables.push(word.to_owned());
            } else if let Ok(name) = word.parse::<DnsName>()
                && name.parent().is_some_and(|p| p.as_str() != "localdomain")
                && !name.as_str().starts_with("localhost.")
                && !domains.contains(&name)
            {
                domains.push(name);
            }
        }
        if domains.len() > before {
            from.push(said(&effective.from, setting));
        }
    }
    Ok(if !domains.is_empty() {
        Known::seen(domains, from.join(", "))
    } else if tables.is_empty() {
        Known::unknown("mydestination and its relatives name no domain")
    } else {
        Known::unknown(format!("the domains are in tables: {}", tables.join(", ")))
    })
}

fn said(from: &Origin, name: &str) -> String {
    match from {
        Origin::Default => format!("postconf -d {name}"),
        Origin::File { path, line } | Origin::Service { path, line } => format!("{}:{line}", path.display()),
    }
}

/// How strict a service is about TLS, legacy switches counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// No TLS.
    None,
    /// TLS is offered.
    May,
    /// Mail is taken in TLS only.
    Encrypt,
}

fn is_yes(value: &str) -> bool {
    value.eq_ignore_ascii_case("yes")
}

/// The effective level of a service: an empty or missing level leaves it to the old switches, and those are off by default
/// (postconf(5) smtpd_tls_security_level). TLS from the first byte is TLS only.
#[must_use]
pub fn level(service: &Service) -> Level {
    let get = |name: &str| service.settings.get(name).map_or("", |e| e.value.as_str());
    let prefix = match service.program.as_str() {
        "tlsproxy" => "tlsproxy",
        "postscreen" => "postscreen",
        _ => "smtpd",
    };
    if is_yes(get("smtpd_tls_wrappermode")) {
        return Level::Encrypt;
    }
    match get(&format!("{prefix}_tls_security_level")) {
        "may" => Level::May,
        "encrypt" | "fingerprint" | "verify" | "secure" | "dane" | "dane-only" => Level::Encrypt,
        "" if is_yes(get(&format!("{prefix}_enforce_tls"))) => Level::Encrypt,
        "" if is_yes(get(&format!("{prefix}_use_tls"))) => Level::May,
        _ => Level::None,
    }
}

/// The files from which a service presents its certificates: `chain_files` beats the older settings.
#[must_use]
pub fn presents(service: &Service) -> Vec<PathBuf> {
    let prefix = if service.program == "tlsproxy" { "tlsproxy" } else { "smtpd" };
    let get = |name: &str| service.settings.get(&format!("{prefix}_tls_{name}")).map_or("", |e| e.value.as_str());
    let paths = |text: &str| text.split([' ', ',', '\t']).filter(|w| !w.is_empty()).map(PathBuf::from).collect::<Vec<_>>();
    let chain = paths(get("chain_files"));
    if chain.is_empty() {
        let none = |p: &PathBuf| p.as_os_str() != "none";
        return ["eccert_file", "cert_file", "dcert_file"].iter().flat_map(|n| paths(get(n))).filter(none).collect();
    }
    chain
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        certificate::Digest,
        change::{Image, Meta, Raw},
        mta::config::ConfigText,
    };

    /// A configuration file at its usual place.
    pub(crate) fn file(path: &str, text: &str) -> ConfigFile {
        let image = Image { digest: Digest::of(text.as_bytes()), meta: Meta { uid: 0, gid: 0, mode: 0o644, xattrs: BTreeMap::new() } };
        ConfigFile { path: path.into(), real: path.into(), image, text: ConfigText(Raw(text.into())) }
    }

    fn read(main: &str, master: &str) -> Understood {
        let files = [file("/etc/postfix/main.cf", main), file("/etc/postfix/master.cf", master)];
        understand(&files, &BTreeMap::new()).expect("understood")
    }

    #[test]
    fn the_effective_level_counts_everything() {
        for (main, options, want) in [
            ("", "", Level::None),
            ("smtpd_tls_security_level = may\n", "", Level::May),
            ("smtpd_use_tls = yes\n", "", Level::May),
            ("smtpd_use_tls = yes\nsmtpd_enforce_tls = YES\n", "", Level::Encrypt),
            ("smtpd_tls_security_level = may\nsmtpd_enforce_tls = yes\n", "", Level::May),
            ("smtpd_tls_security_level = may\n", " -o smtpd_tls_security_level=", Level::None),
            ("smtpd_tls_security_level = none\n", " -o smtpd_tls_security_level=$x", Level::None),
            ("x = encrypt\n", " -o smtpd_tls_security_level=$x", Level::Encrypt),
            ("", " -o smtpd_tls_wrappermode=yes", Level::Encrypt),
            ("smtpd_tls_security_level = mayy\n", "", Level::None),
        ] {
            let got = read(main, &format!("smtp inet n - y - - smtpd{options}\n"));
            assert_eq!(level(&got.services[0]), want, "{main:?} {options:?}");
        }
    }

    #[test]
    fn services_have_roles_and_addresses() {
        let master = "smtp inet n - - - - smtpd\nsubmission inet n - y - - smtpd\nsmtps inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n127.0.0.1:10025 inet n - n - - smtpd\n[::1]:587 inet n - n - - smtpd\nqmgr unix n - n 300 1 qmgr\n24 inet n n n - 0 spawn\n";
        let got = read("inet_protocols = ipv4\ncompatibility_level = 3.6\n", master);
        let all: Vec<_> = got.services.iter().map(|s| (s.name.as_str(), s.role, s.chroot, s.listens.len())).collect();
        assert_eq!(
            all,
            [
                ("smtp/inet", Role::Mx, false, 1),
                ("submission/inet", Role::Submission, true, 1),
                ("smtps/inet", Role::Submissions, false, 1),
                ("127.0.0.1:10025/inet", Role::Mx, false, 1),
                ("[::1]:587/inet", Role::Submission, false, 0),
            ]
        );
        assert_eq!(got.services[0].listens, ["0.0.0.0:25".parse().expect("an address")]);
    }

    #[test]
    fn behind_postscreen_two_programs_answer() {
        let master = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\ntlsproxy unix - - y - 0 tlsproxy\n";
        let got = read("smtpd_tls_cert_file = /c\nsmtpd_tls_security_level = may\ntlsproxy_tls_chain_files = /old\n", master);
        let all: Vec<_> = got.services.iter().map(|s| (s.name.as_str(), level(s), presents(s))).collect();
        assert_eq!(all[1], ("smtpd/pass", Level::May, vec!["/c".into()]));
        assert_eq!(all[2], ("tlsproxy/unix", Level::May, vec!["/old".into()]));
        assert!(got.services.iter().all(|s| s.listens == got.services[0].listens && !s.listens.is_empty()));
        assert_eq!(got.services.iter().map(|s| s.tests_strangers).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn tls_begins_as_the_service_says() {
        for (line, wire) in [
            ("smtp inet n - y - - smtpd", Wire::StartTls),
            ("465 inet n - y - - smtpd", Wire::StartTls),
            ("465 inet n - y - - smtpd -o smtpd_tls_wrappermode=yes", Wire::Implicit),
            ("2525 inet n - y - - smtpd -o smtpd_tls_wrappermode=Yes", Wire::Implicit),
        ] {
            assert_eq!(read("", &format!("{line}\n")).services[0].wire(), wire, "{line}");
        }
    }

    #[test]
    fn names_and_domains_are_expanded() {
        let main = "mydomain = example.org\nmyhostname = mx.$mydomain\nmydestination = $myhostname, $mydomain, localhost.$mydomain, localhost, hash:/etc/d\nvirtual_mailbox_domains = example.net\n";
        let got = read(main, "smtp inet n - y - - smtpd\n");
        assert_eq!(got.hostname.value().map(DnsName::as_str), Some("mx.example.org"));
        let domains: Vec<_> = got.receives_for.value().expect("domains").iter().map(DnsName::as_str).collect();
        assert_eq!(domains, ["mx.example.org", "example.org", "example.net"]);
        let files = [file("/p/main.cf", "a = 1\nmyhostname = $myhostname.x\n"), file("/p/master.cf", "")];
        let e = understand(&files, &BTreeMap::new()).expect_err("a cycle").to_string();
        assert_eq!(e, "/p/main.cf:2: the value of myhostname refers to itself through $myhostname");
    }
}
