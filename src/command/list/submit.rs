//! `mxseal list submit`: asks whoever keeps the list of the settings to take a domain, and follows what becomes of it.

use super::{Looked, closed, judged, tell};
use crate::{
    check::{list_entry, list_follows},
    cli::{Global, ListSubmit},
    command::{Trouble, place},
    facts::Known,
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    policy::policy_list,
    publish::{
        desk::{Desk, Refused, State},
        told,
    },
    report::json::ListDoc,
    settings::Listing,
    world::{self, Store},
};

pub(super) async fn run(args: &ListSubmit, global: &Global) -> Result<u8, Trouble> {
    let list = place::settings(global)?.list;
    let looked = judged(&args.of, global).await?;
    let (exit, findings) = match (&list.api, &args.token) {
        (Some(url), Some(token)) => {
            let desk = Desk { net: &looked.site.net, url };
            let of = desk.validate(token).await.map_err(refused)?;
            let state = desk.state(&args.of.domain).await.map_err(refused)?;
            (stands(state), vec![told_of(&args.of.domain, state, Some(of))])
        }
        _ => ask(&looked, &list, &Wish { yes: args.yes, email: args.email.as_deref(), weeks: args.weeks }, global).await?,
    };
    tell(global, ListDoc { exit, findings, ..ListDoc::default() });
    Ok(exit)
}

/// How a domain is asked for.
pub(super) struct Wish<'a> {
    /// It is asked for; else it is said what would be asked.
    pub(super) yes: bool,
    /// Whom the list's keeper may write to; `None` is the domain's postmaster.
    pub(super) email: Option<&'a str>,
    /// How many weeks the domain waits before it is taken.
    pub(super) weeks: u8,
}

/// Asks for a domain that was judged, and says how far it got; what senders could not rely on is not asked for.
pub(super) async fn ask(looked: &Looked, list: &Listing, wish: &Wish<'_>, global: &Global) -> Result<(u8, Vec<Finding>), Trouble> {
    let Some(url) = &list.api else { return Ok((1, [looked.findings.clone(), vec![closed(looked)]].concat())) };
    let about = looked.facts.domains.first().ok_or_else(|| Trouble::human("the domain was not looked up"))?;
    let (domain, desk) = (&about.domain, Desk { net: &looked.site.net, url });
    if looked.findings.iter().any(|f| f.verdict == Verdict::Fail) {
        return Ok((1, looked.findings.clone()));
    }
    let state = desk.state(domain).await.map_err(refused)?;
    if !matches!(state, State::Unknown | State::Failed) {
        return Ok((stands(state), vec![told_of(domain, state, None)]));
    }
    let scan = desk.scan(domain).await.map_err(refused)?;
    if !scan.good {
        let says = |text: String| Finding::new("list-refused", Verdict::Fail, Subject::Domain(domain.clone()), text);
        let mut all: Vec<Finding> = scan.against.into_iter().map(|text| says(format!("the list's own checker says: {text}"))).collect();
        if all.is_empty() {
            all.push(says("the list's own checker is not content, and does not say why".into()));
        }
        return Ok((1, all));
    }
    let mx: Vec<DnsName> = match &about.mx {
        Known::Seen { value, .. } => value.records.iter().map(|(_, name)| name.clone()).collect(),
        Known::Unknown { .. } => Vec::new(),
    };
    let by_policy = list_follows(looked.sts.as_ref()).is_some();
    let entry = list_entry(&mx, looked.sts.as_ref());
    let email = wish.email.map_or_else(|| format!("postmaster@{domain}"), ToOwned::to_owned);
    if !wish.yes {
        let says = format!("{url} would be asked for {}, and write to {email}", policy_list::entry(domain, &entry).trim());
        let asks = Finding::new("list-asked", Verdict::Unknown, Subject::Domain(domain.clone()), says)
            .means("senders that go by the list then insist on TLS with these hosts, for as long as the domain is on it")
            .remedy(Remedy::Command(format!("mxseal list submit {domain} --yes")));
        return Ok((1, [looked.findings.clone(), vec![asks]].concat()));
    }
    place::needs_root()?;
    let store = Store::open(&global.state_dir).map_err(Trouble::state)?;
    let now = world::now();
    told::tell(&store, now, |claims| claims.tell_list(domain, list.url.as_ref().unwrap_or(url), true, now)).map_err(Trouble::state)?;
    let said = desk.queue(domain, &entry, by_policy, &email, wish.weeks).await.map_err(refused)?;
    let asked = Finding::new("list-asked", Verdict::Pass, Subject::Domain(domain.clone()), format!("the list's keeper says: {said}"))
        .means("nothing comes of it before the postmaster gives back the token of the letter")
        .remedy(Remedy::Command(format!("mxseal list submit {domain} --token TOKEN")));
    Ok((1, vec![asked]))
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
    let exit = if matches!(why, Refused::No(_)) { 1 } else { 3 };
    Trouble { exit, ..Trouble::human(why) }.about("list-refused")
}
