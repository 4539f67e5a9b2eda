//! One approval, of an envelope: files, settings and names. What leaves it is asked again, or ends the run.

use crate::{
    cli::Setup,
    command::{Trouble, no_answer},
    facts::Facts,
    name::DnsName,
    plan::{Errand, Plan, Stage},
    report::{self, Style, Terminal},
};
use std::{collections::BTreeSet, path::PathBuf};

/// What the admin said to the plan.
pub(super) enum Said {
    Yes,
    No,
    PrintOnly,
}

/// What is said where the plan needs a yes and nobody can be asked.
pub(super) const MISSING: &str = "the plan was not approved: give --yes to apply it, or --dry-run to see it only";

/// Asks once; the second value tells whether a person was asked, so that time went by.
pub(super) fn ask(args: &Setup, facts: &Facts, plan: &Plan) -> Result<(Said, bool), Trouble> {
    if args.yes {
        return Ok((Said::Yes, false));
    }
    if args.non_interactive || !Terminal::can_ask() {
        return Err(Trouble::usage(MISSING));
    }
    loop {
        let question = "Apply? y yes / n no / d whole diff / p get the certificate and print what to change";
        match report::ask(question).map_err(no_answer)?.to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok((Said::Yes, true)),
            "n" | "no" => return Ok((Said::No, true)),
            "p" => return Ok((Said::PrintOnly, true)),
            "d" => Terminal::print(&report::plan_page(Style::of_stdout(), facts.config_files(), plan, usize::MAX / 4)),
            _ => Terminal::complain("please type y, n, d or p"),
        }
    }
}

/// What was approved.
pub(super) struct Envelope {
    files: BTreeSet<PathBuf>,
    settings: BTreeSet<(Option<String>, String)>,
    names: BTreeSet<DnsName>,
}

impl Envelope {
    /// Everything that the shown plan touches.
    pub(super) fn of(plan: &Plan) -> Self {
        let mut envelope = Self { files: BTreeSet::new(), settings: BTreeSet::new(), names: BTreeSet::new() };
        let mut edits: Vec<_> = plan.later.iter().flat_map(|l| &l.edits).collect();
        envelope.files.extend(plan.later.iter().flat_map(|l| l.touches.iter().cloned()));
        match &plan.next {
            Some(Stage::Change(change)) => edits.extend(&change.edits),
            Some(Stage::Errand(Errand::Obtain(order))) => {
                envelope.names.extend(order.names.iter().cloned());
                envelope.files.insert(order.live.clone());
            }
            _ => {}
        }
        for edit in edits {
            envelope.files.insert(edit.path.clone());
            envelope.settings.extend(edit.settings.iter().map(|s| (s.service.clone(), s.name.clone())));
        }
        envelope
    }

    /// Whether a later plan stays inside.
    pub(super) fn holds(&self, plan: &Plan) -> Result<(), Trouble> {
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
        )))
    }
}
