//! `mxseal.toml`: the written form of what the admin wants. The same names as the flags; a flag wins.

mod kept;
mod listing;
mod publishing;
mod wrong;

pub use kept::kept;
pub use listing::Listing;
pub use publishing::Publishing;
pub use wrong::{Place, Unusable};

use crate::{
    intent::{Certificates, ChallengeType, Existing, KeyTypes, Tell},
    name::DnsName,
    nearest::{meant, nearest},
    policy::tls_rpt::Rua,
    publish::{ServedBy, WebServer},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
};
use toml_edit::{Document, Item, TableLike, Value};

/// The settings file as it is written. Unknown keys are errors, by [`KEYS`]: a mistyped wish must not be ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Settings {
    /// Mail domains.
    pub domain: Vec<DnsName>,
    /// MX names of this host.
    pub mx: Vec<DnsName>,
    /// Address that the CA may write to; the empty one says that it gets none.
    pub email: Option<String>,
    /// The CA's terms of service are agreed to.
    pub agree_tos: bool,
    /// Directory URL of the CA.
    pub acme_directory: Option<String>,
    /// Roots of the CA's API.
    pub acme_ca_file: Vec<PathBuf>,
    /// Roots for verdicts.
    pub trust_anchor: Vec<PathBuf>,
    /// Keys of the DNS root.
    pub dnssec_anchor: Option<PathBuf>,
    /// Key id of an external account.
    pub eab_kid: Option<String>,
    /// File of its key.
    pub eab_hmac_key_file: Option<PathBuf>,
    /// Profile to ask of the CA.
    pub acme_profile: Option<String>,
    /// How control of the names is shown.
    pub challenge: Option<ChallengeType>,
    /// Directory that a web server serves.
    pub webroot: Option<PathBuf>,
    /// Port to answer the CA on, where something passes port 80 on to it.
    pub http_port: Option<u16>,
    /// Key types.
    pub key_type: Option<KeyTypes>,
    /// One certificate for all MX names, or one for each.
    pub certificates: Option<Certificates>,
    /// What becomes of a certificate that another program keeps.
    pub existing: Option<Existing>,
    /// Services beside the mail server that present the same certificate.
    pub with: Vec<String>,
    /// Mail server.
    pub mta: Option<String>,
    /// Its configuration directory.
    pub mta_config: Option<PathBuf>,
    /// Resolver.
    #[serde(deserialize_with = "read_resolver", serialize_with = "write_resolver")]
    pub resolver: Option<SocketAddr>,
    /// Who is written to when something needs a human; the empty one is nobody.
    #[serde(deserialize_with = "read_address")]
    pub alarm: Option<String>,
    /// File for Prometheus' textfile collector.
    pub textfile: Option<PathBuf>,
    /// What senders are told.
    pub tell: Vec<Tell>,
    /// Where TLS reports go.
    pub rua: Vec<Rua>,
    /// Who serves the MTA-STS policy that setup begins.
    pub policy_host: Option<ServedBy>,
    /// The web server that a site is printed for.
    pub web_server: Option<WebServer>,
    /// Where the policy's file is written for it.
    pub export_dir: Option<PathBuf>,
    /// How records get into DNS: keys of the file too, read by themselves so that a table of a zone has the same.
    #[serde(skip)]
    pub way: Publishing,
    /// The same for one zone.
    pub zone: BTreeMap<DnsName, Publishing>,
    /// The policy list that the admin goes by.
    pub list: Listing,
}

