//! What is due, with nobody to ask: pure, told the time.

mod due;

pub use due::{Due, due, lineage_due};
