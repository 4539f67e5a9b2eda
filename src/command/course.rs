//! The course of a run, from the approved plan to its end: survey and plan again, one stage, until nothing is left to do. Setup
//! and rehearsal take the same one, at another [`Site`].

use super::{
    Trouble, deployed,
    enact::{self, Ground, Promise},
    place::Site,
};
use crate::{
    acme::{self, Wishes},
    apply,
    change::Change,
    cli::Global,
    facts::Facts,
    intent::Intent,
    name::DnsName,
    plan::{Errand, Plan, Stage},
    report::{self, Event, Observer as _, Progress, Style, Terminal, json, json::Outcome},
    world::Lock,
};
use std::{collections::BTreeSet, path::PathBuf};

/// How often survey and plan may take turns: an order, a change, and a second look at each.
const ROUNDS: usize = 4;

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The wire has proved the change.
    Proved,
    /// The change passed on a copy.
    Tried,
    /// The certificate is there, and the change is printed.
    Printed,
}

/// What a run came to.
pub(super) enum Came {
    /// Nothing was left to do: what was seen and planned last.
    Nothing(Box<(Facts, Plan)>),
    /// A change was proved: what is now, as far as it is known without another look.
    Proved(Box<Facts>),
    /// Another end, which is told.
    Told,
}

/// One run.
pub(super) struct Course<'a> {
    pub(super) site: &'a Site,
    pub(super) intent: &'a Intent,
    /// What the CA is told.
    pub(super) wishes: &'a dyn Fn(&Facts) -> Wishes,
    pub(super) end: Until,
    pub(super) ground: Ground,
    pub(super) global: &'a Global,
    pub(super) progress: &'a Progress,
}

impl Course<'_> {
    /// Goes on from `plan`, which was approved; where a person was `asked`, time went by, and everything is looked at again.
    pub(super) async fn run(&self, mut facts: Facts, mut plan: Plan, asked: bool, outcome: &mut Outcome) -> Result<Came, Trouble> {
        let (site, global) = (self.site, self.global);
        let envelope = Envelope::of(&plan);
        let mut lock = Some(site.lock(&facts)?);
        for round in 0..ROUNDS + plan.later.len() {
            if round > 0 || asked {
                (facts, plan) = site.look_and_plan(self.intent).await?;
                envelope.holds(&plan)?;
            }
            let ended = match plan.next.take() {
                None => return Ok(Came::Nothing(Box::new((facts, plan)))),
                Some(Stage::Wait { what, not_before }) => {
                    Ended::new("held", 1, format!("Wait for {what}, not before {not_before}; then run mxseal setup again."))
                }
                Some(Stage::Errand(Errand::Obtain(order))) => {
                    let wishes = (self.wishes)(&facts);
                    let obtained = acme::obtain(&site.net, &site.store, &order, &wishes, self.progress).await;
                    outcome.certificate = Some(json::CertificateDoc::of(&obtained.map_err(Trouble::of)?));
                    continue;
                }
                Some(Stage::Errand(Errand::Adopt(wanted))) => {
                    let lineage = acme::adopt(&site.store, &wanted).map_err(Trouble::of)?;
                    outcome.certificate = Some(json::CertificateDoc::of(&lineage));
                    continue;
                }
                Some(Stage::Change(change)) => match self.end {
                    Until::Tried => {
                        enact::try_out(site, &change)?;
                        let says = "The staging CA issued the certificate and the change passed on a copy; nothing live was touched.";
                        Ended::new("checked", 0, says)
                    }
                    Until::Printed => {
                        enact::certificate_only(site, &facts, &change)?;
                        if !global.json {
                            Terminal::print(&report::config_diff(&facts.config_files(), &change.edits, 3));
                        }
                        Ended::new("printed", 0, "Make the change above by hand, then run mxseal setup: it proves it.")
                    }
                    Until::Proved => {
                        let lock = lock.take().ok_or_else(|| Trouble::human("the run lock was lost"))?;
                        return self.enact(facts, *change, lock, outcome).await;
                    }
                },
            };
            ended.tell(outcome, global)?;
            return Ok(Came::Told);
        }
        Err(Trouble::human("the plan did not come to an end; run mxseal survey and see what changes all the time").about("plan-endless"))
    }

    async fn enact(&self, mut facts: Facts, mut change: Change, lock: Lock, outcome: &mut Outcome) -> Result<Came, Trouble> {
        let (site, progress) = (self.site, self.progress);
        change.replaces = apply::replaced_by(&change, &apply::receipts(&site.store).map_err(Trouble::state)?);
        progress.see(Event::Started("try it on a copy".into()));
        enact::try_out(site, &change)?;
        progress.see(Event::Done("accepted".into()));
        let expect = change.prove.clone();
        let baseline = enact::baseline(&site.net, &expect, &facts.views).await;
        let services = facts.server.value().map_or(&[][..], |s| &s.services);
        let promise = Promise { expect, baseline, standing: None, claims: &facts.claims, services };
        let enacted = enact::run(site, change, promise, lock, self.global, progress).await?;
        let came = match enacted.receipt() {
            None => Came::Told,
            Some(receipt) => {
                deployed::record(&site.store)?;
                for lineage in facts.lineages.iter_mut().filter(|l| deployed::is_promised(l, &receipt.change)) {
                    lineage.deployment = deployed::deployment(lineage, std::slice::from_ref(receipt));
                    outcome.certificate = Some(json::CertificateDoc::of(lineage));
                }
                if enacted.views().is_empty() {
                    Came::Told
                } else {
                    facts.views = enacted.views().to_vec();
                    Came::Proved(Box::new(facts))
                }
            }
        };
        enacted.tell(outcome, self.global, self.ground);
        Ok(came)
    }
}

