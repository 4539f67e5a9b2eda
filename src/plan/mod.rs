//! Facts and wishes become a plan. Pure: no clock, no file, no randomness; after each stage we survey and plan again.

mod adopt;
mod already;
mod challenge;
mod companion;
mod configure;
mod keys;
mod names;
mod planned;
mod prove;
mod renewal;
mod retreat;
mod sni;
mod tlsa;
mod undo;

pub use adopt::{CERTBOT_HOOK, adoptable, may_be_served, overdue};
pub use challenge::{Challenge, Door, Rungs, challenges, ladder};
pub use companion::left_behind;
pub use renewal::{LiveFile, Renewal, Standing, drift, order_next, renewal};
pub use retreat::{Retreat, Step as RetreatStep, left_told, retreat};
pub use undo::undo;

use crate::{
    certificate::{Digest, KeyType},
    change::{Activation, Change, Content, Edit, Expect, Meta, Target, Trial},
    facts::{ConfigFile, Facts, Known, Lineage, Server, Source, live_of},
    finding::{Finding, Subject, Verdict},
    intent::{Certificates, Existing, Intent, LETS_ENCRYPT},
    maintain::{self, Due},
    moment::Moment,
    mta::{
        dialect::Unreadable,
        profile::{Argv, Filling, Holds, Profile},
    },
    name::DnsName,
    topics::Explained,
};
use adopt::Adoption;
use planned::Planned;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The next stage and an outlook of the later ones. The empty plan is a good host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What to do next; `None` when nothing is to be done or everything is held back.
    pub next: Option<Stage>,
    /// What will follow, with the configuration edits that are certain already.
    pub later: Vec<Outlook>,
    /// Why a stage is held back: the plan cannot go on until these are settled.
    pub held: Vec<Finding>,
    /// What is done once the proof stands: what keeps it, and what senders are told, which flags decline.
    pub after: Vec<Finding>,
    /// What the admin should know, with what will be done about it.
    pub notes: Vec<Finding>,
}

impl Plan {
    /// What follows the proof; of that, what is not as it should be is something to know.
    pub fn follow(&mut self, all: impl IntoIterator<Item = Finding>) {
        let (after, notes): (Vec<_>, Vec<_>) = all.into_iter().partition(|f| f.verdict == Verdict::Pass);
        self.after.extend(after);
        self.notes.extend(notes);
    }

    /// Everything that it says beside its stages.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.held.iter().chain(&self.notes).chain(&self.after)
    }

    /// Every edit that is certain already: those of the next stage, and of the later ones.
    pub fn edits(&self) -> impl Iterator<Item = &Edit> {
        let next = match &self.next {
            Some(Stage::Change(change)) => change.edits.as_slice(),
            Some(Stage::Errand(_) | Stage::Wait { .. }) | None => &[],
        };
        next.iter().chain(self.later.iter().flat_map(|l| &l.edits))
    }
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// Outside this host or in our own store: repeatable by key, forward only.
    Errand(Errand),
    /// On this host: all or nothing.
    Change(Box<Change>),
    /// A condition on facts; never an open transaction.
    Wait {
        /// What is waited for.
        what: String,
        /// Not before this moment.
        not_before: Moment,
    },
}

/// Work outside this host or in our own store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "errand", rename_all = "kebab-case")]
pub enum Errand {
    /// Get a certificate for each key type of a lineage.
    Obtain(Obtain),
    /// Take in the certificates that other programs keep.
    Adopt(Adopt),
}

/// Certificates that other programs keep, to be served as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopt {
    /// The lineage: its first name.
    pub lineage: DnsName,
    /// Every name that each of them must cover.
    pub names: Vec<DnsName>,
    /// Where they lie.
    pub sources: Vec<Source>,
    /// Where mail servers will read them.
    pub live: PathBuf,
}

