//! JSON, version 1. Types of its own: what scripts read does not move when the values inside do.

mod dns;
mod policies;
mod rollover;
mod status;

pub use dns::{DnsDoc, RecordDoc, ServerDoc, WaitDoc, ZoneDoc};
pub use policies::{CoverDoc, KeptPolicyDoc, ListDoc, PoliciesDoc, PolicyDoc};
pub use rollover::{KeyDoc, RollOverDoc};
pub use status::{AlarmDoc, ChangeDoc, StatusDoc};

use super::config_diff;
use crate::{
    change::{Edit, Expect, Want},
    facts::{ConfigFile, Lineage},
    finding::Finding,
    plan::{Errand, Plan, Stage},
    topics::{self, Topic},
    view::EndpointView,
};
use serde::Serialize;
use std::path::PathBuf;

/// The version of every document.
pub const VERSION: u8 = 1;

/// What `setup`, `renew`, `rollover`, `undo`, `alarm` and `recover` print, and every verb that fails.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Always [`VERSION`].
    pub version: u8,
    /// The verb; absent where the command line named none that could be understood.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub verb: &'static str,
    /// `nothing-to-do`, `planned`, `printed`, `checked`, `proved`, `unproved` (nothing on the wire was promised), `put-back`,
    /// `held`, `rests`, `told`, `retired`, `declined`, `recovered`, `interrupted` or `failed`.
    pub outcome: &'static str,
    /// The exit status that goes with it.
    pub exit: u8,
    /// Something is otherwise than before: this host, a policy that is served, or what DNS says. What mxseal notes for itself is none
    /// of it.
    pub changed: bool,
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
    /// The next keys of each certificate and those that left, where it is a roll-over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rollover: Vec<RollOverDoc>,
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

impl Outcome {
    /// With whether something was changed, by all that it says.
    #[must_use]
    pub fn settled(self) -> Self {
        let published = self.dns.as_ref().is_some_and(|dns| dns.zones.iter().any(|z| z.state == "published"));
        let begun = self.findings.iter().any(|f| f.id == "policy-begun");
        let done = self.change.is_some() || matches!(self.outcome, "printed" | "retired" | "recovered");
        Self { changed: self.changed || published || begun || done, ..self }
    }
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
        let (edits, mut names): (Vec<Edit>, Vec<String>) = (plan.edits().cloned().collect(), Vec::new());
        let next = match &plan.next {
            Some(Stage::Errand(Errand::Obtain(order))) => {
                names = order.names.iter().map(ToString::to_string).collect();
                Some("obtain")
            }
            Some(Stage::Errand(Errand::Adopt(wanted))) => {
                names = wanted.names.iter().map(ToString::to_string).collect();
                Some("adopt")
            }
            Some(Stage::Change(_)) => Some("change"),
            Some(Stage::Wait { .. }) => Some("wait"),
            None => None,
        };
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
