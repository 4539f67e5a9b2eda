//! `mxseal setup`: survey, plan, one approval, errands, change, proof; committed or put back.

mod answers;
mod approval;

use super::{
    Trouble, deployed,
    enact::{self, Promise},
    place::{self, Site},
    recover,
};
use crate::{
    acme,
    change::Change,
    cli::{Global, Setup},
    facts::Facts,
    plan::{Errand, Plan, Stage},
    report::{self, Event, Observer as _, Progress, Style, Terminal, json, json::Outcome},
    world::{Lock, Store},
};
use answers::Answers;
use approval::{Envelope, Said};

/// How often survey and plan may take turns: an order, a change, and a second look at each.
const ROUNDS: usize = 4;

pub(super) async fn run(args: &Setup, global: &Global) -> Result<u8, Trouble> {
    let mut outcome = Outcome { version: json::VERSION, verb: "setup", ..Outcome::default() };
    let told = tell(args, global, &mut outcome).await;
    super::close(global, told, outcome)
}

async fn tell(args: &Setup, global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    let settings = place::settings(global)?;
    let mut answers = Answers::gather(args, &settings)?;
    let mut site = Site::of(&args.place, &answers.acme_ca_files, &settings, global)?;
    let intent = answers.intent(&site, global);
    let progress = Progress::new(global.json);
    if !args.dry_run {
        place::needs_root()?;
        site.open_store(&global.state_dir)?;
        if let Some(said) = recover::first(&site.store)? {
            progress.line(&said);
        }
        deployed::record(&site.store)?;
    }
    if args.staging {
        // Keys, orders and certificates of the staging CA never mix with those that are served.
        let apart = global.state_dir.join("staging");
        if args.dry_run { site.store = Store::at(apart) } else { site.open_store(&apart)? }
    }

    let (mut facts, mut plan) = site.look_and_plan(&intent).await?;
    show(global, &facts, &plan, outcome);
    if let Some(ended) = nothing_to_approve(args, &facts, &plan) {
        return ended.tell(outcome, global);
    }
    if !args.print_only && !args.staging {
        must_run(&facts)?;
    }
    if let Some(Stage::Errand(Errand::Obtain(order))) = &plan.next {
        answers.complete(&site, args, &order.directory).await?;
    }
    let (said, asked) = approval::ask(args, &facts, &plan)?;
    let print_only = match said {
        Said::Yes => args.print_only,
        Said::PrintOnly => true,
        Said::No => return Ended::new("declined", 1, "nothing was changed").tell(outcome, global),
    };

    let envelope = Envelope::of(&plan);
    let mut lock = Some(site.lock(&facts)?);
    for round in 0..ROUNDS {
        if round > 0 || asked {
            (facts, plan) = site.look_and_plan(&intent).await?;
            envelope.holds(&plan)?;
        }
        match plan.next.take() {
            None => return nothing_to_approve(args, &facts, &plan).unwrap_or_else(Ended::done).tell(outcome, global),
            Some(Stage::Wait { what, not_before }) => {
                return Ended::new("held", 1, format!("wait for {what}, not before {not_before}; then run mxseal setup again"))
                    .tell(outcome, global);
            }
            Some(Stage::Errand(Errand::Obtain(order))) => {
                let lineage =
                    acme::obtain(&site.net, &site.store, &order, &answers.wishes(&facts), &progress).await.map_err(Trouble::human)?;
                outcome.certificate = Some(json::CertificateDoc::of(&lineage));
            }
            Some(Stage::Change(change)) if args.staging => {
                enact::try_out(&site, &change)?;
                let says = "the staging CA issued it and the change passed on a copy; nothing live was touched";
                return Ended::new("checked", 0, says).tell(outcome, global);
            }
            Some(Stage::Change(change)) if print_only => {
                enact::certificate_only(&site, &facts, &change)?;
                if !global.json {
                    Terminal::print(&report::config_diff(facts.config_files(), &change.edits, 3));
                }
                return Ended::new("printed", 0, "make the change above by hand, then run mxseal setup: it proves it")
                    .tell(outcome, global);
            }
            Some(Stage::Change(change)) => {
                let lock = lock.take().ok_or_else(|| Trouble::human("the run lock was lost"))?;
                return enact_it(&site, &facts, *change, lock, global, &progress, outcome).await;
            }
        }
    }
    Err(Trouble::human("the plan did not come to an end; run mxseal survey and see what changes all the time"))
}

