//! The rehearsal itself: the first process in its room. It makes the copies, starts the server on them and the made-up world
//! beside it, and runs what setup runs.

use super::{
    Brief,
    judge::{self, Fate, Witness},
    told,
};
use crate::{
    acme::Wishes,
    change::{Command, Raw},
    cli::{Global, Where},
    command::{
        Trouble,
        course::{Came, Course, Ended, Until},
        enact::Ground,
        place::{self, Site},
        recover,
    },
    facts::{Facts, Known},
    intent::Intent,
    plan::{self, Plan},
    rehearsal::{Ca, Dns, Fault, Moves, Places, Signing, arm, disarm, settle, start},
    report::{self, Event, Observer as _, Progress, Style, Terminal, json, json::Outcome},
    world::{
        Look as _, Machine, Net, Store,
        room::{self, Inside, Log},
    },
};
use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

/// The network inside answers at once.
const LIMIT: Duration = Duration::from_secs(10);

/// The verb that only a rehearsal calls.
pub(in crate::command) async fn run() -> Result<u8, Trouble> {
    let text = room::brief().map_err(not_begun)?;
    let brief: Brief = serde_json::from_str(&text).map_err(not_begun)?;
    let mut inside = Inside::enter(&brief.host).map_err(not_begun)?;
    let global = Global { config: brief.config.clone(), state_dir: inside.own("state"), json: brief.json, plain: false };
    let mut outcome = Outcome { version: json::VERSION, verb: "rehearse", ..Outcome::default() };
    let told = play(&brief, &mut inside, &global, &mut outcome).await;
    crate::command::close(&global, told, outcome)
}

pub(super) fn not_begun(why: impl Display) -> Trouble {
    Trouble::human(format!("the rehearsal could not begin: {why}"))
}

async fn play(brief: &Brief, inside: &mut Inside, global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    let progress = Progress::new(brief.json);
    let log = inside.log().map_err(not_begun)?;
    progress.see(Event::Started("copy the mail server".into()));
    let live_dir = place::live_dir(global);
    let places = brief.places.as_ref().ok_or_else(|| not_begun("nobody said how the copy is run"))?;
    settle(&Machine, inside, places, &brief.files, &live_dir, &brief.state).map_err(not_begun)?;
    let store = Store::open(&global.state_dir).map_err(not_begun)?;
    if let Some(said) = recover::first(&store)? {
        progress.line(&said);
    }
    let originals = originals(&brief.files)?;
    let profile = place::profiles(global)?.into_iter().map(|l| l.profile).find(|p| p.id == brief.profile);
    let dialect = profile.ok_or_else(|| not_begun(format!("the profile {} is gone", brief.profile)))?.dialect;
    disarm(inside, dialect, &brief.files).map_err(not_begun)?;
    progress.see(Event::Done("done".into()));

    progress.see(Event::Started("make up a DNS and a CA, and start the copy".into()));
    let addresses = network(&brief.addresses)?;
    let dns = Dns::start_in_room(brief.cast.table(&addresses, signing(brief.fault))).map_err(not_begun)?;
    let ca = Ca::start(dns.addr, 80, brief.fault).map_err(not_begun)?;
    let root = inside.file("root.pem", ca.root.as_bytes()).map_err(not_begun)?;
    let api = inside.file("api.pem", ca.api_root.as_bytes()).map_err(not_begun)?;
    let root_key = inside.file("root.key", dns.anchor.as_bytes()).map_err(not_begun)?;
    start(&Machine, places).map_err(|e| not_begun(with_log(&e, &log)))?;
    progress.see(Event::Done("it runs".into()));

    let at = Where {
        domains: brief.cast.domains.clone(),
        mx: brief.mx.clone(),
        mta: Some(brief.profile.clone()),
        mta_config: Some(brief.config_dir.clone()),
        resolver: Some(dns.addr),
        trust_anchors: brief.trust_anchors.iter().chain([&root]).cloned().collect(),
        dnssec_anchor: Some(root_key.clone()),
    };
    let mut net = Net::of_this_host(Some(dns.addr), &at.trust_anchors, &[&api]).map_err(not_begun)?;
    net.dns_roots = net.dns_roots.and_of(&root_key).map_err(not_begun)?;
    let site = Site::at(at, net, store, global, None);
    let mut arm = |fault| arm(inside, places, fault).map_err(not_begun);
    let scene = Scene {
        brief,
        site,
        ca: &ca,
        dns: &dns,
        api: &api,
        originals: Some(originals),
        trees: trees(&brief.files, places),
        ground: Ground::Copy,
        arm: &mut arm,
    };
    let told = scene.act(global, &progress, outcome).await;
    if brief.keep {
        let kept = inside.file("log.txt", log.lines().join("\n").as_bytes()).map_err(not_begun)?;
        Terminal::complain(&format!(
            "\nThe copy stays until you press Ctrl-C. To look around in it, as root:\n  \
             nsenter -a -t $(pgrep -nf 'mxseal stage')\nWhat it logged is there in {}",
            kept.display()
        ));
        std::future::pending::<()>().await;
    }
    told
}

