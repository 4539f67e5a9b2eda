//! `mxseal survey`: look at this host and change nothing.

use super::{Trouble, interrupt, place, place::Site};
use crate::{
    cli::{Global, Survey},
    facts::Known,
    report::{self, Style, Terminal, json},
};

pub(super) async fn run(args: &Survey, global: &Global) -> Result<u8, Trouble> {
    let settings = place::settings(global)?;
    let site = Site::of(&args.place, &[], &settings, global)?;
    interrupt::last_words("survey", &site.store, global);
    let facts = site.look().await?;
    Terminal::document(&if global.json {
        json::text(&facts.clone().shared())
    } else {
        report::survey_page(Style::of_stdout(), &facts, &site.title_of(&facts))
    });
    // Without a mail server the question was answered, but not as hoped.
    Ok(if matches!(facts.server, Known::Unknown { .. }) { 3 } else { 0 })
}
