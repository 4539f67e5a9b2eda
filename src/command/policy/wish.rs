//! A wish about a policy, from the reasons against it to the step that is left to somebody else.

use super::{
    super::{Trouble, agreed, interrupt, place, place::Site, policy_host, senders},
    announce::{self, Announced},
    host,
    page::{document, exit, tell},
    seen::Seen,
};
use crate::{
    cli::{Global, PolicyHow, Where},
    facts::DomainFacts,
    finding::{Finding, Verdict},
    name::DnsName,
    policy::sts_policy::StsPolicy,
    publish::{KeptPolicy, PolicyHost, PolicySeen, PolicyWish, Step, Wished, policies, policy_file, record_line, told, wished},
    report::{
        self, Progress, Style, Terminal,
        json::{PolicyDoc, ZoneDoc},
    },
    settings::Settings,
    world::{self, Hands as _, Machine},
};

pub(super) async fn run(domain: Option<&DnsName>, wish: &PolicyWish, how: &PolicyHow, global: &Global) -> Result<u8, Trouble> {
    place::needs_root()?;
    let settings = place::settings(global)?;
    let entering = match wish {
        PolicyWish::Add(name) => Some(name),
        _ => None,
    };
    let flags = Where {
        domains: domain.cloned().into_iter().collect(),
        mx: entering.cloned().into_iter().chain(settings.mx.clone()).collect(),
        resolver: how.resolver,
        trust_anchors: how.trust_anchors.clone(),
        ..Where::default()
    };
    let mut site = Site::of(&flags, &settings.acme_ca_file, &settings, global)?;
    site.open_store(&global.state_dir)?;
    interrupt::last_words("policy", &site.store, global);
    interrupt::reached(interrupt::Reached::Somewhere);
    let _lock = place::lock(&global.state_dir)?;
    let progress = Progress::new(global.json);

    let seen = Seen::look(&site, senders::told(&site, false).await?).await;
    let about = only(&seen.facts.domains)?.clone();
    let kept = policies::load(&site.store, &about.domain).map_err(Trouble::state)?;
    let kept = kept.map(|k| seen.keep(&site, k)).transpose()?;
    let hosts = if *wish == PolicyWish::Leave { Vec::new() } else { seen.hosts(&site, &about, entering).await };
    let by = host::chosen(&how.wishes(), kept.as_ref(), &settings, &seen, &about)?;
    let view = PolicySeen {
        domain: &about.domain,
        mx: &about.mx,
        served: seen.sight.policies.get(&about.domain),
        record: &about.mta_sts,
        hosts: &hosts,
    };
    let Wished { kept: new, notes } = match wished(kept.clone(), &view, wish, &by, world::now()) {
        Ok(wished) => wished,
        Err(why) => {
            let settled = if why.iter().all(|f| f.id == "mta-sts-mx-used" && f.verdict == Verdict::Warn) {
                "Not yet."
            } else {
                "Nothing was changed."
            };
            let shown = vec![document(&about, &seen.sight, kept.as_ref(), world::now())];
            progress.line(settled);
            tell(global, 1, false, shown, why, Vec::new());
            return Ok(1);
        }
    };

    let way = announce::way(&site, how, &settings, &about.domain).await?;
    let changes = kept.as_ref() != Some(&new);
    if how.approval.dry_run || changes {
        approve(how, global, kept.as_ref().map(|k| &k.policy), &new, &notes, way.is_some())?;
    }
    if how.approval.dry_run {
        let (zone, left) = match &way {
            Some(way) => announce::draft(&site, way, &new, &seen).await?,
            None => (None, None),
        };
        return Ok(dry(global, document(&about, &seen.sight, Some(&new), world::now()), notes, zone, left));
    }
    if new.step(world::now()) == Step::Close {
        return close(&site, &settings, &new, global, &progress).await;
    }
    // On a terminal they were said with the question.
    let mut findings = if global.json || !changes { notes } else { Vec::new() };
    let (seen, new, more) = host::enact(&site, &settings, new, seen, &progress).await?;
    findings.extend(more);
    let Announced { seen, kept: new, next, left, zone } = match way {
        Some(way) => announce::record(&site, &way, how, changes, new, seen, &progress).await?,
        None => Announced::nothing(seen, new),
    };
    findings.extend(left);
    let mut shown = vec![document(&about_now(&seen, &about), &seen.sight, Some(&new), world::now())];
    if let (Some(next), Some(kept)) = (next, shown.iter_mut().find_map(|p| p.kept.as_mut())) {
        kept.next = Some(next);
    }
    let exit = exit(&shown, &findings);
    let changed = changes || zone.as_ref().is_some_and(|z| z.state == "published");
    tell(global, exit, changed, shown, findings, zone.into_iter().collect());
    Ok(exit)
}

