//! What a dialect wants for a certificate, before it is edited into files.

use crate::{certificate::KeyType, finding::Finding, name::DnsName};
use std::{collections::BTreeMap, path::PathBuf};

/// What the server shall present.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    /// The files of key and chain: one for all key types, or one for each.
    pub live: &'a [PathBuf],
    /// The files for senders that send one of these names; empty where `live` is for all of them.
    pub by_name: &'a [(DnsName, Vec<PathBuf>)],
    /// The key types in them.
    pub types: &'a [KeyType],
    /// The certificate in use holds names that the new one cannot hold.
    pub names_are_left_out: bool,
    /// The MX names that it serves.
    pub mx: &'a [DnsName],
}

/// What a dialect wants: wishes by file name, and what the admin should know.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// By file.
    pub wishes: BTreeMap<PathBuf, Vec<Wish>>,
    /// What the admin should know.
    pub notes: Vec<Finding>,
}

/// One setting as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The service that it is for, such as `submission/inet`; `None` for the whole server.
    pub service: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Why, in one sentence.
    pub why: String,
}
