//! `mxseal rehearse`: the whole of setup on a copy of this host's mail server, in a room of its own from which nothing reaches
//! anybody; then a look whether anything of the host is not as before.

mod judge;
mod stage;
mod stand_in;
mod told;

use super::{
    Trouble,
    place::{self, Site},
};
use crate::{
    cli::{Global, Rehearse},
    facts::{Facts, Known, Server},
    intent::KeyTypes,
    rehearsal::{Cast, Fault, Fingerprint, Moves, Places},
    report::{self, Event, Observer as _, Progress, Style, Terminal},
    world::{
        Machine,
        room::{self, Room},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Instant,
};
use tokio::signal::unix::{SignalKind, signal};

pub(super) use stage::run as on_stage;

/// What the process in the room is told.
#[derive(Debug, Serialize, Deserialize)]
struct Brief {
    /// The namespaces outside.
    host: Vec<PathBuf>,
    config: PathBuf,
    state: PathBuf,
    profile: String,
    config_dir: PathBuf,
    /// How the copy is run, where one is.
    places: Option<Places>,
    files: Vec<PathBuf>,
    addresses: Vec<IpAddr>,
    cast: Cast,
    mx: Vec<crate::name::DnsName>,
    trust_anchors: Vec<PathBuf>,
    key_types: Option<KeyTypes>,
    certificates: crate::intent::Certificates,
    fault: Option<Fault>,
    keep: bool,
    json: bool,
}

pub(super) async fn run(args: &Rehearse, global: &Global) -> Result<u8, Trouble> {
    let began = Instant::now();
    let progress = Progress::new(global.json);
    let settings = place::settings(global)?;
    let site = Site::of(&args.place, &[], &settings, global)?;
    progress.see(Event::Started("look at this host, and change nothing".into()));
    let facts = site.survey(false).await?;
    progress.see(Event::Done("done".into()));
    if args.stand_in {
        return stand_in::run(args, global, "--stand-in asks for it", &site, &settings, &facts).await;
    }
    let (server, places) = match copyable(&facts, &site).await? {
        Ok(copyable) => copyable,
        Err(why) => return stand_in::run(args, global, &why, &site, &settings, &facts).await,
    };

    let trees = trees(&places, global, server);
    let look = || Fingerprint::of(&trees).map_err(|e| Trouble::human(format!("this host cannot be looked at before and after: {e}")));
    let before = look()?;
    let brief = Brief {
        host: room::namespaces().map_err(Trouble::human)?,
        config: global.config.clone(),
        state: global.state_dir.clone(),
        profile: server.profile.clone(),
        config_dir: server.config_dir.clone(),
        places: Some(places.clone()),
        files: server.files.iter().map(|f| f.real.clone()).collect(),
        addresses: facts.host.addresses.clone(),
        cast: Cast::of(&facts, &site.place.domains, &site.place.mx),
        mx: site.place.mx.clone(),
        trust_anchors: site.place.trust_anchors.clone(),
        key_types: args.key_type.map(Into::into).or(settings.key_type),
        certificates: args.certificates.map(Into::into).or(settings.certificates).unwrap_or_default(),
        fault: args.fault,
        keep: args.keep,
        json: global.json,
    };
    if !global.json {
        Terminal::print(&opening(&site.title_of(&facts), &places, args.fault));
    }
    let ended = in_a_room(&brief).await?;
    let changed = before.differences(&look()?);
    finish(global, &places, ended, (&changed, before.len()), args.fault, began)
}

/// How the room ended: exit status and what it printed; nothing where it was broken off.
type Ended = Option<(u8, String)>;

async fn in_a_room(brief: &Brief) -> Result<Ended, Trouble> {
    let wrong = |e: std::io::Error| Trouble::human(format!("no room for a rehearsal could be made: {e}; nothing was changed"));
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal).into_iter();
    let (Some(Ok(mut int)), Some(Ok(mut term)), Some(Ok(mut hup))) = (signals.next(), signals.next(), signals.next()) else {
        return Err(Trouble::human("signals cannot be heard; nothing was changed"));
    };
    let text = serde_json::to_string(brief).map_err(|e| wrong(e.into()))?;
    let room = Room::open(&["stage"], &text, brief.json).await.map_err(wrong)?;
    tokio::select! {
        ended = room.end() => {
            let (status, said) = ended.map_err(wrong)?;
            Ok(Some((status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1), said)))
        }
        // The room goes with its value.
        // So it was to end.
        _ = int.recv() => Ok(brief.keep.then(|| (0, String::new()))),
        _ = term.recv() => Ok(None),
        _ = hup.recv() => Ok(None),
    }
}

