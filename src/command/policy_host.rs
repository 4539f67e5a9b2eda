//! The policy host on this machine: a certificate for each name, one file with all that is served, the units that serve it. What
//! `mxseal policy` brings up, and `mxseal renew` keeps true.

use super::{Trouble, door::SERVED, kept, place::Site, wishes::wishes};
use crate::{
    acme, apply,
    certificate::KeyType,
    dns::Resolver,
    facts::{Deployment, Known, Lineage, PortOwner},
    finding::{Finding, Remedy, Subject, Verdict},
    intent::LETS_ENCRYPT,
    maintain::{Due, lineage_due},
    name::DnsName,
    plan::{KeyChoice, Obtain},
    publish::{KeptPolicy, PolicyHost},
    report::Progress,
    serve::{Served, ServedHost},
    settings::Settings,
    survey,
    world::{self, Machine},
};
use std::collections::BTreeMap;

/// HTTPS.
const PORT: u16 = 443;

/// Why this host cannot serve a policy itself: somebody else has the port.
pub(super) fn taken() -> Option<Trouble> {
    let owners = survey::port_owners(&Machine, PORT);
    // Systemd holds the socket of ours.
    let theirs = |owner: &&PortOwner| !matches!(owner.program.as_str(), "mxseal" | "systemd");
    let owner = owners.iter().filter_map(Known::value).find(theirs)?;
    Some(
        Trouble::human(format!(
            "port {PORT} is {}'s (process {}), so mxseal cannot serve a policy there. Let that server do it: --policy-host snippet writes the \
             file and prints a site for nginx, Apache or Caddy; --policy-host export writes the file alone",
            if owner.program.is_empty() { "another program" } else { &owner.program },
            owner.pid,
        ))
        .about("policy-host-taken"),
    )
}

/// Brings the policy host to these policies: orders what is missing or due, writes the file, starts or restarts the service; where
/// it has nothing left to serve, takes all of it away. A name without a certificate is left out and told: the others are served. An
/// order that failed rests, unless somebody `insists`.
pub(super) async fn keep(
    site: &Site,
    settings: &Settings,
    all: &[KeptPolicy],
    insists: bool,
    progress: &Progress,
) -> Result<Vec<Finding>, Trouble> {
    let ours: Vec<&KeptPolicy> = all.iter().filter(|k| k.host == PolicyHost::Builtin).collect();
    let (served, mut findings) = certify(site, settings, &ours, insists, progress).await?;
    let installed = if ours.is_empty() { retire(site) } else { install(site, &served) };
    findings.extend(installed?);
    Ok(findings)
}

/// What is to be served of these policies, each with its certificate; and what went wrong.
pub(super) async fn certify(
    site: &Site,
    settings: &Settings,
    ours: &[&KeptPolicy],
    insists: bool,
    progress: &Progress,
) -> Result<(Served, Vec<Finding>), Trouble> {
    let (mut hosts, mut findings) = (BTreeMap::new(), Vec::new());
    for kept in ours {
        let Ok(name) = kept.domain.under("mta-sts") else { continue };
        let (lineage, fault) = certified(site, settings, &kept.domain, &name, insists, progress).await?;
        findings.extend(fault);
        if let Some(digest) = lineage.as_ref().and_then(|l| l.bundle.as_ref()) {
            let bundle = String::from_utf8(site.store.get(digest).map_err(Trouble::state)?).unwrap_or_default();
            hosts.insert(name, ServedHost { policy: kept.policy.text(), bundle });
        }
    }
    Ok((Served::new(hosts), findings))
}

