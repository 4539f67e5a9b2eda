//! The only room that asks. Facts first; then only questions whose answer survey could not measure and nobody gave by a flag
//! or in `mxseal.toml`, each with why it is asked, a default where one is safe, more on `?`, and a way back and out.
//!
//! A question is a value: which ones are open follows from the facts, and an answer becomes a setting, so that asking, a
//! flag and a written file say the same thing. Asking itself is a thin edge over plain lines.

mod dialogue;
mod open;
mod question;

pub use dialogue::{Approved, Said, approve, ask, keep, missing};
pub use open::open;
pub use question::{Id, Question, mail_address};
