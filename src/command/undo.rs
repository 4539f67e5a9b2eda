//! `mxseal undo`: a plan made from a receipt, setting by setting. Works on bytes, without a network: a configuration that
//! somebody broke meanwhile is no obstacle. What the world was told is one: it is taken back first, step by step.

mod retreat;

use super::{
    Trouble,
    course::Ended,
    deployed,
    enact::{self, Ground, Promise},
    interrupt, log,
    place::{self, Site},
    recover,
};
use crate::{
    apply,
    certificate::Digest,
    change::{Activation, Change, Image, Receipt},
    cli::{Global, Undo, Where},
    facts::ConfigFile,
    finding::{Finding, Remedy, Subject, Verdict},
    mta::{config::ConfigText, profile::Profile},
    plan::{self, Plan, Stage},
    report::{self, Progress, Style, Terminal, json, json::Outcome},
    world::{self, Look as _, Machine},
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

pub(super) async fn run(args: &Undo, global: &Global) -> Result<u8, Trouble> {
    let mut outcome = Outcome { version: json::VERSION, verb: "undo", ..Outcome::default() };
    let told = tell(args, global, &mut outcome).await;
    super::close(global, told, outcome)
}

async fn tell(args: &Undo, global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    let settings = place::settings(global)?;
    let site = Site::of(&Where::default(), &[], &settings, global)?;
    let progress = Progress::new(global.json);
    if !args.approval.dry_run {
        place::needs_root()?;
        interrupt::last_words("undo", &site.store, global);
        if let Some(said) = recover::first(&site.store)? {
            progress.line(&said);
        }
    }
    let receipts = apply::receipts(&site.store).map_err(Trouble::state)?;
    let receipt = chosen(args, &receipts)?;
    let on_top: Vec<&Receipt> = apply::on_top(&receipt, &receipts).collect();
    if !args.approval.dry_run {
        outcome.log = log::keep(&site.store, "undo");
    }
    let profile = site.profile(&receipt.change.profile)?;
    let current = current(std::iter::once(&receipt).chain(on_top.iter().copied()))?;
    let mut plan = plan::undo(&receipt, &on_top, &current, world::now(), &profile).map_err(Trouble::of)?;
    let files: Vec<ConfigFile> = current.into_values().collect();
    let claims = retreat::claims(args, &site, &receipt).await?;
    let retreat = plan::retreat(&claims, &receipt, world::now());
    if let (Some(retreat), None) = (&retreat, &args.files_only) {
        return retreat::step(args, &site, &settings, global, retreat, &progress, outcome).await;
    }
    plan.notes.extend(retreat::although(args, retreat)?);
    plan.notes.extend(plan::left_told(&claims, &receipt, world::now()));
    show(global, &files, &plan, outcome);
    let Some(Stage::Change(change)) = plan.next.take() else {
        return Ended::done().tell(outcome, global);
    };
    if args.approval.dry_run {
        return Ended::new("planned", 0, "Nothing was changed.").tell(outcome, global);
    }
    if !super::agreed(&args.approval, "Put this back?")? {
        return Ended::new("declined", 1, "Nothing was changed.").tell(outcome, global);
    }

    let lock = place::lock(&change.config_dir)?;
    let (change, not_activated) = as_the_server_is(&site, *change, &profile)?;
    let expect = change.prove.clone();
    let standing = Some(enact::baseline(&site.net, &expect, &[]).await);
    let promise = Promise { expect, baseline: receipt.baseline.clone(), standing, claims: &claims, services: &[] };
    let enacted = enact::run(&site, change, promise, lock, global, &progress).await?;
    deployed::record(&site.store)?;
    enacted.tell(outcome, global, Ground::Host);
    if args.files_only.is_some() && !outcome.findings.iter().all(|f| f.id != "claim-stands") {
        outcome.exit = 1;
    }
    if let Some(finding) = not_activated {
        if !global.json {
            Terminal::print(&report::findings(Style::of_stdout(), std::slice::from_ref(&finding)));
        }
        outcome.findings.push(finding);
        outcome.exit = 1;
    }
    Ok(())
}

/// The receipt that is meant: the last one that was not undone, or the one named.
fn chosen(args: &Undo, receipts: &[Receipt]) -> Result<Receipt, Trouble> {
    let ids: Vec<String> = receipts.iter().map(|r| r.id.clone()).collect();
    let of_its_own = |r: &&Receipt| r.change.renews.is_none() && r.change.replaces.is_none();
    let mut open = receipts.iter().filter(of_its_own).filter(|r| apply::stands(r, receipts)).cloned();
    match &args.id {
        Some(id) => open.find(|r| r.id == *id).ok_or_else(|| {
            if let Some(below) =
                receipts.iter().filter(|r| r.id == *id && apply::stands(r, receipts)).find_map(|r| r.change.replaces.clone())
            {
                let says =
                    format!("change {id} replaced the certificate of {below} and nothing else, and is undone with it: mxseal undo {below}");
                return Trouble::usage(says).about("undo-nothing");
            }
            let all = if ids.is_empty() { "there is none".to_owned() } else { format!("there are {}", ids.join(", ")) };
            Trouble::usage(format!("no change {id} that could be undone; {all}")).about("undo-nothing")
        }),
        None => open
            .next_back()
            .ok_or_else(|| Trouble::human("there is nothing to undo: no change of ours stands on this host").about("undo-nothing")),
    }
}

/// The files of these receipts as they lie on the disk now.
fn current<'a>(receipts: impl Iterator<Item = &'a Receipt>) -> Result<BTreeMap<PathBuf, ConfigFile>, Trouble> {
    let mut files = BTreeMap::new();
    for edit in receipts.flat_map(|r| &r.change.edits) {
        let read = Machine.read(&edit.path).map_err(|e| Trouble::human(format!("{}: {e}", edit.path.display())))?;
        let Some((bytes, meta)) = read else { continue };
        let image = Image { digest: Digest::of(&bytes), meta };
        let text = ConfigText::of(bytes);
        files.insert(edit.path.clone(), ConfigFile { path: edit.path.clone(), real: edit.path.clone(), image, text });
    }
    Ok(files)
}

