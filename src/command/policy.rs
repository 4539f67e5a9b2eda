//! `mxseal policy`: the MTA-STS policy of a domain, from the first try to the end of it. Each verb says what is wished; what comes
//! next is a step between what is kept and what senders see, so that the same verb goes on from wherever the last run came to.

mod announce;
pub(super) mod begin;
pub(super) mod wish;

use super::{Trouble, dns, interrupt, place, place::Site};
use crate::{
    check::{observe, sender_probes, sts_host},
    cli::{Global, Policy, PolicyMx, PolicyShow},
    facts::{DomainFacts, Facts},
    finding::{Finding, Remedy, Verdict},
    moment::Moment,
    name::DnsName,
    policy::{Fetched, mta_sts::StsRecord, sts_policy::StsPolicy},
    publish::{
        Asked, KeptPolicy, PolicyHost, PolicyWish, Sight, Step, WebServer, policies, policy_file, policy_for, put_in_place, record_line,
        sheet, site, told,
    },
    report::{
        self, Style, Terminal,
        json::{self, KeptPolicyDoc, PolicyDoc, ZoneDoc},
    },
    survey, world,
};
use std::{collections::BTreeSet, time::Duration};

/// How long the conversation with an MX host may take.
const CONVERSATION: Duration = Duration::from_secs(30);

pub(super) async fn run(policy: &Policy, global: &Global) -> Result<u8, Trouble> {
    match policy {
        Policy::Show(args) => show(args, global).await,
        Policy::Testing(t) => wish::run(t.of.domain.as_ref(), &PolicyWish::Testing { weaken: t.weaken }, &t.of.how, global).await,
        Policy::Enforce(e) => wish::run(e.of.domain.as_ref(), &PolicyWish::Enforce { max_age: e.max_age }, &e.of.how, global).await,
        Policy::Leave(of) => wish::run(of.domain.as_ref(), &PolicyWish::Leave, &of.how, global).await,
        Policy::Mx(PolicyMx::Add(of)) => wish::run(of.domain.as_ref(), &PolicyWish::Add(of.host.clone()), &of.how, global).await,
        Policy::Mx(PolicyMx::Remove(of)) => wish::run(of.domain.as_ref(), &PolicyWish::Remove(of.host.clone()), &of.how, global).await,
    }
}

async fn show(args: &PolicyShow, global: &Global) -> Result<u8, Trouble> {
    let settings = place::settings(global)?;
    let site = Site::of(&args.place, &[], &settings, global)?;
    interrupt::last_words("policy", &site.store, global);
    let facts = dns::told(&site, false).await?;
    let seen = Seen::look(&site, facts).await;
    let asked = Asked { mx: site.place.mx.clone(), ..Asked::default() };
    let mut shown = Vec::new();
    for domain in &seen.facts.domains {
        let kept = policies::load(&site.store, &domain.domain).map_err(Trouble::state)?;
        let kept = kept.map(|k| seen.keep(&site, k)).transpose()?;
        shown.push(document(domain, &seen.sight, kept.as_ref(), world::now()));
    }
    let mut findings = sheet(&seen.facts, &seen.sight, &asked).findings;
    findings.retain(|f| f.id.starts_with("mta-sts-") || f.id == "dns-not-ours");
    let kept = |f: &Finding| shown.iter().any(|p: &PolicyDoc| p.kept.is_some() && f.subject.to_string() == p.domain);
    for finding in findings.iter_mut().filter(|f| matches!(f.remedy, Remedy::Command(_)) && !kept(f)) {
        finding.remedy = Remedy::Do("serve the text above at that address, then publish the record".into());
    }
    let exit = exit(&shown, &findings);
    tell(global, exit, false, shown, findings, Vec::new());
    Ok(exit)
}

/// 0 where every policy is served as it should be, or only time has to pass.
fn exit(policies: &[PolicyDoc], findings: &[Finding]) -> u8 {
    let good = |p: &PolicyDoc| p.kept.as_ref().map_or(p.right, |k| matches!(k.step, "stands" | "wait"));
    let is = |verdict| findings.iter().any(|f| f.verdict == verdict);
    match (policies.iter().all(good) && !is(Verdict::Fail), is(Verdict::Unknown)) {
        _ if policies.is_empty() => 3,
        (true, false) => 0,
        (true, true) => 3,
        (false, _) => 1,
    }
}

fn tell(global: &Global, exit: u8, changed: bool, policies: Vec<PolicyDoc>, findings: Vec<Finding>, zones: Vec<ZoneDoc>) {
    let document = json::PoliciesDoc { version: json::VERSION, exit, changed, policies, findings, zones };
    Terminal::document(&if global.json { json::text(&document) } else { report::policy_page(Style::of_stdout(), &document) });
}

/// What senders see of policies, and of the hosts that they name.
pub(super) struct Seen {
    facts: Facts,
    sight: Sight,
}

impl Seen {
    /// A look: the policy by every address of its host, its record at the zone's own servers.
    async fn look(site: &Site, mut facts: Facts) -> Self {
        let sight = survey::sight(&site.net, &facts, &Asked::default()).await;
        for domain in &mut facts.domains {
            domain.policy_host = sight.policy_hosts.get(&domain.domain).unwrap_or(&domain.policy_host).clone();
        }
        let owners: BTreeSet<DnsName> = facts.domains.iter().filter_map(|d| d.domain.under("_mta-sts").ok()).collect();
        let places = survey::whereabouts(&site.net, &owners).await;
        survey::ask_authorities(&site.net, &mut facts, &places, &owners).await;
        Self { facts, sight }
    }

