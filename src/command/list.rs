//! `mxseal list`: a signed list of domains that want TLS; its entries, and maps for servers that send.

pub(super) mod offer;
mod submit;

use super::{Trouble, interrupt, place, place::Site};
use crate::{
    check::{eligible, list_entry, observe, sender_probes},
    cli::{self, Global, List, ListExport, ListFetch, ListOf, ListShow, ListSource, Where},
    facts::{Facts, Known, MxFacts, Security},
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    name::DnsName,
    policy::{
        mta_sts::StsRecord,
        policy_list::{self, PolicyList, Unfit},
        sts_policy::StsPolicy,
    },
    publish::{
        Asked, fetch,
        list::{Kept, Refused, Signed},
    },
    report::{
        self, Style, Terminal,
        json::{self, ListDoc},
    },
    settings::{Listing, Settings},
    survey,
    world::{self, Machine, Net, Store},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long all conversations of a check may take.
const CONVERSATION: Duration = Duration::from_secs(30);

pub(super) async fn run(list: &List, global: &Global) -> Result<u8, Trouble> {
    interrupt::last_words("list", &Store::at(&global.state_dir), global);
    match list {
        List::Check(of) => check(of, global).await,
        List::Entry(of) => entry(of, global).await,
        List::Verify(source) => verify(source, global),
        List::Show(args) => show(args, global),
        List::Export(args) => export(args, global),
        List::Submit(args) => submit::run(args, global).await,
        List::Fetch(args) => fetch(args, global).await,
    }
}

/// A domain that was looked at as senders do.
struct Looked {
    site: Site,
    facts: Facts,
    sts: Option<StsPolicy>,
    findings: Vec<Finding>,
}

async fn check(of: &ListOf, global: &Global) -> Result<u8, Trouble> {
    let mut looked = judged(of, global).await?;
    if place::settings(global)?.list.api.is_none() {
        looked.findings.push(closed(&looked));
    }
    let is = |verdict| looked.findings.iter().any(|f| f.verdict == verdict);
    let exit = match (is(Verdict::Fail), is(Verdict::Pass)) {
        (true, _) => 1,
        (false, true) => 0,
        (false, false) => 3,
    };
    looked.findings.extend(listed(&of.domain, global));
    tell(global, ListDoc { exit, findings: looked.findings, ..ListDoc::default() });
    Ok(exit)
}

/// Whether it is on the list that was fetched last: whoever keeps that took it already.
fn listed(domain: &DnsName, global: &Global) -> Option<Finding> {
    let store = Store::at(&global.state_dir);
    let list = Kept::load(&store).ok()??.signed(&store).ok()?.read(&Machine).ok()?;
    list.fit(world::now(), None).ok()?;
    let says = format!("{domain} is on the list of {}, in mode {}", list.timestamp, list.policies.get(domain)?.mode);
    Some(Finding::new("list-asked", Verdict::Pass, Subject::Domain(domain.clone()), says).means("there is nothing left to ask for"))
}

/// Asks every MX host of the domain as senders do, and holds the answers against the rules.
async fn judged(of: &ListOf, global: &Global) -> Result<Looked, Trouble> {
    let (site, facts, sts) = looked(of, global).await?;
    let Some(domain) = facts.domains.first() else { return Err(Trouble::human("the domain was not looked up")) };
    let probes = sender_probes(&facts.mx_hosts);
    let views = observe(&site.net, &probes, CONVERSATION).await;
    let findings = eligible(domain, &facts.mx_hosts, &views, sts.as_ref());
    Ok(Looked { site, facts, sts, findings })
}

/// The list that this was for takes nobody any more; what tells senders the same today, and how far the domain got with it.
fn closed(looked: &Looked) -> Finding {
    let Looked { facts, sts, .. } = looked;
    let keyed = |h: &&MxFacts| h.tlsa.value().is_some_and(|t| t.security == Security::Secure && !t.records.is_empty());
    let dane = format!("{} of {} MX hosts have TLSA records", facts.mx_hosts.iter().filter(keyed).count(), facts.mx_hosts.len());
    let policy = sts.as_ref().map_or_else(|| "no policy counts".to_owned(), |p| format!("its policy is in mode {}", p.mode));
    let domain = facts.domains.first().map(|d| d.domain.to_string()).unwrap_or_default();
    let subject = facts.domains.first().map_or(Subject::Host, |d| Subject::Domain(d.domain.clone()));
    let says = "no list is configured, and the one that the EFF kept takes no domains since 2020";
    Finding::new("list-closed", Verdict::Warn, subject, says)
        .means(format!("what it told senders they learn from the domain itself today: by DANE ({dane}), and by MTA-STS ({policy})"))
        .remedy(Remedy::Command(format!("mxseal dns --domain {domain}")))
}

async fn entry(of: &ListOf, global: &Global) -> Result<u8, Trouble> {
    let (_, facts, sts) = looked(of, global).await?;
    let records = match facts.domains.first().map(|d| &d.mx) {
        Some(Known::Seen { value, .. }) => &value.records,
        Some(Known::Unknown { why }) => return Err(Trouble { exit: 3, ..Trouble::human(format!("its MX records are unknown: {why}")) }),
        None => return Err(Trouble::human("the domain was not looked up")),
    };
    let mx: Vec<DnsName> = records.iter().map(|(_, name)| name.clone()).collect();
    let policy = list_entry(&mx, sts.as_ref());
    if policy.mxs.is_empty() {
        return Err(Trouble::human(format!("{} has no MX host that an entry could name", of.domain)));
    }
    Terminal::print(&policy_list::entry(&of.domain, &policy));
    Ok(0)
}

/// What DNS says of the domain, and the policy that it serves.
async fn looked(of: &ListOf, global: &Global) -> Result<(Site, Facts, Option<StsPolicy>), Trouble> {
    let flags =
        Where { domains: vec![of.domain.clone()], resolver: of.resolver, trust_anchors: of.trust_anchors.clone(), ..Where::default() };
    // The MX names of this host are none of the question.
    let settings = Settings { mx: Vec::new(), ..place::settings(global)? };
    let site = Site::of(&flags, &[], &settings, global)?;
    let facts = site.survey(false).await?;
    let sight = survey::sight(&site.net, &facts, &Asked::default()).await;
    // One that no record announces is none to senders.
    let announced =
        facts.domains.first().and_then(|d| d.mta_sts.value()).is_some_and(|a| StsRecord::published(&a.records).strict().is_some());
    let served = sight.policies.get(&of.domain).and_then(|p| p.strict().cloned());
    let sts = served.filter(|_| announced);
    Ok((site, facts, sts))
}

fn verify(source: &ListSource, global: &Global) -> Result<u8, Trouble> {
    let (list, unfit) = read(source, global)?;
    if let Some(unfit) = unfit {
        return Err(Trouble::of(Refused::Time(unfit)));
    }
    tell(global, of(&list, 0));
    Ok(0)
}

fn show(args: &ListShow, global: &Global) -> Result<u8, Trouble> {
    let (list, unfit) = read(&args.source, global)?;
    let listed = args.domain.as_ref().map(|d| (d, list.policies.get(d)));
    let exit = u8::from(unfit.is_some() || matches!(listed, Some((_, None))));
    let mut document = of(&list, exit);
    if let Some((domain, policy)) = listed {
        document.domain = Some(domain.to_string());
        document.policy = policy.cloned();
    }
    document.findings.extend(unfit.map(|why| {
        Finding::new("list-past", Verdict::Fail, Subject::Host, why.to_string())
            .means("senders that follow it deliver as if there were none")
    }));
    tell(global, document);
    Ok(exit)
}

fn export(args: &ListExport, global: &Global) -> Result<u8, Trouble> {
    let (list, unfit) = read(&args.source, global)?;
    // A list from the future or from before would be taken for one that is in force.
    if let Some(unfit @ (Unfit::Older { .. } | Unfit::Early { .. })) = unfit {
        return Err(Trouble::of(Refused::Time(unfit)));
    }
    let now = args.source.at.unwrap_or_else(world::now);
    let export = args.server.of(&list, now);
    match &args.output {
        // A server that reads it meanwhile sees the old one or the new one.
        Some(file) => world::put_file(&cli::absolute(file), export.text.as_bytes())
            .map_err(|e| Trouble::human(format!("--output {}: {e}", file.display())))?,
        None => Terminal::print(&export.text),
    }
    let told = format!(
        "{} domains, {} in mode testing (they change nothing), {} left out because the map cannot say what the list says",
        export.domains, export.testing, export.left_out
    );
    match unfit {
        Some(expired) => Err(Trouble::of(Refused::Time(expired))),
        None => {
            Terminal::say(&told);
            Ok(0)
        }
    }
}

async fn fetch(args: &ListFetch, global: &Global) -> Result<u8, Trouble> {
    place::needs_root()?;
    let store = Store::open(&global.state_dir).map_err(Trouble::state)?;
    let before = Kept::load(&store).map_err(Trouble::state)?;
    let missing = |flag: &str| Trouble::usage(format!("no list was fetched yet: say where it lies and whose it is with {flag}"));
    let Listing { url, keyring, fingerprint, .. } = place::settings(global)?.list;
    let url = args.url.clone().or(url).or_else(|| before.as_ref().map(|b| b.url.clone())).ok_or_else(|| missing("--url"))?;
    let fingerprint = args.fingerprint.clone().or(fingerprint).or_else(|| before.as_ref().map(|b| b.fingerprint.clone()));
    let fingerprint = fingerprint.ok_or_else(|| missing("--fingerprint"))?;
    let keyring = match (args.keyring.as_ref().or(keyring.as_ref()), &before) {
        (Some(file), _) => bytes_of(file, "--keyring")?,
        (None, Some(before)) => before.signed(&store).map_err(Trouble::state)?.keyring,
        (None, None) => return Err(missing("--keyring")),
    };
    let net = Net::of_this_host(None, &args.trust_anchors, &[] as &[PathBuf]).map_err(|e| Trouble::usage(e).about("anchor-unusable"))?;
    let get = async |url: &str| {
        let file = fetch::file(&net, url, policy_list::LARGEST).await;
        file.map(|b| b.to_vec()).map_err(|why| Trouble { exit: 3, ..Trouble::human(why) })
    };
    let signed = Signed { list: get(&url).await?, signature: get(&format!("{url}.asc")).await?, keyring, fingerprint };
    let list = Kept::keep(&Machine, &store, &url, &signed, world::now()).map_err(Trouble::of)?;
    tell(global, of(&list, 0));
    Ok(0)
}

/// The list that is meant, its signature checked, and why it may not be used now.
fn read(source: &ListSource, global: &Global) -> Result<(PolicyList, Option<Unfit>), Trouble> {
    let now: Moment = source.at.unwrap_or_else(world::now);
    let store = Store::at(&global.state_dir);
    let signed = match &source.list {
        Some(file) => {
            let beside = || PathBuf::from(format!("{}.asc", file.display()));
            let need = |flag: &str| Trouble::usage(format!("say whose signature counts: {flag}"));
            Signed {
                list: bytes_of(file, "--list")?,
                signature: bytes_of(&source.signature.clone().unwrap_or_else(beside), "--signature")?,
                keyring: bytes_of(source.keyring.as_ref().ok_or_else(|| need("--keyring FILE"))?, "--keyring")?,
                fingerprint: source.fingerprint.clone().ok_or_else(|| need("--fingerprint HEX"))?,
            }
        }
        None => match Kept::load(&store).map_err(Trouble::state)? {
            Some(kept) => kept.signed(&store).map_err(Trouble::state)?,
            None => {
                return Err(Trouble::usage(
                    "no list was fetched yet: give one with --list, or get one with `mxseal list fetch`. The list that the EFF kept expired in 2020",
                ));
            }
        },
    };
    let list = signed.read(&Machine).map_err(Trouble::of)?;
    let unfit = list.fit(now, None).err();
    Ok((list, unfit))
}

fn bytes_of(file: &Path, flag: &str) -> Result<Vec<u8>, Trouble> {
    let wrong = |why: String| Trouble::usage(format!("{flag} {}: {why}", file.display()));
    match Machine.read_as_far_as(file, policy_list::LARGEST) {
        Ok(Some(bytes)) if bytes.len() <= policy_list::LARGEST => Ok(bytes),
        Ok(Some(_)) => Err(wrong(policy_list::NotAList::TooLarge.to_string())),
        Ok(None) => Err(wrong("there is no such file".into())),
        Err(e) => Err(wrong(e.to_string())),
    }
}

fn of(list: &PolicyList, exit: u8) -> ListDoc {
    ListDoc {
        exit,
        author: list.author.clone(),
        timestamp: Some(list.timestamp.to_string()),
        expires: Some(list.expires.to_string()),
        domains: Some(list.policies.len()),
        enforced: Some(list.enforced()),
        ..ListDoc::default()
    }
}

fn tell(global: &Global, mut document: ListDoc) {
    document.version = json::VERSION;
    Terminal::document(&if global.json { json::text(&document) } else { report::list_page(Style::of_stdout(), &document) });
}
