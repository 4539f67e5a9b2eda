//! `mxseal list submit`: asks whoever keeps the list of the settings to take a domain, and follows what becomes of it.

use super::{closed, judged, tell};
use crate::{
    check::list_entry,
    cli::{Global, ListSubmit},
    command::{Trouble, place},
    facts::Known,
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    policy::{policy_list, sts_policy::Mode},
    publish::{
        desk::{Desk, Refused, State},
        told,
    },
    report::json::ListDoc,
    world::{self, Store},
};

pub(super) async fn run(args: &ListSubmit, global: &Global) -> Result<u8, Trouble> {
    let domain = &args.of.domain;
    let list = place::settings(global)?.list;
    let looked = judged(&args.of, global).await?;
    let Some(url) = &list.api else {
        let findings = [looked.findings.clone(), vec![closed(&looked)]].concat();
        tell(global, ListDoc { exit: 1, findings, ..ListDoc::default() });
        return Ok(1);
    };
    let desk = Desk { net: &looked.site.net, url };
    let end = |exit: u8, findings: Vec<Finding>| {
        tell(global, ListDoc { exit, findings, ..ListDoc::default() });
        Ok(exit)
    };
    if let Some(token) = &args.token {
        let of = desk.validate(token).await.map_err(refused)?;
        let state = desk.state(domain).await.map_err(refused)?;
        return end(stands(state), vec![told_of(domain, state, Some(of))]);
    }

    // What senders could not rely on is not asked for.
    if looked.findings.iter().any(|f| f.verdict == Verdict::Fail) {
        return end(1, looked.findings);
    }
    let state = desk.state(domain).await.map_err(refused)?;
    if !matches!(state, State::Unknown | State::Failed) {
        return end(stands(state), vec![told_of(domain, state, None)]);
    }
    let scan = desk.scan(domain).await.map_err(refused)?;
    if !scan.good {
        let says = |text: String| Finding::new("list-refused", Verdict::Fail, Subject::Domain(domain.clone()), text);
        let mut all: Vec<Finding> = scan.against.into_iter().map(|text| says(format!("the list's own checker says: {text}"))).collect();
        if all.is_empty() {
            all.push(says("the list's own checker is not content, and does not say why".into()));
        }
        return end(1, all);
    }
    let mx: Vec<DnsName> = match looked.facts.domains.first().map(|d| &d.mx) {
        Some(Known::Seen { value, .. }) => value.records.iter().map(|(_, name)| name.clone()).collect(),
        _ => Vec::new(),
    };
    let by_policy = looked.sts.as_ref().is_some_and(|p| p.mode != Mode::None);
    let entry = list_entry(&mx, looked.sts.as_ref());
    let email = args.email.clone().unwrap_or_else(|| format!("postmaster@{domain}"));
    if !args.yes {
        let says = format!("{url} would be asked for {}, and write to {email}", policy_list::entry(domain, &entry).trim());
        let asks = Finding::new("list-asked", Verdict::Unknown, Subject::Domain(domain.clone()), says)
            .means("senders that go by the list then insist on TLS with these hosts, for as long as the domain is on it")
            .remedy(Remedy::Command(format!("mxseal list submit {domain} --yes")));
        return end(1, [looked.findings, vec![asks]].concat());
    }
    place::needs_root()?;
    let store = Store::open(&global.state_dir).map_err(Trouble::state)?;
    let now = world::now();
    told::tell(&store, now, |claims| claims.tell_list(domain, list.url.as_ref().unwrap_or(url), true, now)).map_err(Trouble::state)?;
    let said = desk.queue(domain, &entry, by_policy, &email, args.weeks).await.map_err(refused)?;
    let asked = Finding::new("list-asked", Verdict::Pass, Subject::Domain(domain.clone()), format!("the list's keeper says: {said}"))
        .means("nothing comes of it before the postmaster gives back the token of the letter")
        .remedy(Remedy::Command(format!("mxseal list submit {domain} --token TOKEN")));
    end(1, vec![asked])
}

/// 0 where nothing is left to do for a human.
const fn stands(state: State) -> u8 {
    !matches!(state, State::Queued | State::Added) as u8
}

fn told_of(domain: &DnsName, state: State, confirmed: Option<String>) -> Finding {
    let verdict = if stands(state) == 0 { Verdict::Pass } else { Verdict::Warn };
    let mut finding = Finding::new("list-asked", verdict, Subject::Domain(domain.clone()), format!("{domain} {state}"));
    finding.evidence.extend(confirmed.map(|of| format!("the token was for {of}")));
    match state {
        State::Unvalidated => finding.remedy(Remedy::Command(format!("mxseal list submit {domain} --token TOKEN"))),
        _ => finding,
    }
}

fn refused(why: Refused) -> Trouble {
    let exit = if matches!(why, Refused::Later(_)) { 3 } else { 1 };
    Trouble { exit, ..Trouble::human(why) }.about("list-refused")
}
