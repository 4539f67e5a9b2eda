//! Every socket that listens on a port of interest, and whose it is: from `/proc` alone (proc_pid_net(5)), for tools that
//! print the same differ from host to host.

use crate::{
    facts::{Known, Listener, PortOwner, Service},
    world::Look,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// The mail ports that are looked at in any case.
pub(super) const MAIL_PORTS: [u16; 3] = [25, 465, 587];

/// Programs that hold a port for a server in another filesystem.
const FORWARDERS: [&str; 5] = ["docker-proxy", "rootlessport", "slirp4netns", "pasta", "conmon"];

/// A listening socket as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) addr: SocketAddr,
    inode: u64,
}

/// The listening sockets of this network namespace, in the order of their ports.
pub(super) fn listening(look: &dyn Look) -> Vec<Socket> {
    let mut found = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A kernel without IPv6 has no tcp6.
        if let Ok(Some((bytes, _))) = look.read(Path::new(file)) {
            found.extend(table(&String::from_utf8_lossy(&bytes)));
        }
    }
    found.sort_by_key(|s: &Socket| (s.addr.port(), s.addr));
    found.dedup();
    found
}

/// The processes that hold the sockets: one walk over `/proc` for all of them.
pub(super) fn owners(look: &dyn Look, sockets: &[Socket]) -> BTreeMap<SocketAddr, Known<PortOwner>> {
    let wanted: BTreeSet<u64> = sockets.iter().map(|s| s.inode).collect();
    let mut holders: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    let mut closed = 0;
    if !wanted.is_empty() {
        let pids = look.list(Path::new("/proc")).unwrap_or_default();
        for (pid, path) in pids.iter().filter_map(|p| Some((p.file_name()?.to_str()?.parse::<u32>().ok()?, p))) {
            let Ok(files) = look.list(&path.join("fd")) else {
                closed += 1;
                continue;
            };
            for inode in files.iter().filter_map(|f| socket_inode(&look.link(f).ok()?)) {
                if wanted.contains(&inode) {
                    holders.entry(inode).or_default().push(pid);
                }
            }
        }
    }
    let owner = |socket: &Socket| match holders.get(&socket.inode) {
        Some(pids) => match eldest(look, pids) {
            Some(pid) => Known::seen(process(look, pid), format!("/proc/{pid}/fd")),
            None => Known::unknown(format!("who listened on {} ended meanwhile", socket.addr)),
        },
        None if closed > 0 => {
            Known::unknown(format!("who listens on {} is visible to root only ({closed} processes could not be looked into)", socket.addr))
        }
        None => Known::unknown(format!("no process of this host holds {}: it is the kernel's or of another namespace", socket.addr)),
    };
    sockets.iter().map(|s| (s.addr, owner(s))).collect()
}

/// The sockets on mail ports and on those that the services declare as listeners, each with the service behind it where a process of our server holds it, or may hold it.
pub(super) fn listeners(
    sockets: &[Socket],
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
    services: &[Service],
    processes: &[String],
    pid: Option<u32>,
) -> Vec<Listener> {
    let declared: BTreeSet<u16> = services.iter().flat_map(|s| &s.listens).map(SocketAddr::port).chain(MAIL_PORTS).collect();
    let ours = |owner: &Known<PortOwner>| {
        let same = |o: &PortOwner| !o.elsewhere && pid.map_or_else(|| processes.contains(&o.program), |pid| pid == o.pid);
        owner.value().is_none_or(same)
    };
    sockets
        .iter()
        .filter(|s| declared.contains(&s.addr.port()))
        .map(|socket| {
            let owner = owners.get(&socket.addr).cloned().unwrap_or_else(|| Known::unknown("it was not looked for"));
            let service = ours(&owner).then(|| behind(socket.addr, services)).flatten();
            Listener { addr: socket.addr, owner, service }
        })
        .collect()
}

/// The service that listens there: the one that names the address, else one that takes all.
fn behind(addr: SocketAddr, services: &[Service]) -> Option<String> {
    let fits = |one: &dyn Fn(&SocketAddr) -> bool| services.iter().find(|s| s.listens.iter().any(one)).map(|s| s.name.clone());
    let any = |l: &SocketAddr| l.port() == addr.port() && (l.ip().is_unspecified() || addr.ip().is_unspecified());
    fits(&|l| *l == addr).or_else(|| fits(&any))
}

