//! A private Postfix instance on loopback ports, with its own configuration, queue, data and log; no system service is
//! touched. Every accepted message goes to one mbox under its folder.

use super::{
    ports::free_port,
    process::{Daemon, run, wait_for, within},
};
use std::{
    fmt::Write as _,
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

/// The instance; it stops and its folder goes with its value.
pub struct Postfix {
    daemon: Option<Daemon>,
    folder: tempfile::TempDir,
    main: String,
    services: Vec<Service>,
    master: String,
    prefix: Vec<String>,
}

struct Service {
    name: String,
    addr: SocketAddr,
    program: String,
    options: String,
}

impl Postfix {
    /// An instance of that host name, also final for `example.test`, with the one service `mx` (smtpd); not started.
    pub fn new(hostname: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mxseal-postfix-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a folder for Postfix");
        let dir = folder.path().display();
        for below in ["etc", "spool", "data", "log", "mail"] {
            fs::create_dir(folder.path().join(below)).expect("a folder of the instance");
        }
        give(&folder.path().join("data"), "postfix");
        give(&folder.path().join("mail"), "nobody");
        let main = format!(
            "compatibility_level = 3.6\nconfig_directory = {dir}/etc\nqueue_directory = {dir}/spool\ndata_directory = {dir}/data\n\
             maillog_file = {dir}/log/mail.log\nmaillog_file_prefixes = {dir}/log\nmyhostname = {hostname}\n\
             mydestination = $myhostname, example.test\nmyorigin = $myhostname\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\nlocal_recipient_maps =\nalias_maps =\nalias_database =\nmailbox_transport =\n\
             local_transport = virtual\nvirtual_mailbox_domains =\nvirtual_mailbox_base = {dir}/mail\n\
             virtual_mailbox_maps = static:inbox\nvirtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\n\
             smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nbiff = no\n\
             disable_dns_lookups = yes\nsmtpd_peername_lookup = no\nsmtp_tls_security_level = may\n"
        );
        Self { daemon: None, folder, main, services: Vec::new(), master: String::new(), prefix: Vec::new() }.service("mx", "smtpd", "")
    }

    /// Without network service, run by the words of `prefix` (`ip netns exec NAME`): a sender in a namespace.
    pub fn within(mut self, prefix: Vec<String>) -> Self {
        self.services.clear();
        Self { prefix, ..self }
    }

    /// Adds lines to main.cf.
    pub fn main(mut self, lines: &str) -> Self {
        writeln!(self.main, "{}", lines.trim_end()).expect("room");
        self
    }

    /// Adds a network service on a free port, or replaces the one of that name: program (`smtpd`, `postscreen`) and
    /// options such as `-o smtpd_tls_wrappermode=yes`.
    pub fn service(mut self, name: &str, program: &str, options: &str) -> Self {
        self.services.retain(|s| s.name != name);
        let (name, program, options) = (name.to_owned(), program.to_owned(), options.to_owned());
        self.services.push(Service { name, addr: free_port(), program, options });
        self
    }

    /// Adds lines to master.cf.
    pub fn master(mut self, lines: &str) -> Self {
        writeln!(self.master, "{}", lines.trim_end()).expect("room");
        self
    }

    /// Writes the configuration and starts; returns when every service listens.
    pub fn start(mut self) -> Self {
        self.write_config("main.cf", &self.main.clone());
        self.write_config("master.cf", &self.master_cf());
        self.launch();
        self
    }

    /// Writes the configuration without starting.
    pub fn written(self) -> Self {
        self.write_config("main.cf", &self.main);
        self.write_config("master.cf", &self.master_cf());
        self
    }

    /// Starts what is written (again).
    pub fn launch(&mut self) {
        assert!(self.daemon.is_none(), "it runs");
        // What `postfix start-fg` does, without the shell between: so the master is our child, and ends by its own PID.
        run(within(&self.prefix, "postfix").arg("-c").arg(self.etc()).arg("check"));
        let programs = run(&mut self.command("postconf", &["-h", "daemon_directory"]));
        let master = |mode: &str| {
            let mut master = within(&self.prefix, Path::new(programs.trim()).join("master"));
            master.args([mode.as_ref(), "-c".as_ref(), self.etc().as_os_str()]);
            master.env("MAIL_CONFIG", self.etc()).env("POSTLOG_SERVICE", "postlog").env("POSTLOG_HOSTNAME", "lab").env("LC_ALL", "C");
            master
        };
        // A process that the last one was just starting holds its lock for a moment more.
        wait_for("the lock of the last master", Duration::from_secs(10), || master("-t").status().is_ok_and(|s| s.success()));
        let before = self.log().len();
        self.daemon = Some(Daemon::start(&mut master("-s"), &self.dir().join("log/start")));
        wait_for("the private Postfix", Duration::from_secs(60), || {
            let log = self.log().split_off(before);
            assert!(!log.contains("fatal:"), "Postfix does not start:\n{log}");
            log.contains("daemon started") && self.services.iter().all(|s| TcpStream::connect(s.addr).is_ok())
        });
    }

    /// Stops it; the folder stays.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Reloads, and returns when the master has done so.
    pub fn reload(&self) {
        let before = self.log().matches(": reload -- ").count();
        run(&mut self.command("postfix", &["reload"]));
        wait_for("the reload", Duration::from_secs(10), || self.log().matches(": reload -- ").count() > before);
    }

    /// A command of Postfix (`postfix`, `postconf`, `postqueue`...) for this instance.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.etc()).args(arguments);
        command
    }

    /// Its folder; readable by everyone.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Its configuration directory.
    pub fn etc(&self) -> PathBuf {
        self.dir().join("etc")
    }

    /// Address and port of a service.
    pub fn addr(&self, service: &str) -> SocketAddr {
        self.services.iter().find(|s| s.name == service).unwrap_or_else(|| panic!("no service {service}")).addr
    }

    /// Port of a service.
    pub fn port(&self, service: &str) -> u16 {
        self.addr(service).port()
    }

    /// Process id of the master, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::pid)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir().join("log/mail.log")).unwrap_or_default()
    }

    /// Every message delivered so far, as one mbox.
    pub fn mailbox(&self) -> String {
        fs::read_to_string(self.dir().join("mail/inbox")).unwrap_or_default()
    }

    /// Writes a file of the configuration directory. Its time of change lies back, because Postfix waits two seconds
    /// with a file that is younger than that.
    pub fn write_config(&self, name: &str, text: &str) {
        let path = self.etc().join(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.age(name);
    }

    /// Sets back the time of change of a file of the configuration directory.
    pub fn age(&self, name: &str) {
        let file = File::options().append(true).open(self.etc().join(name)).expect("a configuration file");
        file.set_modified(SystemTime::now() - Duration::from_secs(10)).expect("its time");
    }

    /// The text of a file of the configuration directory.
    pub fn read_config(&self, name: &str) -> String {
        fs::read_to_string(self.etc().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Appends lines to main.cf as it lies there; takes effect with [`Postfix::reload`].
    pub fn set(&self, lines: &str) {
        self.write_config("main.cf", &format!("{}{}\n", self.read_config("main.cf"), lines.trim_end()));
    }

    fn master_cf(&self) -> String {
        let stock = fs::read_to_string("/usr/share/postfix/master.cf.dist")
            .expect("/usr/share/postfix/master.cf.dist: Postfix is not installed; tests/run installs what is needed");
        let mut text = String::new();
        for line in stock.lines().filter(|l| !l.starts_with("smtp      inet")) {
            writeln!(text, "{line}").expect("room");
        }
        if self.services.iter().any(|s| s.program == "postscreen") {
            text += "smtpd pass - - y - - smtpd\ndnsblog unix - - y - 0 dnsblog\ntlsproxy unix - - y - 0 tlsproxy\n";
        }
        for Service { addr, program, options, .. } in &self.services {
            let most = if program == "postscreen" { "1" } else { "-" };
            writeln!(text, "{addr} inet n - y - {most} {program}\n  {options}").expect("room");
        }
        text + &self.master
    }
}

fn give(path: &Path, user: &str) {
    let user = nix::unistd::User::from_name(user).ok().flatten().unwrap_or_else(|| panic!("there is no user {user}"));
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("root, to hand a folder to Postfix");
}
