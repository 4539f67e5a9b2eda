//! `mxseal dns --publish`: what is missing is brought into DNS, a zone at a time; claims first, so that a crash errs to the safe
//! side.

use super::super::{Trouble, place, place::Site};
use crate::{
    cli::Dns,
    command::interrupt::{Reached, reached},
    facts::{Facts, Tlsa},
    finding::Finding,
    publish::{
        Data, Exchange, Ours, Sheet, TTL, exchanges,
        publisher::{Publisher, Refused, Words},
        told,
    },
    report::json::ZoneDoc,
    settings::Settings,
    world::{self, Store},
};

/// What became of each zone, and of the records that are left to others.
pub(super) async fn run(
    args: &Dns,
    site: &Site,
    settings: &Settings,
    facts: &Facts,
    sheet: &Sheet,
) -> Result<(Vec<ZoneDoc>, Vec<Finding>), Trouble> {
    let _lock = (!args.dry_run).then(|| place::lock(&site.store.path(""))).transpose()?;
    let ours: Ours = site.store.load(Ours::FILE).map_err(Trouble::state)?.unwrap_or_default();
    let (exchanges, findings) = exchanges(sheet, &ours);
    let wishes = |exchange: &Exchange| args.way.wishes(args.publish.flatten()).over(settings.publishing(&exchange.zone));
    // A wish that cannot be met stops here, before the first zone is told anything.
    let ways = exchanges.iter().map(|e| wishes(e).publisher().map_err(Trouble::usage)).collect::<Result<Vec<Publisher>, _>>()?;
    let mut zones = Vec::new();
    for (exchange, publisher) in exchanges.iter().zip(ways) {
        let done = if args.dry_run {
            publisher.draft(&site.net, exchange, world::now()).await
        } else {
            claim(&site.store, facts, sheet, exchange).map_err(Trouble::state)?;
            reached(Reached::Telling);
            let done = publisher.publish(&site.net, &site.store, exchange, world::now()).await;
            reached(Reached::Told);
            done
        };
        let by_hand = publisher == Publisher::Manual;
        zones.push(match done {
            Ok(draft) => {
                let state = match (draft.exchange.is_empty(), by_hand, args.dry_run) {
                    (true, ..) => "nothing-to-do",
                    (_, true, _) => "by-hand",
                    (_, _, true) => "planned",
                    _ => "published",
                };
                let change = match draft.words {
                    Words::File { path, before, after } if args.dry_run => Some(crate::report::text_diff(&path, &before, &after)),
                    Words::Text(text) if args.dry_run => Some(text),
                    _ => None,
                };
                ZoneDoc { change, next: draft.next, ..ZoneDoc::of(exchange, &draft.exchange, state) }
            }
            Err(Refused::State(e)) => return Err(Trouble::state(e)),
            Err(e) => {
                let state = if matches!(e, Refused::Unclear(..)) { "unclear" } else { "refused" };
                ZoneDoc { error: Some(e.to_string()), ..ZoneDoc::of(exchange, exchange, state) }
            }
        });
    }
    Ok((zones, findings))
}

/// The keys of each MX name that the world is about to be told of, beside those that it knows already.
pub(in crate::command) fn claim(store: &Store, facts: &Facts, sheet: &Sheet, exchange: &Exchange) -> std::io::Result<()> {
    for mx in &facts.mx_hosts {
        let Ok(owner) = mx.name.under("_25._tcp") else { continue };
        let new = sheet.wanted.iter().filter(|w| w.owner == owner && exchange.add.iter().any(|r| r.owner == *w.at() && r.data == w.data));
        let mut keys: Vec<Tlsa> = new.filter_map(|w| if let Data::Tlsa(tlsa) = &w.data { Some(tlsa.clone()) } else { None }).collect();
        if keys.is_empty() {
            continue;
        }
        let there = mx.tlsa.value();
        let ttl = there.map_or(TTL, |a| a.ttl.max(TTL));
        keys.extend(there.into_iter().flat_map(|a| a.records.clone()));
        told::tell(store, facts.now, |claims| claims.see_tlsa(&mx.name, &keys, ttl, facts.now))?;
    }
    Ok(())
}
