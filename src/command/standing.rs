//! What stands on this host: the setup and its last renewal, the certificates that they serve, and their files as they lie there.

use super::{Trouble, place::Site};
use crate::{
    acme, apply,
    certificate::Digest,
    change::{Change, Expect, Presented, Receipt, Want},
    check,
    facts::Lineage,
    finding::{Finding, Remedy, Subject, Verdict},
    plan::LiveFile,
    survey,
    view::{EndpointView, Offer, Probe},
    world::{Look as _, Machine},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

/// One look at a listener, or at a server, takes no longer.
const LOOK: Duration = Duration::from_secs(15);

/// The setup that stands, its last renewal or itself, and the lineages that it serves; nothing where there are none.
pub(super) fn standing(site: &Site) -> Result<Option<(Change, Receipt, Vec<Lineage>)>, Trouble> {
    let receipts = apply::receipts(&site.store).map_err(Trouble::state)?;
    let Some(receipt) = apply::standing(&receipts) else { return Ok(None) };
    let base = receipt.change.renews.as_ref().and_then(|id| receipts.iter().find(|r| r.id == *id)).unwrap_or(receipt);
    let promised: BTreeSet<&Digest> = ours(receipt).flat_map(|(_, all)| all).map(|p| &p.spki).collect();
    let all = acme::load_lineages(&site.store).map_err(Trouble::state)?;
    let mut lineages = all.clone();
    lineages.retain(|l| l.keys.iter().any(|k| promised.contains(&k.spki)));
    // What replaced the certificate was undone, and the certificate stays: it is kept all the same.
    if lineages.is_empty() {
        lineages = all;
        lineages.retain(|l| base.change.edits.iter().any(|e| l.live_files().any(|file| file == e.path)));
    }
    // An older one may hold the same key under another name.
    let laid = |l: &Lineage| receipts.iter().flat_map(|r| &r.change.edits).any(|e| l.live_files().any(|file| file == e.path));
    if lineages.iter().any(laid) {
        lineages.retain(laid);
    }
    Ok((!lineages.is_empty()).then(|| (base.change.clone(), receipt.clone(), lineages)))
}

/// The listeners that present ours.
pub(super) fn ours(receipt: &Receipt) -> impl Iterator<Item = (&Expect, &Vec<Presented>)> {
    receipt.change.prove.iter().filter_map(|e| match &e.want {
        Want::Ours(all) => Some((e, all)),
        Want::Unchanged | Want::Former(_) => None,
    })
}

/// What changes of ours laid for the mail server, and what lies there today.
pub(super) fn live_files(site: &Site, lineages: &[Lineage]) -> Result<BTreeMap<PathBuf, LiveFile>, Trouble> {
    let receipts = apply::receipts(&site.store).map_err(Trouble::state)?;
    let mut files: BTreeMap<PathBuf, LiveFile> = BTreeMap::new();
    let standing = receipts.iter().filter(|r| apply::stands(r, &receipts));
    let is_live = |path: &PathBuf| lineages.iter().flat_map(Lineage::live_files).any(|live| live == *path);
    for edit in standing.flat_map(|r| &r.change.edits).filter(|e| is_live(&e.path)) {
        files.entry(edit.path.clone()).or_default();
    }
    for (path, file) in &mut files {
        // What was undone since may lie there still.
        let edits = receipts.iter().flat_map(|r| &r.change.edits).filter(|e| e.path == *path);
        file.laid.extend(edits.filter_map(|e| Some(e.becomes.as_ref()?.content.digest())));
        file.lies = Machine.image(path).map_err(|e| Trouble::human(format!("{}: {e}", path.display())))?;
    }
    Ok(files)
}

/// The configuration's files as they lie there today.
pub(super) fn config(receipt: &Receipt) -> Result<BTreeMap<PathBuf, Option<Digest>>, Trouble> {
    let today = |path: &PathBuf| {
        let image = Machine.image(path).map_err(|e| Trouble::human(format!("{}: {e}", path.display())))?;
        Ok((path.clone(), image.map(|i| i.digest)))
    };
    receipt.change.config.keys().map(today).collect()
}

/// Whether the server that a change is about runs, as far as its profile can tell.
pub(super) fn runs(change: &Change) -> bool {
    change.running.as_ref().is_none_or(|command| Machine.run(command, LOOK).is_ok_and(|o| o.code == 0))
}

/// One conversation with each listener that presents ours, and a short one about the other key type.
pub(super) async fn look(site: &Site, receipt: &Receipt) -> Vec<EndpointView> {
    let mut probes: Vec<Probe> = Vec::new();
    for (expect, all) in ours(receipt) {
        // Several names at an address are worth a look each only where each has a certificate of its own.
        if probes.iter().any(|p| p.addr == expect.addr && expect.unnamed.is_empty()) {
            continue;
        }
        let Some(any) = check::probes_for(expect).into_iter().next() else { continue };
        let other = (all.len() > 1).then(|| Probe { offer: Offer::Rsa, postmaster_of: None, ..any.clone() });
        probes.extend(std::iter::once(any).chain(other));
    }
    check::observe(&site.net, &probes, LOOK).await
}

/// What the listeners present that is not ours; one that nobody answers on is unknown, and no fault.
pub(super) fn not_ours(receipt: &Receipt, lineages: &[Lineage], views: &[EndpointView]) -> Vec<Finding> {
    let held = |serial: &String| lineages.iter().flat_map(|l| &l.keys).any(|k| k.leaf.as_ref().is_some_and(|l| l.serial == *serial));
    let promised = |serial: &String| ours(receipt).flat_map(|(_, all)| all).any(|p| p.serial == *serial);
    let finding = |view: &EndpointView| {
        let at = Subject::Address(view.probe.addr);
        let Some(leaf) = view.leaf() else {
            let says = "nobody could be asked here which certificate is served";
            return Some(Finding::new("served-unknown", Verdict::Unknown, at, says));
        };
        if held(&leaf.serial) || promised(&leaf.serial) {
            return None;
        }
        let says = format!("another certificate is served than was proved on {}", receipt.proved);
        let seen = format!("issuer {}, serial {}, until {}", leaf.issuer, leaf.serial, leaf.not_after);
        let means = "senders that verify may refuse it";
        // Whatever was changed since then may be why.
        let files = receipt.change.config.keys().cloned().chain(lineages.iter().flat_map(Lineage::live_files));
        let later = files.filter(|path| Machine.changed(path).is_ok_and(|(at, _)| at >= receipt.proved));
        let mut finding = Finding::new("served-other", Verdict::Fail, at, says).seen(seen);
        finding.evidence.extend(later.filter_map(|path| survey::last_hand(&Machine, &path)));
        Some(finding.means(means).remedy(Remedy::Command("mxseal setup".into())))
    };
    views.iter().filter_map(finding).collect()
}