/// Of the processes that share a socket, the one whose parent does not: a server's master, not its children, some of which
/// end while we look. Systemd holds a socket that it hands to a service; the service is meant.
fn eldest(look: &dyn Look, pids: &[u32]) -> Option<u32> {
    let alive: Vec<(u32, u32)> = pids.iter().filter_map(|&pid| Some((pid, parent(look, pid)?))).collect();
    let holds = |up: u32| up != 1 && alive.iter().any(|(pid, _)| *pid == up);
    let first = alive.iter().find(|(pid, up)| *pid != 1 && !holds(*up)).or(alive.first());
    first.map(|(pid, _)| *pid)
}

fn parent(look: &dyn Look, pid: u32) -> Option<u32> {
    let (bytes, _) = look.read(&PathBuf::from(format!("/proc/{pid}/stat"))).ok()??;
    // The command in parentheses may hold spaces and parentheses itself (proc_pid_stat(5)).
    String::from_utf8_lossy(&bytes).rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn process(look: &dyn Look, pid: u32) -> PortOwner {
    let pid = outside(look, pid).unwrap_or(pid);
    let at = PathBuf::from(format!("/proc/{pid}"));
    // `comm` is cut to 15 bytes; the name of the executable is whole, but for root only.
    let exe = look.link(&at.join("exe")).ok().and_then(|p| Some(p.file_name()?.to_str()?.trim_end_matches(" (deleted)").to_owned()));
    let comm = || look.read(&at.join("comm")).ok().flatten().map(|(b, _)| String::from_utf8_lossy(&b).trim().to_owned());
    let program = exe.or_else(comm).unwrap_or_default();
    let root_differs = match (look.identity(&at.join("root/.")), look.identity(Path::new("/"))) {
        (Ok(theirs), Ok(ours)) => theirs != ours,
        _ => false,
    };
    let elsewhere = root_differs || FORWARDERS.contains(&program.as_str());
    PortOwner { pid, program, elsewhere, webroot: None }
}

/// The parent of a process that locked itself up in a directory (chroot(2)) and runs the same program: the server is here.
fn outside(look: &dyn Look, pid: u32) -> Option<u32> {
    let of = |pid: u32, what: &str| PathBuf::from(format!("/proc/{pid}/{what}"));
    let root = |pid: u32| look.identity(&of(pid, "root/.")).ok();
    let ours = look.identity(Path::new("/")).ok()?;
    let up = parent(look, pid).filter(|up| *up > 1)?;
    let same_program = look.link(&of(pid, "exe")).ok()? == look.link(&of(up, "exe")).ok()?;
    (same_program && root(pid)? != ours && root(up)? == ours).then_some(up)
}

fn socket_inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The listening rows of `/proc/net/tcp` or `tcp6`.
fn table(text: &str) -> Vec<Socket> {
    const LISTEN: &str = "0A";
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            if *columns.get(3)? != LISTEN {
                return None;
            }
            Some(Socket { addr: address(columns.get(1)?)?, inode: columns.get(9)?.parse().ok()? })
        })
        .collect()
}

