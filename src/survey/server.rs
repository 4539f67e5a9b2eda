//! The mail server: recognised by its profile, read with its own tools. Only tools that write nothing are asked.

use super::{
    Wants, host, instances,
    recognise::recognise,
    sockets::MAIL_PORTS,
    tools::{PATIENCE, answer, run, settings},
};
use crate::{
    facts::{ConfigFile, Known, PortOwner, Server, Version},
    mta::{
        config::ConfigText,
        dialect::{INTERFACES, MACROS, PROCESS},
        profile::{Ask, Filling, Profile},
    },
    name::DnsName,
    world::Look,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The server with the profile that recognised it.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) server: Server,
    pub(super) profile: &'a Profile,
    /// The domains that are written down, also where others are missing.
    pub(super) domains: Vec<DnsName>,
    /// The process that owns its sockets, where it is known: another instance's has the same name.
    pub(super) pid: Option<u32>,
}

/// Finds and reads the mail server that receives from the world; else why not, as a sentence.
pub(super) fn find<'a>(
    look: &dyn Look,
    profiles: &'a [Profile],
    wants: &Wants,
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
) -> Result<Found<'a>, String> {
    let profile = recognise(look, profiles, wants, owners)?;
    read(look, profile, wants, owners)
}

fn read<'a>(
    look: &dyn Look,
    profile: &'a Profile,
    wants: &Wants,
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
) -> Result<Found<'a>, String> {
    let mut answers = BTreeMap::new();
    let config_dir = config_dir(look, profile, wants, &mut answers)?;
    let instances = instances::instances(look, profile, &config_dir);
    let config_dir = match &wants.config_dir {
        None => instances::receiving(look, profile, &instances, owners).unwrap_or(config_dir),
        Some(_) => config_dir,
    };
    let dir = config_dir.as_path();
    let version = answer(look, &profile.recognise.version, dir).map_err(|why| blame(look, profile, Filling::new(dir, &answers), why))?;
    let version = Version::from(version);
    let mut files = files(look, profile, Filling::new(dir, &answers))?;

    let asks = profile.dialect.asks();
    if let (Some(argv), false) = (&profile.recognise.defaults, asks.is_empty()) {
        let mut command = argv.fill(Filling::new(dir, &answers));
        command.0.extend(asks.iter().map(ToString::to_string));
        let told = run(look, &command).map_err(|why| blame(look, profile, Filling::new(dir, &answers), why))?;
        answers.extend(settings(&told.stdout));
    }
    let pid = holder(profile, owners);
    if let Some(command_line) = pid.and_then(|pid| look.read(&PathBuf::from(format!("/proc/{pid}/cmdline"))).ok().flatten()) {
        answers.insert(PROCESS.to_owned(), String::from_utf8_lossy(&command_line.0).trim_end_matches('\0').replace('\0', "\n"));
    }
    if profile.dialect.asks_interfaces() {
        answers.insert(INTERFACES.to_owned(), host::interfaces());
    }
    profile.dialect.complete(&mut answers);
    let macros = profile.recognise.macros.as_ref().and_then(|argv| run(look, &argv.fill(Filling::new(dir, &answers))).ok());
    included(look, profile, &mut files, &mut answers, macros.map(|said| said.stdout).as_deref())?;
    let understood = profile.dialect.understand(&version, &files, &answers).map_err(|e| e.to_string())?;
    profile.dialect.agree(&understood, &answers)?;

    let mut server = Server {
        profile: profile.id.clone(),
        version,
        config_dir: config_dir.clone(),
        instances,
        running: Known::unknown("it was not looked for"),
        files,
        defaults: answers,
        hostname: understood.hostname,
        receives_for: understood.receives_for,
        services: understood.services,
    };
    let mut domains = server.receives_for.value().cloned().unwrap_or_default();
    if let Some(pid) = instances::expanded(look, profile, &mut server, &mut domains)? {
        return Ok(Found { server, profile, domains, pid });
    }
    server.running = match pid {
        Some(pid) => Known::seen(true, format!("/proc/{pid}")),
        None => {
            let command = profile.recognise.running.fill(&server);
            look.run(&command, PATIENCE)
                .map_or_else(|e| Known::unknown(e.to_string()), |out| Known::seen(out.code == 0, command.to_string()))
        }
    };
    Ok(Found { server, profile, domains, pid })
}