/// Every key, in the order in which it is written, with the comment that is written above it.
pub const KEYS: &[(&str, &str)] = &[
    ("domain", "Mail domains. Without it, those that the server receives for."),
    ("mx", "MX names of this host. Without it, those in DNS that point here."),
    ("email", "Address that the CA may write to; \"\" gives it none."),
    ("agree-tos", "The CA's terms of service are agreed to."),
    ("acme-directory", "ACME directory of the CA. Without it, as before, else Let's Encrypt."),
    ("acme-ca-file", "Root of the CA's own API, where it is private."),
    ("trust-anchor", "Certificates that verdicts may end in, besides the system's and Mozilla's roots."),
    ("dnssec-anchor", "File of root keys that DNSSEC may start from, besides the known ones, as DNSKEY records."),
    ("eab-kid", "Key id of an external account (RFC 8555, section 7.3.4)."),
    ("eab-hmac-key-file", "File with the external account's key in base64url."),
    ("acme-profile", "Certificate profile to ask of the CA."),
    ("challenge", "How control of the names is shown: \"http-01\", \"tls-alpn-01\" or \"dns-01\"."),
    ("webroot", "Directory that a web server serves on port 80 of every name."),
    ("http-port", "Port to answer the CA on, where something passes port 80 of every name on to it."),
    ("key-type", "Key types to serve: \"both\", \"ecdsa\" or \"rsa\"."),
    ("certificates", "Certificates for several MX names: \"one\" that holds all, or one for \"each\"."),
    ("existing", "A certificate that another program keeps for this host: \"adopt\" or \"take-over\"."),
    ("with", "Services beside the mail server that present the same certificate: \"dovecot\", or \"nothing\"."),
    ("mta", "Mail server to work on, where several are installed."),
    ("mta-config", "Configuration directory of the instance to work on."),
    ("resolver", "DNS resolver to ask, with a port where it is not 53. Without it, those of /etc/resolv.conf."),
    ("alarm", "Who is written to when something needs a human; \"\" for nobody. Without it, the postmaster."),
    ("textfile", "File for Prometheus' textfile collector, which every renewal writes anew."),
    ("tell", "What senders are told: \"tls-rpt\", \"dane\", \"mta-sts\", or \"nothing\". Without it, all of them."),
    ("rua", "Where TLS reports go, besides where they go now. Without it, the domain's postmaster."),
    ("policy-host", "Who serves a policy that is begun: \"builtin\", \"snippet\", \"export\" or \"none\". Else port 443 tells."),
    ("web-server", "Web server that a site is printed for: \"nginx\", \"apache\" or \"caddy\"."),
    ("export-dir", "Directory of the policy's file. Without it, /var/www/mta-sts."),
    ("publish", "How records get into DNS: \"manual\", \"zonefile\", \"rfc2136\", \"hook\" or \"api\"."),
    ("dns-server", "Server that takes updates (RFC 2136). Without it, the primary that the zone's SOA record names."),
    ("tsig-file", "File with the key for updates, as nsupdate -k reads it."),
    ("zone-file", "The zone's file on this host."),
    ("zone-reload", "Command that makes the server read the zone's file again, as a list of words."),
    ("hook", "Program that is told what to change in DNS: mxseal-hook(5)."),
    ("dns-provider", "DNS company whose programming interface is told what to change: mxseal explain dns-providers."),
    ("dns-credentials", "File with what that interface asks for, such as token = \"...\"; nobody else may read it."),
    ("zone", "The eight keys above for one zone, in a table [zone.\"example.org\"]."),
    ("list", "The policy list to go by, in a table [list]: url, keyring, fingerprint, api."),
];

impl Settings {
    /// Reads the file; a missing one holds no wishes.
    ///
    /// # Errors
    /// When it cannot be read or holds something else than settings.
    pub fn read(path: &Path) -> Result<Self, Unusable> {
        match Self::named(path, "--config") {
            Err(Unusable::Unread { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            read => read,
        }
    }

    /// Reads a file that `flag` names and that must be there.
    ///
    /// # Errors
    /// When it cannot be read or holds something else than settings.
    pub fn named(path: &Path, flag: &'static str) -> Result<Self, Unusable> {
        let text = std::fs::read_to_string(path).map_err(|source| Unusable::Unread { path: path.to_owned(), flag, source })?;
        parse(path, &text)
    }

    /// These wishes; where there is none, those of `lower`.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        fn list<T>(ours: Vec<T>, lower: Vec<T>) -> Vec<T> {
            if ours.is_empty() { lower } else { ours }
        }
        Self {
            domain: list(self.domain, lower.domain),
            mx: list(self.mx, lower.mx),
            email: self.email.or(lower.email),
            agree_tos: self.agree_tos || lower.agree_tos,
            acme_directory: self.acme_directory.or(lower.acme_directory),
            acme_ca_file: list(self.acme_ca_file, lower.acme_ca_file),
            trust_anchor: list(self.trust_anchor, lower.trust_anchor),
            dnssec_anchor: self.dnssec_anchor.or(lower.dnssec_anchor),
            eab_kid: self.eab_kid.or(lower.eab_kid),
            eab_hmac_key_file: self.eab_hmac_key_file.or(lower.eab_hmac_key_file),
            acme_profile: self.acme_profile.or(lower.acme_profile),
            challenge: self.challenge.or(lower.challenge),
            webroot: self.webroot.or(lower.webroot),
            http_port: self.http_port.or(lower.http_port),
            key_type: self.key_type.or(lower.key_type),
            certificates: self.certificates.or(lower.certificates),
            existing: self.existing.or(lower.existing),
            with: list(self.with, lower.with),
            mta: self.mta.or(lower.mta),
            mta_config: self.mta_config.or(lower.mta_config),
            resolver: self.resolver.or(lower.resolver),
            alarm: self.alarm.or(lower.alarm),
            textfile: self.textfile.or(lower.textfile),
            tell: list(self.tell, lower.tell),
            rua: list(self.rua, lower.rua),
            policy_host: self.policy_host.or(lower.policy_host),
            web_server: self.web_server.or(lower.web_server),
            export_dir: self.export_dir.or(lower.export_dir),
            way: self.way.over(lower.way),
            zone: if self.zone.is_empty() { lower.zone } else { self.zone },
            list: self.list.over(lower.list),
        }
    }