/// The order of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obtain {
    /// The lineage: its first name.
    pub lineage: DnsName,
    /// Every name in the certificate, the lineage's first.
    pub names: Vec<DnsName>,
    /// The keys to certify.
    pub keys: Vec<KeyChoice>,
    /// Directory URL of the CA.
    pub directory: String,
    /// Profile to ask for.
    pub acme_profile: Option<String>,
    /// Where mail servers will read it.
    pub live: PathBuf,
}

/// Which key to certify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChoice {
    /// Its type.
    pub key_type: KeyType,
    /// A key that is in use already and must stay (a TLSA record matches it): the file that holds it and its fingerprint.
    /// `None` uses the lineage's own key, made when there is none.
    pub reuse: Option<(PathBuf, Digest)>,
    /// The serial of the certificate that is due: what is in hand counts only where it is another. The CA is told which one
    /// the new one replaces (RFC 9773 §5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// A later stage in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// What will be done.
    pub says: String,
    /// Why.
    pub why: String,
    /// The files that it touches.
    pub touches: Vec<PathBuf>,
    /// The names that a certificate will be ordered for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<DnsName>,
    /// The configuration edits, final already; key and chain files are not among them.
    pub edits: Vec<Edit>,
}

/// Why there can be no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No mail server that we know.
    #[error("no mail server to configure: {0}")]
    NoServer(String),
    /// Its configuration cannot be read or edited.
    #[error("{0}; nothing was changed")]
    Unreadable(#[from] Unreadable),
    /// No domain of this server has an MX record.
    #[error("none of the domains that this server receives for has an MX record ({0}); name this host with --mx")]
    NoMx(String),
    /// No MX name points at this host.
    #[error("no MX name points at this host: {0}; where it is behind NAT, name it with --mx")]
    NotHere(String),
    /// A group that must read the key is missing.
    #[error("the group {0} must read the private key, and this host has no such group")]
    NoGroup(String),
    /// Nothing to undo.
    #[error("{0} is undone already, or everything that it set was changed since; nothing is left to do")]
    Undone(String),
}

impl Explained for Refusal {
    fn topic(&self) -> &'static str {
        match self {
            Self::NoServer(_) => "server-unknown",
            Self::Unreadable(_) => "configuration-unreadable",
            Self::NoMx(_) => "mx-unknown",
            Self::NotHere(_) => "mx-elsewhere",
            Self::NoGroup(_) => "key-group",
            Self::Undone(_) => "undo-nothing",
        }
    }
}

