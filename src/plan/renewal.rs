//! A renewal needs no survey: what was proved says what is served, where, by which keys and under which names. Nothing here
//! asks DNS, so that a resolver that is down at night does not let a certificate expire.

use super::{Errand, KeyChoice, Obtain, Stage, change_id, prove::presented};
use crate::{
    certificate::Digest,
    change::{Activation, Change, Content, Edit, Expect, Image, Presented, Receipt, Target, Want},
    facts::{Deployment, Lineage, LineageKey, live_of},
    finding::{Finding, Remedy, Subject, Verdict},
    maintain::{Due, lineage_due},
    moment::Moment,
    name::DnsName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// A file with key and chain that changes of ours laid for a mail server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveFile {
    /// As it lies there; `None` where it is gone.
    pub lies: Option<Image>,
    /// The digests of everything that we ever laid there.
    pub laid: BTreeSet<Digest>,
}

/// What a renewal is planned from.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The change that stands: a setup, or a renewal of it.
    pub receipt: &'a Receipt,
    /// The setup itself: how the server is told.
    pub base: &'a Change,
    /// What it serves: one certificate, or one for each name.
    pub lineages: &'a [Lineage],
    /// The files that the mail server reads its certificates from.
    pub files: &'a BTreeMap<PathBuf, LiveFile>,
    /// The digests of the configuration's files today, by the paths of the proof; `None` for one that is gone.
    pub config: &'a BTreeMap<PathBuf, Option<Digest>>,
    /// Somebody wants these although they are not due.
    pub forced: &'a [DnsName],
    /// These are not ordered now, whatever is due: an order failed not long ago.
    pub resting: &'a [DnsName],
    /// Somebody says that the configuration as it lies there is meant so.
    pub meant: bool,
    /// Every listener shows what was promised.
    pub shown: bool,
}

/// What is to be done, and what a human has to look at all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// The next stage; `None` where nothing is to be done, or nothing may be.
    pub next: Option<Stage>,
    /// What is not as it was proved.
    pub findings: Vec<Finding>,
}

/// The next stage of keeping a certificate: an order where it is due, then the file, then the proof. Configuration is never
/// written; where it changed since the proof and nobody says that it is meant so, the new file is laid in place and the server
/// is not told.
#[must_use]
pub fn renewal(standing: &Standing<'_>, now: Moment) -> Renewal {
    let Standing { receipt, lineages, .. } = standing;
    let drift = drift(&receipt.change.config, standing.config);
    let (drift, news) = if standing.meant { (Vec::new(), !drift.is_empty()) } else { (drift, false) };
    // What others keep, others order.
    let is_due = |l: &&Lineage| {
        let wanted = standing.forced.contains(&l.name) || matches!(lineage_due(l, now), Due::Now { .. });
        l.adopted.is_empty() && wanted && !standing.resting.contains(&l.name)
    };
    if let Some(lineage) = lineages.iter().find(is_due) {
        let next = order(lineage).map(|order| Stage::Errand(Errand::Obtain(order)));
        return Renewal { next, findings: drift };
    }
    let mut edits = Vec::new();
    for (path, file) in standing.files {
        let Some(bundle) = lineages.iter().find_map(|lineage| bundle(lineage, path)) else { continue };
        match &file.lies {
            None => return Renewal { next: None, findings: vec![foreign(path, "is gone")] },
            Some(lies) if lies.digest == *bundle => {}
            Some(lies) if file.laid.contains(&lies.digest) => edits.push(Edit {
                path: path.clone(),
                was: Some(lies.clone()),
                becomes: Some(Target { content: Content::Stored { digest: bundle.clone(), secret: true }, meta: lies.meta.clone() }),
                edit_lock: None,
                settings: Vec::new(),
            }),
            Some(_) => return Renewal { next: None, findings: vec![foreign(path, "holds something else than was proved")] },
        }
    }
    let proved = lineages.iter().all(|l| l.deployment == Deployment::Proved) && standing.shown;
    if edits.is_empty() && !news && (proved || !drift.is_empty()) {
        return Renewal { next: None, findings: drift };
    }
    let (base, before) = (standing.base, &receipt.change);
    let told = drift.is_empty();
    let change = Change {
        id: change_id(now, &edits),
        why: format!("Renew the certificate of {}.", renewed(lineages, &edits)),
        edits,
        // Where the configuration is as it was proved, there is nothing to try.
        trial: if told && !news { None } else { base.trial.clone() },
        activation: if told { base.activation } else { Activation::None },
        activate: if told { base.activate.clone() } else { Vec::new() },
        prove: before.prove.iter().map(|e| expect(e, lineages)).collect(),
        config: if news {
            standing.config.iter().filter_map(|(p, d)| Some((p.clone(), d.clone()?))).collect()
        } else {
            before.config.clone()
        },
        undoes: None,
        renews: Some(base.id.clone()),
        replaces: None,
        // What somebody says is meant so has to be read.
        notices_ms: if news { 0 } else { base.notices_ms },
        ..before.clone()
    };
    Renewal { next: Some(Stage::Change(Box::new(change))), findings: drift }
}

