//! `mxseal explain`: the catalogue, read aloud. Needs no root, no mail server and no network.

use super::Trouble;
use crate::{
    cli::{Explain, Global},
    nearest::{meant, nearest},
    report::{self, Style, Terminal, json},
    topics,
};

pub(super) fn run(args: &Explain, global: &Global) -> Result<u8, Trouble> {
    let Some(id) = &args.id else {
        Terminal::document(&if global.json { json::text(&json::catalogue()) } else { report::catalogue_page(Style::of_stdout()) });
        return Ok(0);
    };
    // Pasted as it was printed.
    let id = id.trim_matches(['[', ']']);
    let topic = topics::topic(id).ok_or_else(|| {
        let alike = nearest(id, topics::all().map(|t| t.id));
        Trouble::usage(format!("there is no topic {id:?}{}\nmxseal explain lists all of them", meant(&alike)))
    })?;
    Terminal::document(&if global.json { json::text(&json::TopicDoc::of(topic)) } else { report::topic_page(Style::of_stdout(), topic) });
    Ok(0)
}