/// The certificate of a policy host's name, ordered where it is missing or due; and what went wrong. One that is good still is served
/// on when its renewal fails.
async fn certified(
    site: &Site,
    settings: &Settings,
    domain: &DnsName,
    name: &DnsName,
    insists: bool,
    progress: &Progress,
) -> Result<(Option<Lineage>, Option<Finding>), Trouble> {
    let now = world::now();
    let mut known = acme::load_lineage(&site.store, name).map_err(Trouble::state)?.filter(|l| l.bundle.is_some());
    if let Some(rest) = kept::rest(&site.store, name).filter(|rest| rest.holds(insists, now)) {
        return Ok((known, Some(rest.finding)));
    }
    if let Some(lineage) = &known
        && let Ok(told) = acme::ask_windows(&site.net, &site.store, lineage).await
    {
        known = Some(told);
    }
    if known.as_ref().is_some_and(|l| matches!(lineage_due(l, now), Due::Later(_))) {
        return Ok((known, None));
    }
    // A CA that finds no address counts a failure.
    if let Some(unseen) = no_address(site, domain, name).await {
        return Ok((known, Some(unseen)));
    }
    let order = order(site, settings, name, known.as_ref());
    let wishes = acme::Wishes { email: settings.email.clone().filter(|e| !e.is_empty()), ..wishes(site, settings, &order) };
    match acme::obtain(&site.net, &site.store, &order, &wishes, progress).await {
        Ok(lineage) => {
            kept::rested(&site.store, name);
            Ok((Some(lineage), None))
        }
        Err(why) => {
            // It is noted before the CA is asked.
            let begun = acme::load_lineage(&site.store, name).map_err(Trouble::state)?;
            let fault = match begun.as_ref().or(known.as_ref()) {
                Some(lineage) => kept::failed(&site.store, lineage, &why).finding,
                None => return Err(Trouble::of(why)),
            };
            Ok((known, Some(fault)))
        }
    }
}

/// A key of its own, from the CA that issued before, or that issues for the mail server.
fn order(site: &Site, settings: &Settings, name: &DnsName, known: Option<&Lineage>) -> Obtain {
    let others = || acme::load_lineages(&site.store).ok()?.into_iter().map(|l| l.directory).find(|d| !d.is_empty());
    let replaces = known.and_then(|l| l.keys.first()?.leaf.as_ref()).map(|leaf| leaf.serial.clone());
    let directory = known.map(|l| l.directory.clone()).or_else(|| settings.acme_directory.clone()).or_else(others);
    Obtain {
        lineage: name.clone(),
        names: vec![name.clone()],
        keys: vec![KeyChoice { key_type: KeyType::Ecdsa, reuse: None, replaces }],
        directory: directory.unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
        acme_profile: known.map_or_else(|| settings.acme_profile.clone(), |l| l.acme_profile.clone()),
        live: site.store.path(SERVED),
    }
}

/// Where the name leads nowhere, senders cannot fetch anything, and no CA can look.
async fn no_address(site: &Site, domain: &DnsName, name: &DnsName) -> Option<Finding> {
    let subject = Subject::Domain(domain.clone());
    let finding = match Resolver::new(&site.net).ok()?.addresses_now(name).await {
        Known::Seen { value, .. } if value.records.is_empty() => Finding::new(
            "mta-sts-not-served",
            Verdict::Fail,
            subject,
            format!("{name} has no address, so nobody can fetch the policy there"),
        ),
        Known::Seen { .. } => return None,
        Known::Unknown { why } => {
            Finding::new("dns-unknown", Verdict::Unknown, subject, format!("the addresses of {name} could not be looked up: {why}"))
        }
    };
    Some(finding.remedy(Remedy::Command(format!("mxseal dns --domain {domain}"))))
}

/// The file in its place, and the service that serves it.
fn install(site: &Site, served: &Served) -> Result<Option<Finding>, Trouble> {
    let before = site.store.load::<Served>(SERVED).ok().flatten();
    let news = before.as_ref() != Some(served);
    if news {
        site.store.save(SERVED, served).map_err(Trouble::state)?;
        for name in served.hosts.keys() {
            acme::mark(&site.store, name, Deployment::Installed).map_err(Trouble::state)?;
        }
    }
    let program = std::env::current_exe().unwrap_or_default();
    Ok(apply::start_policy_host(&mut Machine, &site.store, &program, news))
}

/// Nothing is served here any more.
fn retire(site: &Site) -> Result<Option<Finding>, Trouble> {
    if site.store.load::<Served>(SERVED).ok().flatten().is_none() {
        return Ok(None);
    }
    let left = apply::stop_policy_host(&mut Machine, &site.store);
    site.store.remove(SERVED).map_err(Trouble::state)?;
    Ok(left)
}
