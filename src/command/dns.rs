//! `mxseal dns`: what the world should be told in DNS, and is not.

use super::{Trouble, deployed, place, place::Site};
use crate::{
    apply,
    cli::{Dns, Global, RecordFormat},
    facts::Facts,
    finding::Verdict,
    name::DnsName,
    publish::{Asked, Sheet, Wanted, dialect::Dialect, policies, sheet},
    report::{self, Style, Terminal, json},
    survey,
};
use std::collections::BTreeSet;

pub(super) async fn run(args: &Dns, global: &Global) -> Result<u8, Trouble> {
    let settings = place::settings(global)?;
    let site = Site::of(&args.place, &[], &settings, global)?;
    let facts = told(&site, true).await?;
    let asked = Asked { mx: site.place.mx.clone(), rua: args.rua.clone(), caa: issuer(args, &facts)? };
    let sheet = compared(&site, facts, &asked).await;

    let shown: Vec<&Wanted> = if args.all { sheet.wanted.iter().collect() } else { sheet.open().collect() };
    let exit = exit(&sheet);
    match dialect(args.format).filter(|_| !global.json) {
        None => Terminal::print(&json::text(&json::DnsDoc::of(&shown, &sheet.findings, exit))),
        Some(dialect) => {
            Terminal::print(&dialect.text(&shown));
            // A pipe gets records alone.
            Terminal::complain(&report::dns_page(Style::of_stdout(), &sheet));
        }
    }
    Ok(exit)
}

/// The facts, with how far each certificate really got and, where asked for, what is served. Our keys are root's to see.
pub(super) async fn told(site: &Site, served: bool) -> Result<Facts, Trouble> {
    site.needs_owner()?;
    let mut facts = site.survey(served).await?;
    let receipts = apply::receipts(&site.store).map_err(Trouble::state)?;
    facts.lineages.iter_mut().for_each(|l| l.deployment = deployed::deployment(l, &receipts));
    Ok(facts)
}

/// What is wanted, compared with what DNS says. What seems to be missing is asked of the zone's own servers, so that nobody has
/// to wait for caches after publishing it.
async fn compared(site: &Site, mut facts: Facts, asked: &Asked) -> Sheet {
    let mut sight = survey::sight(&site.net, &facts, asked).await;
    let kept = policies::all(&site.store).unwrap_or_default();
    sight.kept = kept.into_iter().map(|k| (k.domain.clone(), k)).collect();
    let mut seen = sheet(&facts, &sight, asked);
    let owners: BTreeSet<DnsName> = seen.wanted.iter().map(|w| w.owner.clone()).collect();
    let places = survey::whereabouts(&site.net, &owners).await;
    let open: BTreeSet<DnsName> = seen.open().map(|w| w.owner.clone()).collect();
    if !open.is_empty() {
        survey::ask_authorities(&site.net, &mut facts, &places, &open).await;
        seen = sheet(&facts, &sight, asked);
    }
    seen.place(&places);
    seen
}

/// 1 where something is missing or wrong, 3 where something could not be told, else 0.
fn exit(sheet: &Sheet) -> u8 {
    let is = |verdict| sheet.findings.iter().any(|f| f.verdict == verdict);
    match (sheet.open().next().is_some() || is(Verdict::Fail), is(Verdict::Unknown)) {
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 0,
    }
}

/// The CA that CAA records name (RFC 8659 §4.2), where they were asked for.
fn issuer(args: &Dns, facts: &Facts) -> Result<Option<String>, Trouble> {
    match &args.caa {
        None => Ok(None),
        Some(Some(name)) => Ok(Some(name.to_string())),
        Some(None) if facts.lineages.iter().any(|l| l.directory.contains(".letsencrypt.org/")) => Ok(Some("letsencrypt.org".into())),
        Some(None) => Err(Trouble::usage("say which CA may issue, as it calls itself in CAA records: --caa DOMAIN")),
    }
}

const fn dialect(format: RecordFormat) -> Option<Dialect> {
    Some(match format {
        RecordFormat::Zone => Dialect::Zone,
        RecordFormat::Nsupdate => Dialect::Nsupdate,
        RecordFormat::Generic => Dialect::Generic,
        RecordFormat::Panel => Dialect::Panel,
        RecordFormat::Terraform => Dialect::Terraform,
        RecordFormat::Dnscontrol => Dialect::Dnscontrol,
        RecordFormat::Octodns => Dialect::Octodns,
        RecordFormat::Json => return None,
    })
}
