//! `mxseal setup`: survey, plan, one approval, errands, change, proof; committed or put back.

mod answers;
mod conversation;
mod keep;

use super::{
    Trouble, alarm,
    course::{Came, Course, Ended, Until},
    deployed, door,
    enact::Ground,
    interrupt, list, log,
    place::{self, Site},
    recover, tell,
};
use crate::{
    apply,
    cli::{Global, ListWish, Setup},
    facts::Facts,
    finding::{Finding, Verdict},
    intent::Tell,
    name::DnsName,
    plan::Plan,
    publish,
    report::{self, Event, Observer as _, Progress, Style, Terminal, json, json::Outcome},
    settings::Settings,
    world::{Machine, Store},
};
use std::path::PathBuf;

use answers::Answers;
use conversation::{Agreed, Conversation, Left};

pub(super) async fn run(args: &Setup, global: &Global) -> Result<u8, Trouble> {
    let mut outcome = Outcome { version: json::VERSION, verb: "setup", ..Outcome::default() };
    let told = tell(args, global, &mut outcome).await;
    super::close(global, told, outcome)
}

async fn tell(args: &Setup, global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    let named = |file: &Option<PathBuf>, flag| file.as_ref().map(|file| Settings::named(file, flag)).transpose().map_err(place::unusable);
    let replayed = args.answers.clone().filter(|file| file.exists());
    let from = named(&replayed, "--answers")?.unwrap_or_default().over(named(&args.from, "--from")?.unwrap_or_default());
    let said = args.wishes().over(from);
    let written = place::settings(global)?;
    let settings = said.clone().over(written.clone());
    let mut answers = Answers::gather(args, said, &settings)?;
    let mut site = Site::of(&args.place, &answers.acme_ca_files, &settings, global)?;
    let progress = Progress::new(global.json);
    if !args.dry_run {
        site.needs_owner()?;
        site.open_store(&global.state_dir)?;
        outcome.log = log::keep(&site.store, "setup");
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

    interrupt::last_words("setup", &site.store, global);
    answers.policy_host = door::door(&site);
    let talk = Conversation {
        args,
        global,
        progress: &progress,
        site: &mut site,
        answers: &mut answers,
        written: &written,
        replayed: replayed.as_deref(),
    };
    let Agreed { facts, plan, intent, print_only, asked } = match talk.hold(outcome).await? {
        Ok(agreed) => agreed,
        Err(Left { ended, facts }) => {
            ended.tell(outcome, global)?;
            return nothing_left(&End { args, settings: &settings, site: &site, global, progress: &progress }, facts, outcome).await;
        }
    };

    if let (Some(file), None) = (&args.answers, &replayed) {
        outcome.findings.extend(keep::answers(file, &answers.said, false, &progress));
    }
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
        Came::Nothing(last) => {
            nothing_to_approve(args, &last.0, &last.1).unwrap_or_else(Ended::done).tell(outcome, global)?;
            nothing_left(&End { args, settings: &settings, site: &site, global, progress: &progress }, last.0, outcome).await
        }
        came => {
            if outcome.change.is_some() {
                outcome.findings.extend(keep::answers(&global.config, &answers.said, asked, &progress));
                outcome.findings.extend(prove_alarm(&site, &settings, &progress));
            }
            if let Came::Proved(facts) = came {
                let settings = answers.said.clone().over(written);
                End { args, settings: &settings, site: &site, global, progress: &progress }.senders(*facts, false, outcome).await;
            }
            Ok(())
        }
    }
}

/// What the end of a setup has in hand.
struct End<'a> {
    args: &'a Setup,
    settings: &'a Settings,
    site: &'a Site,
    global: &'a Global,
    progress: &'a Progress,
}

impl End<'_> {
    /// Tells senders, or shows what they should be told; then lists.
    async fn senders(&self, facts: Facts, show_only: bool, outcome: &mut Outcome) {
        let Self { args, settings, site, global, progress } = *self;
        if settings.tell.contains(&Tell::Nothing) && args.list != Some(ListWish::Submit) {
            return;
        }
        let public = args.public_resolver.0;
        let domains: Vec<DnsName> = publish::domains_here(&facts, &site.place.mx).into_iter().map(|d| d.domain.clone()).collect();
        tell::Telling { site, settings, global, progress, show_only, wait: args.wait, public }.senders(facts, outcome).await;
        let asks = !args.non_interactive && !args.yes && Terminal::can_ask() && outcome.outcome != "nothing-to-do";
        let offer = list::offer::Offer { site, settings, global, progress, wish: args.list, asks };
        outcome.findings.extend(offer.make(&domains).await);
    }
}

