//! A file a verb; each reads top-down as the recipe that its user has in mind. What several need lies beside them.

mod alarm;
mod bring;
mod completions;
mod course;
mod deployed;
mod dns;
mod door;
mod enact;
mod explain;
mod hooks;
mod interrupt;
mod kept;
mod list;
mod log;
mod place;
mod plan;
mod policy;
mod policy_host;
mod profiles;
mod recover;
mod rehearse;
mod renew;
mod rollover;
mod senders;
mod serve;
mod setup;
mod stand_in;
mod standing;
mod status;
mod survey;
mod tell;
mod undo;
mod wait;
mod watch;
mod wishes;

use crate::{
    cli::{Approval, Cli, Global, RecordFormat, Verb},
    finding::Finding,
    report::{self, Style, Terminal, json, json::Outcome},
    topics::Explained,
};
use std::{io, process::ExitCode};

/// Why a verb ends early: the sentence for the user and the exit status.
#[derive(Debug)]
pub struct Trouble {
    exit: u8,
    says: String,
    /// The topic that explains it.
    about: Option<&'static str>,
}

impl Trouble {
    /// A human is needed: exit 1.
    fn human(says: impl ToString) -> Self {
        Self { exit: 1, says: says.to_string(), about: None }
    }

    /// Wrong use of the command line: exit 2.
    fn usage(says: impl ToString) -> Self {
        Self { exit: 2, says: says.to_string(), about: None }
    }

    /// An error of another room, which the catalogue explains.
    fn of(error: impl Explained + ToString) -> Self {
        Self::human(error.to_string()).about(error.topic())
    }

    /// Our own directory cannot be used.
    fn state(error: io::Error) -> Self {
        Self::human(error).about("state-unusable")
    }

    /// The topic that explains it.
    fn about(self, id: &'static str) -> Self {
        Self { about: Some(id), ..self }
    }
}

/// Runs a verb and gives the exit status.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    if cli.global.plain || std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        Terminal::be_plain();
    }
    // A second installation is refused and changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            Terminal::complain(&format!("mxseal: cannot start: {e}"));
            return ExitCode::from(3);
        }
    };
    let mut global = cli.global.absolute();
    global.json |= matches!(&cli.verb, Verb::Dns(dns) if matches!(dns.format, RecordFormat::Json));
    let global = &global;
    let ended = match &cli.verb {
        Verb::Survey(args) => or_told("survey", global, runtime.block_on(survey::run(args, global))),
        Verb::Setup(args) => runtime.block_on(setup::run(args, global)),
        Verb::Rehearse(args) => or_told("rehearse", global, runtime.block_on(rehearse::run(args, global))),
        Verb::Stage => runtime.block_on(rehearse::on_stage()),
        Verb::Renew(args) => runtime.block_on(renew::run(args, global)),
        Verb::Rollover(args) => runtime.block_on(rollover::run(args, global)),
        Verb::Undo(args) => runtime.block_on(undo::run(args, global)),
        Verb::Status(args) => or_told("status", global, runtime.block_on(status::run(args, global))),
        Verb::Alarm(args) => alarm::run(args, global),
        Verb::Dns(args) => or_told("dns", global, runtime.block_on(dns::run(args, global))),
        Verb::Policy(policy) => or_told("policy", global, runtime.block_on(policy::run(policy, global))),
        Verb::Serve(args) => or_told("serve", global, runtime.block_on(serve::run(args, global))),
        Verb::List(list) => or_told("list", global, runtime.block_on(list::run(list, global))),
        Verb::Recover => or_told("recover", global, recover::run(global)),
        Verb::Plan(args) => plan::run(args, global),
        Verb::Completions(args) => completions::run(args),
        Verb::Profiles => or_told("profiles", global, profiles::run(global)),
        Verb::Explain(args) => or_told("explain", global, explain::run(args, global)),
        Verb::StandIn(args) => runtime.block_on(stand_in::run(args)),
        Verb::Guard => recover::guard(global),
    };
    match ended {
        Ok(exit) => ExitCode::from(exit),
        Err(trouble) => {
            let more = trouble.about.map_or_else(String::new, |id| format!("\nMore: mxseal explain {id}"));
            Terminal::say(&format!("mxseal: {}{more}", trouble.says));
            ExitCode::from(trouble.exit)
        }
    }
}

