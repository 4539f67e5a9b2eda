//! The record of a policy, brought into DNS where that was asked for or is configured: when every address of the policy host
//! serves the policy, and never before (RFC 8461 §8.1).

use super::{
    super::{
        Trouble, agreed,
        bring::{became, bring},
        place::Site,
    },
    seen::Seen,
};
use crate::{
    claims::Claims,
    cli::PolicyHow,
    facts::{Known, Whereabouts},
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    policy::{Fetched, sts_policy::Mode},
    publish::{Exchange, KeptPolicy, Ours, Record, publisher::Publisher, record_due},
    report::{Event, Observer as _, Progress, Terminal, json::ZoneDoc},
    settings::Settings,
    survey, world,
};
use std::collections::BTreeSet;

/// Where the record lies, and how it gets there.
pub(super) struct Way {
    at: Whereabouts,
    publisher: Publisher,
}

/// The way, as flags and settings say it; `None` where it is by hand.
pub(super) async fn way(site: &Site, how: &PolicyHow, settings: &Settings, domain: &DnsName) -> Result<Option<Way>, Trouble> {
    if how.publish.is_none() && !settings.publishers().map_err(Trouble::usage)?.any() {
        return Ok(None);
    }
    let owner = domain.under("_mta-sts").map_err(|e| Trouble::usage(e.to_string()))?;
    let at = match survey::whereabouts(&site.net, &BTreeSet::from([owner.clone()])).await.remove(&owner) {
        Some(Known::Seen { value, .. }) => value,
        Some(Known::Unknown { why }) => return Err(unplaced(&owner, &why)),
        None => return Err(unplaced(&owner, "no resolver could be asked")),
    };
    let wishes = how.way.wishes(how.publish.flatten()).over(settings.publishing(&at.zone));
    if how.publish.is_some() {
        wishes.publisher().map_err(Trouble::usage)?;
    }
    let publisher = wishes.by_itself().transpose().map_err(Trouble::usage)?;
    Ok(publisher.map(|publisher| Way { at, publisher }))
}

fn unplaced(owner: &DnsName, why: &str) -> Trouble {
    let says =
        format!("nothing was changed: where {owner} lies could not be told ({why}); with --publish manual the record is left to you");
    Trouble { exit: 3, ..Trouble::human(says) }
}

/// What came of it.
pub(super) struct Announced {
    /// What senders see now.
    pub seen: Seen,
    /// What is kept, with that taken in.
    pub kept: KeptPolicy,
    /// What is left to the admin, as a sentence.
    pub next: Option<String>,
    /// What is left to others, or went wrong.
    pub left: Option<Finding>,
    /// What became of the zone, where it was told anything.
    pub zone: Option<ZoneDoc>,
}

impl Announced {
    /// Nothing was due.
    pub(super) const fn nothing(seen: Seen, kept: KeptPolicy) -> Self {
        Self { seen, kept, next: None, left: None, zone: None }
    }
}

/// The exact change of the zone that follows once every address of the policy host serves the policy.
///
/// # Errors
/// As [`record`], and where the records of this host cannot be read.
pub(super) async fn draft(site: &Site, way: &Way, kept: &KeptPolicy, seen: &Seen) -> Result<(Option<ZoneDoc>, Option<Finding>), Trouble> {
    let Some(about) = seen.facts.domains.iter().find(|d| d.domain == kept.domain) else { return Ok((None, None)) };
    let served = Fetched::from_all(kept.policy.text().as_bytes());
    let then = kept.clone().seen(Some(&served), &about.mta_sts, &about.mx, world::now());
    Ok(match due(site, way, &then, seen)? {
        Ok(Some(exchange)) => {
            let drafted = way.publisher.draft(&site.net, &exchange, world::now()).await;
            (Some(became(&exchange, &way.publisher, true, drafted)), None)
        }
        Ok(None) => (None, None),
        Err(left) => (None, Some(*left)),
    })
}

/// What is due at the name of the record.
fn due(site: &Site, way: &Way, kept: &KeptPolicy, seen: &Seen) -> Result<Result<Option<Exchange>, Box<Finding>>, Trouble> {
    let ours: Ours = site.store.load(Ours::FILE).map_err(Trouble::state)?.unwrap_or_default();
    let about = seen.facts.domains.iter().find(|d| d.domain == kept.domain);
    let texts = about.and_then(|d| Some(d.mta_sts.value()?.records.clone())).unwrap_or_default();
    Ok(record_due(kept, &texts, &way.at, &ours, world::now()))
}

/// Tells DNS what is due there, and looks again. Whoever agreed to the policy in this run has agreed to its record.
pub(super) async fn record(
    site: &Site,
    way: &Way,
    how: &PolicyHow,
    decided: bool,
    kept: KeptPolicy,
    seen: Seen,
    progress: &Progress,
) -> Result<Announced, Trouble> {
    let exchange = match due(site, way, &kept, &seen)? {
        Ok(Some(exchange)) => exchange,
        Ok(None) => return Ok(Announced::nothing(seen, kept)),
        Err(left) => return Ok(Announced { left: Some(*left), ..Announced::nothing(seen, kept) }),
    };
    if !decided && !how.approval.yes {
        if how.approval.non_interactive || !Terminal::can_ask() {
            let next = Some("say --yes, and mxseal changes the record: nobody could be asked".to_owned());
            return Ok(Announced { next, ..Announced::nothing(seen, kept) });
        }
        progress.line(lines(&exchange).trim_end());
        if !agreed(&how.approval, "Tell DNS so?")? {
            return Err(Trouble::human("nothing was changed"));
        }
    }
    progress.see(Event::Started(format!("change the record of the policy in {}", exchange.zone)));
    let promise = |claims: &mut Claims| claims.tell_policy(&kept.domain, Some(&kept.policy), world::now());
    let zone = became(&exchange, &way.publisher, false, bring(site, &way.publisher, &exchange, promise).await);
    progress.see(Event::Done(if zone.error.is_none() { "done".into() } else { "not done".into() }));
    if let Some(why) = &zone.error {
        let left = Some(as_it_was(&kept, why));
        return Ok(Announced { left, zone: Some(zone), ..Announced::nothing(seen, kept) });
    }
    let seen = Seen::look(site, seen.facts).await;
    let kept = seen.keep(site, kept)?;
    Ok(Announced { next: zone.next.clone(), zone: Some(zone), ..Announced::nothing(seen, kept) })
}

fn as_it_was(kept: &KeptPolicy, why: &str) -> Finding {
    let verb = match kept.policy.mode {
        Mode::None => "leave".to_owned(),
        mode => mode.to_string(),
    };
    let says = format!("the record of the policy of {} is not published", kept.domain);
    Finding::new("publish-failed", Verdict::Fail, Subject::Domain(kept.domain.clone()), says)
        .seen(why)
        .means("the policy is served as it should be; senders go by what they knew before until the record says that it changed")
        .remedy(Remedy::Command(format!("mxseal policy {verb} {} --publish", kept.domain)))
}

/// The change of the zone, a line each.
fn lines(exchange: &Exchange) -> String {
    let signed = |sign: char, records: &[Record]| records.iter().map(|r| format!("{sign} {r}\n")).collect::<String>();
    signed('-', &exchange.remove) + &signed('+', &exchange.add)
}
