//! The made-up world of a rehearsal, all on loopback: a signed DNS with its validating resolver, and a certificate
//! authority that asks it. The product meets them over the same wires as the real ones; only addresses and roots differ.
//! Beside it a second instance of this host's mail server, and what tells that nothing of the first was changed.

mod aside;
pub mod ca;
mod cast;
pub mod dns;
mod fault;
mod fingerprint;
mod instance;
pub mod receiver;
mod stand_in;

pub use ca::Ca;
pub use cast::Cast;
pub use dns::{Dns, Record as DnsRecord, Signing};
pub use fault::Fault;
pub use fingerprint::{Fingerprint, Moves};
pub use instance::{NoInstance, Places, arm, disarm, settle, start};
pub use stand_in::StandIn;
