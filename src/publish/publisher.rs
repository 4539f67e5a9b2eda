//! The ways to bring an [`Exchange`] to whoever serves the zone.
//!
//! Four are ours: a person, the zone's file on this host, an update over the wire (RFC 2136), and a program of the admin's.
//! Programming interfaces of DNS companies are left to that program for now: each is another wire with its own secrets and its
//! own idea of a record, most know neither prerequisites nor single records of a set, and the one library that speaks to many of
//! them brings more code than all of mxseal. A further arm of [`Publisher`] is where one would go.

use super::{Exchange, InTheWay, Record};
use crate::{change::Command, name::DnsName, settings::Publishing, world::Net};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// How records are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// You enter them; mxseal prints them, and waits where it is asked to
    Manual,
    /// The zone's file on this host is edited
    Zonefile,
    /// An update is sent to the zone's primary server (RFC 2136)
    Rfc2136,
    /// A program of yours is told what to change
    Hook,
}

/// A way, with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// Somebody does it by hand.
    Manual,
    /// The zone's master file on this host (RFC 1035 §5).
    ZoneFile {
        /// The file.
        file: PathBuf,
        /// What makes the server read it again; empty where that is left to the admin.
        reload: Command,
    },
    /// An update over the wire (RFC 2136), signed where there is a key (RFC 8945).
    Rfc2136 {
        /// The server; the zone's primary by its SOA record where none is named.
        server: Option<SocketAddr>,
        /// The file that holds the key, as `nsupdate -k` reads it.
        key: Option<PathBuf>,
    },
    /// A program that is told on its standard input.
    Hook {
        /// The program.
        program: PathBuf,
    },
}

/// Why nothing was published, or why it is not known whether it was.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The wishes do not go together.
    #[error("{0}")]
    Wishes(String),
    /// Somebody else's record is in the way.
    #[error(transparent)]
    InTheWay(#[from] InTheWay),
    /// The zone was changed between the look and the update.
    #[error("the zone {0} changed since it was looked at; nothing was written, run this again")]
    Changed(DnsName),
    /// It was refused, and nothing was written.
    #[error("{0}")]
    Failed(String),
    /// No answer came: it may have been done.
    #[error("{0}; whether the zone changed is not known: run this again, which looks first")]
    Unclear(String),
}

/// What a way comes to for one exchange: looked at, and not done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What is left to do.
    pub exchange: Exchange,
    /// The exact change, in the words of whoever takes it.
    pub text: String,
}

impl Publisher {
    /// The way that flags and settings name.
    ///
    /// # Errors
    /// When no way is named, or what it needs is not.
    pub fn of(wishes: &Publishing) -> Result<Self, Refused> {
        let needs = |flag: &str, how: &str| Refused::Wishes(format!("--publish {how} needs {flag}, or its key in mxseal.toml"));
        match wishes.publish {
            None => Err(Refused::Wishes("say how records are published: --publish manual, zonefile, rfc2136 or hook".into())),
            Some(How::Manual) => Ok(Self::Manual),
            Some(How::Zonefile) => Ok(Self::ZoneFile {
                file: wishes.zone_file.clone().ok_or_else(|| needs("--zone-file FILE", "zonefile"))?,
                reload: Command(wishes.zone_reload.clone()),
            }),
            Some(How::Rfc2136) => Ok(Self::Rfc2136 { server: wishes.dns_server, key: wishes.tsig_file.clone() }),
            Some(How::Hook) => Ok(Self::Hook { program: wishes.hook.clone().ok_or_else(|| needs("--hook FILE", "hook"))? }),
        }
    }

    /// Looks at the zone and says what would be done. Changes nothing.
    ///
    /// # Errors
    /// When the zone cannot be looked at, or a record that is not ours is in the way.
    pub async fn draft(&self, net: &Net, exchange: &Exchange) -> Result<Draft, Refused> {
        let _ = net;
        Ok(Draft { exchange: exchange.clone(), text: by_hand(exchange) })
    }

    /// Does it, all or nothing. Who does it by hand is left to do so.
    ///
    /// # Errors
    /// When it was not done, or it is not known whether it was ([`Refused::Unclear`]).
    pub async fn publish(&self, net: &Net, exchange: &Exchange) -> Result<Draft, Refused> {
        self.draft(net, exchange).await
    }
}

/// For a person.
fn by_hand(exchange: &Exchange) -> String {
    let line = |mark: &'static str| move |record: &Record| format!("{mark} {record}\n");
    exchange.remove.iter().map(line("-")).chain(exchange.add.iter().map(line("+"))).collect()
}
