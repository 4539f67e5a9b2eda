//! A wait until every name server has the records, and the resolvers see them.

use super::place::Site;
use crate::{
    dns::Resolver,
    finding::Verdict,
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
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use tokio::time::{Instant, sleep};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How a wait goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// No longer than this.
    pub(super) timeout: Duration,
    /// The public resolver that is asked what the world sees.
    pub(super) public: Option<SocketAddr>,
    /// Nothing is shown.
    pub(super) quiet: bool,
}

/// Waits for the records of the sheet; where zones were told, not for those that were refused or are left to others.
pub(super) async fn run(how: Patience, site: &Site, sheet: &Sheet, zones: Option<&[ZoneDoc]>) -> WaitDoc {
    let mut waited = until_seen(how, site, sheet, zones).await.unwrap_or_else(WaitDoc::untold);
    // A record that lies nobody knows where was not waited for.
    let unplaced = sheet.open().find(|w| w.zone().is_none()).map(|w| format!("the zone of {} could not be told", w.owner));
    let unknown = || sheet.findings.iter().any(|f| f.verdict == Verdict::Unknown).then(|| "DNS could not be asked".to_owned());
    let nothing = waited.servers.is_empty() && waited.why.is_none();
    if let (0, Some(why)) = (waited.exit, unplaced.or_else(|| nothing.then(unknown).flatten())) {
        waited = WaitDoc { servers: waited.servers, ..WaitDoc::untold(why) };
    }
    waited
}

async fn until_seen(how: Patience, site: &Site, sheet: &Sheet, zones: Option<&[ZoneDoc]>) -> Result<WaitDoc, String> {
    let awaited = awaited(sheet, zones);
    if awaited.is_empty() {
        return Ok(WaitDoc::of(&[], Outlook::Done, 0));
    }
    let names: BTreeSet<DnsName> = awaited.iter().map(|a| a.zone.clone()).collect();
    let resolver = Resolver::new(&site.net).map_err(|e| e.to_string())?;
    let audience = Audience::of(&resolver, &names, how.public).await?;
    let (end, mut shown) = (Instant::now() + how.timeout, Waiting::new(how.quiet));
    let (mut rounds, mut ask_resolvers, mut pause) = (0, false, FIRST_PAUSE);
    loop {
        let views = audience.views(&awaited, ask_resolvers).await;
        rounds += u32::from(ask_resolvers);
        let next = outlook(&views, rounds);
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

/// Whether every name server has what the zones were told, within this time. No resolver is asked.
pub(super) async fn authorities(site: &Site, sheet: &Sheet, zones: &[ZoneDoc], at_most: Duration) -> bool {
    let awaited = awaited(sheet, Some(zones));
    let names: BTreeSet<DnsName> = awaited.iter().map(|a| a.zone.clone()).collect();
    let Ok(resolver) = Resolver::new(&site.net) else { return false };
    let Ok(audience) = Audience::of(&resolver, &names, None).await else { return false };
    let end = Instant::now() + at_most;
    while outlook(&audience.views(&awaited, false).await, 0) == Outlook::Authorities {
        if Instant::now() + FIRST_PAUSE > end {
            return false;
        }
        sleep(FIRST_PAUSE).await;
    }
    true
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
        if let State::Instead { old, .. } = &wanted.state {
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
