//! Mail servers as knowledge: profiles (data) and dialects (how their files are read and edited). Pure: bytes in, bytes out.

pub mod config;
pub mod dialect;
pub mod profile;
