//! JSON, version 1. Types of its own: what scripts read does not move when the values inside do.

use super::config_diff;
use crate::{
    change::{Edit, Expect, Want},
    claims::Claim,
    facts::{ConfigFile, Lineage, Security},
    finding::Finding,
    maintain::{Rest, Run},
    plan::{Errand, Plan, Stage},
    policy::policy_list::ListPolicy,
    publish::{
        Data, Exchange, Record, State, TTL, Wanted,
        wait::{Outlook, Says, View},
    },
    topics::{self, Topic},
    view::EndpointView,
};
use serde::Serialize;
use std::path::PathBuf;

/// The version of every document.
pub const VERSION: u8 = 1;

/// What `setup`, `renew`, `undo`, `alarm` and `recover` print, and every verb that fails.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Always [`VERSION`].
    pub version: u8,
    /// The verb; absent where the command line named none that could be understood.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub verb: &'static str,
    /// `nothing-to-do`, `planned`, `printed`, `checked`, `proved`, `unproved` (nothing on the wire was promised), `put-back`,
    /// `held`, `rests`, `told`, `declined`, `recovered` or `failed`.
    pub outcome: &'static str,
    /// The exit status that goes with it.
    pub exit: u8,
    /// What came of it, as the sentence that a person would read; absent where nothing is to be said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub says: String,
    /// The plan, where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanDoc>,
    /// Findings of plan and proof.
    pub findings: Vec<Finding>,
    /// One entry a listening address that was proved.
    pub proof: Vec<ProofDoc>,
    /// Id of the change, for `mxseal undo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// The certificate that was obtained or is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateDoc>,
    /// What senders are to be told in DNS, where a proved change went as far as that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsDoc>,
    /// The log of this run, where one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
    /// What went wrong, as the sentence that a person would read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The id that `mxseal explain` knows the error by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<&'static str>,
}

/// What `profiles` prints.
#[derive(Debug, Serialize)]
pub struct ProfilesDoc {
    /// Always [`VERSION`].
    pub version: u8,
    /// Id of the mail server of this host; absent where none can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Why none can be told, as the sentence that a person would read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// All that are known.
    pub profiles: Vec<ProfileDoc>,
}

/// A known mail server.
#[derive(Debug, Serialize)]
pub struct ProfileDoc {
    /// Its id.
    pub id: String,
    /// Its name for readers.
    pub title: String,
    /// Its file; absent where it is compiled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// It takes the place of one that is compiled in.
    pub replaces: bool,
    /// It is for what is installed here.
    pub fits: bool,
    /// Why, or why not.
    pub why: String,
}

/// A plan.
#[derive(Debug, Serialize)]
pub struct PlanDoc {
    /// The next stage: `obtain`, `adopt`, `change`, `wait`; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<&'static str>,
    /// Names of the certificate to get.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Files that will be touched.
    pub files: Vec<String>,
    /// Settings that will change.
    pub settings: Vec<SettingDoc>,
    /// Unified diff without context.
    pub diff: String,
}