/// The order of the same names and the same keys: a published TLSA record stays true.
fn order(lineage: &Lineage) -> Option<Obtain> {
    let mut names = vec![lineage.name.clone()];
    let leaves = lineage.keys.iter().filter_map(|k| k.leaf.as_ref());
    for name in leaves.flat_map(|leaf| &leaf.names).filter_map(|n| n.parse::<DnsName>().ok()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let key = |k: &LineageKey| KeyChoice { key_type: k.key_type, reuse: None, replaces: k.leaf.as_ref().map(|leaf| leaf.serial.clone()) };
    (!lineage.keys.is_empty()).then(|| Obtain {
        lineage: lineage.name.clone(),
        names,
        keys: lineage.keys.iter().map(key).collect(),
        directory: lineage.directory.clone(),
        acme_profile: lineage.acme_profile.clone(),
        live: lineage.live.clone(),
    })
}

/// The order of the same names for the keys that follow; `None` where there are not as many.
#[must_use]
pub fn order_next(lineage: &Lineage) -> Option<Obtain> {
    let order = order(lineage)?;
    let due = |key_type| lineage.successor.as_ref()?.keys.iter().find(|k| k.key_type == key_type)?.leaf.as_ref();
    let follows = |key: KeyChoice| {
        let spki = lineage.next.iter().find(|n| n.key_type == key.key_type)?.spki.clone();
        // One that came before and does not fit any more is in hand, and not wanted.
        let replaces = due(key.key_type).filter(|leaf| leaf.spki == spki).map(|leaf| leaf.serial.clone());
        Some(KeyChoice { reuse: Some((format!("{spki}.key").into(), spki)), replaces, ..key })
    };
    let keys = order.keys.into_iter().map(follows).collect::<Option<Vec<KeyChoice>>>()?;
    Some(Obtain { keys, ..order })
}

/// What belongs into a live file: all keys with their chains, or those of one key type.
fn bundle<'a>(lineage: &'a Lineage, path: &Path) -> Option<&'a Digest> {
    let of_key = || lineage.keys.iter().find(|k| live_of(&lineage.live, k.key_type) == *path)?.bundle.as_ref();
    if *path == *lineage.live { lineage.bundle.as_ref() } else { of_key() }
}

/// The names of those whose files are replaced; of all where none is.
fn renewed(lineages: &[Lineage], edits: &[Edit]) -> String {
    let touched = |l: &&Lineage| edits.is_empty() || l.live_files().any(|file| edits.iter().any(|e| e.path == file));
    lineages.iter().filter(touched).map(|l| l.name.to_string()).collect::<Vec<_>>().join(", ")
}

fn expect(before: &Expect, lineages: &[Lineage]) -> Expect {
    // A key stays at a renewal, and is remembered at a roll-over; where its keeper took another, the lineage is the only one.
    let holds = |l: &&Lineage, all: &[Presented]| {
        let mut keys = l.keys.iter().map(|k| &k.spki).chain(l.former.iter().map(|k| &k.spki));
        keys.any(|spki| all.iter().any(|p| p.spki == *spki))
    };
    let anew = |all: &[Presented]| {
        let lineage = lineages.iter().find(|l| holds(l, all)).or(lineages.first());
        let mut now = lineage.map(presented).unwrap_or_default();
        // Some take one key type alone.
        if now.iter().any(|p| all.iter().any(|was| was.key_type == p.key_type)) {
            now.retain(|p| all.iter().any(|was| was.key_type == p.key_type));
        }
        now
    };
    let unnamed = if before.unnamed.is_empty() { Vec::new() } else { anew(&before.unnamed) };
    match &before.want {
        Want::Ours(all) => Expect { want: Want::Ours(anew(all)), unnamed, ..before.clone() },
        Want::Unchanged | Want::Former(_) => before.clone(),
    }
}

/// The files of the configuration that are not as the last proof saw them.
#[must_use]
pub fn drift(proved: &BTreeMap<PathBuf, Digest>, today: &BTreeMap<PathBuf, Option<Digest>>) -> Vec<Finding> {
    let differs = |(path, was): &(&PathBuf, &Digest)| today.get(*path).is_none_or(|is| is.as_ref() != Some(*was));
    let finding = |(path, _): (&PathBuf, &Digest)| {
        let says = format!("{} changed since the last proof, so nobody is told to read it", path.display());
        Finding::new("drift", Verdict::Warn, Subject::File { path: path.clone(), line: 0 }, says)
            .means("a reload at night must not activate what somebody may not have finished; what is renewed is served as the mail server's processes are replaced")
            .remedy(Remedy::Command("mxseal renew --reload".into()))
    };
    proved.iter().filter(differs).map(finding).collect()
}

fn foreign(live: &Path, what: &str) -> Finding {
    let subject = Subject::File { path: live.to_owned(), line: 0 };
    Finding::new("live-changed", Verdict::Fail, subject, format!("the file that the mail server reads its certificate from {what}"))
        .means("nothing is renewed there, because it is somebody else's now")
        .remedy(Remedy::Command("mxseal setup".into()))
}
