//! What the wire says, judged: views become findings, expectations become a proof.

use crate::{change::Change, moment::Moment};

/// That the wire showed what a change promised. Made here alone; a change stands only with it.
#[derive(Debug)]
pub struct Proof {
    at: Moment,
}

impl Proof {
    /// A change that promises nothing on the wire is proved by that; `None` where it promises something.
    #[must_use]
    pub fn of_no_promise(change: &Change, now: Moment) -> Option<Self> {
        change.prove.is_empty().then_some(Self { at: now })
    }

    /// When it was shown.
    #[must_use]
    pub const fn at(&self) -> Moment {
        self.at
    }
}