    /// Files that are named without their directory lie beside the settings.
    fn beside(mut self, dir: &Path) -> Self {
        let [anchor, key, webroot, export] =
            [&mut self.dnssec_anchor, &mut self.eab_hmac_key_file, &mut self.webroot, &mut self.export_dir];
        let single = [anchor, key, webroot, export, &mut self.mta_config, &mut self.textfile];
        self.way.beside(dir);
        self.zone.values_mut().for_each(|zone| zone.beside(dir));
        self.list.beside(dir);
        for file in single.into_iter().flatten().chain(&mut self.acme_ca_file).chain(&mut self.trust_anchor) {
            *file = dir.join(&*file);
        }
        self
    }

    /// The value of a key as it is written; `None` where nothing is wished.
    fn value(&self, key: &str) -> Option<Value> {
        let of = |document: toml_edit::DocumentMut| document.get(key)?.as_value().cloned();
        let mut value = of(toml_edit::ser::to_document(self).ok()?).or_else(|| of(toml_edit::ser::to_document(&self.way).ok()?))?;
        value.decor_mut().clear();
        // A table is of the admin's own hand: no answer ends in one.
        let nothing = value.as_array().is_some_and(toml_edit::Array::is_empty) || value.as_bool() == Some(false) || value.is_inline_table();
        (!nothing).then_some(value)
    }
}

/// The settings in a text, which lies at `path`.
fn parse(path: &Path, text: &str) -> Result<Settings, Unusable> {
    let wrong = |place| Unusable::Wrong { path: path.to_owned(), place };
    let document = Document::parse(text).map_err(|e| wrong(Place::of(text, e.span(), e.message())))?;
    known(document.as_table(), KEYS.iter().map(|(key, _)| *key)).map_err(|(span, why)| wrong(Place::of(text, span, why)))?;
    for (_, zone) in document.get("zone").and_then(Item::as_table_like).into_iter().flat_map(TableLike::iter) {
        let Some(zone) = zone.as_table_like() else { continue };
        known(zone, Publishing::KEYS.iter().copied()).map_err(|(span, why)| wrong(Place::of(text, span, why)))?;
    }
    let mut settings: Settings = toml_edit::de::from_str(text).map_err(|e| wrong(Place::of(text, e.span(), e.message())))?;
    settings.way = toml_edit::de::from_str(text).map_err(|e| wrong(Place::of(text, e.span(), e.message())))?;
    Ok(settings.beside(path.parent().unwrap_or(path)))
}

/// A table whose keys are all among these; else where the first other one is, and what is said of it.
fn known(table: &dyn TableLike, keys: impl Iterator<Item = &'static str> + Clone) -> Result<(), (Option<Range<usize>>, String)> {
    match table.iter().find(|(key, _)| !keys.clone().any(|known| known == *key)) {
        None => Ok(()),
        Some((key, _)) => {
            let span = table.get_key_value(key).and_then(|(key, _)| key.span());
            Err((span, format!("there is no key {key:?}{}", meant(&nearest(key, keys)))))
        }
    }
}

/// The address of a resolver, with or without a port.
///
/// # Errors
/// When it is none; the text says how to write one.
pub fn resolver(text: &str) -> Result<SocketAddr, String> {
    text.parse::<SocketAddr>()
        .or_else(|_| text.trim_matches(['[', ']']).parse().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_| "write an address such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53".to_owned())
}

/// An address that a letter can be sent to, or a user of this host; the empty text is nobody.
///
/// # Errors
/// When it is none; the text says how to write one.
pub fn addressee(text: &str) -> Result<String, String> {
    let (local, domain) = text.rsplit_once('@').map_or((text, None), |(local, domain)| (local, Some(domain)));
    let plain = |c: char| c.is_ascii_graphic() && !"\"(),:;<>@[\\]".contains(c);
    let is_one = !local.is_empty() && !local.starts_with('-') && local.chars().all(plain);
    if text.is_empty() || (is_one && domain.is_none_or(|d| d.parse::<DnsName>().is_ok())) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no address; write one such as admin@example.net, or \"\" for nobody"))
    }
}

