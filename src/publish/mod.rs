//! What the world is told in DNS, as values: the records that are wanted of each domain and MX name of this host, how DNS
//! stands to each of them, and their text in the admin's dialect. Pure.

#[cfg(feature = "dns-apis")]
pub mod api;
#[cfg(feature = "wires")]
pub mod audience;
mod dane;
#[cfg(feature = "wires")]
pub mod desk;
pub mod dialect;
mod exchange;
#[cfg(feature = "wires")]
pub mod fetch;
mod kept_policy;
#[cfg(feature = "wires")]
pub mod list;
mod outlook;
#[cfg(feature = "wires")]
pub mod policies;
mod policy_record;
mod policy_site;
mod policy_wish;
mod prospect;
#[cfg(feature = "wires")]
pub mod publisher;
mod refused;
mod sheet;
mod sts;
mod tls_rpt;
#[cfg(feature = "wires")]
pub mod told;
pub mod wait;
mod wanted;
pub mod zone_file;

pub use crate::record::{Data, Record, Text};
pub use exchange::{Exchange, InTheWay, Ours, Told, exchanges};
pub use kept_policy::{Former, KeptPolicy, PolicyHost, ServedBy, Step, WebServer};
pub use outlook::{can_tell, domains_here, outlook};
pub use policy_record::record_due;
pub use policy_site::{policy_file, put_in_place, site};
pub use policy_wish::{PolicySeen, PolicyWish, TRIAL, Wished, record_line, wished};
pub use prospect::{Prospect, policy_notes, prospects};
pub use refused::Refused;
pub use sheet::{Asked, Issuer, Sheet, Sight};
pub use sts::policy_for;
pub use wanted::sheet;

use crate::{facts::Whereabouts, name::DnsName};
use std::fmt;

/// How long caches may keep what we propose, in seconds.
pub const TTL: u32 = 3600;

/// How urgent a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Without it what is published now is broken, for some sender at least.
    Required,
    /// Without it less is protected than could be.
    Recommended,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Required { "required" } else { "recommended" })
    }
}

/// How DNS stands to a record that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there.
    Right,
    /// It is not there.
    Missing,
    /// These are there, and it takes their place. They are ours to judge, not to delete: whoever prints this does that.
    Instead {
        /// What goes.
        old: Vec<Data>,
        /// All texts at the name, those that stay too, in the strings in which they stand.
        set: Vec<Text>,
    },
}

impl State {
    /// In place of those of the texts at the name that are meant.
    fn instead(texts: &[Text], meant: impl Fn(&str) -> bool) -> Self {
        let old = texts.iter().map(Text::as_str).filter(|t| meant(t));
        Self::Instead { old: old.map(|t| Data::Txt(t.to_owned())).collect(), set: texts.to_vec() }
    }
}

/// A record that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub owner: DnsName,
    /// What it says.
    pub data: Data,
    /// How urgent it is.
    pub need: Need,
    /// How DNS stands to it.
    pub state: State,
    /// Why it is wanted, in one sentence.
    pub why: String,
    /// Where it lies; `None` where that could not be told.
    pub whereabouts: Option<Whereabouts>,
}

impl Wanted {
    /// The name under which it is written: the end of a CNAME chain, where there is one.
    #[must_use]
    pub fn at(&self) -> &DnsName {
        self.whereabouts.as_ref().map_or(&self.owner, |w| &w.owner)
    }

    /// The apex of the zone that it is written in, where that could be told.
    #[must_use]
    pub fn zone(&self) -> Option<&DnsName> {
        self.whereabouts.as_ref().map(|w| &w.zone)
    }

    /// The record in a zone file.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {TTL} IN {} {}", self.at().absolute(), self.data.kind(), self.data)
    }
}

#[cfg(test)]
mod tests;
