//! `mxseal recover`: finish or put back what was interrupted. The next setup, the guard and the admin all end here.

use super::{Trouble, place};
use crate::{
    apply::{self, Recovered},
    cli::Global,
    report::{Terminal, json, json::Outcome},
    world::{Machine, Store},
};

/// The verb.
pub(super) fn run(global: &Global) -> Result<u8, Trouble> {
    place::needs_root()?;
    let (outcome, says) = match apply::recover(&mut Machine, &Store::at(&global.state_dir)).map_err(Trouble::of)? {
        None => ("nothing-to-do", "Nothing was interrupted.".to_owned()),
        Some(recovered @ Recovered::Restored { server: Err(_), .. }) => return Err(Trouble::human(recovered).about("server-untold")),
        Some(recovered) => ("recovered", recovered.to_string()),
    };
    if !global.json {
        Terminal::print(&says);
    }
    super::close(global, Ok(()), Outcome { version: json::VERSION, verb: "recover", outcome, says, ..Outcome::default() })
}

/// Before anything else: an interrupted change is settled. Gives the sentence about it, if there was one.
pub(super) fn first(store: &Store) -> Result<Option<String>, Trouble> {
    apply::recover(&mut Machine, store).map(|r| r.as_ref().map(ToString::to_string)).map_err(Trouble::of)
}

/// The guard: sleeps until the run that started it ends, then settles what it left open.
pub(super) fn guard(global: &Global) -> Result<u8, Trouble> {
    match apply::stand_guard(&mut Machine, &Store::at(&global.state_dir)) {
        Ok(None) => Ok(0),
        Ok(Some(recovered @ Recovered::Finished { .. })) => {
            Terminal::complain(&format!("mxseal: {recovered}"));
            Ok(0)
        }
        Ok(Some(recovered)) => Err(Trouble::human(recovered)),
        Err(stuck) => Err(Trouble::of(stuck)),
    }
}
