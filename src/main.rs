//! Flags, world, command, exit code; nothing else.

use clap::Parser as _;
use mxseal::{cli::Cli, command};

fn main() -> std::process::ExitCode {
    command::run(&Cli::parse())
}
