//! One change from the copy to the proof: what setup and undo share.

use super::{
    Trouble, hooks,
    interrupt::{self, Reached},
    kept,
    place::Site,
};
use crate::{
    apply::{self, Guard, Live, Stuck},
    change::{Change, Content, Expect, Receipt, id_behind},
    check::{self, Proof},
    claims::Claims,
    cli::Global,
    facts::{Facts, Service},
    finding::Finding,
    maintain,
    moment::Moment,
    report::{self, Event, Observer as _, Progress, Style, Terminal, json, json::Outcome},
    topics::Explained as _,
    view::EndpointView,
    world::{self, Hands as _, Lock, Machine, Net},
};
use std::{ffi::OsStr, path::Path, time::Duration};

/// The program that runs, also where an upgrade has replaced its file meanwhile (proc_pid_exe(5)).
const OURSELVES: &str = "/proc/self/exe";

/// One conversation takes no longer. Postfix programs doze for two seconds after an edit of main.cf.
const CONVERSATION: Duration = Duration::from_secs(15);

/// What is promised on the wire, and what was there before.
pub(super) struct Promise<'a> {
    pub(super) expect: Vec<Expect>,
    pub(super) baseline: Vec<EndpointView>,
    /// What was there just before, where the baseline is older: of a change that is taken back.
    pub(super) standing: Option<Vec<EndpointView>>,
    pub(super) claims: &'a Claims,
    /// The services of the server as it is, where that is known.
    pub(super) services: &'a [Service],
}

/// What a change is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// This host.
    Host,
    /// A copy that is gone in a moment: nobody outside can see it, and nobody needs to take it back.
    Copy,
    /// A stand-in for a mail server, which is gone in a moment too.
    StandIn,
}

impl Ground {
    /// As a reader knows it.
    pub(super) const fn called(self) -> &'static str {
        match self {
            Self::Host => "this host",
            Self::Copy => "the copy",
            Self::StandIn => "the stand-in",
        }
    }
}

/// What only this host can show: senders elsewhere, and whether mail is accepted.
const UNSEEN: [&str; 2] = ["outside-unknown", "wire-tempfail"];

/// How a change ended.
pub(super) struct Enacted {
    expect: Vec<Expect>,
    end: End,
    /// Hooks that were to run after it and failed.
    owing: Vec<Finding>,
}

enum End {
    Proved {
        receipt: Box<Receipt>,
        views: Vec<EndpointView>,
        notes: Vec<Finding>,
    },
    /// Renewed files that the wire does not show yet, and that stay.
    Installed {
        receipt: Box<Receipt>,
        why: Vec<Finding>,
    },
    PutBack {
        why: Vec<Finding>,
        still: Vec<Finding>,
        stuck: Option<Stuck>,
    },
}

/// Tries the change on a copy.
pub(super) fn try_out(site: &Site, change: &Change) -> Result<(), Trouble> {
    let Some(trial) = &change.trial else { return Ok(()) };
    match apply::try_on_a_copy(&Machine, &site.store, change, trial) {
        Ok(_) => Ok(()),
        Err(e) => Err(Trouble::human(format!("the server's own check refuses this on a copy, and nothing live was touched:\n{e}"))
            .about("configuration-refused")),
    }
}

/// What the listeners of these expectations present: from views that were just taken, where there are any.
pub(super) async fn baseline(net: &Net, expect: &[Expect], known: &[EndpointView]) -> Vec<EndpointView> {
    let (seen, unseen): (Vec<&Expect>, Vec<&Expect>) = expect.iter().partition(|e| known.iter().any(|v| v.probe.addr == e.addr));
    let mut views: Vec<EndpointView> = known.iter().filter(|v| seen.iter().any(|e| e.addr == v.probe.addr)).cloned().collect();
    let probes: Vec<_> = unseen.iter().flat_map(|e| check::probes_for(e)).collect();
    views.extend(check::observe(net, &probes, CONVERSATION).await);
    views
}

