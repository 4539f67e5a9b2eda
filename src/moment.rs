//! A moment in time. Pure code is told the time; only the world reads a clock.

use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `by` later.
    #[must_use]
    pub const fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.as_secs()))
    }

    /// The moment `by` earlier.
    #[must_use]
    pub const fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by.as_secs()))
    }

    /// The day alone, such as 2027-02-20: enough where people read it.
    #[must_use]
    pub fn day(self) -> String {
        let text = self.to_string();
        text.split_once('T').map_or(text.as_str(), |(day, _)| day).to_owned()
    }

    /// How long from `earlier` to here; zero when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            i64::try_from(self.0).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok()).and_then(|t| t.format(&Rfc3339).ok());
        f.write_str(text.as_deref().unwrap_or("a time beyond the calendar"))
    }
}