/// The server of which a copy can be made; else why not here.
///
/// # Errors
/// When it can be made nowhere.
async fn copyable<'a>(facts: &'a Facts, site: &Site) -> Result<Result<(&'a Server, Places), String>, Trouble> {
    let server = match &facts.server {
        Known::Seen { value, .. } => value,
        Known::Unknown { why } => return Ok(Err(why.clone())),
    };
    let profile = site.profile_of(facts)?;
    let nowhere = || no_copy(&site.title_of(facts));
    if profile.rehearsal.is_none() {
        return Err(nowhere());
    }
    if !facts.host.root {
        return Ok(Err("only root may read the whole configuration and start a copy of the server: run it with sudo".into()));
    }
    let places = Places::of(&Machine, server, &profile).map_err(Trouble::human)?.ok_or_else(nowhere)?;
    Ok(match Room::possible().await {
        Ok(()) => Ok((server, places)),
        Err(e) => Err(format!("this system gives no namespaces to run a copy of the server in: {e}")),
    })
}

/// What a stand-in shows says nothing about another server's files, so it takes the copy's place only where that is wished.
fn no_copy(title: &str) -> Trouble {
    let says = format!(
        "a rehearsal on a copy is not possible for {title}, because its profile does not say how a copy is run; nothing was changed. \
         mxseal setup --dry-run shows what would be changed here, and mxseal rehearse --stand-in a whole setup on a stand-in for Postfix"
    );
    Trouble { exit: 3, ..Trouble::human(says) }.about("rehearsal-no-copy")
}

/// What must be as before.
fn trees(places: &Places, global: &Global, server: &Server) -> Vec<(PathBuf, Moves)> {
    let folder = |path: &Path| path.parent().map(Path::to_owned);
    let mut trees = vec![(PathBuf::from("/etc"), Moves::Nothing)];
    let more = server.files.iter().filter_map(|f| folder(&f.real)).chain([places.config.clone()]).chain(folder(&global.config));
    for dir in more {
        if !trees.iter().any(|(tree, _)| dir.starts_with(tree)) && dir.components().count() > 2 {
            trees.push((dir, Moves::Nothing));
        }
    }
    trees.extend(places.working());
    trees.push((global.state_dir.clone(), Moves::Nothing));
    trees
}

fn opening(title: &str, places: &Places, fault: Option<Fault>) -> String {
    let mut page = format!(
        "Rehearsal of mxseal setup, on a copy of this host's {title}\n  \
         files     a private copy of /etc; the rest of this host is read-only to it\n  \
         queue     an empty one in place of {}\n  \
         network   none: nothing leaves; a made-up DNS and CA answer inside\n  \
         mail      {}\n",
        places.queue().display(),
        places.mail
    );
    if let Some(fault) = fault {
        page.push_str(&format!("  fault     {}: {}\n", fault.name(), fault.says()));
    }
    page
}

fn finish(
    global: &Global,
    places: &Places,
    ended: Ended,
    (changed, looked_at): (&[PathBuf], usize),
    fault: Option<Fault>,
    began: Instant,
) -> Result<u8, Trouble> {
    let took = began.elapsed().as_secs_f32();
    let shown = changed.iter().take(5).map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
    let says = if changed.is_empty() {
        format!(
            "Nothing on this host was changed: {looked_at} files and directories of /etc and of {} are as before. It took {took:.1} s.",
            places.queue().display()
        )
    } else {
        format!(
            "The rehearsal could not write to this host, and yet {} of {looked_at} files and directories are not as before, so \
             somebody else changed them meanwhile: {shown}. It took {took:.1} s.",
            changed.len()
        )
    };
    let exit = match &ended {
        None => 1,
        // Nobody can tell that it was not us.
        Some((0, _)) if !changed.is_empty() => 3,
        Some((exit, _)) => *exit,
    };
    if global.json {
        let mut document: Value = ended.and_then(|(_, said)| serde_json::from_str(&said).ok()).unwrap_or_else(
            || json!({ "version": report::json::VERSION, "verb": "rehearse", "outcome": "failed", "error": "it was broken off" }),
        );
        document["exit"] = json!(exit);
        document["host"] = json!({ "unchanged": changed.is_empty(), "looked_at": looked_at, "changed": changed });
        Terminal::document(&report::json::text(&document));
    } else {
        if ended.is_none() {
            Terminal::print("\nBroken off: the copy and its server are gone.\n");
        }
        Terminal::print(&report::row(Style::of_stdout(), "", &format!("\n{says}")));
        if exit == 0 && fault.is_none() {
            Terminal::print("To do it for real: sudo mxseal setup\n");
        }
    }
    Ok(exit)
}
