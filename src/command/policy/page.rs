//! A policy as a document and as a page, and what it comes to.

use crate::{
    cli::Global,
    facts::DomainFacts,
    finding::{Finding, Verdict},
    moment::Moment,
    name::DnsName,
    policy::{Fetched, mta_sts::StsRecord, sts_policy::StsPolicy},
    publish::{KeptPolicy, PolicyHost, Sight, Step, WebServer, policy_file, policy_for, put_in_place, record_line, site},
    report::{
        self, Style, Terminal,
        json::{self, KeptPolicyDoc, PolicyDoc, ZoneDoc},
    },
};

/// 0 where every policy is served as it should be, or only time has to pass.
pub(super) fn exit(policies: &[PolicyDoc], findings: &[Finding]) -> u8 {
    let good = |p: &PolicyDoc| p.kept.as_ref().map_or(p.right, |k| matches!(k.step, "stands" | "wait"));
    let is = |verdict| findings.iter().any(|f| f.verdict == verdict);
    match (policies.iter().all(good) && !is(Verdict::Fail), is(Verdict::Unknown)) {
        _ if policies.is_empty() => 3,
        (true, false) => 0,
        (true, true) => 3,
        (false, _) => 1,
    }
}

pub(super) fn tell(global: &Global, exit: u8, changed: bool, policies: Vec<PolicyDoc>, findings: Vec<Finding>, zones: Vec<ZoneDoc>) {
    let document = json::PoliciesDoc { version: json::VERSION, exit, changed, policies, findings, zones };
    Terminal::document(&if global.json { json::text(&document) } else { report::policy_page(Style::of_stdout(), &document) });
}

/// A policy as it is served and as it should be.
pub(super) fn document(domain: &DomainFacts, sight: &Sight, kept: Option<&KeptPolicy>, now: Moment) -> PolicyDoc {
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
pub(super) fn to_serve(kept: &KeptPolicy) -> String {
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