/// Guard, transaction, dialogues; committed or put back.
pub(super) async fn run(
    site: &Site,
    mut change: Change,
    promise: Promise<'_>,
    lock: Lock,
    global: &Global,
    progress: &Progress,
) -> Result<Enacted, Trouble> {
    let receipts = apply::receipts(&site.store).map_err(Trouble::state)?;
    if let Some(last) = receipts.iter().map(|r| &r.id).max() {
        change.id = id_behind(change.id, last);
    }
    hooks::before(site, &change)?;
    let doing = match (&change.renews, &change.undoes) {
        (Some(_), _) => "put it in place and activate it",
        (None, Some(_)) => "put back what was before and activate it",
        (None, None) => "change the configuration and activate it",
    };
    progress.see(Event::Started(doing.into()));
    let arguments = [OsStr::new("--state-dir"), global.state_dir.as_os_str(), OsStr::new("guard")];
    let guard = Guard::start(Path::new(OURSELVES), &arguments)
        .map_err(|e| Trouble::human(format!("no guard could be started, so nothing was changed: {e}")))?;
    let mut machine = Machine;
    let program = std::env::current_exe().unwrap_or_default();
    let unwatched = apply::install_units(&mut machine, &site.store, &program);
    interrupt::reached(Reached::Change);
    let live = apply::apply(&mut machine, &site.store, lock, change).map_err(Trouble::of)?;
    progress.see(Event::Done("done".into()));
    let end = settle(&site.net, live, &promise, progress).await;
    interrupt::reached(Reached::End);
    drop(guard);
    let mut end = end?;
    if let End::Proved { receipt, views, notes } = &mut end {
        kept::observed(&site.store, &receipt.id, views);
        notes.extend(unwatched);
    }
    let owing = hooks::owed(site);
    Ok(Enacted { expect: promise.expect, end, owing })
}

async fn settle(net: &Net, mut live: Live<'_>, promise: &Promise<'_>, progress: &Progress) -> Result<End, Trouble> {
    if promise.expect.is_empty()
        && let Some(proof) = Proof::of_no_promise(live.change(), world::now())
    {
        let receipt = live.commit(&proof, Vec::new()).map_err(Trouble::of)?;
        return Ok(End::Proved { receipt: Box::new(receipt), views: Vec::new(), notes: Vec::new() });
    }
    let noticed = live.change().is_noticed_within();
    if live.change().activate.is_empty()
        && noticed.is_none()
        && let Some(proof) = Proof::of_last_resort(live.change(), world::now())
    {
        let receipt = live.commit(&proof, promise.baseline.clone()).map_err(Trouble::of)?;
        return Ok(End::Installed { receipt: Box::new(receipt), why: Vec::new() });
    }
    if let Some(within) = noticed {
        progress.see(Event::Started("wait until the server has noticed it".into()));
        let ended = match check::noticed(net, &promise.expect, within, CONVERSATION).await {
            true => "done".to_owned(),
            false => live.tell().map_or_else(|failure| failure.to_string(), |()| "it did not, so it was told".to_owned()),
        };
        progress.see(Event::Done(ended));
    }
    progress.see(Event::Started("prove it on every listening address".into()));
    let (views, judged) = check::prove(net, &promise.expect, &promise.baseline, promise.claims, CONVERSATION).await;
    match judged {
        Ok(proved) => {
            progress.see(Event::Done(format!("{} conversations", views.len())));
            let receipt = live.commit(&proved.proof, promise.baseline.clone()).map_err(Trouble::of)?;
            let notes = [proved.notes, check::outside(&promise.expect, promise.services)].concat();
            Ok(End::Proved { receipt: Box::new(receipt), views, notes })
        }
        Err(why) => {
            progress.see(Event::Done("not met".into()));
            let now = world::now();
            if let Some(proof) = Proof::of_last_resort(live.change(), now)
                && !maintain::old_files_return(&why, &promise.baseline, now)
            {
                let receipt = live.commit(&proof, promise.baseline.clone()).map_err(Trouble::of)?;
                return Ok(End::Installed { receipt: Box::new(receipt), why });
            }
            progress.see(Event::Started("put everything back".into()));
            if let Err(stuck) = live.roll_back() {
                progress.see(Event::Done("not ended".into()));
                return Ok(End::PutBack { why, still: Vec::new(), stuck: Some(stuck) });
            }
            let before = check::as_it_was(&promise.expect);
            let standing = promise.standing.as_ref().unwrap_or(&promise.baseline);
            let (_, back) = check::prove(net, &before, standing, promise.claims, CONVERSATION).await;
            progress.see(Event::Done(if back.is_ok() { "served as before".into() } else { "not served as before".into() }));
            Ok(End::PutBack { why, still: back.err().unwrap_or_default(), stuck: None })
        }
    }
}

/// Writes key and chain where no configuration names the file yet; touches nothing of the mail server.
pub(super) fn certificate_only(site: &Site, facts: &Facts, change: &Change) -> Result<(), Trouble> {
    let mut machine = Machine;
    for edit in &change.edits {
        let Some(target) = &edit.becomes else { continue };
        let Content::Stored { digest, .. } = &target.content else { continue };
        let path = edit.path.display();
        let named = |value: &String| value.contains(&*edit.path.to_string_lossy());
        if facts.server.value().is_some_and(|s| s.services.iter().any(|s| s.settings.values().any(|e| named(&e.value)))) {
            let why = "is read by the mail server already: replacing it would be the change itself; run mxseal setup without --print-only";
            return Err(Trouble::human(format!("{path} {why}")).about("print-only-in-use"));
        }
        let wrong = |e: std::io::Error| Trouble::human(format!("{path}: {e}"));
        let bytes = zeroize::Zeroizing::new(site.store.get(digest).map_err(wrong)?);
        let beside = edit.path.with_extension("new");
        let missing: Vec<_> = edit.path.ancestors().skip(1).take_while(|dir| !dir.is_dir()).collect();
        for dir in missing.into_iter().rev() {
            machine.make_dir(dir).map_err(wrong)?;
        }
        machine.stage(&beside, &bytes, &target.meta).map_err(wrong)?;
        machine.swap(&beside, &edit.path).map_err(wrong)?;
    }
    Ok(())
}

