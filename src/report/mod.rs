//! The only room that prints: terminal text and JSON v1. Texts are made as values first, so that tests read them.

mod diff;
mod dns;
mod explain;
mod facts;
pub mod json;
mod letter;
pub mod observer;
mod profiles;
mod prometheus;
mod question;
mod status;
mod terminal;
mod text;
mod wait;
mod wrap;

pub use diff::{config_diff, text_diff};
pub use dns::{dns_page, list_page, policy_page, zones_page};
pub use explain::{catalogue_page, topic_page};
pub use facts::facts_page;
pub use letter::{Letter, alarm};
pub use observer::{Event, Nobody, Observer};
pub use profiles::profiles_page;
pub use prometheus::metrics;
pub use question::{agreed, ask, ask_yes_or_no};
pub use status::{is_ours, status_page};
pub use terminal::{Progress, Style, Terminal};
pub use text::{findings, plan_page, proof_table, survey_page};
pub use wait::Waiting;
pub use wrap::row;
