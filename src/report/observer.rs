//! What work in progress tells whoever watches. The verbs speak in events; only this room turns them into lines.

use crate::finding::Finding;
use std::time::Duration;

/// One thing that happened, or that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step began: what it does, as words that fit after a bullet ("order a certificate for mx.example.org (ecdsa)").
    Started(String),
    /// Something outside is waited for, and never longer than this.
    Waiting {
        /// What is waited for.
        on: String,
        /// The bound.
        at_most: Duration,
    },
    /// A step ended well: its result in words.
    Done(String),
    /// Something that the admin should know although it stops nothing.
    Note(Finding),
}

/// Whoever watches: a terminal, a log, a test.
pub trait Observer: Send + Sync {
    /// Is told of an event as it happens.
    fn see(&self, event: Event);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Observer for Nobody {
    fn see(&self, _: Event) {}
}
