//! A file a verb; each reads top-down as the recipe that its user has in mind.

mod enact;
mod place;
mod recover;
mod setup;
mod status;
mod survey;
mod undo;

use crate::{
    cli::{Cli, Global, Verb},
    report::{Terminal, json, json::Outcome},
};
use std::process::ExitCode;

/// Why a verb ends early: the sentence for the user and the exit status.
#[derive(Debug)]
pub struct Trouble {
    exit: u8,
    says: String,
}

impl Trouble {
    /// A human is needed: exit 1.
    fn human(says: impl ToString) -> Self {
        Self { exit: 1, says: says.to_string() }
    }

    /// Wrong use of the command line: exit 2.
    fn usage(says: impl ToString) -> Self {
        Self { exit: 2, says: says.to_string() }
    }
}

/// Runs a verb and gives the exit status.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    // A second installation is refused and changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            Terminal::complain(&format!("mxseal: cannot start: {e}"));
            return ExitCode::from(3);
        }
    };
    let ended = match &cli.verb {
        Verb::Survey(args) => runtime.block_on(survey::run(args, &cli.global)),
        Verb::Setup(args) => runtime.block_on(setup::run(args, &cli.global)),
        Verb::Undo(args) => runtime.block_on(undo::run(args, &cli.global)),
        Verb::Status(args) => runtime.block_on(status::run(args, &cli.global)),
        Verb::Recover => recover::run(&cli.global),
        Verb::Guard => recover::guard(&cli.global),
    };
    match ended {
        Ok(exit) => ExitCode::from(exit),
        Err(trouble) => {
            Terminal::complain(&format!("mxseal: {}", trouble.says));
            ExitCode::from(trouble.exit)
        }
    }
}

/// Ends a verb that has an [`Outcome`]: prints the document where one is wanted, and gives the exit status.
fn close(global: &Global, told: Result<(), Trouble>, mut outcome: Outcome) -> Result<u8, Trouble> {
    if let Err(trouble) = &told {
        outcome.outcome = "failed";
        outcome.exit = trouble.exit;
        outcome.error = Some(trouble.says.clone());
    }
    if global.json {
        Terminal::print(&json::text(&outcome));
    }
    told.map(|()| outcome.exit)
}