async fn enact_it(
    site: &Site,
    facts: &Facts,
    change: Change,
    lock: Lock,
    global: &Global,
    progress: &Progress,
    outcome: &mut Outcome,
) -> Result<(), Trouble> {
    progress.see(Event::Started("try it on a copy".into()));
    enact::try_out(site, &change)?;
    progress.see(Event::Done("accepted".into()));
    let expect = change.prove.clone();
    let baseline = enact::baseline(&site.net, &expect, &facts.views).await;
    let promise = Promise { expect, baseline, claims: &facts.claims, services: facts.server.value().map_or(&[], |s| &s.services) };
    let enacted = enact::run(site, change, promise, lock, global, progress).await?;
    if let Some(receipt) = enacted.receipt() {
        deployed::record(&site.store)?;
        for lineage in facts.lineages.iter().filter(|l| deployed::is_promised(l, &receipt.change)) {
            outcome.certificate = Some(json::CertificateDoc::of(lineage));
        }
    }
    enacted.tell(outcome, global);
    Ok(())
}

/// A certificate that nobody can be shown is not worth an order: CAs count them.
fn must_run(facts: &Facts) -> Result<(), Trouble> {
    match facts.server.value() {
        Some(server) if server.running.value() == Some(&false) => Err(Trouble::human(format!(
            "{} does not run, so nothing could be proved: start it first, then run mxseal setup again. \
             Nothing was changed; --dry-run shows the plan and --print-only gets the certificate all the same",
            place::profile(&server.profile)?.title
        ))),
        _ => Ok(()),
    }
}

/// How a verb ends without a change of this host.
struct Ended {
    outcome: &'static str,
    exit: u8,
    says: String,
}

impl Ended {
    fn new(outcome: &'static str, exit: u8, says: impl Into<String>) -> Self {
        Self { outcome, exit, says: says.into() }
    }

    fn done() -> Self {
        Self::new("nothing-to-do", 0, "")
    }

    fn tell(self, outcome: &mut Outcome, global: &Global) -> Result<(), Trouble> {
        outcome.outcome = self.outcome;
        outcome.exit = self.exit;
        if !global.json && !self.says.is_empty() {
            Terminal::print(&format!("{}: {}\n", self.outcome, self.says));
        }
        outcome.says = self.says;
        Ok(())
    }
}

/// The end where nothing is to be approved: held back, only a plan wanted, or a good host.
fn nothing_to_approve(args: &Setup, facts: &Facts, plan: &Plan) -> Option<Ended> {
    if !plan.held.is_empty() {
        return Some(Ended::new("held", 1, "nothing was changed"));
    }
    if plan.next.is_none() {
        // A certificate that somebody else keeps is told of in a note.
        let ours = facts.lineages.iter().filter(|_| plan.notes.iter().all(|f| f.id != "good-already"));
        let until = ours.flat_map(|l| &l.keys).filter_map(|k| k.leaf.as_ref()).map(|l| l.not_after).min();
        return Some(Ended::new("nothing-to-do", 0, until.map_or_else(String::new, |m| format!("the certificate is good until {m}"))));
    }
    args.dry_run.then(|| Ended::new("planned", 0, "nothing was changed"))
}

fn show(global: &Global, facts: &Facts, plan: &Plan, outcome: &mut Outcome) {
    outcome.plan = Some(json::PlanDoc::of(facts.config_files(), plan));
    outcome.findings.extend(plan.held.iter().chain(&plan.notes).cloned());
    if !global.json {
        Terminal::print(&report::plan_page(Style::of_stdout(), facts.config_files(), plan, 1));
    }
}
