//! The lab: real servers on loopback, in namespaces that it made, or in booted containers. Every process that it starts
//! is ended by its own PID.

pub mod attacker;
pub mod authority;
pub mod awake;
pub mod dns;
pub mod front;
pub mod host;
pub mod household;
pub mod internet;
pub mod list_desk;
pub mod load;
pub mod net;
pub mod odd;
pub mod pebble;
pub mod ports;
pub mod postfix;
#[cfg(feature = "dns-apis")]
pub mod powerdns;
pub mod primary;
pub mod process;
pub mod renewal;
pub mod setup;
pub mod terminal;
pub mod transaction;
pub mod web;