impl Enacted {
    /// The receipt, where the change stands.
    pub(super) fn receipt(&self) -> Option<&Receipt> {
        match &self.end {
            End::Proved { receipt, .. } | End::Installed { receipt, .. } => Some(receipt),
            End::PutBack { .. } => None,
        }
    }

    /// What the wire showed at the proof.
    pub(super) fn views(&self) -> &[EndpointView] {
        match &self.end {
            End::Proved { views, .. } => views,
            End::Installed { .. } | End::PutBack { .. } => &[],
        }
    }

    /// Tells how it ended.
    pub(super) fn tell(self, outcome: &mut Outcome, global: &Global, ground: Ground) {
        let style = Style::of_stdout();
        let mut page = String::new();
        match self.end {
            End::Proved { receipt, views, notes } => {
                (outcome.outcome, outcome.exit) = (if self.expect.is_empty() { "unproved" } else { "proved" }, 0);
                outcome.proof = json::proof(&self.expect, &views);
                outcome.change = Some(receipt.id.clone());
                match ground {
                    Ground::Copy | Ground::StandIn => page.push_str(&format!("Proved on {}\n", ground.called())),
                    Ground::Host if self.expect.is_empty() => {}
                    Ground::Host => page.push_str("Proved on this host's own addresses\n"),
                }
                page.push_str(&report::proof_table(&self.expect, &views));
                let only_here = |f: &Finding| ground != Ground::Host && UNSEEN.contains(&f.id.as_str());
                let (unseen, notes): (Vec<Finding>, Vec<Finding>) = notes.into_iter().partition(only_here);
                if unseen.iter().any(|f| f.id == "wire-tempfail") {
                    let says =
                        "Rules that ask DNS, a database or another program get no answer here: whether mail is accepted is not shown.";
                    page.push_str(&report::row(style, "  ", says));
                }
                if !notes.is_empty() {
                    page.push_str("Left to see\n");
                }
                page.push_str(&report::findings(style, &notes));
                if ground == Ground::Host && receipt.change.undoes.is_none() && receipt.change.renews.is_none() {
                    let until = outcome.certificate.as_ref().map_or_else(String::new, |c| format!(" (now {})", Moment(c.not_after).day()));
                    page.push_str("Next\n  mxseal status\n");
                    page.push_str(&format!("      what is served, and how long the certificate is good{until}\n"));
                    let id = receipt.change.replaces.as_ref().unwrap_or(&receipt.id);
                    page.push_str(&format!("  mxseal undo {id}\n      puts back what was there before\n"));
                }
                outcome.findings.extend(notes);
            }
            End::Installed { receipt, why } => {
                (outcome.outcome, outcome.exit) = ("installed", 1);
                outcome.change = Some(receipt.id.clone());
                page.push_str("The renewed certificate is in place, and the wire does not show it yet; the next run looks again\n");
                page.push_str(&report::findings(style, &why));
                outcome.findings.extend(why);
            }
            End::PutBack { why, stuck: Some(stuck), .. } => {
                (outcome.outcome, outcome.exit, outcome.error) = ("failed", 1, Some(stuck.to_string()));
                outcome.topic = Some(stuck.topic());
                page.push_str("Not proved, and putting it back did not come to its end\n");
                page.push_str(&report::findings(style, &why));
                page.push_str(&format!("{stuck}\n"));
                outcome.findings.extend(why);
            }
            End::PutBack { why, still, stuck: None } => {
                (outcome.outcome, outcome.exit) = ("put-back", 1);
                page.push_str("Not proved, so everything was put back\n");
                page.push_str(&report::findings(style, &why));
                page.push_str(if still.is_empty() {
                    "The server serves again what it served before.\n"
                } else {
                    "The files are as before, but the wire does not show it yet:\n"
                });
                page.push_str(&report::findings(style, &still));
                outcome.findings.extend(why.into_iter().chain(still));
            }
        }
        if !self.owing.is_empty() {
            outcome.exit = outcome.exit.max(1);
            page.push_str(&report::findings(style, &self.owing));
            outcome.findings.extend(self.owing);
        }
        if !global.json {
            Terminal::print(&page);
        }
    }
}
