//! The smallest change, shown: a unified diff of each configuration file.

use crate::{
    change::{Content, Edit},
    facts::ConfigFile,
};
use similar::TextDiff;
use std::fmt::Write as _;

/// What happens to a text: a unified diff with three lines around.
#[must_use]
pub fn text_diff(path: &std::path::Path, before: &[u8], after: &[u8]) -> String {
    let (old, new, path) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after), path.display().to_string());
    let diff = TextDiff::from_lines(old.as_ref(), new.as_ref());
    diff.unified_diff().context_radius(3).header(&path, &path).to_string()
}

/// What happens to the configuration files: unified diffs with `context` lines around. Files that hold a key are named,
/// never shown.
#[must_use]
pub fn config_diff(files: &[ConfigFile], edits: &[Edit], context: usize) -> String {
    let mut out = String::new();
    for edit in edits {
        let path = edit.path.display();
        let before = files.iter().find(|f| f.real == edit.path).map(|f| f.text.0.0.as_slice());
        match &edit.becomes {
            None => {
                let _ = writeln!(out, "--- {path}\n+++ /dev/null");
            }
            Some(target) => match &target.content {
                Content::Stored { secret, .. } => {
                    let what = if *secret { "key and chain" } else { "stored bytes" };
                    let verb = if edit.was.is_some() { "replaced" } else { "new" };
                    let meta = &target.meta;
                    let _ = writeln!(out, "=== {path}: {verb}, {what}, owner {}:{}, mode {:04o}", meta.uid, meta.gid, meta.mode);
                }
                Content::Text(raw) => {
                    let (old, new) = (String::from_utf8_lossy(before.unwrap_or_default()), String::from_utf8_lossy(&raw.0));
                    let diff = TextDiff::from_lines(old.as_ref(), new.as_ref());
                    let mut unified = diff.unified_diff();
                    let from = if edit.was.is_some() { path.to_string() } else { "/dev/null".to_owned() };
                    let _ = write!(out, "{}", unified.context_radius(context).header(&from, &path.to_string()));
                }
            },
        }
    }
    out
}
