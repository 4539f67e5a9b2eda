//! The machine, our own directory and the network: the only room that touches files, processes and the clock.
//! Built in `main`, taken apart in `command`, never passed down whole.

#![allow(clippy::disallowed_methods, reason = "this is the room")]

mod companion;
mod copy;
mod edit_lock;
mod hands;
mod interrupt;
mod journald;
mod listener;
mod machine;
mod net;
pub mod room;
mod run;
mod scratch;
mod store;
mod token;

pub use companion::Companion;
pub use copy::{copy_tree, remove_tree};
pub use edit_lock::EditLock;
pub use hands::{Failure, Hands, Kind, Look, Output};
pub use interrupt::{Hold, before_an_interrupt, hold_interrupts};
pub use journald::journal;
pub use listener::listener_on_stdin;
pub use machine::Machine;
pub use net::{Net, RootKeys, has_system_roots, no_route};
pub use scratch::Scratch;
pub use store::{Lock, Store, put_file};
pub use token::Placed;

use crate::moment::Moment;
use std::time::SystemTime;

/// The clock of this host.
#[must_use]
pub fn now() -> Moment {
    Moment(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}
