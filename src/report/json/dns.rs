//! What `dns` says, version 1: records, what was done in each zone, and how a wait ended.

use super::VERSION;
use crate::{
    facts::Security,
    finding::Finding,
    publish::{
        Data, Exchange, Record, State, TTL, Wanted,
        wait::{Outlook, Says, View},
    },
};
use serde::Serialize;

/// What `dns` prints.
#[derive(Debug, Serialize)]
pub struct DnsDoc {
    /// Always [`VERSION`].
    pub version: u8,
    /// The exit status that goes with it.
    pub exit: u8,
    /// The records, what is required first.
    pub records: Vec<RecordDoc>,
    /// Why records are not proposed, and what is wrong with those of others.
    pub findings: Vec<Finding>,
    /// What was done in each zone, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<ZoneDoc>,
    /// How a wait ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<WaitDoc>,
}

/// What was done in a zone.
#[derive(Debug, Serialize)]
pub struct ZoneDoc {
    /// Its apex.
    pub zone: String,
    /// `published`, `nothing-to-do`, `by-hand`, `planned`, `refused`, or `unclear`: no answer came that says whether it was done.
    pub state: &'static str,
    /// Records that were added, or are to be, as in a zone file.
    pub added: Vec<String>,
    /// Records of ours that were taken away, or are to be.
    pub removed: Vec<String>,
    /// The exact change, where it was to be shown only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// What is left to the admin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The records that were asked for.
    #[serde(skip)]
    pub records: Vec<Record>,
}

impl ZoneDoc {
    /// Of what was asked for, and of that what was done.
    #[must_use]
    pub fn of(asked: &Exchange, done: &Exchange, state: &'static str) -> Self {
        let lines = |records: &[Record]| records.iter().map(ToString::to_string).collect();
        let (added, removed) = (lines(&done.add), lines(&done.remove));
        Self { zone: asked.zone.to_string(), state, added, removed, change: None, next: None, error: None, records: asked.add.clone() }
    }

    /// Whether the world is told of this record: it was published or is there, or somebody enters it.
    #[must_use]
    pub fn is_told(&self, record: &Record) -> bool {
        ["published", "nothing-to-do", "by-hand"].contains(&self.state) && self.records.iter().any(|r| r.is(record))
    }
}

/// How a wait ended.
#[derive(Debug, Serialize)]
pub struct WaitDoc {
    /// `done`, `authorities` or `resolvers`: who was waited for when the time was over; `untold` where resolvers are silent, or servers not known.
    pub outlook: Outlook,
    /// The exit status that goes with it.
    pub exit: u8,
    /// What each server said at last.
    pub servers: Vec<ServerDoc>,
    /// Why it could not be told; absent where the servers show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a server said of the records of a zone.
#[derive(Debug, Serialize)]
pub struct ServerDoc {
    /// Its name and address.
    pub server: String,
    /// The zone.
    pub zone: String,
    /// `right`, `behind`, `silent`, `unreachable` or `not-asked`.
    pub state: &'static str,
    /// The serial number of the zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// Records that are as they shall be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<usize>,
    /// Records that are waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<usize>,
    /// How long it may go on saying so, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Whether a resolver vouches for the signatures, and our own validation through it agrees; `unknown` where they differ, or its
    /// word does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// Why it said nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl WaitDoc {
    /// The last views.
    #[must_use]
    pub fn of(views: &[View], outlook: Outlook, exit: u8) -> Self {
        Self { outlook, exit, servers: views.iter().map(ServerDoc::of).collect(), why: None }
    }

    /// Nobody could be asked, or not of all.
    #[must_use]
    pub const fn untold(why: String) -> Self {
        Self { outlook: Outlook::Untold, exit: 3, servers: Vec::new(), why: Some(why) }
    }
}

impl ServerDoc {
    fn of(view: &View) -> Self {
        let (server, zone, serial) = (view.who.to_string(), view.zone.to_string(), view.serial);
        let empty = Self { server, zone, state: "not-asked", serial, right: None, of: None, ttl: None, security: None, why: None };
        match &view.says {
            Says::NotAsked => empty,
            Says::NoRoute => Self { state: "unreachable", ..empty },
            Says::Silent(why) => Self { state: "silent", why: Some(why.clone()), ..empty },
            Says::Seen { right, of, ttl, security } => {
                let state = if right == of { "right" } else { "behind" };
                Self { state, right: Some(*right), of: Some(*of), ttl: Some(*ttl), security: Some(*security), ..empty }
            }
        }
    }
}

/// A record that is wanted.
#[derive(Debug, Serialize)]
pub struct RecordDoc {
    /// Its name, without the final dot.
    pub name: String,
    /// The zone that it is written in; absent where that could not be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its type.
    pub r#type: &'static str,
    /// Seconds that caches may keep it.
    pub ttl: u32,
    /// What it says: a TXT without quotes, others as in a zone file.
    pub value: String,
    /// `required` or `recommended`.
    pub need: String,
    /// `right`, `missing`, or `wrong`: others are there in its place.
    pub state: &'static str,
    /// What is there in its place, as in a zone file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instead_of: Vec<String>,
    /// Why it is wanted.
    pub why: String,
}

impl DnsDoc {
    /// The records in the form of version 1.
    #[must_use]
    pub fn of(records: &[&Wanted], findings: &[Finding], exit: u8) -> Self {
        Self {
            version: VERSION,
            exit,
            records: records.iter().map(|w| RecordDoc::of(w)).collect(),
            findings: findings.to_vec(),
            zones: Vec::new(),
            wait: None,
        }
    }
}

impl RecordDoc {
    fn of(wanted: &Wanted) -> Self {
        let (state, instead_of) = match &wanted.state {
            State::Right => ("right", Vec::new()),
            State::Missing => ("missing", Vec::new()),
            State::Instead { old, .. } => ("wrong", old.iter().map(ToString::to_string).collect()),
        };
        let value = if let Data::Txt(text) = &wanted.data { text.clone() } else { wanted.data.to_string() };
        Self {
            name: wanted.at().to_string(),
            zone: wanted.zone().map(ToString::to_string),
            r#type: wanted.data.kind(),
            ttl: TTL,
            value,
            need: wanted.need.to_string(),
            state,
            instead_of,
            why: wanted.why.clone(),
        }
    }
}
