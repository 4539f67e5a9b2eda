//! mxseal gives a mail server TLS that senders can verify, and keeps it so.
//!
//! Facts and wishes become a plan; a change is applied all or nothing and stands only if the wire proves it.
//!
//! The tour, in the order of that sentence. `survey` sees what is and writes it down as [`facts`]: what listeners
//! present is a [`view`], what DNS says comes from `dns` with its DNSSEC state, and what could not be seen is [`known`] to
//! be unknown. Which mail servers are known is data (`profiles`), compiled in or beside the settings. [`intent`] says what the
//! admin wants, from flags (`cli`) over `mxseal.toml` (`settings`).
//!
//! [`plan`] makes the next stage of both, with [`mta`] knowing how mail servers are configured. `acme` gets the
//! certificate. `apply` makes a [`change`], of [`image`]s of files, as one transaction; [`check`] proves it on the wire
//! through `smtp`, or it is put back. What the world was told meanwhile are [`claims`]; [`policy`] knows
//! the formats in which it is told, and [`publish`] which [`record`]s are wanted of DNS, how it stands to that, and how they get
//! there; `serve` is the host that senders fetch policies from.
//!
//! [`maintain`] says what is due once it stands, and what of it is news; a renewal is planned from what was proved.
//!
//! `wizard` is the room that asks; `rehearsal` makes up a world, in which all of this can be watched before it is done.
//!
//! What is said about it all is a [`finding`]; every one, every error and every setting is explained in [`topics`], and
//! `nearest` finds what a mistyped word meant. `report` prints it. `world` is the only room that
//! touches the machine, and `command` has a file a verb, which tells its story with the others' words.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test makes the files that it reads"))]

pub mod certificate;
pub mod change;
pub mod check;
pub mod claims;
pub mod facts;
pub mod finding;
pub mod image;
pub mod intent;
pub mod known;
pub mod maintain;
pub mod moment;
pub mod mta;
pub mod name;
pub mod plan;
pub mod policy;
pub mod publish;
pub mod record;
pub mod topics;
pub mod view;

#[cfg(feature = "wires")]
pub mod acme;
#[cfg(feature = "wires")]
pub mod apply;
#[cfg(feature = "wires")]
pub mod cli;
#[cfg(feature = "wires")]
pub mod command;
#[cfg(feature = "wires")]
pub mod dns;
#[cfg(feature = "wires")]
pub mod nearest;
#[cfg(feature = "wires")]
pub mod profiles;
#[cfg(feature = "wires")]
pub mod rehearsal;
#[cfg(feature = "wires")]
pub mod report;
#[cfg(feature = "wires")]
pub mod serve;
#[cfg(feature = "wires")]
pub mod settings;
#[cfg(feature = "wires")]
pub mod smtp;
#[cfg(feature = "wires")]
pub mod survey;
#[cfg(feature = "wires")]
pub mod wizard;
#[cfg(feature = "wires")]
pub mod world;
