//! Before files go back: what the world was told of them is taken back, one step a run, and no run waits.

use crate::{
    change::{Receipt, Want},
    claims::{Claim, Claims},
    cli::{Global, Undo},
    command::{self, Trouble, bring::bring, course::Ended, place::Site},
    facts::Security,
    finding::{Finding, Verdict},
    moment::Moment,
    name::DnsName,
    plan::{Retreat, RetreatStep},
    publish::{Data, Exchange, Ours, Record, told},
    report::{self, Event, Observer as _, Progress, Style, Terminal, json::Outcome},
    settings::Settings,
    survey, world,
};
use std::collections::BTreeSet;

/// What the world was told and may still believe. DNS is asked what is published, for not everything goes through us; where it
/// does not answer, what is kept counts.
pub(super) async fn claims(args: &Undo, site: &Site, receipt: &Receipt) -> Result<Claims, Trouble> {
    let promised = receipt.change.prove.iter().filter(|e| matches!(e.want, Want::Ours(_)));
    let names: BTreeSet<DnsName> = promised.map(|e| e.name.clone()).collect();
    let seen = survey::tlsa(&site.net, &names).await;
    let now = world::now();
    let note = |claims: &mut Claims| {
        for (name, answer) in &seen {
            if let Some(answer) = answer.value().filter(|a| a.security != Security::Bogus) {
                claims.see_tlsa(name, &answer.records, answer.ttl, now);
            }
        }
    };
    if args.approval.dry_run {
        let mut claims = told::claims(&site.store).map_err(Trouble::state)?;
        note(&mut claims);
        return Ok(claims);
    }
    told::tell(&site.store, now, note).map_err(Trouble::state)
}

/// Takes the next step, where one can be taken from here, and says when to come back.
pub(super) async fn step(
    args: &Undo,
    site: &Site,
    settings: &Settings,
    global: &Global,
    retreat: &Retreat,
    progress: &Progress,
    outcome: &mut Outcome,
) -> Result<(), Trouble> {
    outcome.findings.extend(retreat.against.iter().cloned());
    if !global.json {
        Terminal::print(&report::findings(Style::of_stdout(), &retreat.against));
    }
    let held = |says: String| Ended::new("held", 1, format!("No file was put back. {says}"));
    let again = "then run mxseal undo again";
    match &retreat.next {
        RetreatStep::Wait(until) => held(format!("Caches may believe what was withdrawn until {until}; {again}.")).tell(outcome, global),
        RetreatStep::Leave(domains) => {
            let leave: Vec<String> = domains.iter().map(|d| format!("mxseal policy leave {d}")).collect();
            held(format!("Leave the policy first: {}; {again}.", leave.join(" and "))).tell(outcome, global)
        }
        RetreatStep::Unlist(domains) => {
            let domains: Vec<String> = domains.iter().map(ToString::to_string).collect();
            held(format!("Have {} taken off the list, {again}.", domains.join(", "))).tell(outcome, global)
        }
        RetreatStep::Withdraw(names) => {
            let ours: Ours = site.store.load(Ours::FILE).map_err(Trouble::state)?.unwrap_or_default();
            let exchanges = withdrawals(&ours, names);
            let ways = exchanges.iter().filter_map(|e| settings.publishing(&e.zone).by_itself());
            let ways = ways.collect::<Result<Vec<_>, _>>().map_err(Trouble::usage)?;
            if exchanges.is_empty() || ways.len() < exchanges.len() {
                let owners: Vec<String> = names.iter().map(|n| format!("_25._tcp.{n}")).collect();
                return held(format!("Withdraw the TLSA records of {}, {again}.", owners.join(", "))).tell(outcome, global);
            }
            if !global.json {
                let gone: String = exchanges.iter().flat_map(|e| &e.remove).map(|record| format!("- {record}\n")).collect();
                Terminal::print(&gone);
            }
            if args.approval.dry_run {
                return Ended::new("planned", 0, "Nothing was changed.").tell(outcome, global);
            }
            if !command::agreed(&args.approval, "Withdraw these records, as the first step?")? {
                return Ended::new("declined", 1, "Nothing was changed.").tell(outcome, global);
            }
            for (exchange, publisher) in exchanges.iter().zip(&ways) {
                progress.see(Event::Started(format!("withdraw {} records from {}", exchange.remove.len(), exchange.zone)));
                bring(site, publisher, exchange, |_| ()).await.map_err(Trouble::human)?;
                progress.see(Event::Done("done".into()));
            }
            outcome.changed = true;
            let until = withdrawn(site, names)?;
            held(format!("The TLSA records are withdrawn. Caches may believe them until {until}; {again}.")).tell(outcome, global)
        }
    }
}

/// With `--files-only` who will keep or bounce mail is named, and the name that was given must be one of those that are hit.
pub(super) fn although(args: &Undo, retreat: Option<Retreat>) -> Result<Vec<Finding>, Trouble> {
    let (Some(name), Some(retreat)) = (&args.files_only, retreat) else { return Ok(Vec::new()) };
    if retreat.names.contains(name) {
        return Ok(retreat.against.into_iter().map(|f| Finding { verdict: Verdict::Fail, ..f }).collect());
    }
    let names: Vec<String> = retreat.names.iter().map(ToString::to_string).collect();
    Err(Trouble::usage(format!(
        "--files-only {name}: senders were told nothing about that name; to put files back although they were told otherwise, name \
         what that hits: {}",
        names.join(", ")
    ))
    .about("claim-stands"))
}

/// Our TLSA records of these names, as exchanges that take them away.
fn withdrawals(ours: &Ours, names: &[DnsName]) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    let of = |record: &Record| {
        let owned = names.iter().any(|n| n.under("_25._tcp").is_ok_and(|owner| owner == record.owner));
        owned && matches!(record.data, Data::Tlsa(_))
    };
    for told in ours.0.iter().filter(|told| of(&told.record)) {
        match all.iter_mut().find(|e| e.zone == told.zone) {
            Some(exchange) => exchange.remove.push(told.record.clone()),
            None => all.push(Exchange { remove: vec![told.record.clone()], ..Exchange::none(told.zone.clone()) }),
        }
    }
    all
}

/// Notes that they are gone; until when they may be believed.
fn withdrawn(site: &Site, names: &[DnsName]) -> Result<Moment, Trouble> {
    let now = world::now();
    let claims = told::tell(&site.store, now, |claims| names.iter().for_each(|mx| claims.tell_tlsa(mx, &[], 0, now)));
    let claims = claims.map_err(Trouble::state)?;
    Ok(claims.counting(now).filter_map(Claim::until).max().unwrap_or(now))
}
