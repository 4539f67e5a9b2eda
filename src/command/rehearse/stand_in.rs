//! The rehearsal where no mail server can be copied: on a stand-in, with files as a fresh Debian has them, in a directory of its
//! own and on loopback ports. Nothing of it needs root.

use super::{
    Brief,
    stage::{Scene, not_begun, signing},
};
use crate::{
    change::Meta,
    cli::{Global, Rehearse, Where},
    command::{Trouble, enact::Ground, place::Site},
    facts::{Facts, Known},
    rehearsal::{Ca, Cast, Dns, Fingerprint, Moves, StandIn},
    report::{Event, Observer as _, Progress, Style, Terminal, json, json::Outcome, row},
    settings::Settings,
    world::{Hands as _, Machine, Scratch, Store},
};
use nix::unistd::{getegid, geteuid};
use serde_json::json;
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Instant,
};
use tokio::signal::unix::{SignalKind, signal};

/// Rehearses on a stand-in, because of `why`.
pub(super) async fn run(
    args: &Rehearse,
    global: &Global,
    why: &str,
    site: &Site,
    settings: &Settings,
    facts: &Facts,
) -> Result<u8, Trouble> {
    let began = Instant::now();
    let etc = || Fingerprint::of(&[(PathBuf::from("/etc"), Moves::Nothing)]);
    // Who is not root cannot see all of it, and cannot write to it either.
    let before = etc().ok();
    let room = Scratch::new().map_err(not_begun)?;
    if !global.json {
        Terminal::print(&opening(why, room.path(), args));
    }
    let mut outcome = Outcome { version: json::VERSION, verb: "rehearse", ..Outcome::default() };
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal).into_iter();
    let (Some(Ok(mut int)), Some(Ok(mut term)), Some(Ok(mut hup))) = (signals.next(), signals.next(), signals.next()) else {
        return Err(Trouble::human("signals cannot be heard; nothing was changed"));
    };
    let told = tokio::select! {
        told = play(args, global, room.path(), Cast::of(facts, &site.place.domains, &site.place.mx), settings, &mut outcome) => told,
        _ = int.recv() => Err(broken_off()),
        _ = term.recv() => Err(broken_off()),
        _ = hup.recv() => Err(broken_off()),
    };
    let lay_in = room.path().display().to_string();
    drop(room);
    let unchanged = before.as_ref().map(|before| etc().is_ok_and(|now| before.differences(&now).is_empty()));
    if global.json && told.is_ok() {
        let mut document = serde_json::to_value(&outcome).map_err(Trouble::human)?;
        document["stand_in"] = json!({ "because": why });
        document["host"] = json!({ "unchanged": unchanged });
        Terminal::document(&json::text(&document));
    }
    if !global.json {
        let etc = match unchanged {
            Some(true) => " /etc is as before.",
            Some(false) => " Somebody else changed something in /etc meanwhile.",
            None => "",
        };
        let took = began.elapsed().as_secs_f32();
        let says = format!("Nothing on this host was changed: all of it lay in {lay_in}, which is gone.{etc} It took {took:.1} s.");
        Terminal::print(&format!("\n{}", row(Style::of_stdout(), "", &says)));
        if told.is_ok() && outcome.exit == 0 && args.fault.is_none() {
            Terminal::print("On the machine that receives your mail: sudo mxseal rehearse, then setup.\n");
        }
    }
    told.map(|()| outcome.exit)
}

fn broken_off() -> Trouble {
    Trouble::human("broken off: the stand-in and everything of it are gone; nothing on this host was changed")
}

fn opening(why: &str, room: &Path, args: &Rehearse) -> String {
    let mut page = String::from("Rehearsal of mxseal setup, on a stand-in for a mail server\n");
    let style = Style::of_stdout();
    let files = format!("those of a fresh Debian's Postfix, in {}", room.display());
    for (label, text) in [
        ("because", why),
        ("files", &files),
        ("server", "a process of mxseal that reads them and serves as they say; no mail is taken"),
        ("network", "loopback ports; a made-up DNS and CA answer there"),
    ] {
        page.push_str(&row(style, &format!("  {label:<10}"), text));
    }
    if let Some(fault) = args.fault {
        page.push_str(&row(style, "  fault     ", &format!("{}: {}", fault.name(), fault.says())));
    }
    page
}

