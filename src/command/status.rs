//! `mxseal status`: what is installed, since when, until when, and what is served. Told from what was seen last, so that it
//! costs nothing and asks nobody; `--live` asks.

use super::{Trouble, alarm, deployed, enact, interrupt, kept, place, place::Site, rollover, standing::config, watch};
use crate::{
    acme, apply,
    change::{Content, Edit, Receipt, Want},
    cli::{Global, Status},
    facts::{Lineage, Reader},
    finding::{Finding, Remedy, Subject, Verdict},
    maintain::{Run, policy_due},
    moment::Moment,
    plan,
    publish::{policies, told},
    report::{self, Style, Terminal, json},
    survey,
    view::{EndpointView, Offer},
    world::{self, Machine, Store},
};
use std::{path::PathBuf, time::Duration};

/// The timer runs six times a day: after this it is dead.
const TOO_OLD: Duration = Duration::from_secs(26 * 3600);

pub(super) async fn run(args: &Status, global: &Global) -> Result<u8, Trouble> {
    let settings = place::settings(global)?;
    // A wrong flag is told where nothing is asked, too.
    let asks = args.live || !args.place.trust_anchors.is_empty();
    let site = asks.then(|| Site::of(&args.place, &[], &settings, global)).transpose()?;
    let store = Store::at(&global.state_dir);
    if asks {
        interrupt::last_words("status", &store, global);
    }
    let mut lineages = acme::load_lineages(&store).map_err(Trouble::state)?;
    let receipts = apply::receipts(&store).map_err(Trouble::state)?;
    let open = apply::open_change(&store).map_err(Trouble::state)?;
    lineages.iter_mut().for_each(|l| l.deployment = deployed::deployment(l, &receipts));
    let standing = apply::standing(&receipts);
    let served = match (standing, site) {
        (Some(receipt), Some(site)) if args.live => {
            let views = enact::baseline(&site.net, &receipt.change.prove, &[]).await;
            kept::observed(&store, &receipt.id, &views);
            views
        }
        (Some(receipt), _) => kept::last_observed(&store, &receipt.id).map(|seen| seen.views).unwrap_or_default(),
        (None, _) => Vec::new(),
    };
    let now = world::now();
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
    let mut exit = if open.is_some() { 1 } else { standing.map_or(1, |receipt| verdict(receipt, &served)) };
    let mut findings: Vec<Finding> = standing.and_then(|receipt| silent(&store, receipt, now)).into_iter().collect();
    findings.extend(
        args.textfile.as_deref().or(settings.textfile.as_deref().filter(|_| args.live)).and_then(|file| watch::write(&store, file)),
    );
    // What a change has settled since is nobody's affair any more.
    let run = kept::last_run(&store).filter(|run| standing.is_some_and(|s| run.ended.is_none_or(|ended| ended >= s.proved)));
    // Which files changed can be seen without asking anybody.
    if let Some((receipt, today)) = standing.and_then(|receipt| Some((receipt, config(receipt).ok()?))) {
        let told = |f: &Finding| run.as_ref().is_some_and(|run| run.findings.iter().any(|t| (&t.id, &t.subject) == (&f.id, &f.subject)));
        findings.extend(plan::drift(&receipt.change.config, &today).into_iter().filter(|f| !told(f)));
    }
    // And what of a policy is left to do.
    let needs = run.as_ref().filter(|run| run.ended.is_some()).map(Run::needs).unwrap_or_default();
    let needed = |f: &Finding| needs.iter().any(|n| (&n.id, &n.subject) == (&f.id, &f.subject));
    let kept = policies::all(&store).map_err(Trouble::state)?;
    findings.extend(kept.iter().filter_map(|kept| policy_due(kept, now)).filter(|f| !needed(f)));
    if exit == 0 && (!needs.is_empty() || findings.iter().any(|f| f.verdict != Verdict::Pass)) {
        exit = 1;
    }
    let rests = lineages.iter().filter_map(|l| kept::rest(&store, &l.name)).collect();
    let alarm = standing.and_then(|_| alarm::address(&store, &settings, standing)).map(|to| {
        let reached = alarm::proved(&store).filter(|proved| proved.address == to).map(|proved| proved.at.0);
        json::AlarmDoc { to, reached }
    });
    let readers = if standing.is_some() { readers(&lineages) } else { Vec::new() };
    let told = told::claims(&store).map_err(Trouble::state)?.counting(now).cloned().collect();
    let rollover = rollover::documents(&store)?;
    let document = json::StatusDoc {
        rollover,
        version: json::VERSION,
        exit,
        open,
        lineages,
        changes,
        served,
        run,
        rests,
        alarm,
        told,
        readers,
        findings,
    };
    Terminal::document(&if global.json {
        json::text(&document)
    } else {
        report::status_page(Style::of_stdout(), &document, standing.is_some(), now)
    });
    Ok(exit)
}

/// Nothing was renewed, and nothing was due, for more than a day: the timer is dead. Who looks by hand does not wake it.
fn silent(store: &Store, standing: &Receipt, now: Moment) -> Option<Finding> {
    let ran = kept::last_run(store).map_or(standing.proved, |run| run.began.max(standing.proved));
    if !store.is_usual() || now.since(ran) < TOO_OLD {
        return None;
    }
    let says = format!("mxseal renew has not run since {ran}: the timer is dead");
    Some(
        Finding::new("watch-silent", Verdict::Warn, Subject::Host, says)
            .means("what falls due is not renewed, and nobody hears of it")
            .remedy(Remedy::Command("systemctl status mxseal-renew.timer".into())),
    )
}

/// Who else reads these files, ours and those of others that are adopted.
fn readers(lineages: &[Lineage]) -> Vec<Reader> {
    let live: Vec<PathBuf> = lineages.iter().flat_map(Lineage::live_files).collect();
    let theirs = lineages.iter().flat_map(|l| &l.adopted).flat_map(|source| [source.chain.as_path(), source.key.as_path()]);
    survey::read_by(&Machine, live.iter().map(PathBuf::as_path).chain(theirs))
}

/// The files of key and chain that a change put in place.
fn installed(receipt: &Receipt) -> Vec<PathBuf> {
    let stored = |e: &&Edit| e.becomes.as_ref().is_some_and(|t| matches!(t.content, Content::Stored { .. }));
    receipt.change.edits.iter().filter(stored).map(|e| e.path.clone()).collect()
}

/// 0 when every listener that should present ours does, 1 when one presents something else, 3 when one could not be asked, or
/// was not yet.
fn verdict(receipt: &Receipt, served: &[EndpointView]) -> u8 {
    let mut worst = 0;
    for expect in &receipt.change.prove {
        let Want::Ours(ours) = &expect.want else { continue };
        let mut here = served.iter().filter(|v| v.probe.addr == expect.addr && v.probe.offer == Offer::Any).peekable();
        if here.peek().is_none() {
            worst = 3;
        }
        for view in here {
            worst = worst.max(match view.leaf() {
                Some(leaf) if ours.iter().any(|o| o.spki == leaf.spki) => 0,
                Some(_) => return 1,
                None => 3,
            });
        }
    }
    worst
}
