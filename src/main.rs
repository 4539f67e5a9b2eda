//! Flags, world, command, exit code; nothing else.

use clap::Parser as _;
use mxseal::{cli::Cli, command};

fn main() -> std::process::ExitCode {
    match Cli::try_parse().or_else(command::without_a_verb) {
        Ok(cli) => command::run(&cli),
        Err(misuse) => command::misused(&misuse),
    }
}
