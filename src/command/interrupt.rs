//! What is said when somebody presses Ctrl-C. The host is whole in every case: nothing was changed, or the guard puts it back.

use crate::{
    acme,
    cli::Global,
    report::{
        Terminal,
        json::{self, Outcome},
    },
    world::{self, Store},
};
use std::sync::atomic::{AtomicU8, Ordering};

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reached {
    /// Nothing of the mail server was touched.
    Nothing,
    /// A change is open: the guard puts it back.
    Change,
    /// The change is proved, or everything was put back.
    End,
    /// DNS is being told.
    Telling,
    /// DNS was told.
    Told,
    /// Whatever was done, the same verb goes on from there.
    Somewhere,
}

static REACHED: AtomicU8 = AtomicU8::new(Reached::Nothing as u8);

/// From now on an interrupt says this.
pub(super) fn reached(how_far: Reached) {
    REACHED.store(how_far as u8, Ordering::SeqCst);
}

/// Before an interrupt ends us, what stands in DNS for a CA is taken away, and a last word is said: to a person, or as the document
/// that is wanted. To be called before there is a second thread.
pub(super) fn last_words(verb: &'static str, store: &Store, global: &Global) {
    let (json, person, store) = (global.json, Terminal::can_ask(), store.clone());
    world::before_an_interrupt(move |exit| {
        let says = words(REACHED.load(Ordering::SeqCst), verb);
        if json {
            let error = Some(says);
            let outcome = Outcome { version: json::VERSION, verb, outcome: "interrupted", exit, error, ..Outcome::default() };
            Terminal::document(&json::text(&outcome));
        } else if person {
            Terminal::say(&format!("\n{says}"));
        }
        let left = acme::texts_left(&store);
        if !left.is_empty() {
            Terminal::say(&format!("In DNS stays, until the next run takes it away: {}", left.join(", ")));
        }
    });
}

fn words(reached: u8, verb: &str) -> String {
    if reached == Reached::Nothing as u8 {
        format!("Stopped: nothing was changed. `mxseal {verb}` goes on from here.")
    } else if reached == Reached::Change as u8 {
        "Stopped in the middle of the change: it is put back now, and no mail is lost. `mxseal status` tells when that is done.".to_owned()
    } else if reached == Reached::Telling as u8 {
        format!("Stopped while DNS was told of it. `mxseal {verb}` looks first what is there, and goes on.")
    } else if reached == Reached::Told as u8 {
        "Stopped: what DNS was told stays told. `mxseal dns --wait` waits until senders see it.".to_owned()
    } else if reached == Reached::Somewhere as u8 {
        format!("Stopped. The same `mxseal {verb}` goes on from wherever this came to.")
    } else {
        "Stopped at the end: the change had been settled. `mxseal status` tells how.".to_owned()
    }
}