    /// What is kept of a policy, with what was seen taken in. What senders were seen to be told is a claim.
    fn keep(&self, site: &Site, kept: KeptPolicy) -> Result<KeptPolicy, Trouble> {
        let Some(domain) = self.facts.domains.iter().find(|d| d.domain == kept.domain) else { return Ok(kept) };
        let (now, served) = (world::now(), self.sight.policies.get(&kept.domain));
        if let Some(policy) = served.and_then(Fetched::strict) {
            told::tell(&site.store, now, |claims| claims.tell_policy(&kept.domain, Some(policy), now)).map_err(Trouble::state)?;
        }
        let mut kept = kept.seen(served, &domain.mta_sts, &domain.mx, now);
        if domain.policy_host.value().is_some_and(|a| a.records.is_empty()) {
            kept = kept.unnamed(now);
        }
        policies::save(&site.store, &kept).map_err(Trouble::state)?;
        Ok(kept)
    }

    /// What conversations show against MX hosts of the domain, and against one that is to enter.
    async fn hosts(&self, site: &Site, domain: &DomainFacts, entering: Option<&DnsName>) -> Vec<Finding> {
        let named = |name: &DnsName| domain.mx.value().is_some_and(|a| a.records.iter().any(|(_, mx)| mx == name));
        let mut hosts = self.facts.mx_hosts.clone();
        hosts.retain(|h| named(&h.name) || entering == Some(&h.name));
        let views = observe(&site.net, &sender_probes(&hosts), CONVERSATION).await;
        hosts.iter().flat_map(|h| sts_host(h, &views)).collect()
    }
}

/// A policy as it is served and as it should be.
fn document(domain: &DomainFacts, sight: &Sight, kept: Option<&KeptPolicy>, now: Moment) -> PolicyDoc {
    let mx: Vec<DnsName> = domain.mx.value().into_iter().flat_map(|a| &a.records).map(|(_, name)| name.clone()).collect();
    let (served, why) = match sight.policies.get(&domain.domain) {
        Some(Fetched::Policy { reading, .. }) => (reading.value.clone(), None),
        Some(Fetched::Nothing(why) | Fetched::Untold(why)) => (None, Some(why.clone())),
        None => (None, Some(format!("mta-sts.{} has no address", domain.domain))),
    };
    let strict = sight.policies.get(&domain.domain).and_then(Fetched::strict);
    let wanted = kept.map_or_else(|| policy_for(served.as_ref(), &mx), |k| k.policy.clone());
    let id = domain.mta_sts.value().and_then(|a| StsRecord::published(&a.records).strict().map(|r| r.id.clone()));
    PolicyDoc {
        domain: domain.domain.to_string(),
        served: served.as_ref().map(StsPolicy::text),
        not_served: why,
        announced: id,
        right: strict == Some(&wanted),
        mx: mx
            .iter()
            .map(|name| json::CoverDoc { name: name.to_string(), covered: served.as_ref().is_some_and(|p| p.covers(name)) })
            .collect(),
        record: wanted.record().text(),
        text: wanted.text(),
        kept: kept.map(|k| kept_document(k, now)),
    }
}

fn kept_document(kept: &KeptPolicy, now: Moment) -> KeptPolicyDoc {
    let domain = &kept.domain;
    let (step, next) = match kept.step(now) {
        Step::Serve => ("serve", Some(to_serve(kept))),
        Step::Announce(_) => ("announce", Some(format!("publish the record, by hand or with mxseal dns: {}", record_line(kept)))),
        Step::Wait { before, until } => ("wait", Some(format!("from {until} on {before}"))),
        Step::Withdraw => {
            ("withdraw", Some(format!("take the record away, then run mxseal policy leave {domain} again: {}", record_line(kept))))
        }
        Step::Close => ("close", Some(format!("run mxseal policy leave {domain} once more, which ends it"))),
        Step::Stands => ("stands", None),
    };
    let (by, place) = match &kept.host {
        PolicyHost::Builtin => ("builtin", None),
        PolicyHost::Snippet { server, dir } => ("snippet", Some((Some(*server), dir))),
        PolicyHost::Export { dir } => ("export", Some((None, dir))),
        PolicyHost::None => ("none", None),
    };
    let server = place.and_then(|(server, dir)| Some((server?, dir))).filter(|_| step == "serve");
    KeptPolicyDoc {
        mode: kept.policy.mode.to_string(),
        since: kept.since.to_string(),
        by,
        believed_until: kept.believed(now).map(|m| m.to_string()),
        step,
        next,
        file: place.map(|(_, dir)| policy_file(dir, domain).display().to_string()),
        site: server.map(|(server, dir)| {
            let (at, then) = put_in_place(server, domain);
            format!("# {}\n# then: {then}\n{}", at.display(), site(server, domain, dir, None))
        }),
    }
}

/// What lets senders fetch it.
fn to_serve(kept: &KeptPolicy) -> String {
    let host = format!("mta-sts.{}", kept.domain);
    let again = format!("then run mxseal policy show --domain {}", kept.domain);
    match &kept.host {
        PolicyHost::Builtin => format!("let {host} lead to this host (mxseal dns --domain {0}), then run mxseal renew", kept.domain),
        PolicyHost::Snippet { server: WebServer::Caddy, .. } => format!("let {host} lead to this host, put the site in its place, {again}"),
        PolicyHost::Snippet { .. } => {
            format!("let {host} lead to this host, get its certificate (certbot certonly), put the site in its place, {again}")
        }
        PolicyHost::Export { .. } => format!("let the web server of {host} serve the file, {again}"),
        PolicyHost::None => format!("let https://{host}/ serve the text, {again}"),
    }
}