/// What would be done; what was said with the question is not said again. 1 where the record could not follow.
fn dry(global: &Global, shown: PolicyDoc, mut notes: Vec<Finding>, zone: Option<ZoneDoc>, left: Option<Finding>) -> u8 {
    let exit = u8::from(left.is_some() || zone.as_ref().is_some_and(|z| z.error.is_some()));
    let zones: Vec<ZoneDoc> = zone.into_iter().collect();
    if global.json {
        notes.extend(left);
        tell(global, exit, false, vec![shown], notes, zones);
    } else {
        let style = Style::of_stdout();
        Terminal::print(&format!("{}{}", report::zones_page(style, &zones), report::findings(style, left.as_slice())));
    }
    exit
}

/// The domain that is meant.
fn only(domains: &[DomainFacts]) -> Result<&DomainFacts, Trouble> {
    match domains {
        [one] => Ok(one),
        [] => Err(Trouble::usage("no mail domain is known here: name one")),
        many => {
            let names: Vec<String> = many.iter().map(|d| d.domain.to_string()).collect();
            Err(Trouble::usage(format!("this server receives for several domains: name one of {}", names.join(", "))))
        }
    }
}

fn about_now(seen: &Seen, before: &DomainFacts) -> DomainFacts {
    seen.facts.domains.iter().find(|d| d.domain == before.domain).unwrap_or(before).clone()
}

/// Shows what is to be served from now on, and asks.
fn approve(
    how: &PolicyHow,
    global: &Global,
    before: Option<&StsPolicy>,
    new: &KeptPolicy,
    notes: &[Finding],
    publishes: bool,
) -> Result<(), Trouble> {
    if !global.json {
        let was = before.map_or_else(|| "no policy is kept here".to_owned(), |p| format!("mode {}", p.mode));
        let says = format!("The policy of {} ({was}) becomes:\n\n{}\n", new.domain, new.policy.text());
        let record = if publishes {
            "Its record is published once every address of the policy host serves it.\n".to_owned()
        } else {
            format!("Its record, once every address of the policy host serves it:\n\n{}\n\n", record_line(new))
        };
        Terminal::print(&format!("{says}{record}{}", report::findings(Style::of_stdout(), notes)));
    }
    if how.approval.dry_run || agreed(&how.approval, "Keep it so?")? { Ok(()) } else { Err(Trouble::human("nothing was changed")) }
}

/// Nobody believes in the policy any more, and no record leads to it: what served it goes. It is forgotten last, so that whoever dies
/// on the way can say it again.
async fn close(site: &Site, settings: &Settings, kept: &KeptPolicy, global: &Global, progress: &Progress) -> Result<u8, Trouble> {
    let findings = match &kept.host {
        PolicyHost::Builtin => {
            let mut others = policies::all(&site.store).map_err(Trouble::state)?;
            others.retain(|k| k.domain != kept.domain);
            policy_host::keep(site, settings, &others, true, progress).await?
        }
        PolicyHost::Snippet { dir, .. } | PolicyHost::Export { dir } => {
            let file = policy_file(dir, &kept.domain);
            Machine.unlink(&file).map_err(|e| Trouble::human(format!("{}: {e}", file.display())).about("policy-host-unservable"))?;
            Vec::new()
        }
        PolicyHost::None => Vec::new(),
    };
    told::tell(&site.store, world::now(), |claims| claims.tell_policy(&kept.domain, None, world::now())).map_err(Trouble::state)?;
    policies::forget(&site.store, &kept.domain).map_err(Trouble::state)?;
    progress.line(&format!("{} has no policy any more. The name mta-sts.{} can go from DNS.", kept.domain, kept.domain));
    if global.json {
        tell(global, 0, true, Vec::new(), findings, Vec::new());
    } else {
        Terminal::print(&report::findings(Style::of_stdout(), &findings));
    }
    Ok(0)
}