async fn play(
    args: &Rehearse,
    global: &Global,
    room: &Path,
    mut cast: Cast,
    settings: &Settings,
    outcome: &mut Outcome,
) -> Result<(), Trouble> {
    let progress = Progress::new(global.json);
    for mx in &mut cast.mx {
        // It has not the keys that the host's own records name.
        mx.tlsa = Known::unknown("the rehearsal makes up its own keys");
    }
    progress.see(Event::Started("make up a DNS and a CA, and start the stand-in".into()));
    let dns = Dns::start(cast.table(&[Ipv4Addr::LOCALHOST.into()], signing(args.fault))).map_err(not_begun)?;
    let ca = Ca::start(dns.addr, free_port().map_err(not_begun)?, args.fault).map_err(not_begun)?;
    let name = cast.mx.first().map(|m| m.name.clone()).ok_or_else(|| not_begun("it has no name for the mail server"))?;
    let program = std::env::current_exe().map_err(not_begun)?;
    let server = StandIn::start(&program, room, &name, &cast.domains, args.fault).map_err(not_begun)?;
    let (root, api) = (room.join("root.pem"), room.join("api.pem"));
    let root_key = room.join("root.key");
    for (path, text) in [(&root, &ca.root), (&api, &ca.api_root), (&root_key, &dns.anchor)] {
        let meta = Meta { uid: geteuid().as_raw(), gid: getegid().as_raw(), mode: 0o644, xattrs: BTreeMap::new() };
        Machine.stage(path, text.as_bytes(), &meta).map_err(not_begun)?;
    }
    progress.see(Event::Done("it runs".into()));

    let inner = Global { config: server.settings.clone(), state_dir: room.join("state"), ..global.clone() };
    let brief = Brief {
        host: Vec::new(),
        config: inner.config.clone(),
        state: inner.state_dir.clone(),
        profile: StandIn::ID.into(),
        config_dir: server.config_dir.clone(),
        places: None,
        files: ["main.cf", "master.cf"].map(|f| server.config_dir.join(f)).into(),
        addresses: Vec::new(),
        mx: cast.mx.iter().map(|m| m.name.clone()).collect(),
        trust_anchors: Vec::new(),
        cast,
        key_types: args.key_type.map(Into::into).or(settings.key_type),
        certificates: args.certificates.map(Into::into).or(settings.certificates).unwrap_or_default(),
        fault: args.fault,
        keep: args.keep,
        json: global.json,
    };
    let at = Where {
        domains: brief.cast.domains.clone(),
        mx: brief.mx.clone(),
        mta: Some(StandIn::ID.into()),
        mta_config: Some(server.config_dir.clone()),
        resolver: Some(dns.addr),
        trust_anchors: vec![root],
        dnssec_anchor: Some(root_key.clone()),
    };
    let mut net = ca.net();
    net.dns_roots = net.dns_roots.and_of(&root_key).map_err(not_begun)?;
    let store = Store::open(&inner.state_dir).map_err(not_begun)?;
    let site = Site::at(at, net, store, &inner, Some(server.profile.clone()));
    // It was told when it was started.
    let mut arm = |_| Ok(());
    let trees = vec![(room.join("etc"), Moves::Nothing)];
    let told = Scene { brief: &brief, site, ca: &ca, dns: &dns, api: &api, originals: None, trees, ground: Ground::StandIn, arm: &mut arm }
        .act(&inner, &progress, outcome)
        .await;
    if args.keep {
        Terminal::complain(&format!("\nThe stand-in and {} stay until you press Ctrl-C.", room.display()));
        std::future::pending::<()>().await;
    }
    told
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port())
}