/// How the domains are signed.
pub(super) const fn signing(fault: Option<Fault>) -> Signing {
    match fault {
        Some(Fault::DnsBogus) => Signing::Bogus,
        Some(Fault::DnsUnsigned) => Signing::Unsigned,
        _ => Signing::Signed,
    }
}

/// A made-up world with a mail server in it.
pub(super) struct Scene<'a> {
    pub(super) brief: &'a Brief,
    pub(super) site: Site,
    pub(super) ca: &'a Ca,
    pub(super) dns: &'a Dns,
    /// The root of its API, as a file.
    pub(super) api: &'a Path,
    /// The configuration files before they were made harmless, where they were.
    pub(super) originals: Option<Vec<Vec<u8>>>,
    /// What must be as before where a fault is recovered from.
    pub(super) trees: Vec<(PathBuf, Moves)>,
    pub(super) ground: Ground,
    /// Makes the mail server do a fault.
    pub(super) arm: &'a mut dyn FnMut(Fault) -> Result<(), Trouble>,
}

impl Scene<'_> {
    /// Runs what setup runs, and judges how it ended.
    pub(super) async fn act(self, global: &Global, progress: &Progress, outcome: &mut Outcome) -> Result<(), Trouble> {
        let Self { brief, site, ca, dns, api, originals, trees, ground, arm } = self;
        let mut intent = Intent {
            domains: brief.cast.domains.clone(),
            mx: brief.mx.clone(),
            key_types: brief.key_types,
            certificates: brief.certificates,
            directory: None,
            acme_profile: None,
            live_dir: place::live_dir(global),
            ..Intent::default()
        };
        progress.see(Event::Started(format!("survey {}", ground.called())));
        let (facts, mut plan) = site.look_and_plan(&intent).await?;
        progress.see(Event::Done(format!("{} conversations", facts.views.len())));
        if plan.next.is_some() || (brief.fault.is_some() && plan.held.is_empty()) {
            // Whatever is to be got comes from the made-up CA; for a fault also where nothing is to be done.
            intent.directory = Some(ca.directory.clone());
            plan = plan::plan(&facts, &intent, &site.profile_of(&facts)?).map_err(place::refused)?;
        }
        match &originals {
            Some(originals) => show(brief, &on_originals(&site, &facts, originals, &intent)?, outcome),
            None => show(brief, &(facts.clone(), plan.clone()), outcome),
        }
        let witness = Witness::before(trees, &facts).map_err(not_begun)?;

        let fate = if plan.next.is_none() {
            let (word, exit) = if plan.held.is_empty() { ("nothing-to-do", 0) } else { ("held", 1) };
            let says = if exit == 0 { "Setup would change nothing on this host." } else { "Setup would stop here." };
            Ended::new(word, exit, says).tell(outcome, global)?;
            if exit == 0 {
                return Ok(());
            }
            Fate::of(outcome)
        } else if brief.fault == Some(Fault::Killed) {
            judge::killed(&site, global, [&ca.directory, &api.display().to_string()], brief, &witness, progress).await?
        } else {
            if let Some(fault) = brief.fault {
                arm(fault)?;
            }
            let wishes = Wishes { agree_tos: true, ..Wishes::default() };
            let (wishes, end) = (&|_: &Facts| wishes.clone(), Until::Proved);
            let course = Course { site: &site, intent: &intent, wishes, end, ground, global, progress };
            match course.run(facts, plan, true, outcome).await {
                Ok(Came::Nothing(_)) => Fate::Stopped(Trouble::human("there was nothing left to do, although there was")),
                Ok(Came::Proved(facts)) if brief.fault.is_none() => {
                    told::Act { site: &site, dns, ca, ground, global, progress }.senders(*facts, outcome).await?;
                    Fate::of(outcome)
                }
                Ok(Came::Proved(_) | Came::Told) => Fate::of(outcome),
                Err(trouble) => Fate::Stopped(trouble),
            }
        };
        match brief.fault {
            Some(fault) => judge::verdict(fault, fate, &witness, &site, outcome, global).await,
            None => fate.told(),
        }
    }
}

