//! Mail servers as knowledge: profiles (data) and dialects (how their files are read and edited). Pure: bytes in, bytes out.

pub mod companion;
pub mod config;
pub mod dialect;
pub mod exim;
pub mod expand;
pub mod fate;
mod lines;
pub mod main_cf;
pub mod master_cf;
pub mod policy_map;
pub mod postfix;
pub mod profile;
pub mod sendmail;
mod settings;
pub mod smtpd;
mod syntax;
mod understood;
pub mod wanted;

pub use lines::Restored;