fn read_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    addressee(&String::deserialize(from)?).map(Some).map_err(serde::de::Error::custom)
}

fn read_resolver<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    resolver(&String::deserialize(from)?).map(Some).map_err(serde::de::Error::custom)
}

fn write_resolver<S: Serializer>(addr: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
    match addr {
        None => to.serialize_none(),
        Some(addr) if addr.port() == 53 => to.collect_str(&addr.ip()),
        Some(addr) => to.collect_str(addr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        parse(Path::new("/etc/mxseal/mxseal.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn settings_have_the_names_of_the_flags() {
        let read = read("mx = ['mx.example.org']\nkey-type = 'rsa'\nagree-tos = true\nresolver = '[::1]:5353'\n").expect("settings");
        assert_eq!(read.mx, ["mx.example.org".parse().expect("a name")]);
        assert_eq!((read.key_type, read.agree_tos), (Some(KeyTypes::Rsa), true));
        assert_eq!(read.resolver, Some("[::1]:5353".parse().expect("an address")));
    }

    #[test]
    fn every_key_is_known_by_one_list() {
        // No key takes a date: where it is no error, nobody reads it.
        for key in KEYS.iter().map(|(key, _)| *key).chain(Publishing::KEYS.iter().copied()) {
            let said = read(&format!("{key} = 1979-05-27\n")).expect_err(key);
            assert!(said.contains(":1:") && !said.contains("no key"), "{said}");
        }
        let at = KEYS.iter().position(|(key, _)| *key == Publishing::KEYS[0]).expect("publish");
        assert!(KEYS[at..].iter().zip(Publishing::KEYS).all(|((key, _), of_zone)| key == of_zone));
        assert!(KEYS.iter().all(|(_, about)| about.ends_with('.') && about.len() < 100));
    }

    #[test]
    fn files_lie_beside_the_settings() {
        let text = "webroot = '/srv/www'\ntrust-anchor = ['root.pem']\neab-hmac-key-file = 'eab/key'\n";
        let read = read(text).expect("settings");
        assert_eq!(read.webroot.as_deref(), Some(Path::new("/srv/www")));
        assert_eq!(read.trust_anchor, [Path::new("/etc/mxseal/root.pem")]);
        assert_eq!(read.eab_hmac_key_file.as_deref(), Some(Path::new("/etc/mxseal/eab/key")));
    }

    #[test]
    fn what_is_wrong_is_shown_in_its_place() {
        for (text, place, says, carets) in [
            ("emial = 'a@example.org'\n", "1:1", "there is no key \"emial\"; do you mean email?", "^^^^^"),
            ("mx = []\n\n[acme]\ndirectory = ''\n", "3:2", "there is no key \"acme\"", "^^^^"),
            ("[zone.'a.example']\nhok = 'x'\n", "2:1", "there is no key \"hok\"; do you mean hook?", "^^^"),
            ("publish = 'ap'\n", "1:11", "unknown variant `ap`", "^^^^"),
            ("mx = []\nkey-type = 'dsa'\n", "2:12", "unknown variant `dsa`, expected one of `both`, `ecdsa`, `rsa`", "^^^^^"),
            ("mx = ['ok.example', 'a b']\n", "1:6", "\"a b\" is not a DNS name", "^^^^^"),
            ("agree-tos = 'yes'\n", "1:13", "expected a boolean", "^^^^^"),
            ("resolver = 'dns.example'\n", "1:12", "write an address such as 192.0.2.53", "^"),
            ("mx = [\n", "1:7", "unclosed array", "^"),
            ("mx = []\nmx = []\n", "2:1", "duplicate key", "^^"),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.starts_with(&format!("/etc/mxseal/mxseal.toml:{place}: ")) && said.contains(says), "{text}: {said}");
            assert!(said.contains(&format!(" {carets}")), "{said}");
            assert!(said.ends_with("mxseal.toml(5)."), "{said}");
        }
    }

    #[test]
    fn the_higher_wish_wins() {
        let high = Settings { mta: Some("postfix".into()), mx: vec!["a.example".parse().expect("a name")], ..Settings::default() };
        let low = read("mta = 'exim-debian'\nmx = ['b.example']\nemail = ''\nagree-tos = true\n").expect("settings");
        let both = high.clone().over(low.clone());
        assert_eq!((both.mta, both.mx), (high.mta, high.mx));
        assert_eq!((both.email.as_deref(), both.agree_tos), (Some(""), true));
        assert_eq!(Settings::default().over(low.clone()), low);
    }
}
