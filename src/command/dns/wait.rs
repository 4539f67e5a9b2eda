//! `mxseal dns --wait`: until every name server has the records, and the resolvers see them.

use super::super::{Trouble, place::Site};
use crate::{
    cli::Dns,
    dns::Resolver,
    name::DnsName,
    publish::{
        Record, Sheet, State,
        audience::Audience,
        wait::{Awaited, Outlook, exit, outlook},
    },
    report::{
        Waiting,
        json::{WaitDoc, ZoneDoc},
    },
};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::{Instant, sleep};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Waits for the records of the sheet; not for those that were refused or are left to others.
pub(super) async fn run(args: &Dns, site: &Site, sheet: &Sheet, zones: &[ZoneDoc], quiet: bool) -> Result<WaitDoc, Trouble> {
    let awaited = awaited(sheet, args.publish.is_some().then_some(zones));
    let names: BTreeSet<DnsName> = awaited.iter().map(|a| a.zone.clone()).collect();
    let untold = |why: String| Trouble { exit: 3, ..Trouble::human(why) };
    let resolver = Resolver::new(&site.net).map_err(|e| untold(e.to_string()))?;
    let audience = Audience::of(&resolver, &names, args.public_resolver.0).await.map_err(untold)?;
    let (end, mut shown) = (Instant::now() + args.timeout, Waiting::new(quiet));
    let (mut rounds, mut ask_resolvers, mut pause) = (0, false, FIRST_PAUSE);
    loop {
        let views = audience.views(&awaited, ask_resolvers).await;
        rounds += u32::from(ask_resolvers);
        let next = if awaited.is_empty() { Outlook::Done } else { outlook(&views, rounds) };
        let over = matches!(next, Outlook::Done | Outlook::Untold) || Instant::now() + pause > end;
        shown.show(&views, next, if over { Duration::ZERO } else { end - Instant::now() });
        if over {
            return Ok(WaitDoc::of(&views, next, exit(&views, next)));
        }
        if !ask_resolvers && next == Outlook::Resolvers {
            (ask_resolvers, pause) = (true, FIRST_PAUSE);
            continue;
        }
        ask_resolvers = next == Outlook::Resolvers;
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

fn awaited(sheet: &Sheet, published: Option<&[ZoneDoc]>) -> Vec<Awaited> {
    let mut all = Vec::new();
    for wanted in &sheet.wanted {
        let Some(zone) = wanted.zone() else { continue };
        let record = Record::from(wanted);
        let told = |zones: &[ZoneDoc]| zones.iter().any(|z| z.is_told(&record));
        if wanted.state != State::Right && published.is_some_and(|zones| !told(zones)) {
            continue;
        }
        if let State::Instead(old) = &wanted.state {
            let gone = |data: &crate::publish::Data| Awaited {
                zone: zone.clone(),
                record: Record { data: data.clone(), ..record.clone() },
                there: false,
            };
            all.extend(old.iter().map(gone));
        }
        all.push(Awaited { zone: zone.clone(), record, there: true });
    }
    all
}
