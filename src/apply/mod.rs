//! One change as a transaction: journal, swap, activate, prove, commit or put back. Sync, no network.

mod trial;

pub use trial::try_on_a_copy;
