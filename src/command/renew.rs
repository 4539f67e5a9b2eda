//! `mxseal renew`: setup's loop with nobody to ask. What was proved is kept true: the CA is asked when, the order repeats names
//! and keys, the file goes to its place, and the wire proves it. No configuration is ever written.

mod adopted;
mod policies;
mod told;

use super::{
    Trouble,
    course::Ended,
    deployed,
    enact::{self, Ground, Promise},
    hooks, interrupt, kept,
    place::{self, Site},
    recover, show,
    standing::{config, live_files, look, not_ours, runs, standing},
    watch,
    wishes::wishes,
};
use crate::{
    acme, apply,
    certificate::Digest,
    change::{Activation, Change, Receipt, Want},
    claims::Claims,
    cli::{Global, Renew, Where},
    facts::Lineage,
    finding::{Finding, Subject, Verdict},
    maintain::{self, Due, Rest},
    moment::Moment,
    name::DnsName,
    plan::{self, Errand, Renewal, Stage, Standing},
    publish,
    report::{Progress, json, json::Outcome},
    survey,
    world::{self, Lock, Machine},
};
use std::collections::BTreeSet;

/// An order, the file, a proof of what was interrupted, and a last look.
const ROUNDS: usize = 4;

pub(super) async fn run(args: &Renew, global: &Global) -> Result<u8, Trouble> {
    let mut outcome = Outcome { version: json::VERSION, verb: "renew", ..Outcome::default() };
    let told = tell(args, global, &mut outcome).await;
    let told = if place::needs_root().is_ok() { told.and(policies::look_after(args, global, &mut outcome).await) } else { told };
    watch::ended(global, args.textfile.as_deref(), &told, &mut outcome);
    super::close(global, told, outcome)
}