/// The directory that was named, else the one that the server's tools say, or that of the file that they say.
fn config_dir(look: &dyn Look, profile: &Profile, wants: &Wants, answers: &mut BTreeMap<String, String>) -> Result<PathBuf, String> {
    let told = profile.recognise.config_dir_default.as_path();
    let nothing = BTreeMap::new();
    let ask = |ask: &Ask| answer(look, ask, told).map(PathBuf::from).map_err(|why| blame(look, profile, Filling::new(told, &nothing), why));
    if let Some(question) = &profile.recognise.config_file {
        let file = ask(question)?;
        answers.insert("config_file".to_owned(), file.display().to_string());
        let dir = file.parent().unwrap_or(told).to_owned();
        return match &wants.config_dir {
            Some(given) if *given != dir => {
                Err(format!("{} is configured in {}, and not in {}", profile.title, file.display(), given.display()))
            }
            _ => Ok(dir),
        };
    }
    match (&wants.config_dir, &profile.recognise.config_dir) {
        (Some(given), _) => Ok(given.clone()),
        (None, Some(question)) => ask(question),
        (None, None) => Ok(told.to_owned()),
    }
}

/// The process of this server that holds a mail port, 25 first.
fn holder(profile: &Profile, owners: &BTreeMap<SocketAddr, Known<PortOwner>>) -> Option<u32> {
    let ours = |o: &&PortOwner| !o.elsewhere && profile.recognise.processes.contains(&o.program);
    let mut by_port: Vec<(u16, &PortOwner)> = owners
        .iter()
        .filter_map(|(a, o)| Some((a.port(), o.value().filter(ours)?)))
        .filter(|(port, _)| MAIL_PORTS.contains(port))
        .collect();
    by_port.sort_by_key(|(port, _)| *port);
    by_port.first().map(|(_, owner)| owner.pid)
}

/// Adds the files that are included, and of the macros that the server knows those that the files ask for.
fn included(
    look: &dyn Look,
    profile: &Profile,
    files: &mut Vec<ConfigFile>,
    answers: &mut BTreeMap<String, String>,
    macros: Option<&str>,
) -> Result<(), String> {
    loop {
        if let Some(macros) = macros {
            answers.insert(MACROS.to_owned(), profile.dialect.asked_macros(files, macros));
        }
        let missing = profile.dialect.missing(files, answers).map_err(|e| e.to_string())?;
        let before = files.len();
        for path in missing {
            files.extend(file(look, path, true)?);
        }
        if files.len() == before {
            return Ok(());
        }
    }
}

fn files(look: &dyn Look, profile: &Profile, with: Filling<'_>) -> Result<Vec<ConfigFile>, String> {
    let mut found: Vec<ConfigFile> = Vec::new();
    for one in &profile.files {
        let path = one.path.path(with);
        let paths = if one.parts { parts(look, &path)? } else { vec![path] };
        for path in paths {
            if !found.iter().any(|f| f.path == path) {
                found.extend(file(look, path, one.optional)?);
            }
        }
    }
    Ok(found)
}

/// The parts of a directory in their order.
fn parts(look: &dyn Look, dir: &Path) -> Result<Vec<PathBuf>, String> {
    let all = look.list(dir).map_err(|e| format!("{} cannot be read: {e}", dir.display()))?;
    let plain = |p: &&PathBuf| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    let replaced = |p: &PathBuf| {
        let rule = p.with_extension("rul");
        if all.contains(&rule) { rule } else { p.clone() }
    };
    Ok(all.iter().filter(plain).map(replaced).collect())
}

/// Where the server's tools refuse its configuration, our own reading says at which line; else the tools' words stand.
fn blame(look: &dyn Look, profile: &Profile, with: Filling<'_>, why: String) -> String {
    let understood = files(look, profile, with).and_then(|files| {
        profile.dialect.understand(&Version::default(), &files, &BTreeMap::new()).map(drop).map_err(|wrong| wrong.to_string())
    });
    understood.err().unwrap_or(why)
}

fn file(look: &dyn Look, path: PathBuf, optional: bool) -> Result<Option<ConfigFile>, String> {
    let wrong = |why: String| format!("{} cannot be read: {why}", path.display());
    let Some((bytes, meta)) = look.read(&path).map_err(|e| wrong(e.to_string()))? else {
        return if optional { Ok(None) } else { Err(wrong("it does not exist".into())) };
    };
    let real = look.real(&path).map_err(|e| wrong(e.to_string()))?;
    let image = crate::change::Image { digest: crate::certificate::Digest::of(&bytes), meta };
    Ok(Some(ConfigFile { path, real, image, text: ConfigText(crate::change::Raw(bytes)) }))
}
