//! One zone is told something: the promise first, then the world, and what became of it.

use super::{
    interrupt::{Reached, reached},
    place::Site,
};
use crate::{
    claims::Claims,
    publish::{
        Exchange, Refused,
        publisher::{Draft, Publisher, Words},
        told,
    },
    report::{self, json::ZoneDoc},
    world,
};

/// Tells one zone: the promise first, then the world, so that a crash errs to the safe side.
pub(super) async fn bring(
    site: &Site,
    publisher: &Publisher,
    exchange: &Exchange,
    promise: impl FnOnce(&mut Claims),
) -> Result<Draft, Refused> {
    told::tell(&site.store, world::now(), promise)?;
    reached(Reached::Telling);
    let done = publisher.publish(&site.net, &site.store, exchange, world::now()).await;
    reached(Reached::Told);
    done
}

/// What became of a zone: what was done there, or the exact change where it was only looked at.
pub(super) fn became(exchange: &Exchange, publisher: &Publisher, only_looked: bool, done: Result<Draft, Refused>) -> ZoneDoc {
    let draft = match done {
        Ok(draft) => draft,
        Err(why) => {
            let state = if why.is_open() { "unclear" } else { "refused" };
            return ZoneDoc { error: Some(why.to_string()), ..ZoneDoc::of(exchange, exchange, state) };
        }
    };
    let state = match (draft.exchange.is_empty(), publisher, only_looked) {
        (true, ..) => "nothing-to-do",
        (_, Publisher::Manual, _) => "by-hand",
        (_, _, true) => "planned",
        _ => "published",
    };
    let change = match draft.words {
        Words::File { path, before, after } if only_looked => Some(report::text_diff(&path, &before, &after)),
        Words::Text(text) if only_looked => Some(text),
        _ => None,
    };
    ZoneDoc { change, next: draft.next, ..ZoneDoc::of(exchange, &draft.exchange, state) }
}