async fn tell(args: &Renew, global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    place::needs_root()?;
    let settings = place::settings(global)?;
    let mut site = Site::of(&Where::default(), &settings.acme_ca_file, &settings, global)?;
    site.open_store(&global.state_dir)?;
    interrupt::last_words("renew", &site.store, global);
    let progress = Progress::new(global.json);
    if let Some(said) = recover::first(&site.store)? {
        progress.line(&said);
    }
    deployed::record(&site.store)?;
    let Some((base, receipt, mut lineages)) = standing(&site)? else {
        return Ended::new("nothing-to-do", 0, "Nothing of mxseal stands on this host. To begin: mxseal setup").tell(outcome, global);
    };
    let mut lock = Some(place::lock(&receipt.change.config_dir)?);
    kept::began(&site.store);
    let rest_of = |l: &Lineage| kept::rest(&site.store, &l.name).filter(|rest| rest.holds(args.force, world::now()));
    let rests: Vec<(DnsName, Rest)> = lineages.iter().filter_map(|l| Some((l.name.clone(), rest_of(l)?))).collect();
    for lineage in &mut lineages {
        if !lineage.adopted.is_empty() {
            *lineage = adopted::look(&site, &receipt, lineage.clone(), &mut outcome.findings).await?;
        } else if rests.iter().all(|(name, _)| *name != lineage.name) {
            match acme::ask_windows(&site.net, &site.store, lineage).await {
                Ok(told) => *lineage = told,
                Err(trouble) => outcome.findings.push(window_unknown(lineage, &trouble)),
            }
        }
    }
    outcome.findings.extend(hooks::owed(&site));
    let views = look(&site, &receipt).await;
    kept::observed(&site.store, &receipt.id, &views);
    outcome.findings.extend(not_ours(&receipt, &lineages, &views));
    let shown = outcome.findings.iter().all(|f| f.id != "served-other");
    let owing = outcome.findings.iter().any(|f| f.id == "hook-failed");
    let drifted = told::again(&site, &receipt, &lineages).await?;
    let is_as_told = drifted.is_empty();
    outcome.findings.extend(drifted);

    let mut forced: Vec<DnsName> = lineages.iter().filter(|_| args.force).map(|l| l.name.clone()).collect();
    let mut resting: Vec<&(DnsName, Rest)> = Vec::new();
    for _ in 0..ROUNDS + 2 * lineages.len() {
        let (files, config) = (live_files(&site, &lineages)?, config(&receipt)?);
        let passed: Vec<DnsName> = resting.iter().map(|(name, _)| name.clone()).collect();
        let standing_now = Standing {
            receipt: &receipt,
            base: &base,
            lineages: &lineages,
            files: &files,
            config: &config,
            forced: &forced,
            resting: &passed,
            meant: args.reload,
            shown,
        };
        let Renewal { next, mut findings } = plan::renewal(&standing_now, world::now());
        findings.iter_mut().for_each(whose_hand);
        let worst = findings.iter().map(|f| f.verdict).max();
        match next {
            None => {
                let awake = lineages.iter().filter(|l| !passed.contains(&l.name));
                awake.for_each(|lineage| kept::rested(&site.store, &lineage.name));
                outcome.findings.extend(findings);
                outcome.findings.extend(resting.iter().map(|(_, rest)| rest.finding.clone()));
                show(global, &outcome.findings);
                if let Some((_, rest)) = resting.first() {
                    return Ended::new("rests", 1, self::resting(rest)).tell(outcome, global);
                }
                let failed = outcome.findings.iter().any(|f| f.verdict == Verdict::Fail);
                let exit = u8::from(worst.is_some() || !shown || !is_as_told || owing || failed);
                return rests_until(&lineages, exit).tell(outcome, global);
            }
            Some(Stage::Errand(Errand::Obtain(order))) => {
                let Some(lineage) = lineages.iter_mut().find(|l| l.name == order.lineage) else { break };
                if let Some(rest) = rests.iter().find(|(name, _)| *name == order.lineage) {
                    resting.push(rest);
                    continue;
                }
                let wishes = wishes(&site, &settings, &order);
                *lineage = match acme::obtain(&site.net, &site.store, &order, &wishes, &progress).await {
                    Ok(renewed) => renewed,
                    Err(trouble) => {
                        let rest = kept::failed(&site.store, lineage, &trouble);
                        outcome.findings.extend(findings);
                        outcome.findings.push(rest.finding.clone());
                        let failed = Trouble::of(trouble);
                        return Err(Trouble { says: format!("{}\n{}", failed.says, self::resting(&rest)), ..failed });
                    }
                };
                kept::rested(&site.store, &lineage.name);
                outcome.certificate = Some(json::CertificateDoc::of(lineage));
                forced.retain(|name| *name != order.lineage);
            }
            Some(Stage::Errand(Errand::Adopt(wanted))) => {
                let taken = acme::adopt(&site.store, &wanted).map_err(Trouble::of)?;
                lineages.iter_mut().filter(|l| l.name == taken.name).for_each(|l| *l = taken.clone());
            }
            Some(Stage::Change(mut change)) => {
                outcome.findings.extend(findings);
                outcome.findings.extend(resting.iter().map(|(_, rest)| rest.finding.clone()));
                outcome.findings.extend(told_at_its_start(&mut change));
                show(global, &outcome.findings);
                let lock = lock.take().ok_or_else(|| Trouble::human("the run lock was lost"))?;
                carry_out(&site, *change, &receipt, lock, global, &progress, outcome).await?;
                // Proved or not: what is not as it was needs a human.
                outcome.exit = outcome.exit.max(u8::from(worst.is_some() || !resting.is_empty()));
                return Ok(());
            }
            Some(Stage::Wait { what, not_before }) => {
                return Ended::new("held", 1, format!("Wait for {what}, not before {not_before}.")).tell(outcome, global);
            }
        }
    }
    Err(Trouble::human("the renewal did not come to an end; run mxseal status and see what changes all the time"))
}

