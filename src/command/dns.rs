//! `mxseal dns`: what the world should be told in DNS, and is not; where it is asked for, tells it and waits.

mod publish;

use super::{Trouble, interrupt, place, place::Site, rollover, senders, wait};
use crate::{
    apply,
    cli::{Dns, Global, RecordFormat},
    facts::Facts,
    finding::{Finding, Remedy, Subject, Verdict},
    intent::Tell,
    plan,
    publish::{Asked, Issuer, Sheet, Wanted, dialect::Dialect},
    report::{
        self, Style, Terminal, json,
        json::{WaitDoc, ZoneDoc},
    },
    settings::Settings,
};

pub(super) async fn run(args: &Dns, global: &Global) -> Result<u8, Trouble> {
    let settings = place::settings(global)?;
    let mut site = Site::of(&args.place, &[], &settings, global)?;
    let dialect = dialect(args.format).filter(|_| !global.json);
    if args.publish.is_some() && !args.dry_run {
        site.needs_owner()?;
        site.open_store(&global.state_dir)?;
    }
    interrupt::last_words("dns", &site.store, global);
    let facts = senders::told(&site, true).await?;
    let asked = Asked {
        mx: site.place.mx.clone(),
        rua: if args.rua.is_empty() { settings.rua.clone() } else { args.rua.clone() },
        caa: issuer(args, &facts, &settings)?,
        tell: settings.tell.clone(),
    };
    let (facts, mut sheet) = senders::compared(&site, facts, &asked).await;
    if asked.tell.contains(&Tell::Nothing) {
        let says = "the settings say that senders are told nothing (tell), so only records that bind this host already are looked at";
        let file = global.config.display();
        let left_out = Finding::new("tell-planned", Verdict::Pass, Subject::Host, says);
        sheet.findings.push(left_out.remedy(Remedy::Do(format!("take the key tell out of {file}, and ask again"))));
    }

    let (zones, left) = match args.publish {
        Some(_) => publish::run(args, &site, &settings, &facts, &sheet).await?,
        None => Default::default(),
    };
    let is_left = !left.is_empty();
    sheet.findings.extend(left);
    let shown: Vec<&Wanted> = match (args.all, args.publish) {
        (true, _) => sheet.wanted.iter().collect(),
        // What was done by mxseal is told by its zone.
        (false, Some(_)) => sheet.open().filter(|w| zones.iter().any(|z| z.state == "by-hand" && z.is_told(&(*w).into()))).collect(),
        (false, None) => sheet.open().collect(),
    };
    if let Some(dialect) = dialect {
        Terminal::print(&dialect.text(&shown));
        Terminal::print(&report::zones_page(Style::of_stdout(), &zones));
        // A pipe gets records alone.
        Terminal::complain(&report::dns_page(Style::of_stdout(), &sheet, args.publish.is_some()));
    }
    let patience = wait::Patience { timeout: args.timeout, public: args.public_resolver.0, quiet: dialect.is_none() };
    let told = args.publish.is_some().then_some(zones.as_slice());
    let waited = if args.wait {
        interrupt::reached(interrupt::Reached::Told);
        Some(wait::run(patience, &site, &sheet, told).await)
    } else {
        None
    };
    if let (Some(why), Some(_)) = (waited.as_ref().and_then(|w| w.why.as_ref()), dialect) {
        Terminal::complain(&format!("Who sees the records could not be told: {why}"));
    }
    if waited.as_ref().is_some_and(|w| w.exit == 0) {
        seen_by_all(&site, &facts).await?;
    }
    let exit = exit(args, &sheet, &zones, is_left, waited.as_ref());
    if dialect.is_none() {
        Terminal::document(&json::text(&json::DnsDoc { zones, wait: waited, ..json::DnsDoc::of(&shown, &sheet.findings, exit) }));
    }
    Ok(exit)
}

/// Everybody has the records: from now on the time counts after which the next keys may be used.
async fn seen_by_all(site: &Site, facts: &Facts) -> Result<(), Trouble> {
    let receipts = apply::receipts(&site.store).map_err(Trouble::state)?;
    let Some(standing) = apply::standing(&receipts) else { return Ok(()) };
    for lineage in facts.lineages.iter().filter(|l| l.adopted.is_empty()) {
        rollover::keys::look(site, standing, lineage, true).await?;
    }
    Ok(())
}

/// 1 where something is missing or wrong, 3 where something could not be told, else 0. What was published is not missing any
/// more, and what was waited for is as the wait says.
fn exit(args: &Dns, sheet: &Sheet, zones: &[ZoneDoc], is_left: bool, waited: Option<&WaitDoc>) -> u8 {
    let is = |verdict| sheet.findings.iter().any(|f| f.verdict == verdict);
    let undone = |z: &ZoneDoc| match z.state {
        "published" | "nothing-to-do" => false,
        "by-hand" => waited.is_none(),
        _ => true,
    };
    let missing = match (args.publish, waited) {
        (Some(_), _) => is_left || zones.iter().any(undone),
        (None, Some(_)) => false,
        (None, None) => sheet.open().next().is_some(),
    };
    match (missing || is(Verdict::Fail), waited.map_or(0, |w| w.exit), is(Verdict::Unknown)) {
        (true, ..) | (_, 1, _) => 1,
        (_, 0, false) => 0,
        _ => 3,
    }
}

/// The CA that CAA records name (RFC 8659 §4.2), where they were asked for.
fn issuer(args: &Dns, facts: &Facts, settings: &Settings) -> Result<Option<Issuer>, Trouble> {
    let name = match &args.caa {
        None => return Ok(None),
        Some(Some(name)) => name.to_string(),
        Some(None) if facts.lineages.iter().any(|l| l.directory.contains(".letsencrypt.org/")) => "letsencrypt.org".into(),
        Some(None) => return Err(Trouble::usage("say which CA may issue, as it calls itself in CAA records: --caa DOMAIN")),
    };
    let publisher = settings.publishers().map_err(Trouble::usage)?.any();
    Ok(Some(Issuer { name, methods: plan::challenges(settings.challenge, publisher) }))
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