/// Where nothing is left to do: the units may still be missing, because they could not be installed when a change was made, who is
/// to hear of it may be another one, and senders may not be told yet.
async fn nothing_left(end: &End<'_>, mut facts: Facts, outcome: &mut Outcome) -> Result<(), Trouble> {
    let End { args, settings, site, global, progress } = *end;
    if outcome.outcome != "nothing-to-do" || args.dry_run || args.staging || args.print_only {
        return Ok(());
    }
    let receipts = apply::receipts(&site.store).map_err(Trouble::state)?;
    let Some(standing) = apply::standing(&receipts) else { return Ok(()) };
    let program = std::env::current_exe().unwrap_or_default();
    if let Some(note) = apply::units_note(&Machine, &site.store, &program) {
        let _lock = place::lock(&standing.change.config_dir)?;
        let findings: Vec<_> = [Some(note), apply::install_units(&mut Machine, &site.store, &program)].into_iter().flatten().collect();
        if !global.json {
            Terminal::print(&report::findings(Style::of_stdout(), &findings));
        }
        outcome.findings.extend(findings);
    }
    let Settings { alarm, textfile, .. } = args.wishes();
    let said = Settings { alarm, textfile, ..Settings::default() };
    if said != Settings::default() {
        outcome.findings.extend(keep::answers(&global.config, &said, false, progress));
        outcome.findings.extend(prove_alarm(site, settings, progress));
    }
    facts.lineages.iter_mut().for_each(|l| l.deployment = deployed::deployment(l, &receipts));
    end.senders(facts, !args.yes, outcome).await;
    Ok(())
}

/// Who is to be written to must be reachable: a test goes there, unless an earlier one arrived.
fn prove_alarm(site: &Site, settings: &Settings, progress: &Progress) -> Option<Finding> {
    let receipts = apply::receipts(&site.store).unwrap_or_default();
    let standing = apply::standing(&receipts);
    let to = alarm::address(&site.store, settings, standing)?;
    if alarm::proved(&site.store).is_some_and(|proved| proved.address == to) {
        return None;
    }
    progress.see(Event::Started(format!("send a test alarm to {to}")));
    let finding = alarm::prove(&site.store, standing, &to);
    let arrived = finding.verdict == Verdict::Pass;
    progress.see(Event::Done(if arrived { "delivered".into() } else { finding.verdict.to_string() }));
    if !arrived {
        progress.see(Event::Note(finding.clone()));
    }
    Some(finding)
}

/// A certificate that nobody can be shown is not worth an order: CAs count them.
fn must_run(site: &Site, facts: &Facts) -> Result<(), Trouble> {
    match facts.server.value() {
        Some(server) if server.running.value() == Some(&false) => Err(Trouble::human(format!(
            "{} does not run, so nothing could be proved: start it first, then run mxseal setup again. \
             Nothing was changed; --dry-run shows the plan and --print-only gets the certificate all the same",
            site.profile_of(facts)?.title
        ))
        .about("server-down")),
        _ => Ok(()),
    }
}

/// The end where nothing is to be approved: held back, only a plan wanted, or a good host.
fn nothing_to_approve(args: &Setup, facts: &Facts, plan: &Plan) -> Option<Ended> {
    if !plan.held.is_empty() {
        return Some(Ended::new("held", 1, "Nothing was changed. Settle what is held back, then run mxseal setup again."));
    }
    if plan.next.is_none() {
        let until = facts.lineages.iter().flat_map(|l| &l.keys).filter_map(|k| k.leaf.as_ref()).map(|l| l.not_after).min();
        let says = match until {
            _ if plan.notes.iter().any(|f| f.id == "good-already") => {
                "Somebody else keeps a good certificate here, so nothing was changed. To see whether that stays so: \
                 mxseal setup --dry-run"
                    .to_owned()
            }
            Some(until) => format!("The certificate is good until {}. What is served: mxseal status", until.day()),
            None => String::new(),
        };
        return Some(Ended::new("nothing-to-do", 0, says));
    }
    args.dry_run.then(|| Ended::new("planned", 0, "Nothing was changed. Without --dry-run, setup asks for your yes and applies this."))
}