fn show(global: &Global, files: &[ConfigFile], plan: &Plan, outcome: &mut Outcome) {
    outcome.plan = Some(json::PlanDoc::of(files, plan));
    outcome.findings.extend(plan.findings().cloned());
    if !global.json {
        Terminal::print(&report::plan_page(Style::of_stdout(), files, plan, 1));
    }
}

/// A server that does not run, or whose configuration was broken before us, is not activated: the files go back all the
/// same, and the finding says what is left to do.
fn as_the_server_is(site: &Site, mut change: Change, profile: &Profile) -> Result<(Change, Option<Finding>), Trouble> {
    let answers = |command| Machine.run(command, Duration::from_secs(30)).is_ok_and(|o| o.code == 0);
    let runs = change.running.as_ref().is_none_or(answers);
    let refused = match enact::try_out(site, &change) {
        Ok(()) => None,
        Err(after) => {
            let as_it_is = Change { edits: Vec::new(), ..change.clone() };
            if enact::try_out(site, &as_it_is).is_ok() {
                return Err(after);
            }
            Some(after.says)
        }
    };
    if runs && refused.is_none() {
        return Ok((change, None));
    }
    change.activation = Activation::None;
    let activate: Vec<String> = change.activate.drain(..).map(|command| command.to_string()).collect();
    change.check.clear();
    change.trial = None;
    change.prove.clear();
    let why = refused.unwrap_or_else(|| format!("{} does not run", profile.title));
    let finding =
        Finding::new("undo-not-activated", Verdict::Unknown, Subject::Host, "the files are put back, and no server has read them yet")
            .seen(why)
            .means("the running server, if there is one, goes on with what it read last")
            .remedy(Remedy::Do(format!("mend the configuration, then run: {}", activate.join(" && "))));
    Ok((change, Some(finding)))
}
