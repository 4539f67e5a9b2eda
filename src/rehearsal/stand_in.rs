//! The [`receiver`](super::receiver) seen from outside: its room with files as Debian's Postfix brings them, on free loopback
//! ports, and the profile that makes it a mail server like any other. Everything in it belongs to whoever rehearses.

use super::{Fault, receiver::READY};
use crate::{
    change::{Command, Meta},
    mta::profile::{Argument, Argv, Ask, Profile},
    name::DnsName,
    world::{Companion, Failure, Hands, Machine},
};
use clap::ValueEnum as _;
use nix::unistd::{getegid, geteuid};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

/// A stand-in that listens; ends with its value.
#[derive(Debug)]
pub struct StandIn {
    /// What recognises and asks it, instead of the profiles that are compiled in.
    pub profile: Profile,
    /// Its configuration directory.
    pub config_dir: PathBuf,
    /// Where our settings file for it would be; key and chain lie in `live` beside it.
    pub settings: PathBuf,
    _process: Companion,
}

impl StandIn {
    /// The id of its profile.
    pub const ID: &str = "stand-in";

    /// What recognises and asks the stand-in of a configuration directory, with this program behind every command.
    ///
    /// # Errors
    /// When a path cannot stand in a profile.
    pub fn profile(config_dir: &Path) -> Result<Profile, String> {
        let program = std::env::current_exe().map_err(|e| format!("this program does not know where it lies: {e}"))?;
        profile(&program, config_dir)
    }

    /// Puts files for a server called `name` that takes mail for `domains` into `room`, a directory of our own, and starts
    /// `program`, which is ours, on them.
    ///
    /// # Errors
    /// When a file cannot be written or the process does not get ready.
    pub fn start(program: &Path, room: &Path, name: &DnsName, domains: &[DnsName], fault: Option<Fault>) -> Result<Self, Failure> {
        let config_dir = room.join("etc/postfix");
        let wrong = |what: &str| Failure::file(format!("{what} below {}", room.display()));
        let ports = free_ports().map_err(wrong("finding free ports for a stand-in"))?;
        furnish(room, name, domains, ports).map_err(wrong("writing the files of a stand-in"))?;
        let profile = profile(program, &config_dir).map_err(|e| wrong("making the profile of a stand-in")(io::Error::other(e)))?;
        let mut arguments = vec![Self::ID.to_owned(), "serve".to_owned(), config_dir.display().to_string()];
        if let Some(value) = fault.and_then(|f| f.to_possible_value()) {
            arguments.extend(["--fault".to_owned(), value.get_name().to_owned()]);
        }
        let queue = room.join("spool");
        let process = Companion::start(program, &arguments, &queue, READY.as_bytes()).map_err(wrong("starting a stand-in"))?;
        write(&queue.join("pid/master.pid"), &format!("{}\n", process.id()), 0o644).map_err(wrong("writing the files of a stand-in"))?;
        Ok(Self { profile, config_dir, settings: room.join("etc/mxseal/mxseal.toml"), _process: process })
    }
}

/// Two ports that were free a moment ago.
fn free_ports() -> io::Result<[u16; 2]> {
    let (one, two) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    Ok([one.local_addr()?.port(), two.local_addr()?.port()])
}

fn furnish(room: &Path, name: &DnsName, domains: &[DnsName], [smtp, submissions]: [u16; 2]) -> io::Result<()> {
    for dir in ["etc", "etc/postfix", "etc/ssl", "etc/mxseal", "spool", "spool/pid", "spool/public"] {
        Machine.make_dir(&room.join(dir))?;
    }
    let ssl = room.join("etc/ssl");
    let (certificate, key) = (ssl.join("ssl-cert-snakeoil.pem"), ssl.join("ssl-cert-snakeoil.key"));
    let made = self_made(name).map_err(io::Error::other)?;
    write(&certificate, &made.0, 0o644)?;
    write(&key, &made.1, 0o600)?;
    let mine = domains.iter().map(|d| format!("{d}, ")).collect::<String>();
    let main = format!(
        "# As a fresh Debian has it, for a stand-in.\nsmtpd_banner = $myhostname ESMTP\ncompatibility_level = 3.6\n\n\
         # TLS parameters\nsmtpd_tls_cert_file={}\nsmtpd_tls_key_file={}\nsmtpd_tls_security_level=may\n\n\
         myhostname = {name}\nmydestination = $myhostname, {mine}localhost\nqueue_directory = {}\ninet_interfaces = loopback-only\n\
         inet_protocols = ipv4\n",
        certificate.display(),
        key.display(),
        room.join("spool").display()
    );
    let master = format!(
        "# service          type  private unpriv  chroot  wakeup  maxproc command + args\n\
         127.0.0.1:{smtp}    inet  n       -       n       -       -       smtpd\n\
         127.0.0.1:{submissions}    inet  n       -       n       -       -       smtpd\n  -o smtpd_tls_wrappermode=yes\n  -o smtpd_tls_mandatory_protocols=>=TLSv1.2\n"
    );
    write(&room.join("etc/postfix/main.cf"), &main, 0o644)?;
    write(&room.join("etc/postfix/master.cf"), &master, 0o644)
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    Machine.stage(path, text.as_bytes(), &Meta { uid: geteuid().as_raw(), gid: getegid().as_raw(), mode, xattrs: BTreeMap::new() })
}

/// The certificate that a fresh system makes for itself, and its key, as PEM.
fn self_made(name: &DnsName) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Postfix's own profile, with our program behind every command.
fn profile(program: &Path, config_dir: &Path) -> Result<Profile, String> {
    let all = Profile::built_in().map_err(|e| e.to_string())?;
    let mut profile = all.into_iter().find(|p| p.id == "postfix").ok_or("there is no profile of Postfix")?;
    let us = program.to_string_lossy();
    let own = |words: &[&str]| {
        let words = [&*us, StandIn::ID].into_iter().chain(words.iter().copied());
        let words = words.map(|w| Argument::try_from(w.to_owned())).collect::<Result<Vec<_>, _>>()?;
        Argv::try_from(words).map_err(str::to_owned)
    };
    let called = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    profile.id = StandIn::ID.into();
    profile.title = "a stand-in for Postfix".into();
    profile.recognise.programs = vec![program.to_owned()];
    // The kernel keeps 15 bytes of a process's name (proc_pid_comm(5)).
    profile.recognise.processes = vec![called.chars().take(15).collect(), called];
    profile.recognise.version = Ask { command: own(&["version"])?, after: String::new() };
    profile.recognise.config_dir = None;
    profile.recognise.config_dir_default = config_dir.to_owned();
    profile.recognise.values = Some(own(&["values", "{config_dir}"])?);
    profile.recognise.running = own(&["status", "{config_dir}"])?;
    profile.recognise.defaults = None;
    profile.recognise.instances = None;
    profile.activate = vec![own(&["reload", "{config_dir}"])?];
    profile.key.uid = geteuid().as_raw();
    profile.key.group = Argument::plain(getegid().to_string());
    if let Some(trial) = &mut profile.trial {
        trial.directories.clear();
        trial.check = vec![Command([&*us, StandIn::ID, "check", "{copy}"].map(ToOwned::to_owned).to_vec())];
    }
    Ok(profile)
}
