//! The made-up world of a rehearsal, all on loopback: a signed DNS with its validating resolver, and a certificate
//! authority that asks it. The product meets them over the same wires as the real ones; only addresses and roots differ.

mod aside;
pub mod ca;
pub mod dns;
mod fault;

pub use ca::Ca;
pub use dns::Dns;
pub use fault::Fault;
