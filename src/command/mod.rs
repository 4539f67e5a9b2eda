//! A file a verb; each reads top-down as the recipe that its user has in mind.

use crate::{
    apply,
    cli::{Cli, Verb},
    world::{Machine, Store},
};
use std::process::ExitCode;

/// Runs a verb and gives the exit status.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    match &cli.verb {
        Verb::Guard => ExitCode::from(u8::from(apply::stand_guard(&mut Machine, &Store::at(&cli.global.state_dir)).is_err())),
        _ => ExitCode::from(3),
    }
}
