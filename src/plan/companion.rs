//! Services beside the mail server that are switched in the same change: they present what it presents, or nothing changes.

use super::{KeyChoice, planned::Planned};
use crate::{
    certificate::{Certificate, KeyType},
    change::{Change, Command, Content, Edit, Expect, Raw, Target, Want},
    check,
    facts::{Companion, Facts, ForeignLineage, Lineage, live_of},
    finding::{Finding, Remedy, Subject, Verdict},
    intent::Intent,
    mta::companion::Companion as Known,
    view::Wire,
};
use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

/// What is done with one.
pub(super) struct Switch<'a> {
    known: &'static Known,
    companion: &'a Companion,
    /// The file that it reads chain and key from: it takes one key type.
    pub(super) live: PathBuf,
    key_type: KeyType,
    /// Its configuration.
    pub(super) edits: Vec<Edit>,
}

/// Those that present a certificate which this plan replaces, and that nobody wished to switch.
pub fn left_behind<'a>(facts: &'a Facts, intent: &'a Intent) -> impl Iterator<Item = &'a Companion> {
    let stays =
        |leaf: &Certificate| facts.lineages.iter().flat_map(|l| &l.keys).any(|k| k.leaf.as_ref().is_some_and(|l| l.digest == leaf.digest));
    let replaced = move |leaf: &Certificate| facts.foreign.iter().any(|f| f.in_use && f.leaf.digest == leaf.digest) && !stays(leaf);
    let reads = move |c: &&Companion| !c.listens.is_empty() && c.reads.iter().any(|f| replaced(&f.leaf));
    facts.companions.iter().filter(|c| !intent.with.contains(&c.id)).filter(reads)
}

/// How each of them is switched to the first certificate.
pub(super) fn switches<'a>(facts: &'a Facts, intent: &'a Intent, first: &Planned<'_>) -> Vec<Switch<'a>> {
    let one = |companion: &'a Companion| {
        let known = Known::named(&companion.id)?;
        let types: Vec<KeyType> = first.keys.choices.iter().map(|KeyChoice { key_type, .. }| *key_type).collect();
        let read = companion.reads.first().map(|f| f.leaf.key_type).filter(|t| types.contains(t));
        let key_type = read.or(types.first().copied())?;
        let live = live_of(&first.one_file, key_type);
        let edit = |file: &crate::facts::ConfigFile| {
            let (bytes, settings) = known.switched(&file.text.0.0, &live);
            let becomes = Some(Target { content: Content::Text(Raw(bytes)), meta: file.image.meta.clone() });
            (!settings.is_empty()).then(|| Edit {
                path: file.real.clone(),
                was: Some(file.image.clone()),
                becomes,
                edit_lock: None,
                settings,
            })
        };
        let edits = companion.files.iter().filter_map(edit).collect();
        Some(Switch { known, companion, live, key_type, edits })
    };
    facts.companions_among(&intent.with).filter_map(one).collect()
}

impl Switch<'_> {
    /// Its part of a change: checked, told and proved with the mail server.
    pub(super) fn joins(&self, facts: &Facts, first: &Planned<'_>, lineage: &Lineage, change: &mut Change) {
        let command = |words: &[&str]| Command(words.iter().map(ToString::to_string).collect());
        change.check.push(command(self.known.check));
        if !change.activate.is_empty() {
            change.activate.push(command(self.known.activate));
        }
        let edited = self.edits.iter().filter_map(|e| Some((e.path.clone(), e.becomes.as_ref()?.content.digest())));
        change.config.extend(self.companion.config.clone().into_iter().chain(edited));
        // It has to be told of each renewal, whatever the mail server sees by itself.
        change.notices_ms = 0;
        let presented: Vec<_> = super::prove::presented(lineage).into_iter().filter(|p| p.key_type == self.key_type).collect();
        let own = &facts.host.addresses;
        let places: BTreeSet<(SocketAddr, Wire)> = self
            .companion
            .listens
            .iter()
            .flat_map(|(addr, wire)| check::own_addresses(*addr, own).into_iter().map(|a| (a, *wire)))
            .collect();
        let expect = |(addr, wire)| Expect {
            addr,
            wire,
            name: first.name.clone(),
            domain: None,
            want: Want::Ours(presented.clone()),
            unnamed: Vec::new(),
        };
        change.prove.extend(places.into_iter().map(expect));
    }
}

/// What stands against switching one.
pub(super) fn against(facts: &Facts, intent: &Intent, first: &Planned<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    for id in &intent.with {
        let title = Known::named(id).map_or(id.as_str(), |known| known.title);
        let Some(companion) = facts.companions.iter().find(|c| c.id == *id).filter(|c| !c.listens.is_empty()) else {
            let says = format!("{title} was to be switched too, and nothing of it was found that listens and names a certificate");
            all.push(
                Finding::new("companion-missing", Verdict::Fail, Subject::Host, says)
                    .remedy(Remedy::Do(format!("start {title}, or leave {id} out of --with and of the key `with` in mxseal.toml"))),
            );
            continue;
        };
        let lacks = |f: &&ForeignLineage| f.trusted && f.leaf.names.iter().any(|n| n.parse().map_or(true, |n| !first.names.contains(&n)));
        if let Some(f) = companion.reads.iter().find(lacks) {
            let says = format!("{title} presents a certificate for {}, and the new one cannot hold all of them", f.leaf.names.join(", "));
            all.push(
                Finding::new("companion-names", Verdict::Fail, Subject::File { path: f.chain.clone(), line: 0 }, says)
                    .means("mail programs of users that know it by such a name would refuse it")
                    .remedy(Remedy::Do(format!("let those names point at this host, or leave {title} as it is, without --with"))),
            );
        }
    }
    all
}
