//! `mxseal setup`: survey, plan, one approval, errands, change, proof; committed or put back.

mod answers;
mod approval;
mod keep;

use super::{
    Trouble,
    course::{Course, Ended, Until},
    deployed,
    enact::Ground,
    place::{self, Site},
    recover,
};
use crate::{
    apply,
    cli::{Global, Setup},
    facts::Facts,
    plan::{Errand, Plan, Stage},
    report::{self, Progress, Style, Terminal, json, json::Outcome},
    settings::Settings,
    world::{Machine, Store},
};
use answers::Answers;
use approval::Said;

pub(super) async fn run(args: &Setup, global: &Global) -> Result<u8, Trouble> {
    let mut outcome = Outcome { version: json::VERSION, verb: "setup", ..Outcome::default() };
    let told = tell(args, global, &mut outcome).await;
    super::close(global, told, outcome)
}

async fn tell(args: &Setup, global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    let from = args.from.as_ref().map(|file| Settings::named(file, "--from")).transpose().map_err(place::unusable)?;
    let said = args.wishes().over(from.unwrap_or_default());
    let settings = said.clone().over(place::settings(global)?);
    let mut answers = Answers::gather(args, said, &settings)?;
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

    let (facts, mut plan) = site.look_and_plan(&intent).await?;
    if plan.next.is_some() && !args.print_only && !args.staging {
        plan.notes.extend(apply::boot_note(&Machine, &site.store));
    }
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

    let course = Course {
        site: &site,
        intent: &intent,
        wishes: &|facts| answers.wishes(facts),
        end: if args.staging {
            Until::Tried
        } else if print_only {
            Until::Printed
        } else {
            Until::Proved
        },
        ground: Ground::Host,
        global,
        progress: &progress,
    };
    match course.run(facts, plan, asked, outcome).await? {
        Some((facts, plan)) => nothing_to_approve(args, &facts, &plan).unwrap_or_else(Ended::done).tell(outcome, global),
        None => {
            if outcome.change.is_some() {
                outcome.findings.extend(keep::answers(&global.config, &answers.said, &progress));
            }
            Ok(())
        }
    }
}

/// A certificate that nobody can be shown is not worth an order: CAs count them.
fn must_run(facts: &Facts) -> Result<(), Trouble> {
    match facts.server.value() {
        Some(server) if server.running.value() == Some(&false) => Err(Trouble::human(format!(
            "{} does not run, so nothing could be proved: start it first, then run mxseal setup again. \
             Nothing was changed; --dry-run shows the plan and --print-only gets the certificate all the same",
            place::profile(&server.profile)?.title
        ))
        .about("server-down")),
        _ => Ok(()),
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
