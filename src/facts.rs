//! What survey saw. Values of knowledge: no verb owns them, and a plan can be tested on the facts of a machine that
//! we never touched. What could not be seen says why, and can never turn into a failure by accident.

use crate::{
    certificate::{Certificate, Digest, KeyType},
    claims::Claims,
    image::{Image, Meta, Raw},
    moment::Moment,
    mta::config::ConfigText,
    name::DnsName,
    view::{EndpointView, Wire},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

pub use crate::known::Known;

/// A dotted version such as 3.7.11; letters after the numbers are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Version(pub Vec<u32>);

impl From<String> for Version {
    fn from(text: String) -> Self {
        Self(text.split(['.', '-', '_', '+']).map_while(|p| p.parse().ok()).collect())
    }
}

impl From<Version> for String {
    fn from(v: Version) -> Self {
        v.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("."))
    }
}

/// Everything that a plan may depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Format of this value; best effort across versions.
    pub version: u16,
    /// When it was taken, by this host's clock.
    pub now: Moment,
    /// The machine.
    pub host: Host,
    /// The mail server that receives from the world.
    pub server: Known<Server>,
    /// Profiles of installed servers, where only the admin can say which of them is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// Every socket that listens on a mail port.
    pub listeners: Vec<Listener>,
    /// The mail domains that this server receives for, with what DNS says of each.
    pub domains: Vec<DomainFacts>,
    /// Every MX name of those domains, with what DNS says of each.
    pub mx_hosts: Vec<MxFacts>,
    /// Who answers on port 80.
    pub port80: Known<PortOwner>,
    /// What is served now: the baseline of every later proof.
    pub views: Vec<EndpointView>,
    /// Our own certificates.
    pub lineages: Vec<Lineage>,
    /// Certificates that other programs keep, and where the private keys in use are.
    pub foreign: Vec<ForeignLineage>,
    /// What the world was told.
    pub claims: Claims,
    /// The files of our lineages that mail servers read, as they lie on the disk; a missing one is left out.
    #[serde(default)]
    pub live: BTreeMap<PathBuf, Image>,
    /// Names of trusted certificates in use that are no MX names, such as `imap.`: a new certificate must cover them too.
    #[serde(default)]
    pub other_names: Vec<NameFacts>,
    /// Names in the tables that choose a certificate by the name that a sender sends, by table, where those can be read.
    #[serde(default)]
    pub sni_names: BTreeMap<String, Vec<String>>,
    /// Our hooks among those of programs that renew, as they lie there; a missing one is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<PathBuf, Image>,
    /// Other services that are configured to read a certificate in [`Facts::foreign`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Reader>,
    /// Ids of the groups that the profile names, where this host has them.
    #[serde(default)]
    pub groups: BTreeMap<String, u32>,
}

impl Facts {
    /// The facts as they may leave this host: what cannot be seen in a configuration's redacted text cannot be guessed from a
    /// digest of the whole either, and attributes that others gave to files stay here.
    #[must_use]
    pub fn shared(mut self) -> Self {
        if let Known::Seen { value: server, .. } = &mut self.server {
            for ConfigFile { image, text, .. } in &mut server.files {
                *text = ConfigText(Raw::from(text.clone()));
                image.digest = Digest::of(&text.0.0);
                image.meta.xattrs.retain(|name, _| name.starts_with("security.") || name.starts_with("system."));
            }
        }
        self
    }

    /// The configuration files of the server; none where there is no server.
    #[must_use]
    pub fn config_files(&self) -> &[ConfigFile] {
        self.server.value().map_or(&[], |s| &s.files)
    }
}

/// The format that this version writes.
pub const FACTS_VERSION: u16 = 1;

/// The machine itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its host name, as the kernel says it.
    pub hostname: String,
    /// Its addresses, loopback and link-local left out.
    pub addresses: Vec<IpAddr>,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub os: String,
    /// Whether we run as root.
    pub root: bool,
    /// Seconds that the clock is ahead (+) or behind (−) of what a peer on the network says.
    pub clock_off: Known<i64>,
}

/// One mail server as it is configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Id of the profile that recognised it, such as `postfix`.
    pub profile: String,
    /// Its version.
    pub version: Version,
    /// Directory (or file) of its configuration, as the server names it.
    pub config_dir: PathBuf,
    /// Every instance that the server's own tools list; one for most.
    pub instances: Vec<Instance>,
    /// Whether it runs.
    pub running: Known<bool>,
    /// Its configuration files.
    pub files: Vec<ConfigFile>,
    /// What the server's tools say of settings that no file sets (name to value); only names that the dialect asks for.
    pub defaults: BTreeMap<String, String>,
    /// Its own host name, expanded.
    pub hostname: Known<DnsName>,
    /// The domains for which it accepts mail, as far as they are written down.
    pub receives_for: Known<Vec<DnsName>>,
    /// The network services that it declares, with the effective TLS settings of each.
    pub services: Vec<Service>,
}