/// The next stage from what is to what is wanted; the empty plan where it is so already.
///
/// # Errors
/// When there is nothing to plan for; the text says what is missing and what to do.
pub fn plan(facts: &Facts, intent: &Intent, profile: &Profile) -> Result<Plan, Refusal> {
    let server = match &facts.server {
        Known::Seen { value, .. } => value,
        Known::Unknown { why } => return Err(Refusal::NoServer(why.clone())),
    };
    let mx = names::mx(facts, intent)?;
    let adoption = adopt::wished(facts, intent, profile, &mx);
    let adopts = adoption.as_ref();
    let names = names::wanted(facts, intent, mx, &adopts.map(Adoption::leaves).unwrap_or_default());
    let planned = planned::all(facts, intent, profile, server, &names, adopts);
    let Some(first) = planned.first() else { return Err(Refusal::NoMx("none is named".to_owned())) };
    let configured = configure::configure(server, profile, &names, &planned)?;
    let places = prove::places(facts, |s| configured.is_ours(profile, s, &first.live));
    if let Some(good) = already::good(facts, intent, server, profile, &names.mx, first.lineage, &places) {
        return Ok(Plan { notes: std::iter::once(good).chain(first.keys.unknown.clone()).collect(), ..Plan::default() });
    }
    let each = intent.certificates == Certificates::Each;
    let kept_by_name = if each { None } else { sni::keeps(facts, server, profile.dialect, &names.mx, &places, intent) };
    let table_stays = if kept_by_name.is_none() { sni::note(facts, server, profile.dialect, intent) } else { None };
    let told = |tells: &dyn Fn(&keys::Keys) -> Vec<Finding>| distinct(planned.iter().flat_map(|p| tells(&p.keys)));
    let unknown = told(&|keys| keys.unknown.clone());
    let notes = [names.notes.clone(), told(&|keys| keys.notes.clone()), configured.notes.clone(), table_stays.into_iter().collect()];
    let against = planned::against_each(intent, profile, server, adopts.is_some());
    let held = told(&|keys| keys.held.clone()).into_iter().chain(against).chain(companion::against(facts, intent, first)).collect();
    let mut plan = Plan { held, notes: notes.concat(), ..Plan::default() };
    if !plan.held.is_empty() {
        plan.held.extend(unknown.into_iter().chain(kept_by_name));
        return Ok(plan);
    }
    let gid = key_group(facts, server, profile)?;
    let switches = companion::switches(facts, intent, first);
    let hook = match adopts {
        Some(adoption) => adoption.hook(facts, intent),
        None => adopt::no_hook(facts),
    };
    let live: Vec<PathBuf> = planned.iter().flat_map(|p| p.live.iter().cloned()).collect();
    let beside = || switches.iter().flat_map(|s| s.edits.iter().cloned());
    let touched = || live.iter().cloned().chain(switches.iter().map(|s| s.live.clone())).collect::<Vec<_>>();
    let (made, open): (Vec<_>, Vec<_>) = planned.iter().map(|p| (p, p.made(facts, intent, adopts))).partition(|(_, made)| made.is_some());
    if let Some((next, _)) = open.first() {
        let edits: Vec<Edit> = configured.edits.into_iter().chain(beside()).chain(hook).collect();
        plan.later = open.iter().skip(1).map(|(p, _)| another(p)).chain(outlook(&edits, &touched())).collect();
        plan.next = Some(Stage::Errand(match adopts {
            Some(adoption) => Errand::Adopt(adoption.errand(next.name.clone(), next.names.clone(), next.one_file.clone())),
            None => {
                if intent.existing == Some(Existing::TakeOver) {
                    plan.notes.extend(adopt::left_behind(facts, next.lineage, &names.mx));
                }
                Errand::Obtain(next.order(facts, intent))
            }
        }));
    } else {
        let made: Vec<_> = made.into_iter().filter_map(|(p, made)| Some((p, made?))).collect();
        let theirs: Vec<PathBuf> = touched().into_iter().filter(|path| !live.contains(path)).collect();
        let first_made = made.first().map(|(_, (lineage, _))| *lineage);
        let for_them = first_made.and_then(|lineage| bundles(lineage, &theirs)).unwrap_or_default();
        let contents = made.iter().flat_map(|(p, (_, bundles))| p.live.iter().cloned().zip(bundles.iter().cloned()));
        let contents = contents.chain(theirs.into_iter().zip(for_them));
        let placed = contents.filter_map(|(live, bundle)| place_bundle(facts, profile, gid, live, bundle));
        let edits: Vec<Edit> = placed.chain(configured.edits).chain(beside()).chain(hook).collect();
        let served: Vec<(&[DnsName], &Lineage)> = made.iter().map(|(p, (lineage, _))| (p.mx.as_slice(), *lineage)).collect();
        let prove = prove::expectations(facts, server, intent, &served, &places);
        if !edits.is_empty() || prove::differ(facts, &prove) {
            let why = if edits.is_empty() {
                format!("{} does not serve yet what its configuration names.", profile.title)
            } else {
                "Senders can then verify this host.".to_owned()
            };
            let mut change = change(facts.now, server, profile, &live, why, edits, prove);
            first_made.iter().for_each(|lineage| switches.iter().for_each(|s| s.joins(facts, first, lineage, &mut change)));
            plan.next = Some(Stage::Change(Box::new(change)));
        }
    }
    if plan.next.is_some() {
        match adopts {
            Some(adoption) => plan.notes.extend(adoption.told_by(intent)),
            None => plan.notes.extend(adopt::read_by_others(facts, intent)),
        }
        plan.notes.extend(planned::note(&planned).into_iter().chain(gap(server, profile)));
    }
    match plan.next {
        None => plan.notes.extend(unknown),
        // Otherwise an order would be spent on a change that breaks DANE, or that the wire cannot prove.
        Some(_) => plan.held = unknown.into_iter().chain(kept_by_name).collect(),
    }
    Ok(if plan.held.is_empty() { plan } else { Plan { next: None, later: Vec::new(), ..plan } })
}

