//! What only Postfix has: instances with a queue each, and a master process that is known by the queue's lock file.

mod names;
mod sni;

pub(super) use sni::names as sni_names;

use super::tools::{run, settings};
use crate::{
    facts::{Instance, Known, PortOwner, Server},
    mta::profile::{Argv, Filling},
    name::DnsName,
    world::Look,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Of several instances the one whose master listens on port 25; none where there is only one, or where nobody can tell.
pub(super) fn receiving(
    look: &dyn Look,
    values: &Argv,
    instances: &[Instance],
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
) -> Option<PathBuf> {
    let nothing = BTreeMap::new();
    let enabled: Vec<&Instance> = instances.iter().filter(|i| i.enabled).collect();
    let on_25: Vec<u32> = owners.iter().filter(|(a, _)| a.port() == 25).filter_map(|(_, o)| Some(o.value()?.pid)).collect();
    if enabled.len() < 2 {
        return None;
    }
    let listens = |i: &&&Instance| {
        let mut ask = values.fill(Filling::new(&i.config_dir, &nothing));
        ask.0.push("queue_directory".to_owned());
        let queue = run(look, &ask).ok().and_then(|out| settings(&out.stdout).remove("queue_directory")).map(PathBuf::from);
        queue.and_then(|q| master_pid(look, &q).ok()?).is_some_and(|pid| on_25.contains(&pid))
    };
    enabled.iter().find(listens).map(|i| i.config_dir.clone())
}

/// What only the expanded values say: whether it runs, its name and its domains. Gives the process that holds its sockets.
pub(super) fn expanded(
    look: &dyn Look,
    values: &Argv,
    processes: &[String],
    server: &mut Server,
    domains: &mut Vec<DnsName>,
) -> Result<Option<u32>, String> {
    let mut command = values.fill(&*server);
    command.0.extend(["queue_directory", "myhostname"].iter().chain(&names::DOMAIN_SETTINGS).map(ToString::to_string));
    let values = settings(&run(look, &command)?.stdout);
    let queue = values.get("queue_directory").map_or("/var/spool/postfix", String::as_str);
    server.running = master_runs(look, Path::new(queue), processes);
    let pid = server.running.value().copied().filter(|up| *up).and_then(|_| master_pid(look, Path::new(queue)).ok()?);
    if server.hostname.value().is_none()
        && let Some(name) = values.get("myhostname").and_then(|n| n.parse().ok())
    {
        server.hostname = Known::seen(name, command.to_string());
    }
    let received = names::received(look, names::DOMAIN_SETTINGS.iter().filter_map(|s| Some((*s, values.get(*s)?.as_str()))));
    server.receives_for = received.known(&command.to_string());
    *domains = received.domains.into_iter().collect();
    Ok(pid)
}

fn lock_file(queue: &Path) -> PathBuf {
    queue.join("pid/master.pid")
}

/// The process id in the lock file of a queue's master, which is empty of meaning where no such process lives.
fn master_pid(look: &dyn Look, queue: &Path) -> std::io::Result<Option<u32>> {
    Ok(look.read(&lock_file(queue))?.and_then(|(bytes, _)| String::from_utf8_lossy(&bytes).trim().parse().ok()))
}

/// Whether the master process of this queue runs: the PID in its lock file is a live process of one of these names that works in
/// the queue.
fn master_runs(look: &dyn Look, queue: &Path, names: &[String]) -> Known<bool> {
    let at = lock_file(queue).display().to_string();
    let pid = match master_pid(look, queue) {
        Ok(None) => return Known::seen(false, format!("{at} holds no process id")),
        Ok(Some(pid)) => pid,
        Err(e) => return Known::unknown(format!("{at}: {e}")),
    };
    let process = PathBuf::from(format!("/proc/{pid}"));
    let command = look.read(&process.join("comm")).ok().flatten().map(|(b, _)| String::from_utf8_lossy(&b).trim().to_owned());
    let in_queue = match (look.identity(&process.join("cwd")), look.identity(queue)) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        // Without root the working directory of another user's process cannot be seen.
        _ => true,
    };
    Known::seen(command.is_some_and(|name| names.contains(&name)) && in_queue, format!("{at} and /proc/{pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{change::Command, mta::profile::Profile, world::Output};
    use std::time::Duration;

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
            assert_eq!(command.0[3..], ["-x", "queue_directory"]);
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
        let values = Profile::built_in().unwrap().remove(0).recognise.values.expect("a command");
        let chosen = |instances: &[Instance], pid| receiving(&Two, &values, instances, &owner(pid)).map(|d| d.display().to_string());
        assert_eq!(chosen(&both, 22).as_deref(), Some("/etc/postfix-in"));
        assert_eq!(chosen(&both, 11).as_deref(), Some("/etc/postfix"));
        assert_eq!(chosen(&both, 33), None);
        assert_eq!(chosen(&both[1..], 22), None, "one needs no choice");
        assert_eq!(chosen(&[one("/etc/postfix", true), one("/etc/postfix-in", false)], 22), None);
    }
}