/// A setting.
#[derive(Debug, Serialize)]
pub struct SettingDoc {
    /// File.
    pub file: String,
    /// Service, where it is an override.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// One listening address.
#[derive(Debug, Serialize)]
pub struct ProofDoc {
    /// Address and port.
    pub address: String,
    /// `ours` or `unchanged`.
    pub expected: &'static str,
    /// Connections that ended in a TLS session.
    pub sessions: usize,
    /// Serial numbers that were presented, without repetition.
    pub serials: Vec<String>,
}

/// A certificate of ours.
#[derive(Debug, Serialize)]
pub struct CertificateDoc {
    /// Its lineage.
    pub name: String,
    /// The file that mail servers read.
    pub file: String,
    /// Seconds since 1970 at which the first of its certificates ends.
    pub not_after: u64,
    /// TLSA `3 1 1` data of each key.
    pub spki: Vec<String>,
    /// The programs that keep and renew it; absent where mxseal does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keepers: Vec<String>,
}

/// What `status` prints.
#[derive(Debug, Default, Serialize)]
pub struct StatusDoc {
    /// Always [`VERSION`].
    pub version: u8,
    /// The exit status that goes with it.
    pub exit: u8,
    /// An interrupted change, if any.
    pub open: Option<String>,
    /// Certificates.
    pub lineages: Vec<Lineage>,
    /// Proved changes, oldest first.
    pub changes: Vec<ChangeDoc>,
    /// What is served: each conversation says when it was held.
    pub served: Vec<EndpointView>,
    /// What the last run of `renew` found; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Certificates that could not be renewed, and when that is tried again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rests: Vec<Rest>,
    /// Who is written to when something needs a human, and when a test reached them; absent where nobody is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<AlarmDoc>,
    /// What the world was told and may still believe; absent where that is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Claim>,
    /// Findings about what watches.
    pub findings: Vec<Finding>,
}

/// Who is written to.
#[derive(Debug, Serialize)]
pub struct AlarmDoc {
    /// The address.
    pub to: String,
    /// Seconds since 1970 at which a test reached it; absent where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<u64>,
}

/// A proved change.
#[derive(Debug, Serialize)]
pub struct ChangeDoc {
    /// Its id, for `mxseal undo`.
    pub id: String,
    /// Seconds since 1970 at which it was proved.
    pub proved: u64,
    /// Why it was made.
    pub why: String,
    /// The files of key and chain that it put in place.
    pub installed: Vec<PathBuf>,
    /// It was undone since.
    pub undone: bool,
}

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
    /// `done`, `authorities` or `resolvers`: who was waited for when the time was over; `untold` where resolvers are silent.
    pub outlook: Outlook,
    /// The exit status that goes with it.
    pub exit: u8,
    /// What each server said at last.
    pub servers: Vec<ServerDoc>,
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
    /// Whether a resolver vouches for the signatures.
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
        Self { outlook, exit, servers: views.iter().map(ServerDoc::of).collect() }
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
            State::Instead(old) => ("wrong", old.iter().map(ToString::to_string).collect()),
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

/// What `policy show` prints.
#[derive(Debug, Serialize)]
pub struct PoliciesDoc {
    /// Always [`VERSION`].
    pub version: u8,
    /// The exit status that goes with it.
    pub exit: u8,
    /// The policy of each domain.
    pub policies: Vec<PolicyDoc>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// The policy of a domain.
#[derive(Debug, Serialize)]
pub struct PolicyDoc {
    /// The domain.
    pub domain: String,
    /// What is served, as it was understood; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<String>,
    /// Why nothing is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_served: Option<String>,
    /// The id that the TXT record announces; absent where senders see none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<String>,
    /// What is served is what should be.
    pub right: bool,
    /// Every MX host of the domain.
    pub mx: Vec<CoverDoc>,
    /// The text to serve.
    pub text: String,
    /// The TXT record that announces that text.
    pub record: String,
    /// What this host keeps of it, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptPolicyDoc>,
}

/// A policy that this host keeps.
#[derive(Debug, Serialize)]
pub struct KeptPolicyDoc {
    /// `testing`, `enforce` or `none` (it is being left).
    pub mode: String,
    /// Since when.
    pub since: String,
    /// Who serves it: `builtin`, `snippet`, `export` or `none`.
    pub by: &'static str,
    /// Until when some sender may go by what was served before; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub believed_until: Option<String>,
    /// What is to be done next: `serve`, `announce`, `wait`, `withdraw`, `close` or `stands`.
    pub step: &'static str,
    /// The same as a sentence; absent where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The file that a web server is to serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The site for that web server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// An MX host, and the policy that is served.
#[derive(Debug, Serialize)]
pub struct CoverDoc {
    /// Its name.
    pub name: String,
    /// The policy names it.
    pub covered: bool,
}

/// What `list` prints.
#[derive(Debug, Default, Serialize)]
pub struct ListDoc {
    /// Always [`VERSION`].
    pub version: u8,
    /// The exit status that goes with it.
    pub exit: u8,
    /// Who made the list, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Until when it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// How many domains it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains: Option<usize>,
    /// How many of them in mode enforce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced: Option<usize>,
    /// The domain that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// What the list says of it; absent where it does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<ListPolicy>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

/// A topic of the catalogue.
#[derive(Debug, Serialize)]
pub struct TopicDoc {
    /// Always [`VERSION`].
    pub version: u8,
    /// Its id.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it means for mail.
    pub text: &'static str,
    /// Command lines that show it.
    pub see: Vec<&'static str>,
    /// Where it is written.
    pub references: Vec<&'static str>,
}

/// The whole catalogue.
#[derive(Debug, Serialize)]
pub struct CatalogueDoc {
    /// Always [`VERSION`].
    pub version: u8,
    /// Every topic.
    pub topics: Vec<TopicDoc>,
}

impl TopicDoc {
    /// The topic in the form of version 1.
    #[must_use]
    pub fn of(topic: &Topic) -> Self {
        let Topic { id, title, text, see, reference } = *topic;
        Self { version: VERSION, id, title, text, see: see.lines().collect(), references: reference.split("; ").collect() }
    }
}

/// The catalogue in the form of version 1.
#[must_use]
pub fn catalogue() -> CatalogueDoc {
    CatalogueDoc { version: VERSION, topics: topics::all().map(TopicDoc::of).collect() }
}

impl PlanDoc {
    /// The plan in the form of version 1.
    #[must_use]
    pub fn of(files: &[ConfigFile], plan: &Plan) -> Self {
        let (mut edits, mut names): (Vec<Edit>, Vec<String>) = (Vec::new(), Vec::new());
        let next = match &plan.next {
            Some(Stage::Errand(Errand::Obtain(order))) => {
                names = order.names.iter().map(ToString::to_string).collect();
                Some("obtain")
            }
            Some(Stage::Errand(Errand::Adopt(wanted))) => {
                names = wanted.names.iter().map(ToString::to_string).collect();
                Some("adopt")
            }
            Some(Stage::Change(change)) => {
                edits.extend(change.edits.iter().cloned());
                Some("change")
            }
            Some(Stage::Wait { .. }) => Some("wait"),
            None => None,
        };
        edits.extend(plan.later.iter().flat_map(|l| l.edits.iter().cloned()));
        let mut touched: Vec<String> = edits.iter().map(|e| e.path.display().to_string()).collect();
        touched.extend(plan.later.iter().flat_map(|l| &l.touches).map(|p| p.display().to_string()));
        touched.sort();
        touched.dedup();
        let settings = edits
            .iter()
            .flat_map(|e| e.settings.iter().map(move |s| (e, s)))
            .map(|(e, s)| SettingDoc {
                file: e.path.display().to_string(),
                service: s.service.clone(),
                name: s.name.clone(),
                why: s.why.clone(),
            })
            .collect();
        Self { next, names, files: touched, settings, diff: config_diff(files, &edits, 0) }
    }
}

impl CertificateDoc {
    /// The lineage in the form of version 1.
    #[must_use]
    pub fn of(lineage: &Lineage) -> Self {
        Self {
            name: lineage.name.to_string(),
            file: lineage.live.display().to_string(),
            not_after: lineage.keys.iter().filter_map(|k| k.leaf.as_ref()).map(|l| l.not_after.0).min().unwrap_or(0),
            spki: lineage.keys.iter().map(|k| k.spki.0.clone()).collect(),
            keepers: lineage.adopted.iter().map(|s| s.keeper.clone()).collect(),
        }
    }
}

/// The proof in the form of version 1.
#[must_use]
pub fn proof(expect: &[Expect], views: &[EndpointView]) -> Vec<ProofDoc> {
    expect
        .iter()
        .map(|one| {
            let leaves: Vec<_> =
                views.iter().filter(|v| v.probe.addr == one.addr && v.probe.wire == one.wire).filter_map(EndpointView::leaf).collect();
            let mut serials: Vec<String> = leaves.iter().map(|l| l.serial.clone()).collect();
            serials.sort();
            serials.dedup();
            let expected = if matches!(one.want, Want::Ours(_)) { "ours" } else { "unchanged" };
            ProofDoc { address: one.addr.to_string(), expected, sessions: leaves.len(), serials }
        })
        .collect()
}

/// Any document as text, ending in a line end.
#[must_use]
pub fn text(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).map_or_else(|e| format!("{{\"error\": \"{e}\"}}\n"), |t| t + "\n")
}