/// Each finding once: what is said of the server is said for every certificate.
fn distinct(findings: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    for finding in findings {
        if !all.contains(&finding) {
            all.push(finding);
        }
    }
    all
}

/// The order of a further certificate.
fn another(planned: &Planned<'_>) -> Outlook {
    Outlook {
        says: format!("Get another certificate, for {}.", planned.name),
        why: "A sender that sends this name is shown it.".to_owned(),
        touches: std::iter::once(planned.one_file.clone()).chain(planned.live.iter().cloned()).collect(),
        names: planned.names.clone(),
        edits: Vec::new(),
    }
}

/// The order of a certificate, from the CA that was named, else from the one that issued what there is.
fn order(
    now: Moment,
    intent: &Intent,
    lineage: Option<&Lineage>,
    first: DnsName,
    names: Vec<DnsName>,
    keys: Vec<KeyChoice>,
    live: PathBuf,
) -> Obtain {
    let before = lineage.filter(|l| l.adopted.is_empty()).map(|l| l.directory.clone());
    let directory = intent.directory.clone().or(before).unwrap_or_else(|| LETS_ENCRYPT.to_owned());
    // A profile is a word of the CA that has it.
    let kept = lineage.filter(|l| l.directory == directory).and_then(|l| l.acme_profile.clone());
    let acme_profile = intent.acme_profile.clone().or(kept);
    let due = lineage.filter(|l| matches!(maintain::lineage_due(l, now), Due::Now { .. }));
    let serial = |key: &KeyChoice| {
        let held = due.into_iter().flat_map(|l| &l.keys).filter(|k| k.key_type == key.key_type);
        held.filter_map(|k| k.leaf.as_ref()).map(|leaf| leaf.serial.clone()).next()
    };
    let keys = keys.into_iter().map(|key| KeyChoice { replaces: serial(&key), ..key }).collect();
    Obtain { lineage: first, names, keys, directory, acme_profile, live }
}

/// What senders notice while the server takes the change into service.
fn gap(server: &Server, profile: &Profile) -> Option<Finding> {
    if profile.gap_ms == 0 || server.running.value() == Some(&false) {
        return None;
    }
    let (title, gap) = (&profile.title, profile.gap_ms);
    let (says, means) = match profile.activation {
        Activation::Restart => (
            format!("{title} cannot read its configuration again, so it is restarted, and takes no connections for about {gap} ms"),
            "a sender who comes in that moment, or is in the middle of a message, tries again a little later; no message is lost",
        ),
        Activation::None | Activation::Reload => (
            format!("{title} takes no new connections for about {gap} ms while it reads its configuration again"),
            "a sender who comes in that moment tries again a little later; no message is lost, and conversations go on to their end",
        ),
    };
    Some(Finding::new("activation-gap", Verdict::Pass, Subject::Host, says).means(means))
}

/// The files that the server shall name: one for all key types, or one for each.
fn live_files(holds: Holds, one_file: &Path, types: &[KeyType]) -> Vec<PathBuf> {
    match holds {
        Holds::FileEach => types.iter().map(|t| live_of(one_file, *t)).collect(),
        Holds::Both | Holds::One => vec![one_file.to_owned()],
    }
}

/// What each of these files shall hold; `None` where that is not made yet.
fn bundles(lineage: &Lineage, live: &[PathBuf]) -> Option<Vec<Digest>> {
    let of = |path: &PathBuf| match lineage.keys.iter().find(|k| live_of(&lineage.live, k.key_type) == *path) {
        Some(key) => key.bundle.clone(),
        None => lineage.bundle.clone(),
    };
    live.iter().map(of).collect()
}

