//! The way back, setting by setting: made from a receipt and the bytes of today.

use super::{Plan, Refusal, Stage, change_id};
use crate::{
    change::{Change, Content, Edit, Expect, Raw, Receipt, SettingChange, Target, Want},
    facts::ConfigFile,
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    mta::{Restored, companion::Companion, profile::Profile},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// The way back from a change: a setting that is as the change left it gets its former bytes again; one that was changed since
/// stays and is named (`undo-conflict`); what others wrote elsewhere stays. Where nothing else changed, the files are byte by
/// byte what they were. A file that the change made goes, where it is as it was made or as what is undone with it left it: its
/// renewals, and whatever replaced its certificate. Works on bytes alone; `current` holds every edited file that exists now, by its real path.
///
/// # Errors
/// When nothing is left to undo.
pub fn undo(
    receipt: &Receipt,
    on_top: &[&Receipt],
    current: &BTreeMap<PathBuf, ConfigFile>,
    now: Moment,
    profile: &Profile,
) -> Result<Plan, Refusal> {
    let mut notes = Vec::new();
    let mut edits: Vec<Edit> = Vec::new();
    for edit in receipt.change.edits.iter().rev().filter(|e| !e.settings.is_empty()) {
        edits.extend(config_edit(edit, current, profile, &mut notes));
    }
    // A key that a kept setting may still name stays.
    if notes.is_empty() {
        let laid =
            || std::iter::once(receipt).chain(on_top.iter().copied()).flat_map(|r| &r.change.edits).filter(|e| e.settings.is_empty());
        let new: BTreeSet<&PathBuf> = laid().filter(|e| e.was.is_none()).map(|e| &e.path).collect();
        for path in new {
            let made: Vec<_> = laid().filter(|e| e.path == *path).filter_map(|e| Some(e.becomes.as_ref()?.content.digest())).collect();
            if let Some(image) = current.get(path).map(|f| &f.image).filter(|i| made.contains(&i.digest)) {
                edits.push(Edit { path: path.clone(), was: Some(image.clone()), becomes: None, edit_lock: None, settings: Vec::new() });
            }
        }
    }
    if edits.is_empty() {
        return if notes.is_empty() { Err(Refusal::Undone(receipt.id.clone())) } else { Ok(Plan { notes, ..Plan::default() }) };
    }
    // A certificate that took the place of an older one of ours stays where it is, and may go on being served.
    let replaced = |e: &Edit| e.settings.is_empty() && e.was.is_some() && e.becomes.is_some();
    let stays = receipt.change.edits.iter().any(replaced);
    let brought = |e: &Expect| match &e.want {
        _ if stays => Vec::new(),
        Want::Ours(all) | Want::Former(all) => [all.clone(), e.unnamed.clone()].concat(),
        Want::Unchanged => Vec::new(),
    };
    let renewed = |e: &Expect| on_top.iter().flat_map(|r| &r.change.prove).filter(|r| r.addr == e.addr).flat_map(brought).collect();
    let back = |e: &Expect| Expect { want: Want::Former([brought(e), renewed(e)].concat()), unnamed: Vec::new(), ..e.clone() };
    let change = Change {
        id: change_id(now, &edits),
        why: format!("Undo {}.", receipt.id),
        prove: if notes.is_empty() { receipt.change.prove.iter().map(back).collect() } else { Vec::new() },
        // They look at what was brought.
        check: Vec::new(),
        undoes: Some(receipt.id.clone()),
        renews: None,
        replaces: None,
        config: BTreeMap::new(),
        edits,
        ..receipt.change.clone()
    };
    Ok(Plan { next: Some(Stage::Change(Box::new(change))), notes, ..Plan::default() })
}

fn config_edit(edit: &Edit, current: &BTreeMap<PathBuf, ConfigFile>, profile: &Profile, notes: &mut Vec<Finding>) -> Option<Edit> {
    let Some(file) = current.get(&edit.path) else {
        if edit.was.is_some() {
            notes.extend(edit.settings.iter().map(|s| conflict(s, &edit.path, 0)));
        }
        return None;
    };
    let mut bytes = file.text.0.0.clone();
    let mut settings = Vec::new();
    for setting in edit.settings.iter().rev() {
        let restored = match Companion::of(&file.path) {
            Some(companion) => companion.restore(&bytes, setting),
            None => profile.dialect.restore(&file.path, &bytes, setting),
        };
        match restored {
            Restored::Done(restored) => {
                bytes = restored;
                settings.push(SettingChange {
                    was: setting.becomes.clone(),
                    becomes: setting.was.clone(),
                    why: "It was so before.".to_owned(),
                    ..setting.clone()
                });
            }
            Restored::Already => {}
            Restored::Conflict(line) => notes.push(conflict(setting, &edit.path, line)),
        }
    }
    if settings.is_empty() {
        return None;
    }
    let gone = edit.was.is_none() && bytes.is_empty();
    let becomes = (!gone).then(|| Target { content: Content::Text(Raw(bytes)), meta: file.image.meta.clone() });
    Some(Edit { path: edit.path.clone(), was: Some(file.image.clone()), becomes, edit_lock: edit.edit_lock.clone(), settings })
}

fn conflict(setting: &SettingChange, path: &std::path::Path, line: usize) -> Finding {
    let name = setting.service.as_ref().map_or_else(|| setting.name.clone(), |s| format!("{s} {}", setting.name));
    let was = setting.was.as_ref().map_or_else(|| "not set".to_owned(), |r| String::from_utf8_lossy(&r.0).trim().to_owned());
    Finding::new(
        "undo-conflict",
        Verdict::Warn,
        Subject::File { path: path.to_owned(), line },
        format!("{name} was changed since, and stays as it is"),
    )
    .seen(format!("before the change: {was}"))
    .remedy(Remedy::Do(format!("set {name} by hand, if it should be as it was")))
}
