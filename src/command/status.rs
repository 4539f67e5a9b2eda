//! `mxseal status`: what is installed, since when, until when, and what is served.

use super::{Trouble, deployed, enact, place, place::Site};
use crate::{
    acme, apply,
    change::{Content, Edit, Receipt, Want},
    cli::{Global, Status},
    report::{self, Style, Terminal, json},
    view::{EndpointView, Offer},
};
use std::path::PathBuf;

pub(super) async fn run(args: &Status, global: &Global) -> Result<u8, Trouble> {
    let settings = place::settings(global)?;
    let site = Site::of(&args.place, &[], &settings, global)?;
    let mut lineages = acme::load_lineages(&site.store).map_err(Trouble::state)?;
    let receipts = apply::receipts(&site.store).map_err(Trouble::state)?;
    let open = apply::open_change(&site.store).map_err(Trouble::state)?;
    lineages.iter_mut().for_each(|l| l.deployment = deployed::deployment(l, &receipts));
    let standing = apply::standing(&receipts);
    let served = match standing {
        Some(receipt) => enact::baseline(&site.net, &receipt.change.prove, &[]).await,
        None => Vec::new(),
    };
    let changes = receipts
        .iter()
        .map(|r| json::ChangeDoc {
            id: r.id.clone(),
            proved: r.proved.0,
            why: r.change.why.clone(),
            installed: installed(r),
            undone: apply::is_undone(r, &receipts),
        })
        .collect();
    let exit = if open.is_some() { 1 } else { standing.map_or(1, |receipt| verdict(receipt, &served)) };
    let document = json::StatusDoc { version: json::VERSION, exit, open, lineages, changes, served };
    Terminal::print(&if global.json {
        json::text(&document)
    } else {
        report::status_page(Style::of_stdout(), &document, standing.is_some())
    });
    Ok(exit)
}

/// The files of key and chain that a change put in place.
fn installed(receipt: &Receipt) -> Vec<PathBuf> {
    let stored = |e: &&Edit| e.becomes.as_ref().is_some_and(|t| matches!(t.content, Content::Stored { .. }));
    receipt.change.edits.iter().filter(stored).map(|e| e.path.clone()).collect()
}

/// 0 when every listener that should present ours does, 1 when one presents something else, 3 when one could not be asked.
fn verdict(receipt: &Receipt, served: &[EndpointView]) -> u8 {
    let mut worst = 0;
    for expect in &receipt.change.prove {
        let Want::Ours(ours) = &expect.want else { continue };
        for view in served.iter().filter(|v| v.probe.addr == expect.addr && v.probe.offer == Offer::Any) {
            worst = worst.max(match view.leaf() {
                Some(leaf) if ours.iter().any(|o| o.spki == leaf.spki) => 0,
                Some(_) => return 1,
                None => 3,
            });
        }
    }
    worst
}
