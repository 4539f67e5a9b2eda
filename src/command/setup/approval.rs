//! One approval of the plan that was shown.

use crate::{
    cli::Setup,
    command::{Trouble, no_answer},
    facts::Facts,
    plan::Plan,
    report::{self, Style, Terminal},
};

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
        return Err(Trouble::usage(MISSING).about("approval-missing"));
    }
    loop {
        let question = "Apply? y yes / n no / d whole diff / p get the certificate and print what to change";
        match report::ask(question, None).map_err(no_answer)?.to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok((Said::Yes, true)),
            "n" | "no" => return Ok((Said::No, true)),
            "p" => return Ok((Said::PrintOnly, true)),
            "d" => Terminal::print(&report::plan_page(Style::of_stdout(), facts.config_files(), plan, usize::MAX / 4)),
            _ => Terminal::complain("please type y, n, d or p"),
        }
    }
}