/// Key and chain where mail servers read them; `None` where they lie there already.
fn place_bundle(facts: &Facts, profile: &Profile, gid: u32, live: PathBuf, bundle: Digest) -> Option<Edit> {
    let meta = Meta { uid: profile.key.uid, gid, mode: profile.key.mode, xattrs: BTreeMap::new() };
    let was = facts.live.get(&live).cloned();
    let lies = was.as_ref().is_some_and(|i| i.digest == bundle && (i.meta.uid, i.meta.gid, i.meta.mode) == (meta.uid, gid, meta.mode));
    let becomes = Some(Target { content: Content::Stored { digest: bundle, secret: true }, meta });
    (!lies).then_some(Edit { path: live, was, becomes, edit_lock: None, settings: Vec::new() })
}

fn key_group(facts: &Facts, server: &Server, profile: &Profile) -> Result<u32, Refusal> {
    let group = profile.key.group.fill(server);
    if group == "root" {
        return Ok(0);
    }
    facts.groups.get(&group).copied().ok_or(Refusal::NoGroup(group))
}

/// From the CA, and with the profile, that the admin named; where none was named, every one is right.
fn is_of(lineage: &Lineage, intent: &Intent) -> bool {
    !lineage.adopted.is_empty()
        || intent.directory.as_ref().is_none_or(|d| *d == lineage.directory)
            && intent.acme_profile.as_ref().is_none_or(|p| lineage.acme_profile.as_ref() == Some(p))
}

fn outlook(edits: &[Edit], live: &[PathBuf]) -> Vec<Outlook> {
    let touches = live.iter().cloned().chain(edits.iter().map(|e| e.path.clone())).collect();
    let says = "Put key and chain in place, edit, activate, prove on every listener; or put everything back.".to_owned();
    vec![Outlook { says, why: "Senders can then verify this host.".to_owned(), touches, names: Vec::new(), edits: edits.to_vec() }]
}

fn change(now: Moment, server: &Server, profile: &Profile, live: &[PathBuf], why: String, edits: Vec<Edit>, prove: Vec<Expect>) -> Change {
    let stopped = server.running.value() == Some(&false);
    let fill = |all: &[Argv]| all.iter().flat_map(|c| c.for_each_live(server, live)).collect::<Vec<_>>();
    let links = server.files.iter().filter(|f| f.path != f.real).map(|f| (f.path.clone(), f.real.clone()));
    Change {
        id: change_id(now, &edits),
        why,
        profile: profile.id.clone(),
        config_dir: server.config_dir.clone(),
        trial: profile.trial.clone().map(|t| Filling::from(server).trial(Trial { links: links.collect(), ..t })),
        check: fill(&profile.check),
        activation: if stopped { Activation::None } else { profile.activation },
        activate: if stopped { Vec::new() } else { fill(&profile.activate) },
        running: Some(profile.recognise.running.fill(server)),
        config: config_after(server, &edits),
        edits,
        prove,
        undoes: None,
        renews: None,
        replaces: None,
        notices_ms: profile.notices_ms,
    }
}

/// The server's configuration as the edits leave it.
fn config_after(server: &Server, edits: &[Edit]) -> BTreeMap<PathBuf, Digest> {
    let edited = |path: &Path| edits.iter().find(|e| e.path == *path).map(|e| e.becomes.as_ref().map(|t| t.content.digest()));
    let after = |f: &ConfigFile| Some((f.real.clone(), edited(&f.real).unwrap_or_else(|| Some(f.image.digest.clone()))?));
    server.files.iter().filter_map(after).collect()
}

/// Digits of the moment and a short digest of the edits: unique and sortable.
fn change_id(now: Moment, edits: &[Edit]) -> String {
    let digits: String = now.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    let digest = Digest::of(&serde_json::to_vec(edits).unwrap_or_default());
    format!("{digits}-{}", digest.short())
}