/// Makes a change of key and chain, from the copy to the proof, on what stood `before`; the receipt where it stands.
pub(super) async fn carry_out(
    site: &Site,
    change: Change,
    before: &Receipt,
    lock: Lock,
    global: &Global,
    progress: &Progress,
    outcome: &mut Outcome,
) -> Result<Option<Receipt>, Trouble> {
    enact::try_out(site, &change)?;
    let expect = change.prove.clone();
    let baseline = enact::baseline(&site.net, &expect, &[]).await;
    let claims = claims(site, &change, before)?;
    let promise = Promise { expect, baseline, standing: None, claims: &claims, services: &[] };
    let enacted = enact::run(site, change, promise, lock, global, progress).await?;
    let made = enacted.receipt().cloned();
    if let Some(made) = &made {
        apply::forget_renewals_before(&site.store, made).map_err(Trouble::state)?;
        deployed::record(&site.store)?;
    }
    enacted.tell(outcome, global, Ground::Host);
    Ok(made)
}

/// What the world was told of the keys, where they are others than before: keys that stay break nothing that was not broken, and an
/// old certificate of the same key would not mend it.
fn claims(site: &Site, change: &Change, before: &Receipt) -> Result<Claims, Trouble> {
    let keys = |change: &Change| -> BTreeSet<Digest> {
        let all = change.prove.iter().filter_map(|e| if let Want::Ours(all) = &e.want { Some(all) } else { None });
        all.flatten().map(|p| p.spki.clone()).collect()
    };
    if keys(change).is_subset(&keys(&before.change)) {
        return Ok(Claims::default());
    }
    publish::told::claims(&site.store).map_err(Trouble::state)
}

/// A server that does not run cannot be told: the files are laid for its next start, and the next run proves them.
fn told_at_its_start(change: &mut Change) -> Option<Finding> {
    if runs(change) {
        return None;
    }
    (change.activation, change.activate) = (Activation::None, Vec::new());
    let says = "the mail server does not run, so it is not told of the renewed files";
    let means = "it reads them when it starts, and the next run proves them; until then senders keep their mail";
    Some(Finding::new("server-down", Verdict::Unknown, Subject::Host, says).means(means))
}

fn window_unknown(lineage: &Lineage, trouble: &acme::Trouble) -> Finding {
    let says = "the CA did not say when to renew, so the lifetime tells";
    Finding::new("window-unknown", Verdict::Unknown, Subject::Mx(lineage.name.clone()), says).seen(trouble.to_string())
}

/// A file that is not as it was proved: who changed it, and when, as far as the host remembers.
fn whose_hand(finding: &mut Finding) {
    if let Subject::File { path, .. } = &finding.subject {
        finding.evidence.extend(survey::last_hand(&Machine, path));
    }
}

/// When a renewal that failed is tried again.
fn resting(rest: &Rest) -> String {
    let (times, until) = (if rest.failures == 1 { "once".to_owned() } else { format!("{} times", rest.failures) }, rest.until);
    if rest.asked {
        format!("It failed {times}; the CA asks not to try again before {until}, and so it is.")
    } else {
        format!("It failed {times}, and is tried again from {until} on; at once by mxseal renew --force.")
    }
}

/// Until when nothing is due: of several certificates the first counts.
fn rests_until(lineages: &[Lineage], exit: u8) -> Ended {
    let due = |l: &&Lineage| match maintain::lineage_due(l, world::now()) {
        Due::Later(at) => at,
        Due::Now { .. } => Moment(0),
    };
    let Some(lineage) = lineages.iter().min_by_key(due) else { return Ended::new("nothing-to-do", exit, "") };
    if let Some(source) = lineage.adopted.first() {
        let until = lineage.keys.iter().filter_map(|k| k.leaf.as_ref()).map(|l| l.not_after).min().unwrap_or_default();
        let says = format!("{} keeps the certificate of {}, which is good until {}.", source.keeper, lineage.name, until.day());
        return Ended::new("nothing-to-do", exit, says);
    }
    let says = match maintain::lineage_due(lineage, world::now()) {
        Due::Later(at) => format!("The certificate of {} is renewed from {} on.", lineage.name, at.day()),
        Due::Now { .. } => format!("The certificate of {} is due.", lineage.name),
    };
    Ended::new("nothing-to-do", exit, says)
}