/// `0100007F:0019`: words of four bytes in the host's order, the port in big-endian hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..ip.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Role;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 00000000:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0\n   \
        1: 0100007F:024B 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4243 1 0000000000000000 100 0 0 10 0\n   \
        2: 0100007F:0019 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 4244 1 0000000000000000 20 4 30 10 -1\n\
        garbage\n";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 00000000000000000000000000000000:0019 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0\n   \
        1: B80D0120000000000000000001000000:01D1 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 78 1 0\n";

    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernels_table_is_read() {
        let rows = |text| table(text).into_iter().map(|s| (s.addr.to_string(), s.inode)).collect::<Vec<_>>();
        assert_eq!(rows(TCP), vec![("0.0.0.0:25".to_owned(), 4242), ("127.0.0.1:587".to_owned(), 4243)]);
        assert_eq!(rows(TCP6), vec![("[::]:25".to_owned(), 77), ("[2001:db8::1]:465".to_owned(), 78)]);
        assert_eq!(rows(""), vec![]);
    }

    /// Processes and their parents; others have ended.
    struct Alive(&'static [(u32, u32)]);

    impl Look for Alive {
        fn read(&self, path: &Path) -> std::io::Result<Option<(Vec<u8>, crate::change::Meta)>> {
            let stat = |(pid, up): &(u32, u32)| (path == Path::new(&format!("/proc/{pid}/stat"))).then(|| format!("{pid} (a) b) S {up} 1"));
            let meta = crate::change::Meta { uid: 0, gid: 0, mode: 0o444, xattrs: BTreeMap::new() };
            Ok(self.0.iter().find_map(stat).map(|text| (text.into_bytes(), meta)))
        }

        fn run(&self, command: &crate::change::Command, limit: std::time::Duration) -> Result<crate::world::Output, crate::world::Failure> {
            Err(crate::world::Failure::Deadline { command: command.to_string(), limit })
        }
    }

    #[test]
    fn the_master_holds_a_socket_and_not_its_children() {
        for (case, alive, holders, expected) in [
            ("alone", &[(7, 1)][..], &[7][..], Some(7)),
            ("with children", &[(7, 1), (8, 7), (9, 7)], &[7, 8, 9], Some(7)),
            ("a child with a lower id", &[(70, 1), (8, 70)], &[8, 70], Some(70)),
            ("a child that ended meanwhile", &[(70, 1), (9, 70)], &[8, 9, 70], Some(70)),
            ("handed over by systemd", &[(1, 0), (7, 1)], &[1, 7], Some(7)),
            ("kept by systemd", &[(1, 0)], &[1], Some(1)),
            ("all ended meanwhile", &[], &[7, 8], None),
        ] {
            assert_eq!(eldest(&Alive(alive), holders), expected, "{case}");
        }
    }

    /// Process 7 holds a socket; its program and root, and those of its parent 6.
    struct LockedUp([(&'static str, u64); 2]);

    impl Look for LockedUp {
        fn read(&self, _: &Path) -> std::io::Result<Option<(Vec<u8>, crate::change::Meta)>> {
            let meta = crate::change::Meta { uid: 0, gid: 0, mode: 0o444, xattrs: BTreeMap::new() };
            Ok(Some((b"7 (smtpd) S 6 1".to_vec(), meta)))
        }

        fn run(&self, command: &crate::change::Command, limit: std::time::Duration) -> Result<crate::world::Output, crate::world::Failure> {
            Err(crate::world::Failure::Deadline { command: command.to_string(), limit })
        }

        fn link(&self, path: &Path) -> std::io::Result<PathBuf> {
            Ok(PathBuf::from(self.0[usize::from(path.starts_with("/proc/6"))].0))
        }

        fn identity(&self, path: &Path) -> std::io::Result<(u64, u64)> {
            let root = if path == Path::new("/") { 1 } else { self.0[usize::from(path.starts_with("/proc/6"))].1 };
            Ok((1, root))
        }
    }

    #[test]
    fn a_server_that_locks_its_children_up_is_here() {
        for (case, child, master, expected) in [
            ("locked up", ("/usr/sbin/smtpd", 2), ("/usr/sbin/smtpd", 1), (6, false)),
            ("free", ("/usr/sbin/smtpd", 1), ("/usr/sbin/smtpd", 1), (7, false)),
            ("all of it in a container", ("/usr/sbin/smtpd", 2), ("/usr/sbin/smtpd", 2), (7, true)),
            ("started by a container's engine", ("/usr/sbin/smtpd", 2), ("/usr/bin/conmon", 1), (7, true)),
        ] {
            let owner = process(&LockedUp([child, master]), 7);
            assert_eq!((owner.pid, owner.elsewhere), expected, "{case}");
        }
    }

    #[test]
    fn a_service_is_found_by_the_address_that_it_names_first() {
        let service = |name: &str, listens: &str| Service {
            name: name.into(),
            at: (PathBuf::from("master.cf"), 1),
            program: "smtpd".into(),
            listens: vec![listens.parse().unwrap()],
            role: Role::Mx,
            wire: None,
            tests_strangers: false,
            chroot: false,
            settings: BTreeMap::new(),
        };
        let services = [service("smtp/inet", "0.0.0.0:25"), service("inner", "127.0.0.1:25"), service("submission/inet", "[::]:587")];
        for (addr, expected) in [
            ("0.0.0.0:25", Some("smtp/inet")),
            ("127.0.0.1:25", Some("inner")),
            ("192.0.2.1:25", Some("smtp/inet")),
            ("[::]:25", Some("smtp/inet")),
            ("0.0.0.0:587", Some("submission/inet")),
            ("0.0.0.0:465", None),
        ] {
            assert_eq!(behind(addr.parse().unwrap(), &services).as_deref(), expected, "{addr}");
        }
    }
}
