//! What a mail server's files say, in the words of the facts.

use crate::{
    facts::{Effective, Known, Service},
    name::DnsName,
};
use std::path::PathBuf;

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
