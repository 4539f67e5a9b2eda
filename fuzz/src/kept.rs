//! What lies in our own directory, and what a survey elsewhere printed: perhaps of another release, perhaps damaged.

use super::Reader;
use mxseal::{
    acme, apply,
    claims::Claims,
    facts::Facts,
    intent::Intent,
    maintain::{Run, SeenKeys, lineage_due, roll_over},
    moment::Moment,
    mta::profile::Profile,
    plan::plan,
    publish::{Ours, list::Kept, policies, told},
    report::json::PlanDoc,
    serve::Served,
    world::Store,
};
use std::fs;

pub const READERS: &[Reader] = &[
    ("kept_change", change),
    ("kept_claims", claims),
    ("kept_facts", facts),
    ("kept_keys", keys),
    ("kept_lineage", lineage),
    ("kept_list", list),
    ("kept_policy", policy),
    ("kept_receipt", receipt),
    ("kept_records", records),
    ("kept_run", run),
];

const NOW: Moment = Moment(1_900_000_000);

/// A state directory in which this file holds the bytes.
fn store(file: &str, bytes: &[u8], read: impl FnOnce(&Store)) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(file);
    path.parent().map(fs::create_dir_all).transpose().expect("a folder");
    fs::write(path, bytes).expect("a file");
    read(&Store::at(dir.path()));
}

pub fn change(bytes: &[u8]) {
    store("journal/open/change.json", bytes, |store| drop(apply::open_change(store)));
}

pub fn claims(bytes: &[u8]) {
    store("claims.json", bytes, |store| {
        let Ok(mut claims) = told::claims(store) else { return };
        for claim in &claims.0 {
            let _ = (claim.says(), claim.counts(NOW), claim.until());
        }
        claims.forget_past(NOW);
    });
}

pub fn facts(bytes: &[u8]) {
    let Ok(facts) = serde_json::from_slice::<Facts>(bytes) else { return };
    let Some(server) = facts.server.value() else { return };
    let Some(profile) = Profile::built_in().expect("profiles").into_iter().find(|p| p.id == server.profile) else { return };
    let _ = plan(&facts, &Intent::default(), &profile).map(|plan| PlanDoc::of(&facts.config_files(), &plan));
}

pub fn keys(bytes: &[u8]) {
    let Ok(mut seen) = serde_json::from_slice::<SeenKeys>(bytes) else { return };
    for key in &seen.0 {
        let _ = key.known_from();
    }
    seen.keep_only(&[]);
}

pub fn lineage(bytes: &[u8]) {
    store("lineages/mx.example.org.json", bytes, |store| {
        for lineage in acme::load_lineages(store).unwrap_or_default() {
            let _ = (lineage_due(&lineage, NOW), roll_over(&lineage, &[], &SeenKeys::default(), &Claims::default(), NOW));
        }
    });
}

pub fn list(bytes: &[u8]) {
    store("list/kept.json", bytes, |store| {
        let _ = Kept::load(store).map(|kept| kept.map(|kept| kept.signed(store)));
    });
}

pub fn policy(bytes: &[u8]) {
    store("policies/example.org.json", bytes, |store| {
        for kept in policies::all(store).unwrap_or_default() {
            let _ = (kept.believed(NOW), kept.may_enter(), kept.step(NOW));
        }
    });
}

pub fn receipt(bytes: &[u8]) {
    store("receipts/1.json", bytes, |store| {
        let receipts = apply::receipts(store).unwrap_or_default();
        let _ = apply::standing(&receipts);
    });
}

pub fn records(bytes: &[u8]) {
    store(Ours::FILE, bytes, |store| drop(store.load::<Ours>(Ours::FILE)));
}

pub fn run(bytes: &[u8]) {
    store("watch/run.json", bytes, |store| {
        let _ = store.load::<Run>("watch/run.json").map(|run| run.map(|run| run.needs()));
    });
    let _ = serde_json::from_slice::<Served>(bytes);
}
