//! What is due, with nobody to ask: pure, told the time.

mod due;
mod keep;

pub use due::{Due, due, lineage_due};
pub use keep::old_files_return;