/// One instance of a server that can run several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name; `-` for the first.
    pub name: String,
    /// Its configuration directory.
    pub config_dir: PathBuf,
    /// Whether it is enabled.
    pub enabled: bool,
}

/// One configuration file as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// The path as the server names it.
    pub path: PathBuf,
    /// The same with links followed: what is edited.
    pub real: PathBuf,
    /// Digest, owner, mode and extended attributes of the real file.
    pub image: Image,
    /// Its bytes; serialised with foreign values replaced by their digests.
    pub text: ConfigText,
}

impl ConfigFile {
    /// A file that is not there yet: root's, readable by everyone.
    #[must_use]
    pub fn new(path: PathBuf, bytes: Vec<u8>) -> Self {
        let meta = Meta { uid: 0, gid: 0, mode: 0o644, xattrs: BTreeMap::new() };
        let image = Image { digest: Digest::of(&bytes), meta };
        Self { real: path.clone(), path, image, text: ConfigText::of(bytes) }
    }
}

/// What a service is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Receives from other mail servers (port 25).
    Mx,
    /// Takes mail from users after STARTTLS (port 587).
    Submission,
    /// Takes mail from users in TLS from the first byte (port 465).
    Submissions,
}

/// One network service of the mail server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The server's own name for it, such as `submission/inet`.
    pub name: String,
    /// File and line (from 1) that declare it.
    pub at: (PathBuf, usize),
    /// The program behind it, such as `smtpd` or `postscreen`.
    pub program: String,
    /// Where it listens; an unspecified address means all.
    pub listens: Vec<SocketAddr>,
    /// What it is for.
    pub role: Role,
    /// Whether it runs in a chroot.
    pub chroot: bool,
    /// Effective value of each TLS setting, with where it comes from.
    pub settings: BTreeMap<String, Effective>,
}

impl Service {
    /// How TLS begins there: as its own setting says, else by what it is for.
    #[must_use]
    pub fn wire(&self) -> Wire {
        let wrapper = self.settings.get("smtpd_tls_wrappermode").map(|e| e.value.eq_ignore_ascii_case("yes"));
        if wrapper.unwrap_or(self.role == Role::Submissions) { Wire::Implicit } else { Wire::StartTls }
    }
}

/// The value that counts, and the place that sets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effective {
    /// The value with every `$name` replaced.
    pub value: String,
    /// What sets it.
    pub from: Origin,
}

/// What sets a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The server's default.
    Default,
    /// A configuration file, for every service.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
    /// An override of this one service.
    Service {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
}

/// A socket that listens on a mail port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its address and port; an unspecified address means all.
    pub addr: SocketAddr,
    /// The process that owns it.
    pub owner: Known<PortOwner>,
    /// Name of the [`Service`] behind it, when it is our server's.
    pub service: Option<String>,
}

/// A process that owns a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortOwner {
    /// Process id; 0 where the port is free.
    pub pid: u32,
    /// Its program, such as `nginx` or `docker-proxy`; empty where the port is free.
    pub program: String,
    /// Its working root or namespace differs from ours: the server is not in this filesystem.
    pub elsewhere: bool,
    /// A directory from which it serves `/.well-known/acme-challenge/` in plain HTTP, where one was found.
    pub webroot: Option<PathBuf>,
}

/// Where a record of some owner name really lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// The name at the end of its CNAME chain: where records are added.
    pub owner: DnsName,
    /// The apex of the zone that holds that name.
    pub zone: DnsName,
}

/// What DNS says, with whether the answer was authentic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer<T> {
    /// The records; empty where the name or type does not exist.
    pub records: Vec<T>,
    /// DNSSEC state of the answer.
    pub security: Security,
    /// The smallest TTL among them, in seconds.
    pub ttl: u32,
}

/// DNSSEC state of an answer (RFC 4033 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Validated: a validating resolver on loopback says AD, or our own validation does.
    Secure,
    /// Proven to be unsigned.
    Insecure,
    /// Signed and wrong.
    Bogus,
    /// Nobody that we may believe could tell.
    Unknown,
}

/// One mail domain in DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainFacts {
    /// The domain.
    pub domain: DnsName,
    /// Its MX records: preference and name. `.` (null MX, RFC 7505) is left out of the list.
    pub mx: Known<Answer<(u16, DnsName)>>,
    /// `_mta-sts` TXT texts.
    pub mta_sts: Known<Answer<String>>,
    /// `_smtp._tls` TXT texts.
    pub tls_rpt: Known<Answer<String>>,
}

/// Whether a name points at this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Here {
    /// Every address of it is this host's.
    Yes,
    /// Some are, some are not.
    Partly,
    /// None is.
    No,
}

/// One MX name in DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MxFacts {
    /// The name.
    pub name: DnsName,
    /// Its addresses.
    pub addresses: Known<Answer<IpAddr>>,
    /// Whether it is this host's; behind NAT this is unknown.
    pub here: Known<Here>,
    /// TLSA records of `_25._tcp.` of the name.
    pub tlsa: Known<Answer<Tlsa>>,
    /// CAA records that govern the name (RFC 8659 §3), in zone-file form.
    pub caa: Known<Answer<String>>,
}