/// What holds the configuration.
fn trees(files: &[PathBuf], places: &Places) -> Vec<(PathBuf, Moves)> {
    let mut trees = vec![(PathBuf::from("/etc"), Moves::Nothing)];
    trees.extend(places.working().filter(|(_, moves)| *moves == Moves::Nothing));
    trees.extend(files.iter().filter(|f| !f.starts_with("/etc")).filter_map(|f| Some((f.parent()?.to_owned(), Moves::Nothing))));
    trees
}

/// The plan for this host's own files: the copy's differ from them in what keeps it harmless.
fn on_originals(site: &Site, facts: &Facts, originals: &[Vec<u8>], intent: &Intent) -> Result<(Facts, Plan), Trouble> {
    let mut facts = facts.clone();
    let profile = site.profile_of(&facts)?;
    if let Known::Seen { value: server, .. } = &mut facts.server {
        for (file, bytes) in server.files.iter_mut().zip(originals) {
            file.text.0 = Raw(bytes.clone());
        }
        let read = profile.dialect.understand(&server.version, &server.files, &server.defaults);
        server.services = read.map_err(Trouble::human)?.services;
    }
    let plan = plan::plan(&facts, intent, &profile).map_err(place::refused)?;
    Ok((facts, plan))
}

fn show(brief: &Brief, (facts, plan): &(Facts, Plan), outcome: &mut Outcome) {
    outcome.plan = Some(json::PlanDoc::of(&facts.config_files(), plan));
    outcome.findings.extend(plan.findings().cloned());
    if !brief.json {
        let notes: String = brief.cast.notes.iter().map(|n| report::row(Style::of_stdout(), "", &format!("{n}."))).collect();
        Terminal::print(&format!("{notes}\n{}", report::plan_page(Style::of_stdout(), &facts.config_files(), plan, 1)));
    }
}

fn originals(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, Trouble> {
    let read = |path: &PathBuf| match Machine.read(path) {
        Ok(Some((bytes, _))) => Ok(bytes),
        Ok(None) => Err(not_begun(format!("{} went while it was copied", path.display()))),
        Err(e) => Err(not_begun(format!("{}: {e}", path.display()))),
    };
    files.iter().map(read).collect()
}

/// A network that leads nowhere, with the host's own addresses; gives those that it takes.
fn network(addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Trouble> {
    let ip = |words: &[&str]| Machine.run(&Command(["ip"].iter().chain(words).map(ToString::to_string).collect()), LIMIT);
    let up = ip(&["link", "set", "lo", "up"]).map_err(not_begun)?;
    if up.code != 0 {
        return Err(not_begun(format!("its network does not come up: {}", up.stderr.trim())));
    }
    let takes = |a: &&IpAddr| {
        let (bits, check): (u8, &[&str]) = if a.is_ipv4() { (32, &[]) } else { (128, &["nodad"]) };
        ip(&[&["addr", "add", &format!("{a}/{bits}"), "dev", "lo"], check].concat()).is_ok_and(|out| out.code == 0)
    };
    let taken: Vec<IpAddr> = addresses.iter().filter(takes).copied().collect();
    Ok(if taken.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { taken })
}

fn with_log(why: &dyn Display, log: &Log) -> String {
    let lines = log.lines();
    let last: String = lines.iter().skip(lines.len().saturating_sub(6)).map(|l| format!("\n  {l}")).collect();
    format!("{why}{last}")
}
