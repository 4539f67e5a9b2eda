//! The log of a run: what was on the screen, kept for whoever asks later.

use crate::{
    report::Terminal,
    world::{self, Store},
};
use std::path::PathBuf;

/// So many logs stay.
const MOST: usize = 20;

/// From now on the run is logged; gives the file. A log that cannot be made stops nothing.
pub(super) fn keep(store: &Store, verb: &str) -> Option<PathBuf> {
    let digits: String = world::now().to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    let (path, file) = store.new_log(&format!("{digits}-{verb}.log"), MOST).ok()?;
    Terminal::keep_log(file);
    Some(path)
}