/// A name that is no MX name, in DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameFacts {
    /// The name.
    pub name: DnsName,
    /// Whether it is this host's; behind NAT this is unknown.
    pub here: Known<Here>,
}

/// A TLSA record (RFC 6698 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tlsa {
    /// Certificate usage: 2 is DANE-TA, 3 is DANE-EE; 0 and 1 are ignored by mail senders (RFC 7672 §3.1.3).
    pub usage: u8,
    /// 0 the whole certificate, 1 its key.
    pub selector: u8,
    /// 0 the bytes themselves, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// The data, in lower-case hexadecimal.
    pub data: String,
}

impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.usage, self.selector, self.matching, self.data)
    }
}

/// One of our certificates: a name with its keys, its chain and how far it got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Its name: the first MX name in it.
    pub name: DnsName,
    /// The directory URL of the CA that issues it.
    pub directory: String,
    /// The profile that was asked of the CA, if any.
    pub acme_profile: Option<String>,
    /// The keys, one a type, and the certificate issued for each.
    pub keys: Vec<LineageKey>,
    /// The key that follows each of them one day: made beforehand, so that its TLSA record is known everywhere by then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<NextKey>,
    /// Key and chain of each type in one file's bytes, in the Store; `None` until all are issued.
    pub bundle: Option<Digest>,
    /// The file that a mail server reads.
    pub live: PathBuf,
    /// How far deployment got.
    pub deployment: Deployment,
    /// The files of another program that it is taken from, one a key type: that program orders and renews. Empty where we do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<Source>,
}

/// Where another program keeps a certificate that we serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Kind of its key.
    pub key_type: KeyType,
    /// Who keeps it, such as `certbot`.
    pub keeper: String,
    /// What the keeper calls it.
    pub name: String,
    /// The chain file.
    pub chain: PathBuf,
    /// The private key file.
    pub key: PathBuf,
}

impl Lineage {
    /// Every file that a mail server may read of it: one with all keys, or one for each key type.
    pub fn live_files(&self) -> impl Iterator<Item = PathBuf> {
        std::iter::once(self.live.clone()).chain(self.keys.iter().map(|k| live_of(&self.live, k.key_type)))
    }
}

/// The file of one key type, beside the one that holds them all.
#[must_use]
pub fn live_of(live: &Path, key_type: KeyType) -> PathBuf {
    live.with_extension(format!("{key_type}.pem"))
}

/// A key that is not in use yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextKey {
    /// Its kind.
    pub key_type: KeyType,
    /// Its fingerprint: what a TLSA `3 1 1` record says.
    pub spki: Digest,
}

/// One key of a lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageKey {
    /// Its kind.
    pub key_type: KeyType,
    /// Its fingerprint: what a TLSA `3 1 1` record says.
    pub spki: Digest,
    /// The certificate issued for it.
    pub leaf: Option<Certificate>,
    /// This key and its chain in one file's bytes, in the Store.
    #[serde(default)]
    pub bundle: Option<Digest>,
    /// When the CA suggests to renew that certificate, where it was asked and said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// When the CA suggests to renew a certificate (RFC 9773 §4.2), as it said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Renew not before this.
    pub start: Moment,
    /// Renew before this.
    pub end: Moment,
    /// Why it is so, as a page for people to read; a CA gives it where the window is not the usual one.
    pub explanation: Option<String>,
    /// When the CA is asked again, as it wishes.
    pub again: Moment,
}

/// Deployment is a state, not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deployment {
    /// Keys exist, the CA has not answered yet.
    Ordered,
    /// The CA issued it; no mail server reads it.
    Issued,
    /// The mail server's configuration names it; not yet seen on the wire.
    Installed,
    /// Seen on the wire on every listener that should serve it.
    Proved,
}

/// A certificate that another program keeps, or that the mail server names today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignLineage {
    /// Who keeps it: `certbot`, `acme.sh`, `lego`, `dehydrated`, `snakeoil`, or `file`.
    pub keeper: String,
    /// The chain file.
    pub chain: PathBuf,
    /// The private key file; its bytes never enter the facts.
    pub key: PathBuf,
    /// The leaf.
    pub leaf: Certificate,
    /// Whether it verifies against the roots for verdicts.
    pub trusted: bool,
    /// Whether the mail server's configuration names it.
    pub in_use: bool,
    /// What its keeper does with it; `None` where it lies in no place of a program that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// A line in the configuration of another service that names a certificate's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// The service, such as `Dovecot`.
    pub program: String,
    /// File and line, from 1.
    pub at: (PathBuf, usize),
    /// Its setting.
    pub setting: String,
    /// The file that it names.
    pub file: PathBuf,
}

/// What a certificate program does with a certificate that it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What it calls it.
    pub name: String,
    /// The timer, or the file of cron, that runs its renewal; `None` where none was found.
    pub renewed_by: Option<String>,
    /// Whether the key stays at a renewal, where that is written down.
    pub keeps_key: Option<bool>,
}