/// The terminal went away, or its input ended.
fn no_answer(why: std::io::Error) -> Trouble {
    Trouble::human(format!("no answer came ({why}); nothing was changed"))
}

/// What a person says to a plan, here or with a flag.
fn agreed(approval: &Approval, question: &str) -> Result<bool, Trouble> {
    if approval.yes {
        return Ok(true);
    }
    if approval.non_interactive || !Terminal::can_ask() {
        return Err(
            Trouble::usage("the plan was not approved: give --yes to apply it, or --dry-run to see it only").about("approval-missing")
        );
    }
    report::agreed(question).map_err(no_answer)
}

/// Prints findings, where they are not in a document.
fn show(global: &Global, findings: &[Finding]) {
    if !global.json && !findings.is_empty() {
        Terminal::print(&report::findings(Style::of_stdout(), findings));
    }
}

/// A command line without a verb: on a terminal that is `setup`, which begins with the facts and asks for the rest.
///
/// # Errors
/// The misuse as it was, where it was another one or nobody can be asked.
pub fn without_a_verb(mut misuse: clap::Error) -> Result<Cli, clap::Error> {
    use clap::{
        Parser as _,
        error::{ContextKind, ContextValue, ErrorKind},
    };
    let words = || std::env::args_os().skip(1);
    if misuse.kind() == ErrorKind::UnknownArgument && words().next().is_some_and(|w| w.as_encoded_bytes().starts_with(b"-")) {
        let of_setup = Cli::try_parse_from(["mxseal".into(), "setup".into()].into_iter().chain(words()));
        if of_setup.map_or_else(|e| e.kind() != ErrorKind::UnknownArgument, |_| true) {
            let tip = "it is a flag of setup: mxseal setup ...".into();
            misuse.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        }
    }
    let none = matches!(misuse.kind(), ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    match (none, Terminal::can_ask()) {
        (true, true) => Cli::try_parse_from(std::env::args_os().chain(["setup".into()])),
        // The summary, also where other flags stand there.
        (true, false) => Err(Cli::try_parse_from(["mxseal"]).err().unwrap_or(misuse)),
        (false, _) => Err(misuse),
    }
}

/// A command line that says nothing, or asks for help: the text, the document where one is wanted, and the exit status.
#[must_use]
pub fn misused(misuse: &clap::Error) -> ExitCode {
    let _ = misuse.print();
    if misuse.use_stderr() && std::env::args_os().any(|word| word == "--json") {
        let said = misuse.to_string();
        let error = Some(said.trim().trim_start_matches("error: ").to_owned());
        Terminal::document(&json::text(&Outcome { version: json::VERSION, outcome: "failed", exit: 2, error, ..Outcome::default() }));
    }
    ExitCode::from(u8::try_from(misuse.exit_code()).unwrap_or(2))
}

/// Where a verb that prints a document of another kind failed, an [`Outcome`] says so.
fn or_told(verb: &'static str, global: &Global, ended: Result<u8, Trouble>) -> Result<u8, Trouble> {
    match ended {
        Ok(exit) => Ok(exit),
        Err(trouble) => close(global, Err(trouble), Outcome { version: json::VERSION, verb, ..Outcome::default() }),
    }
}

/// Ends a verb that has an [`Outcome`]: prints the document where one is wanted, and gives the exit status.
fn close(global: &Global, told: Result<(), Trouble>, mut outcome: Outcome) -> Result<u8, Trouble> {
    if let Err(trouble) = &told {
        outcome.outcome = "failed";
        outcome.exit = trouble.exit;
        outcome.error = Some(trouble.says.clone());
        outcome.topic = trouble.about;
    }
    let outcome = outcome.settled();
    if global.json {
        Terminal::document(&json::text(&outcome));
    }
    let Some(log) = outcome.log.filter(|_| !global.json) else { return told.map(|()| outcome.exit) };
    let log = format!("The log of this run: {}", log.display());
    match told {
        Ok(()) => Terminal::print(&format!("\n{log}\n")),
        Err(trouble) => return Err(Trouble { says: format!("{}\n{log}", trouble.says), ..trouble }),
    }
    Ok(outcome.exit)
}
