//! The sites for web servers: taken by each server's own check, and served to a sender by the real one.

use crate::lab::{
    authority::{Authority, Issued},
    net::{Net, v4, v6},
    process::{Daemon, run, wait_for},
};
use mxseal::{
    certificate::KeyType,
    name::DnsName,
    publish::{WebServer, policy_file, site},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const POLICY: &str = "version: STSv1\nmode: testing\nmx: mx.example.test\nmax_age: 86400\n";
/// Where `tests/run` puts the packages of web servers. They are not installed: nothing here is to serve the machine's port 80.
const PACKAGES: &str = "/var/cache/mxseal-tests/web";

/// A web server's home: its programs, its configuration, the policy, a certificate, the wire.
struct Web {
    net: Net,
    home: PathBuf,
    root_pem: PathBuf,
    _dir: tempfile::TempDir,
}

impl Web {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("mxseal-web-").tempdir().unwrap();
        // Servers drop root, and must enter.
        run(Command::new("chmod").arg("755").arg(dir.path()));
        let home = dir.path().to_owned();
        for package in fs::read_dir(PACKAGES).unwrap_or_else(|e| panic!("{PACKAGES}: {e}; tests/run fetches it")).flatten() {
            if package.path().extension().is_some_and(|e| e == "deb") {
                run(Command::new("dpkg").arg("-x").arg(package.path()).arg(&home));
            }
        }
        let authority = Authority::new();
        let Issued { chain, key, .. } = authority.issue(&["mta-sts.example.test"], KeyType::Ecdsa);
        let root_pem = home.join("root.pem");
        for (name, text) in [("root.pem", &authority.root_pem()), ("chain.pem", &chain), ("key.pem", &key)] {
            fs::write(home.join(name), text).unwrap();
        }
        let file = policy_file(&home.join("www"), &domain());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, POLICY).unwrap();
        fs::write(file.with_file_name("secret.txt"), "secret").unwrap();
        let mut net = Net::new();
        net.plug("web", 80);
        Self { net, home, root_pem, _dir: dir }
    }

    /// The site, as it is printed.
    fn site(&self, server: WebServer) -> String {
        site(server, &domain(), &self.home.join("www"), Some((&self.home.join("chain.pem"), &self.home.join("key.pem"))))
    }

    /// A program of a package, else of this machine.
    fn program(&self, name: &str) -> PathBuf {
        let places = ["usr/sbin", "usr/bin"].into_iter().flat_map(|dir| [self.home.join(dir), Path::new("/").join(dir)]);
        places.map(|dir| dir.join(name)).find(|p| p.exists()).unwrap_or_else(|| panic!("no {name}; tests/run fetches what is needed"))
    }

    /// A program on the wire.
    fn command(&self, name: &str) -> Command {
        let mut command = self.net.command("web", self.program(name));
        command.env("LD_LIBRARY_PATH", self.home.join("usr/lib/x86_64-linux-gnu")).env("HOME", &self.home);
        command
    }

    /// What a sender gets: the body, behind it media type and status.
    fn get(&self, to: &str, path: &str) -> String {
        let mut curl = self.net.command("web", "curl");
        curl.args(["-s", "--max-time", "20", "-w", "%{content_type}|%{http_code}", "--cacert"]).arg(&self.root_pem);
        curl.args(["--resolve", &format!("mta-sts.example.test:443:{to}"), &format!("https://mta-sts.example.test{path}")]);
        String::from_utf8_lossy(&curl.output().expect("curl; tests/run installs what is needed").stdout).into_owned()
    }

    /// Both families get the policy as senders want it, and nobody anything else.
    fn serves(&self, what: &str, daemon: &Daemon) {
        let path = "/.well-known/mta-sts.txt";
        wait_for(&format!("{what}:\n{}", daemon.log()), Duration::from_secs(20), || self.get(&v4(80), path).ends_with("|200"));
        for to in [v4(80), format!("[{}]", v6(80))] {
            let got = self.get(&to, path);
            let media = got.strip_prefix(POLICY).unwrap_or_else(|| panic!("{what} {to}: {got}\n{}", daemon.log()));
            assert!(media.starts_with("text/plain") && media.ends_with("|200"), "{what} {to}: {got}");
        }
        for other in ["/", "/.well-known/", "/.well-known/secret.txt", "/.well-known/mta-sts.txt/x"] {
            let got = self.get(&v4(80), other);
            assert!(got.ends_with("|403") || got.ends_with("|404"), "{what} {other}: {got}");
        }
    }
}

fn domain() -> DnsName {
    "example.test".parse().unwrap()
}

#[test]
fn nginx_serves_the_site() {
    let web = Web::new();
    let home = web.home.display();
    let conf = web.home.join("nginx.conf");
    fs::write(
        &conf,
        format!(
            "user root;\npid {home}/nginx.pid;\nerror_log stderr;\nevents {{ }}\nhttp {{\naccess_log off;\n\
             client_body_temp_path {home}/t1;\nproxy_temp_path {home}/t2;\nfastcgi_temp_path {home}/t3;\nuwsgi_temp_path {home}/t4;\nscgi_temp_path {home}/t5;\n{}}}\n",
            web.site(WebServer::Nginx)
        ),
    )
    .unwrap();
    let nginx = |more: &[&str]| {
        let mut command = web.command("nginx");
        command.arg("-p").arg(&web.home).arg("-c").arg(&conf).args(more);
        command
    };
    run(&mut nginx(&["-t", "-q"]));
    let daemon = Daemon::start(&mut nginx(&["-g", "daemon off;"]), &web.home.join("log"));
    web.serves("nginx", &daemon);
}

#[test]
fn apache_serves_the_site() {
    let web = Web::new();
    let (home, conf) = (web.home.display(), web.home.join("apache.conf"));
    let modules = ["mpm_event", "authz_core", "ssl"].map(|m| format!("LoadModule {m}_module {home}/usr/lib/apache2/modules/mod_{m}.so\n"));
    fs::write(
        &conf,
        format!(
            "ServerName web.test\nServerRoot {home}\nDefaultRuntimeDir {home}\nPidFile {home}/apache.pid\nErrorLog /dev/stderr\nListen 443\n{}{}",
            modules.concat(),
            web.site(WebServer::Apache)
        ),
    )
    .unwrap();
    let apache = |more: &[&str]| {
        let mut command = web.command("apache2");
        command.arg("-f").arg(&conf).args(more);
        command
    };
    run(&mut apache(&["-t"]));
    let daemon = Daemon::start(&mut apache(&["-D", "FOREGROUND"]), &web.home.join("log"));
    web.serves("Apache", &daemon);
}

#[test]
fn caddy_serves_the_site() {
    let web = Web::new();
    let conf = web.home.join("Caddyfile");
    fs::write(&conf, web.site(WebServer::Caddy)).unwrap();
    let caddy = |verb: &str| {
        let mut command = web.command("caddy");
        command.arg(verb).args(["--adapter", "caddyfile", "--config"]).arg(&conf);
        command
    };
    run(&mut caddy("validate"));
    let daemon = Daemon::start(&mut caddy("run"), &web.home.join("log"));
    web.serves("Caddy", &daemon);
}
