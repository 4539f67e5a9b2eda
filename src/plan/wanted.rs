//! What a dialect wants for a certificate, before it is edited into files.

use crate::{finding::Finding, mta::dialect::Wish};
use std::{collections::BTreeMap, path::PathBuf};

/// What a dialect wants: wishes by file name, and what the admin should know.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) wishes: BTreeMap<PathBuf, Vec<Wish>>,
    pub(super) notes: Vec<Finding>,
}
