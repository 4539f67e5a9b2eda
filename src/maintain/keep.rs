//! What becomes of renewed files that the wire did not show. Pure.

use crate::{finding::Finding, moment::Moment, view::EndpointView};
use std::time::Duration;

/// Old files with less life left than this are no way back.
const ENOUGH: Duration = Duration::from_secs(48 * 3600);

/// Whether the files before a renewal return: a listener that was good minutes before fails now, for another reason than that
/// nobody answers there, and every certificate that was presented before lives on for two days (a quarter of its life, where
/// that is less). Keys are kept in a renewal, and a roll-over goes to keys that everybody knows beside those before, so what TLSA
/// records say is true of both. Otherwise the new files stay, and the next run tries again: a server that is down is no fault of theirs.
#[must_use]
pub fn old_files_return(faults: &[Finding], baseline: &[EndpointView], now: Moment) -> bool {
    let silent = ["wire-silent", "proof-impossible"];
    let fails = faults.iter().any(|f| !silent.contains(&f.id.as_str()));
    let mut before = baseline.iter().filter_map(EndpointView::leaf).peekable();
    let lives =
        before.peek().is_some() && before.all(|leaf| leaf.not_after.since(now) >= ENOUGH.min(leaf.not_after.since(leaf.not_before) / 4));
    fails && lives
}
