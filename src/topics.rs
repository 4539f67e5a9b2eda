//! The catalogue of findings: one id, one paragraph. It feeds `mxseal explain`, the man page and the tests.

/// What an id means.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    /// The id of a [`crate::finding::Finding`].
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it means for mail and what to do, in a few sentences.
    pub text: &'static str,
}

/// Every topic, by id.
pub const TOPICS: &[Topic] = &[];

/// The topic of an id.
#[must_use]
pub fn topic(id: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|t| t.id == id)
}
