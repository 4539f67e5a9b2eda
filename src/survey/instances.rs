//! Servers of which a host can run several, each from its own directory: which of them receives, and whether its process runs. They
//! are known by the file in which it keeps its process id.

use super::tools::{run, settings};
use crate::{
    change::Command,
    facts::{Instance, Known, PortOwner, Server},
    mta::{
        dialect::Expanded,
        profile::{Filling, Profile},
    },
    name::DnsName,
    world::Look,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// What the server's own list says; the one that is looked at where there is no list.
pub(super) fn instances(look: &dyn Look, profile: &Profile, dir: &Path) -> Vec<Instance> {
    let nothing = BTreeMap::new();
    let listed = profile.recognise.instances.as_ref().and_then(|argv| run(look, &argv.fill(Filling::new(dir, &nothing))).ok());
    let mut found: Vec<Instance> = listed.map(|out| out.stdout.lines().filter_map(instance).collect()).unwrap_or_default();
    if !found.iter().any(|i| i.config_dir == dir) {
        found.push(Instance { name: "-".into(), config_dir: dir.to_owned(), enabled: true });
    }
    found
}

/// A line: name, group, enabled, configuration directory (mxseal-profile(5), `instances`).
fn instance(line: &str) -> Option<Instance> {
    let mut columns = line.split_whitespace();
    let (name, _group, enabled, dir) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
    Some(Instance { name: name.to_owned(), config_dir: PathBuf::from(dir), enabled: enabled == "y" })
}

/// Of several instances the one whose process listens on port 25; none where there is only one, or where nobody can tell.
pub(super) fn receiving(
    look: &dyn Look,
    profile: &Profile,
    instances: &[Instance],
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
) -> Option<PathBuf> {
    let enabled: Vec<&Instance> = instances.iter().filter(|i| i.enabled).collect();
    if enabled.len() < 2 {
        return None;
    }
    let on_25: Vec<u32> = owners.iter().filter(|(a, _)| a.port() == 25).filter_map(|(_, o)| Some(o.value()?.pid)).collect();
    let nothing = BTreeMap::new();
    let listens = |i: &&&Instance| {
        let values = question(profile, Filling::new(&i.config_dir, &nothing)).and_then(|ask| run(look, &ask).ok());
        let expanded = values.and_then(|said| profile.dialect.expanded(&settings(&said.stdout)));
        expanded.and_then(|e| pid(look, &e.pid_file).ok()?).is_some_and(|pid| on_25.contains(&pid))
    };
    enabled.iter().find(listens).map(|i| i.config_dir.clone())
}

/// What only the expanded values say: whether it runs, its name and its domains. Gives the process that holds its sockets; nothing
/// where the server has no tool that says such values.
pub(super) fn expanded(
    look: &dyn Look,
    profile: &Profile,
    server: &mut Server,
    domains: &mut Vec<DnsName>,
) -> Result<Option<Option<u32>>, String> {
    let Some(question) = question(profile, Filling::from(&*server)) else { return Ok(None) };
    let values = settings(&run(look, &question)?.stdout);
    let Some(expanded) = profile.dialect.expanded(&values) else { return Ok(None) };
    server.running = runs(look, &expanded, &profile.recognise.processes);
    let holder = server.running.value().copied().filter(|up| *up).and_then(|_| pid(look, &expanded.pid_file).ok()?);
    if let (None, Some(name)) = (server.hostname.value(), expanded.hostname) {
        server.hostname = Known::seen(name, question.to_string());
    }
    let read = |path: &Path| Ok(look.read(path)?.map(|(bytes, _)| bytes));
    let received = profile.dialect.received(&values, &read);
    server.receives_for = received.known(&question.to_string());
    *domains = received.domains.into_iter().collect();
    Ok(Some(holder))
}

/// What asks for the values that the dialect wants expanded.
fn question(profile: &Profile, with: Filling<'_>) -> Option<Command> {
    let mut command = profile.recognise.values.as_ref()?.fill(with);
    command.0.extend(profile.dialect.expands().iter().map(ToString::to_string));
    Some(command)
}

/// The process id in a file, which is empty of meaning where no such process lives.
fn pid(look: &dyn Look, file: &Path) -> std::io::Result<Option<u32>> {
    Ok(look.read(file)?.and_then(|(bytes, _)| String::from_utf8_lossy(&bytes).trim().parse().ok()))
}

/// Whether the server's process runs: the id in its file is that of a live process of one of these names that works where the
/// server's does.
fn runs(look: &dyn Look, of: &Expanded, names: &[String]) -> Known<bool> {
    let at = of.pid_file.display();
    let pid = match pid(look, &of.pid_file) {
        Ok(None) => return Known::seen(false, format!("{at} holds no process id")),
        Ok(Some(pid)) => pid,
        Err(e) => return Known::unknown(format!("{at}: {e}")),
    };
    let process = PathBuf::from(format!("/proc/{pid}"));
    let command = look.read(&process.join("comm")).ok().flatten().map(|(b, _)| String::from_utf8_lossy(&b).trim().to_owned());
    let in_place = match (look.identity(&process.join("cwd")), look.identity(&of.works_in)) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        // Without root the working directory of another user's process cannot be seen.
        _ => true,
    };
    Known::seen(command.is_some_and(|name| names.contains(&name)) && in_place, format!("{at} and /proc/{pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Output;
    use std::time::Duration;

    #[test]
    fn postmulti_lines_are_read() {
        let one = instance("-               -               y         /etc/postfix").unwrap();
        assert_eq!((one.name.as_str(), one.enabled, one.config_dir), ("-", true, PathBuf::from("/etc/postfix")));
        let two = instance("postfix-out     mta             n         /etc/postfix-out").unwrap();
        assert_eq!((two.name.as_str(), two.enabled), ("postfix-out", false));
        assert!(instance("short line").is_none());
    }

    /// Two instances: the first sends, the second receives.
    struct Two;

    impl Look for Two {
        fn read(&self, path: &Path) -> std::io::Result<Option<(Vec<u8>, crate::change::Meta)>> {
            let meta = crate::change::Meta { uid: 0, gid: 0, mode: 0o600, xattrs: BTreeMap::new() };
            let pid = match path.to_str() {
                Some("/q/etc/postfix/pid/master.pid") => "         11\n",
                Some("/q/etc/postfix-in/pid/master.pid") => "         22\n",
                _ => return Ok(None),
            };
            Ok(Some((pid.into(), meta)))
        }

        fn run(&self, command: &Command, _: Duration) -> Result<Output, crate::world::Failure> {
            assert_eq!(command.0[3..5], ["-x", "queue_directory"]);
            Ok(Output { code: 0, stdout: format!("queue_directory = /q{}\n", command.0[2]), stderr: String::new() })
        }
    }

    #[test]
    fn of_several_instances_the_one_on_port_25_is_meant() {
        let one = |dir: &str, enabled| Instance { name: dir.into(), config_dir: PathBuf::from(dir), enabled };
        let both = [one("/etc/postfix", true), one("/etc/postfix-in", true)];
        let owner = |pid| {
            let owner = PortOwner { pid, program: "master".into(), elsewhere: false, webroot: None };
            [(([0, 0, 0, 0], 25).into(), Known::seen(owner, "/proc"))].into()
        };
        let profile = Profile::built_in().unwrap().remove(0);
        let chosen = |instances: &[Instance], pid| receiving(&Two, &profile, instances, &owner(pid)).map(|d| d.display().to_string());
        assert_eq!(chosen(&both, 22).as_deref(), Some("/etc/postfix-in"));
        assert_eq!(chosen(&both, 11).as_deref(), Some("/etc/postfix"));
        assert_eq!(chosen(&both, 33), None);
        assert_eq!(chosen(&both[1..], 22), None, "one needs no choice");
        assert_eq!(chosen(&[one("/etc/postfix", true), one("/etc/postfix-in", false)], 22), None);
    }
}
