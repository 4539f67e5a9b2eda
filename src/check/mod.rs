//! What the wire says, judged: views become findings, expectations become a proof.
//!
//! [`probes_for`] says what to ask, [`observe`] asks, [`proof`] judges what was seen against what was promised. Asking
//! needs the network; the rest is pure, and one view can be judged again and again: [`eligible`] holds them against the rules
//! of a policy list.

mod court;
mod eligible;
#[cfg(feature = "wires")]
mod observe;
mod outside;
mod places;
mod probes;
mod proof;
mod sts_hosts;

pub use eligible::{eligible, list_entry, list_follows};
#[cfg(feature = "wires")]
pub use observe::{noticed, observe, prove};
pub use outside::outside;
pub use places::{Place, own_addresses, places, survey_probes};
pub use probes::{ENOUGH, as_it_was, baseline_probes, probes_for, proof_probes};
pub use proof::{Proof, Proved, Shown, proof};
pub use sts_hosts::{sender_probes, sts_host};
