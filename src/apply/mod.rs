//! One change as a transaction: journal, swap, activate, prove, commit or put back. Sync, no network.
