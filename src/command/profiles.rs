//! `mxseal profiles`: the mail servers that are known, and which of them is here. Needs no root, which sees more.

use super::{Trouble, place};
use crate::{
    cli::Global,
    report::{
        self, Style, Terminal,
        json::{self, ProfileDoc, ProfilesDoc},
    },
    survey::recognised,
    world::Machine,
};

pub(super) fn run(global: &Global) -> Result<u8, Trouble> {
    let settings = place::settings(global)?;
    let known = place::profiles(global)?;
    let profiles: Vec<_> = known.iter().map(|l| l.profile.clone()).collect();
    let (here, chosen) = recognised(&Machine, &profiles, settings.mta.as_deref());
    let (server, why) = chosen.map_or_else(|why| (None, Some(why)), |id| (Some(id), None));
    let profiles = known.into_iter().zip(here).map(|(listed, here)| ProfileDoc {
        id: listed.profile.id,
        title: listed.profile.title,
        file: listed.file,
        replaces: listed.replaces,
        fits: here.fits,
        why: here.why,
    });
    let document = ProfilesDoc { version: json::VERSION, server, why, profiles: profiles.collect() };
    Terminal::document(&if global.json { json::text(&document) } else { report::profiles_page(Style::of_stdout(), &document) });
    Ok(0)
}