/// How a verb ends without a change of this host.
pub(super) struct Ended {
    outcome: &'static str,
    exit: u8,
    says: String,
}

impl Ended {
    /// With its word for scripts, its exit status and its sentence for people.
    pub(super) fn new(outcome: &'static str, exit: u8, says: impl Into<String>) -> Self {
        Self { outcome, exit, says: says.into() }
    }

    /// A good host.
    pub(super) fn done() -> Self {
        Self::new("nothing-to-do", 0, "")
    }

    /// Tells it.
    pub(super) fn tell(self, outcome: &mut Outcome, global: &Global) -> Result<(), Trouble> {
        outcome.outcome = self.outcome;
        outcome.exit = self.exit;
        if !global.json && !self.says.is_empty() {
            Terminal::print(&report::row(Style::of_stdout(), "", &self.says));
        }
        outcome.says = self.says;
        Ok(())
    }
}

/// What was approved.
struct Envelope {
    files: BTreeSet<PathBuf>,
    settings: BTreeSet<(Option<String>, String)>,
    names: BTreeSet<DnsName>,
}

impl Envelope {
    /// Everything that the shown plan touches.
    fn of(plan: &Plan) -> Self {
        let mut envelope = Self { files: BTreeSet::new(), settings: BTreeSet::new(), names: BTreeSet::new() };
        envelope.names.extend(plan.later.iter().flat_map(|l| l.names.iter().cloned()));
        envelope.files.extend(plan.later.iter().flat_map(|l| l.touches.iter().cloned()));
        match &plan.next {
            Some(Stage::Errand(Errand::Obtain(order))) => {
                envelope.names.extend(order.names.iter().cloned());
                envelope.files.insert(order.live.clone());
            }
            Some(Stage::Errand(Errand::Adopt(wanted))) => {
                envelope.names.extend(wanted.names.iter().cloned());
                envelope.files.insert(wanted.live.clone());
            }
            _ => {}
        }
        for edit in plan.edits() {
            envelope.files.insert(edit.path.clone());
            envelope.settings.extend(edit.settings.iter().map(|s| (s.service.clone(), s.name.clone())));
        }
        envelope
    }

    /// Whether a later plan stays inside.
    fn holds(&self, plan: &Plan) -> Result<(), Trouble> {
        let now = Self::of(plan);
        let mut outside: Vec<String> = now.files.difference(&self.files).map(|p| p.display().to_string()).collect();
        outside.extend(now.settings.difference(&self.settings).map(|(service, name)| match service {
            Some(service) => format!("{service} {name}"),
            None => name.clone(),
        }));
        outside.extend(now.names.difference(&self.names).map(ToString::to_string));
        if outside.is_empty() {
            return Ok(());
        }
        Err(Trouble::human(format!(
            "this host changed meanwhile, and the plan now also touches {}; nothing more was done, run mxseal setup again",
            outside.join(", ")
        ))
        .about("plan-outgrown"))
    }
}
