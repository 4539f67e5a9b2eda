//! `mxseal dns --publish`: what is missing is brought into DNS, a zone at a time.

use super::super::{
    Trouble,
    bring::{became, bring},
    place,
    place::Site,
};
use crate::{
    cli::Dns,
    facts::Facts,
    finding::Finding,
    publish::{Exchange, Ours, Sheet, exchanges, publisher::Publisher, told},
    report::json::ZoneDoc,
    settings::Settings,
    world,
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
            bring(site, &publisher, exchange, |claims| told::promise_keys(claims, facts, sheet, exchange)).await
        };
        zones.push(became(exchange, &publisher, args.dry_run, done));
    }
    Ok((zones, findings))
}
