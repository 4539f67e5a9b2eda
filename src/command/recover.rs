//! `mxseal recover`: finish or put back what was interrupted. The next setup, the guard and the admin all end here.

use super::{Trouble, place};
use crate::{
    apply::{self, Recovered},
    cli::Global,
    report::Terminal,
    world::{Machine, Store},
};

/// The verb.
pub(super) fn run(global: &Global) -> Result<u8, Trouble> {
    place::needs_root()?;
    match apply::recover(&mut Machine, &Store::at(&global.state_dir)).map_err(Trouble::human)? {
        None => Terminal::print("nothing was interrupted\n"),
        Some(recovered @ Recovered::Restored { server: Err(_), .. }) => return Err(Trouble::human(recovered)),
        Some(recovered) => Terminal::print(&format!("{recovered}\n")),
    }
    Ok(0)
}

/// Before anything else: an interrupted change is settled. Gives the sentence about it, if there was one.
pub(super) fn first(store: &Store) -> Result<Option<String>, Trouble> {
    apply::recover(&mut Machine, store).map(|r| r.as_ref().map(ToString::to_string)).map_err(Trouble::human)
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
        Err(stuck) => Err(Trouble::human(stuck)),
    }
}
