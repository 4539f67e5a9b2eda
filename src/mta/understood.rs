//! What a mail server's files say, in the words of the facts.

use crate::{
    facts::{Effective, Known, Service},
    name::DnsName,
};
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

/// Reads a file that a setting names; `None` where there is none.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Option<Vec<u8>>>;

/// Among the answers: macros that are defined outside of the files and asked for in them, a space between.
pub const MACROS: &str = "macros";

/// Among the answers: the command line of the process that listens, a line a word.
pub const PROCESS: &str = "process";

/// Among the answers: the addresses of this host, a line `interface address` each.
pub const INTERFACES: &str = "interfaces";

/// What the files say, with what the server's tools said of the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Understood {
    /// The network services, with the effective TLS settings of each.
    pub services: Vec<Service>,
    /// The server's own host name.
    pub hostname: Known<DnsName>,
    /// The domains for which it accepts mail, as far as the files write them down.
    pub receives_for: Known<Vec<DnsName>>,
}

/// What a server says of itself once its tools expanded every reference in its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// The file in which the process that holds its sockets writes its process id.
    pub pid_file: PathBuf,
    /// The directory in which that process works.
    pub works_in: PathBuf,
    /// Its own host name.
    pub hostname: Option<DnsName>,
}

/// Domains that are written down, and the reasons why others may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The domains.
    pub domains: BTreeSet<DnsName>,
    /// The reasons, as parts of a sentence.
    pub missing: Vec<String>,
}

impl Received {
    /// All of them, or why not all.
    #[must_use]
    pub fn known(&self, at: &str) -> Known<Vec<DnsName>> {
        if self.missing.is_empty() {
            Known::seen(self.domains.iter().cloned().collect(), at)
        } else {
            Known::unknown(format!("{}; name the domains with --domain", self.missing.join("; ")))
        }
    }
}

/// A setting that chooses certificates by the name that a sender sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByName<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its value, with where it is set.
    pub tables: &'a Effective,
    /// How the server takes a changed table into service, as part of a sentence.
    pub again: &'static str,
}

/// Certificate files by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Chain and key.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// Lists of files in which each key comes before its chain.
    pub chains: Vec<Vec<PathBuf>>,
}
