//! The end of a setup: what senders are told, once the wire has proved that it is true. A problem here takes nothing back.

use super::{
    dns,
    interrupt::{Reached, reached},
    place::Site,
    policy,
};
use crate::{
    claims::Claims,
    cli::Global,
    facts::Facts,
    finding::{Finding, Remedy, Subject, Verdict},
    intent::Tell,
    name::DnsName,
    publish::{
        self, Asked, Exchange, Ours, Sheet, Wanted,
        dialect::Dialect,
        exchanges, policies,
        publisher::{Draft, How, Publisher, Refused},
        told,
    },
    report::{self, Event, Observer as _, Progress, Style, Terminal, json, json::Outcome},
    settings::Settings,
    world,
};

/// What a plan says of it.
pub(super) fn note(facts: &Facts, mx: &[DnsName], settings: &Settings) -> Option<Finding> {
    let how = match settings.publish {
        None | Some(How::Manual) => "the records are printed for your zone, and nothing is sent anywhere; --tell nothing leaves it out",
        Some(How::Zonefile) => "mxseal puts the records into the zone's file; --tell nothing leaves it out",
        Some(How::Rfc2136) => "mxseal sends the records to the zone's server; --tell nothing leaves it out",
        Some(How::Hook) => "mxseal gives the records to your program; --tell nothing leaves it out",
    };
    publish::outlook(facts, mx, &settings.tell, settings.policy_host, how)
}

/// What is asked for. Of a policy nothing is told before it is there.
pub(super) fn asked(site: &Site, settings: &Settings) -> Asked {
    let mut tell = settings.tell.clone();
    if tell.is_empty() && policies::all(&site.store).is_ok_and(|kept| kept.is_empty()) {
        tell = vec![Tell::TlsRpt, Tell::Dane];
    }
    Asked { mx: site.place.mx.clone(), rua: settings.rua.clone(), caa: None, tell }
}

/// Tells them, or prints what is left to a person.
pub(super) async fn senders(
    site: &Site,
    settings: &Settings,
    mut facts: Facts,
    global: &Global,
    progress: &Progress,
    outcome: &mut Outcome,
) {
    if settings.tell.contains(&Tell::Nothing) {
        return;
    }
    let begun = if settings.policy_host.is_some() && Tell::MtaSts.is_in(&settings.tell) {
        policy::begin::all(site, settings, &facts, progress).await
    } else {
        Vec::new()
    };
    let not_begun = begun.iter().any(|f| f.verdict == Verdict::Fail || f.id == "policy-not-begun");
    progress.see(Event::Started("compare what senders are told with what is true now".into()));
    match told::see(&site.store, &facts) {
        Ok(claims) => facts.claims = claims,
        // What cannot be kept in mind must not be told.
        Err(e) => {
            progress.see(Event::Done("not done".into()));
            return problem(unkept(&e), global, outcome);
        }
    }
    let (facts, sheet) = dns::compared(site, facts, &asked(site, settings)).await;
    progress.see(Event::Done(format!("{} records to add", sheet.open().count())));
    let ours: Ours = site.store.load(Ours::FILE).ok().flatten().unwrap_or_default();
    let (all, left) = exchanges(&sheet, &ours);
    let (mut by_hand, mut published) = (left, 0);
    let mut zones: Vec<DnsName> = Vec::new();
    for exchange in &all {
        let Some(way) = settings.publishing(&exchange.zone).by_itself() else { continue };
        progress.see(Event::Started(format!("publish {} records in {}", exchange.add.len(), exchange.zone)));
        let promise = |claims: &mut Claims| told::promise_keys(claims, &facts, &sheet, exchange);
        let done = match way {
            Ok(publisher) => bring(site, &publisher, exchange, promise).await.map_err(|e| e.to_string()),
            Err(why) => Err(why),
        };
        progress.see(Event::Done(if done.is_ok() { "done".into() } else { "not done".into() }));
        match done {
            Ok(_) => {
                published += exchange.add.len();
                zones.push(exchange.zone.clone());
            }
            Err(why) => by_hand.push(not_published(exchange, &why)),
        }
    }
    let failed = by_hand.iter().any(|f| f.id == "publish-failed");
    let open: Vec<&Wanted> = sheet.open().filter(|w| w.zone().is_none_or(|zone| !zones.contains(zone))).collect();
    if !global.json {
        Terminal::print(&report::findings(Style::of_stdout(), &begun));
        Terminal::print(&page(&open, &sheet, published));
        Terminal::print(&report::findings(Style::of_stdout(), &by_hand));
    }
    let exit = u8::from(failed || not_begun);
    let all = [&sheet.findings[..], &by_hand[..]].concat();
    outcome.dns = Some(json::DnsDoc::of(&sheet.open().collect::<Vec<_>>(), &all, exit));
    outcome.findings.extend(begun.into_iter().chain(by_hand));
    outcome.exit = outcome.exit.max(exit);
}

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

fn page(open: &[&Wanted], sheet: &Sheet, published: usize) -> String {
    let mut out = String::new();
    if !open.is_empty() {
        out.push_str("\nWhat senders should be told, for your zone:\n\n");
        out.push_str(&Dialect::Zone.text(open));
    }
    let right = sheet.wanted.len() - sheet.open().count();
    let says = match (open.len(), published) {
        (0, 0) if right == 0 => "Nothing can be told to senders yet; why: mxseal dns".to_owned(),
        (0, 0) => format!("Senders are told what they should be: {right} records."),
        (0, n) => format!("{n} records are published. To wait until the world sees them: mxseal dns --wait"),
        (_, 0) => "Put these into your zone, then run: mxseal dns --wait".to_owned(),
        (_, n) => format!("{n} records are published; put these into your zone, then run: mxseal dns --wait"),
    };
    out.push_str(&format!("\n{}", report::row(Style::of_stdout(), "", &says)));
    out
}

fn not_published(exchange: &Exchange, why: &str) -> Finding {
    let says = format!("the records of {} are not published", exchange.zone);
    Finding::new("publish-failed", Verdict::Warn, Subject::Domain(exchange.zone.clone()), says)
        .seen(why)
        .means("the certificate is served and proved all the same; senders are not told of it yet")
        .remedy(Remedy::Command("mxseal dns --publish".into()))
}

fn unkept(e: &std::io::Error) -> Finding {
    Finding::new("publish-failed", Verdict::Warn, Subject::Host, "what senders are told could not be noted, so they were told nothing")
        .seen(e.to_string())
        .means("the certificate is served and proved all the same")
        .remedy(Remedy::Command("mxseal dns".into()))
}

fn problem(finding: Finding, global: &Global, outcome: &mut Outcome) {
    if !global.json {
        Terminal::print(&report::findings(Style::of_stdout(), std::slice::from_ref(&finding)));
    }
    outcome.findings.push(finding);
    outcome.exit = outcome.exit.max(1);
}
