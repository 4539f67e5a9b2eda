//! What is due, with nobody to ask, and what is to be told of it: pure, told the time.

mod due;
mod keep;
mod news;
mod policy;
mod record;
mod rest;
mod retire;
mod rollover;
mod told;

pub use due::{Due, due, is_late, lineage_due};
pub use keep::old_files_return;
pub use news::{News, Told, nearness, news};
pub use policy::policy_due;
pub use record::{Observed, Run};
pub use rest::Rest;
pub use retire::{retire_due, retired_from, served_elsewhere};
pub use rollover::{KeySight, RollOver, SeenKey, SeenKeys, next_keys, roll_over};
pub use told::{Asked as ToldAsked, Published as PublishedNow, drift};
