//! What survey saw. Values of knowledge: no verb owns them, and a plan can be tested on the facts of a machine that
//! we never touched. What could not be seen says why, and can never turn into a failure by accident.

mod certificates;
mod names;

pub use crate::policy::dane::Tlsa;
pub use certificates::{Deployment, ForeignLineage, FormerKey, Kept, Lineage, LineageKey, NextKey, Reader, Source, Window, live_of};
pub use names::{Answer, DomainFacts, Here, MxFacts, NameFacts, Security, Whereabouts};

pub use crate::known::Known;
use crate::{
    certificate::Digest,
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
    path::PathBuf,
};

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
    /// Who answers on port 443.
    #[serde(default = "not_looked")]
    pub port443: Known<PortOwner>,
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
    /// Services beside the mail server that could present the same certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub companions: Vec<Companion>,
    /// Ids of the groups that the profile names, where this host has them.
    #[serde(default)]
    pub groups: BTreeMap<String, u32>,
}

fn not_looked() -> Known<PortOwner> {
    Known::unknown("it was not looked for")
}

impl Facts {
    /// A host of which nothing was seen yet.
    #[must_use]
    pub fn unseen(host: Host, now: Moment) -> Self {
        Self {
            version: FACTS_VERSION,
            now,
            host,
            server: Known::unknown("it was not looked for"),
            candidates: Vec::new(),
            listeners: Vec::new(),
            domains: Vec::new(),
            mx_hosts: Vec::new(),
            port80: not_looked(),
            port443: not_looked(),
            views: Vec::new(),
            lineages: Vec::new(),
            foreign: Vec::new(),
            claims: Claims::default(),
            live: BTreeMap::new(),
            other_names: Vec::new(),
            sni_names: BTreeMap::new(),
            hooks: BTreeMap::new(),
            readers: Vec::new(),
            companions: Vec::new(),
            groups: BTreeMap::new(),
        }
    }

    /// The facts as they may leave this host: what cannot be seen in a configuration's redacted text cannot be guessed from a
    /// digest of the whole either, and attributes that others gave to files stay here.
    #[must_use]
    pub fn shared(mut self) -> Self {
        let of_server = match &mut self.server {
            Known::Seen { value: server, .. } => server.files.as_mut_slice(),
            Known::Unknown { .. } => &mut [],
        };
        let of_companions = self.companions.iter_mut().flat_map(|c| &mut c.files);
        for ConfigFile { image, text, .. } in of_server.iter_mut().chain(of_companions) {
            *text = ConfigText(Raw::from(text.clone()));
            image.digest = Digest::of(&text.0.0);
            image.meta.xattrs.retain(|name, _| name.starts_with("security.") || name.starts_with("system."));
        }
        self
    }

    /// The services beside the mail server that have one of these ids.
    pub fn companions_among(&self, ids: &[String]) -> impl Iterator<Item = &Companion> {
        self.companions.iter().filter(move |c| ids.contains(&c.id))
    }

    /// The configuration files of the server and of what is beside it.
    #[must_use]
    pub fn config_files(&self) -> Vec<ConfigFile> {
        let of_server = self.server.value().into_iter().flat_map(|s| &s.files);
        of_server.chain(self.companions.iter().flat_map(|c| &c.files)).cloned().collect()
    }
}

/// A service beside the mail server that presents a certificate to mail programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Companion {
    /// Which one, such as `dovecot`.
    pub id: String,
    /// The files of its configuration that name a certificate or its key.
    pub files: Vec<ConfigFile>,
    /// Every file of its configuration as it is, by its real path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<PathBuf, Digest>,
    /// The certificate that it reads.
    pub reads: Vec<ForeignLineage>,
    /// Where it listens, and how TLS begins there.
    pub listens: Vec<(SocketAddr, Wire)>,
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
    /// How TLS begins there, where a setting says something else than what it is for does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<Wire>,
    /// It tests strangers before a service behind it serves them, and may let addresses of this host pass.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tests_strangers: bool,
    /// Whether it runs in a chroot.
    pub chroot: bool,
    /// Effective value of each TLS setting, with where it comes from.
    pub settings: BTreeMap<String, Effective>,
}

impl Service {
    /// How TLS begins there: as its own setting says, else by what it is for.
    #[must_use]
    pub fn wire(&self) -> Wire {
        let usual = if self.role == Role::Submissions { Wire::Implicit } else { Wire::StartTls };
        self.wire.unwrap_or(usual)
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
