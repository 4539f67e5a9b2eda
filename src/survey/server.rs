//! The mail server: recognised by its profile, read with its own tools. Only tools that write nothing are asked:
//! `postfix check` makes directories and `postfix status` writes a log line, so neither is run here.

use super::{
    Wants, postfix,
    sockets::MAIL_PORTS,
    tools::{PATIENCE, answer, run, settings},
};
use crate::{
    facts::{ConfigFile, Instance, Known, PortOwner, Server, Version},
    mta::{
        config::ConfigText,
        dialect::{MACROS, PROCESS},
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

/// Whether a profile is for what is installed here; else why not, as a sentence.
pub(super) fn fits(look: &dyn Look, profile: &Profile) -> Result<(), String> {
    let programs = &profile.recognise.programs;
    if !programs.iter().any(|p| look.identity(p).is_ok()) {
        let missing: Vec<_> = programs.iter().map(|p| p.display().to_string()).collect();
        return Err(format!("{} is not installed: there is no {}", profile.title, missing.join(" and no ")));
    }
    is_meant(look, profile)?;
    is_of_the_version(look, profile)
}

/// Whether its version is within the profile's limits; one that cannot be asked does not speak against it.
fn is_of_the_version(look: &dyn Look, profile: &Profile) -> Result<(), String> {
    let rules = &profile.recognise;
    if rules.since.is_none() && rules.until.is_none() {
        return Ok(());
    }
    let Ok(version) = answer(look, &rules.version, &rules.config_dir_default).map(Version::from) else { return Ok(()) };
    match (&rules.since, &rules.until) {
        (Some(since), _) if version < *since => Err(format!("{} {version} is installed, and this is for {since} and newer", profile.title)),
        (_, Some(until)) if version >= *until => {
            Err(format!("{} {version} is installed, and this is for versions before {until}", profile.title))
        }
        _ => Ok(()),
    }
}

/// Whether everything that tells it from its relatives is so; what cannot be asked does not speak against it.
fn is_meant(look: &dyn Look, profile: &Profile) -> Result<(), String> {
    let nothing = BTreeMap::new();
    for says in &profile.recognise.only_where {
        let (what, said) = match (&says.file, &says.command) {
            (Some(file), _) => (format!("{} of {}", says.name, file.display()), Some(shell_value(look, file, &says.name))),
            (None, Some(argv)) => {
                let command = argv.fill(Filling::new(&profile.recognise.config_dir_default, &nothing));
                let word = run(look, &command).ok().map(|o| o.stdout.split_whitespace().next().unwrap_or_default().to_owned());
                (format!("`{command}`"), word)
            }
            (None, None) => continue,
        };
        let fits = said.as_ref().is_none_or(|s| says.is.as_ref().is_none_or(|is| is == s))
            && says.is_not.as_ref().is_none_or(|not| said.as_ref().is_some_and(|s| s != not));
        if !fits {
            return Err(format!("{} is not what is configured here: {what} is {:?}", profile.title, said.unwrap_or_default()));
        }
    }
    Ok(())
}

/// The last value of a name in a file of shell assignments, quotes taken off; empty where there is none.
fn shell_value(look: &dyn Look, file: &Path, name: &str) -> String {
    let text = look.read(file).ok().flatten().map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let mut values = text.lines().filter_map(|l| l.trim().strip_prefix(name)?.strip_prefix('='));
    values.next_back().map(|v| v.trim_matches(['\'', '"']).to_owned()).unwrap_or_default()
}

pub(super) fn recognise<'a>(
    look: &dyn Look,
    profiles: &'a [Profile],
    wants: &Wants,
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
) -> Result<&'a Profile, String> {
    let known = || profiles.iter().map(|p| p.id.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(id) = &wants.mta {
        let profile = profiles.iter().find(|p| p.id == *id);
        let profile = profile.ok_or_else(|| format!("no mail server called {id:?} is known; --mta takes one of: {}", known()))?;
        return fits(look, profile).map(|()| profile);
    }
    let found: Vec<&Profile> = profiles.iter().filter(|p| fits(look, p).is_ok()).collect();
    let on_25: Vec<&PortOwner> = owners.iter().filter(|(a, _)| a.port() == 25).filter_map(|(_, o)| o.value()).collect();
    let receiving: Vec<&Profile> =
        found.iter().copied().filter(|p| on_25.iter().any(|o| !o.elsewhere && p.recognise.processes.contains(&o.program))).collect();
    let stranger = on_25.iter().find(|o| o.elsewhere || !profiles.iter().any(|p| p.recognise.processes.contains(&o.program)));
    match (found.as_slice(), receiving.as_slice(), stranger) {
        (_, [one], _) => Ok(one),
        (_, [], Some(owner)) if owner.elsewhere => Err(format!(
            "port 25 belongs to {} (pid {}), which serves it from another filesystem, such as a container: run mxseal there",
            owner.program, owner.pid
        )),
        (_, [], Some(owner)) => Err(format!(
            "port 25 belongs to {} (pid {}), a mail server that mxseal does not know; it knows: {}",
            owner.program,
            owner.pid,
            known()
        )),
        ([], ..) => Err(format!("no mail server that mxseal knows is installed; it knows: {}", known())),
        ([one], ..) => Ok(one),
        (several, ..) => Err(format!(
            "more than one mail server is installed ({}) and none alone listens on port 25; name one with --mta",
            several.iter().map(|p| p.id.as_str()).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The servers between which [`find`] could not choose: several, and no stranger on port 25.
pub(super) fn candidates(
    look: &dyn Look,
    profiles: &[Profile],
    wants: &Wants,
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
) -> Vec<String> {
    let installed: Vec<&Profile> = profiles.iter().filter(|p| fits(look, p).is_ok()).collect();
    let strange = |o: &PortOwner| o.elsewhere || !installed.iter().any(|p| p.recognise.processes.contains(&o.program));
    let stranger = owners.iter().filter(|(a, _)| a.port() == 25).filter_map(|(_, o)| o.value()).any(strange);
    if wants.mta.is_some() || stranger || recognise(look, profiles, wants, owners).is_ok() {
        return Vec::new();
    }
    installed.iter().map(|p| p.id.clone()).collect()
}

fn read<'a>(
    look: &dyn Look,
    profile: &'a Profile,
    wants: &Wants,
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
) -> Result<Found<'a>, String> {
    let mut answers = BTreeMap::new();
    let config_dir = config_dir(look, profile, wants, &mut answers)?;
    let instances = instances(look, profile, &config_dir);
    let config_dir = match &wants.config_dir {
        None => {
            let values = profile.recognise.values.as_ref();
            values.and_then(|values| postfix::receiving(look, values, &instances, owners)).unwrap_or(config_dir)
        }
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
    if let Some(values) = &profile.recognise.values {
        let pid = postfix::expanded(look, values, &profile.recognise.processes, &mut server, &mut domains)?;
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

/// What the server's own list says; the one that is looked at where there is no list.
fn instances(look: &dyn Look, profile: &Profile, dir: &Path) -> Vec<Instance> {
    let nothing = BTreeMap::new();
    let listed = profile.recognise.instances.as_ref().and_then(|argv| run(look, &argv.fill(Filling::new(dir, &nothing))).ok());
    let mut found: Vec<Instance> = listed.map(|out| out.stdout.lines().filter_map(instance).collect()).unwrap_or_default();
    if !found.iter().any(|i| i.config_dir == dir) {
        found.push(Instance { name: "-".into(), config_dir: dir.to_owned(), enabled: true });
    }
    found
}

/// A line of postmulti(1) -l: name, group, enabled, configuration directory.
fn instance(line: &str) -> Option<Instance> {
    let mut columns = line.split_whitespace();
    let (name, _group, enabled, dir) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
    Some(Instance { name: name.to_owned(), config_dir: PathBuf::from(dir), enabled: enabled == "y" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{change::Command, world::Output};
    use std::time::Duration;

    #[test]
    fn postmulti_lines_are_read() {
        let one = instance("-               -               y         /etc/postfix").unwrap();
        assert_eq!((one.name.as_str(), one.enabled, one.config_dir), ("-", true, PathBuf::from("/etc/postfix")));
        let two = instance("postfix-out     mta             n         /etc/postfix-out").unwrap();
        assert_eq!((two.name.as_str(), two.enabled), ("postfix-out", false));
        assert!(instance("short line").is_none());
    }

    /// A machine on which only these programs exist.
    struct Only(&'static [&'static str]);

    impl Look for Only {
        fn read(&self, _: &Path) -> std::io::Result<Option<(Vec<u8>, crate::change::Meta)>> {
            Ok(None)
        }

        fn run(&self, command: &Command, limit: Duration) -> Result<Output, crate::world::Failure> {
            Err(crate::world::Failure::Deadline { command: command.to_string(), limit })
        }

        fn identity(&self, path: &Path) -> std::io::Result<(u64, u64)> {
            if self.0.iter().any(|p| Path::new(p) == path) { Ok((1, 1)) } else { Err(std::io::ErrorKind::NotFound.into()) }
        }
    }

    #[test]
    fn the_server_that_receives_is_recognised() {
        const POSTFIX: &str = "/usr/sbin/postconf";
        const EXIM: &str = "/usr/sbin/update-exim4.conf";
        let profiles = Profile::built_in().unwrap();
        for (installed, on_25, named, expected) in [
            (&[POSTFIX][..], None, None, Ok("postfix")),
            (&[POSTFIX], Some(("master", false)), None, Ok("postfix")),
            (&[POSTFIX, EXIM], Some(("master", false)), None, Ok("postfix")),
            (&[POSTFIX, EXIM], Some(("exim4", false)), None, Ok("exim-debian")),
            (&[POSTFIX, EXIM], None, None, Err("more than one mail server is installed (postfix, exim-debian)")),
            (&[POSTFIX, EXIM], None, Some("exim-debian"), Ok("exim-debian")),
            (&[EXIM], None, Some("postfix"), Err("Postfix is not installed: there is no /usr/sbin/postconf")),
            (&[POSTFIX], None, Some("qmail"), Err("no mail server called \"qmail\" is known; --mta takes one of: postfix, exim-debian")),
            (&[], None, None, Err("no mail server that mxseal knows is installed")),
            (&[], Some(("smtpd", false)), None, Err("port 25 belongs to smtpd (pid 7), a mail server that mxseal does not know")),
            (&[POSTFIX], Some(("smtpd", false)), None, Err("port 25 belongs to smtpd (pid 7), a mail server that mxseal does not know")),
            (&[POSTFIX], Some(("docker-proxy", true)), None, Err("from another filesystem")),
            (&[POSTFIX], Some(("master", true)), None, Err("from another filesystem")),
            (&[POSTFIX], Some(("master", true)), Some("postfix"), Ok("postfix")),
        ] {
            let wants = Wants { mta: named.map(ToOwned::to_owned), ..Wants::default() };
            let owner = |(program, elsewhere): (&str, bool)| PortOwner { pid: 7, program: program.into(), elsewhere, webroot: None };
            let owners = on_25.map(|o| (([0, 0, 0, 0], 25).into(), Known::seen(owner(o), "/proc"))).into_iter().collect();
            let got = recognise(&Only(installed), &profiles, &wants, &owners).map(|p| p.id.as_str());
            let both = candidates(&Only(installed), &profiles, &wants, &owners);
            assert_eq!(both.len(), if got.as_ref().is_err_and(|why| why.contains("name one with --mta")) { 2 } else { 0 }, "{both:?}");
            match (&got, expected) {
                (Ok(id), Ok(wanted)) => assert_eq!(*id, wanted),
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                _ => panic!("{installed:?} {on_25:?} {named:?}: {got:?}"),
            }
        }
    }
}
