//! The mail server: recognised by its profile, read with its own tools. Only tools that write nothing are asked:
//! `postfix check` makes directories and `postfix status` writes a log line, so neither is run here.

use super::{
    Wants, names, postfix,
    tools::{PATIENCE, answer, run},
};
use crate::{
    facts::{ConfigFile, Instance, Known, PortOwner, Server, Version},
    mta::{config::ConfigText, dialect::Dialect, profile::Profile},
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

fn installed(look: &dyn Look, profile: &Profile) -> bool {
    profile.recognise.programs.iter().any(|p| look.identity(p).is_ok())
}

fn recognise<'a>(
    look: &dyn Look,
    profiles: &'a [Profile],
    wants: &Wants,
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
) -> Result<&'a Profile, String> {
    let known = || profiles.iter().map(|p| p.id.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(id) = &wants.mta {
        let profile = profiles.iter().find(|p| p.id == *id);
        let profile = profile.ok_or_else(|| format!("no mail server called {id:?} is known; --mta takes one of: {}", known()))?;
        if !installed(look, profile) {
            let programs: Vec<_> = profile.recognise.programs.iter().map(|p| p.display().to_string()).collect();
            return Err(format!("{} is not installed: there is no {}", profile.title, programs.join(" and no ")));
        }
        return Ok(profile);
    }
    let found: Vec<&Profile> = profiles.iter().filter(|p| installed(look, p)).collect();
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
    let installed: Vec<&Profile> = profiles.iter().filter(|p| installed(look, p)).collect();
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
    let told = profile.recognise.config_dir_default.as_path();
    let first = match (&wants.config_dir, &profile.recognise.config_dir) {
        (Some(given), _) => given.clone(),
        (None, Some(ask)) => PathBuf::from(answer(look, ask, told).map_err(|why| blame(look, profile, told, why))?),
        (None, None) => told.to_owned(),
    };
    let instances = instances(look, profile, &first);
    let config_dir = match (profile.dialect, &wants.config_dir) {
        (Dialect::PostfixCf, None) => postfix::receiving(look, &instances, owners).unwrap_or(first),
        _ => first,
    };
    let dir = config_dir.as_path();
    let version = answer(look, &profile.recognise.version, dir).map_err(|why| blame(look, profile, dir, why))?;
    let version = Version::from(version);
    let files = files(look, profile, dir)?;

    let mut defaults = BTreeMap::new();
    let asks = profile.dialect.asks();
    if let (Some(argv), false) = (&profile.recognise.defaults, asks.is_empty()) {
        let mut command = argv.fill(dir);
        command.0.extend(asks.iter().map(ToString::to_string));
        let told = run(look, &command).map_err(|why| blame(look, profile, dir, why))?;
        defaults = settings(&told.stdout);
    }
    let understood = profile.dialect.understand(&version, &files, &defaults).map_err(|e| e.to_string())?;

    let mut server = Server {
        profile: profile.id.clone(),
        version,
        config_dir: config_dir.clone(),
        instances,
        running: Known::unknown("it was not looked for"),
        files,
        defaults,
        hostname: understood.hostname,
        receives_for: understood.receives_for,
        services: understood.services,
    };
    let mut pid = None;
    let mut domains = server.receives_for.value().cloned().unwrap_or_default();
    match profile.dialect {
        Dialect::PostfixCf => {
            let mut command = profile.recognise.values.as_ref().ok_or("the profile says no command for values")?.fill(dir);
            command.0.extend(["queue_directory", "myhostname"].iter().chain(&names::DOMAIN_SETTINGS).map(ToString::to_string));
            let values = settings(&run(look, &command)?.stdout);
            let queue = values.get("queue_directory").map_or("/var/spool/postfix", String::as_str);
            server.running = postfix::master_runs(look, Path::new(queue), &profile.recognise.processes);
            pid = server.running.value().copied().filter(|up| *up).and_then(|_| postfix::master_pid(look, Path::new(queue)).ok()?);
            if server.hostname.value().is_none()
                && let Some(name) = values.get("myhostname").and_then(|n| n.parse().ok())
            {
                server.hostname = Known::seen(name, command.to_string());
            }
            let received = names::received(look, names::DOMAIN_SETTINGS.iter().filter_map(|s| Some((*s, values.get(*s)?.as_str()))));
            server.receives_for = received.known(&command.to_string());
            domains = received.domains.into_iter().collect();
        }
        Dialect::EximMacros => {
            let command = profile.recognise.running.fill(dir);
            server.running = match look.run(&command, PATIENCE) {
                Ok(out) => Known::seen(out.code == 0, command.to_string()),
                Err(e) => Known::unknown(e.to_string()),
            };
        }
    }
    Ok(Found { server, profile, domains, pid })
}

fn files(look: &dyn Look, profile: &Profile, dir: &Path) -> Result<Vec<ConfigFile>, String> {
    profile.files.iter().filter_map(|f| file(look, f.path.path(dir), f.optional).transpose()).collect()
}

/// Where the server's tools refuse its configuration, our own reading says at which line; else the tools' words stand.
fn blame(look: &dyn Look, profile: &Profile, dir: &Path, why: String) -> String {
    let read = files(look, profile, dir);
    let understood = read.and_then(|files| {
        profile.dialect.understand(&Version::default(), &files, &BTreeMap::new()).map(drop).map_err(|wrong| wrong.to_string())
    });
    understood.err().unwrap_or(why)
}

/// `name = value` lines, as `postconf` prints them.
fn settings(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(|l| l.split_once(" =")).map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
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
    let listed = profile.recognise.instances.as_ref().and_then(|argv| run(look, &argv.fill(dir)).ok());
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
    fn postconf_lines_are_read() {
        let got = settings("myhostname = vm\nmydestination =\nrelay_domains = a = b\nnonsense\n");
        assert_eq!(got.get("myhostname").map(String::as_str), Some("vm"));
        assert_eq!(got.get("mydestination").map(String::as_str), Some(""));
        assert_eq!(got.get("relay_domains").map(String::as_str), Some("a = b"));
        assert_eq!(got.len(), 3);
    }

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
