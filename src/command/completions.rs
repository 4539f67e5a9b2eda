//! `mxseal completions`: what a shell needs to complete our command line.

use super::Trouble;
use crate::{
    cli::{Cli, Completions, Shell},
    report::Terminal,
};
use clap::CommandFactory as _;
use clap_complete::{generate, shells};

#[allow(clippy::unnecessary_wraps, reason = "as every verb")]
pub(super) fn run(args: &Completions) -> Result<u8, Trouble> {
    // What mxseal starts itself is nobody's word to type.
    let mut command = visible(Cli::command());
    let mut script = Vec::new();
    match args.shell {
        Shell::Bash => generate(shells::Bash, &mut command, "mxseal", &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, "mxseal", &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, "mxseal", &mut script),
    }
    Terminal::print(&String::from_utf8_lossy(&script));
    Ok(0)
}

/// The command line without its hidden verbs.
fn visible(all: clap::Command) -> clap::Command {
    let verbs: Vec<clap::Command> = all.get_subcommands().filter(|v| !v.is_hide_set()).cloned().collect();
    let flags: Vec<clap::Arg> = all.get_arguments().cloned().collect();
    clap::Command::new("mxseal").version(env!("CARGO_PKG_VERSION")).args(flags).subcommands(verbs)
}
