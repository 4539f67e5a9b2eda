//! A survey of real servers: what it sees, what it cannot see and says so, and that it changes nothing.

use crate::{
    dns::net,
    lab::{
        dns::{Dns, Signed},
        postfix::Postfix,
        process::{Daemon, run, wait_for},
    },
};
use mxseal::{
    certificate::{Certificate, Digest},
    facts::{Facts, Here, Known, Role, Security},
    intent::Intent,
    moment::Moment,
    mta::profile::Profile,
    plan::{Errand, Stage},
    survey::{Wants, survey},
    world::{Machine, Net, Store},
};
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

fn look(net: &Net, wants: &Wants) -> Facts {
    look_with(&Store::at("/nonexistent/mxseal"), net, wants).unwrap()
}

fn look_with(store: &Store, net: &Net, wants: &Wants) -> std::io::Result<Facts> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(survey(&Machine, store, net, wants, mxseal::world::now()))
}

fn wants(config_dir: &Path) -> Wants {
    Wants { mta: Some("postfix".into()), config_dir: Some(config_dir.to_owned()), ..Wants::default() }
}

fn deaf() -> Net {
    net("127.0.0.1:9".parse().unwrap())
}

fn why<T: std::fmt::Debug>(known: &Known<T>) -> &str {
    match known {
        Known::Unknown { why } => why,
        seen @ Known::Seen { .. } => panic!("seen: {seen:?}"),
    }
}

/// A root for verdicts and a chain with key below it.
fn issued(names: &[&str]) -> (Arc<rustls::RootCertStore>, String, String) {
    let (key, mut params) = (rcgen::KeyPair::generate().unwrap(), rcgen::CertificateParams::new(Vec::new()).unwrap());
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&leaf_key, &rcgen::Issuer::from_params(&params, &key)).unwrap();
    (Arc::new(roots), leaf.pem(), leaf_key.serialize_pem())
}

#[test]
fn a_running_server_is_seen_whole() {
    let zone = "@ MX 10 mx\n@ MX 20 backup\nmx A 127.0.0.1\nbackup A 192.0.2.77\nimap A 127.0.0.1\n@ CAA 0 issue \"ca.test\"\n\
                _25._tcp.mx TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n\
                _mta-sts TXT \"v=STSv1; id=1;\"\n_smtp._tls TXT \"v=TLSRPTv1; rua=mailto:a@example.test\"\n";
    let dns = Dns::start(&[("example.test", zone, Signed::Yes), ("plain.test", "@ MX 10 mx.example.test.\n", Signed::No)]);
    let (roots, chain, key) = issued(&["mx.example.test", "imap.example.test"]);
    let postfix =
        Postfix::new("mx.example.test").service("in", "smtpd", "-o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=encrypt");
    let (cert_file, key_file) = (postfix.dir().join("cert.pem"), postfix.dir().join("key.pem"));
    fs::write(&cert_file, &chain).unwrap();
    fs::write(&key_file, &key).unwrap();
    let domains = postfix.dir().join("domains");
    fs::write(&domains, "plain.test  x\nuser@other.test y\n").unwrap();
    let mut postfix = postfix
        .main(&format!("smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n", cert_file.display(), key_file.display()))
        .main(&format!("smtpd_tls_security_level = may\nvirtual_alias_domains = texthash:{}\n", domains.display()))
        .written();
    let real = postfix.dir().join("main.real");
    fs::rename(postfix.etc().join("main.cf"), &real).unwrap();
    std::os::unix::fs::symlink(&real, postfix.etc().join("main.cf")).unwrap();
    postfix.launch();

    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let net = Net { verdict_roots: roots, http_port: web.local_addr().unwrap().port(), ..dns.net(net(dns.resolver)) };
    let facts = look(&net, &Wants { served: true, ..wants(&postfix.etc()) });

    let server = facts.server.value().unwrap_or_else(|| panic!("{:?}", facts.server));
    assert_eq!((server.profile.as_str(), server.running.value()), ("postfix", Some(&true)));
    assert!(server.version.0.len() >= 3 && server.version.0[0] >= 3, "{}", server.version);
    assert_eq!(server.files[0].path, postfix.etc().join("main.cf"));
    assert_eq!(server.files[0].real, real);
    assert_eq!(server.files[0].image.digest, Digest::of(&fs::read(&real).unwrap()));
    assert_eq!(server.hostname.value().unwrap().as_str(), "mx.example.test");
    assert!(server.instances.iter().any(|i| i.config_dir == postfix.etc()), "{:?}", server.instances);
    assert_eq!(texts(server.receives_for.value().unwrap()), ["example.test", "mx.example.test", "plain.test"]);

    for (service, role, level) in [("mx", Role::Mx, "may"), ("in", Role::Submissions, "encrypt")] {
        let addr = postfix.addr(service);
        let listener = facts.listeners.iter().find(|l| l.addr == addr).unwrap_or_else(|| panic!("{:?}", facts.listeners));
        let owner = listener.owner.value().unwrap();
        assert_eq!((owner.pid, owner.program.as_str(), owner.elsewhere), (postfix.pid().unwrap(), "master", false));
        let seen = server.services.iter().find(|s| s.listens == [addr]).unwrap_or_else(|| panic!("{:?}", server.services));
        assert_eq!(listener.service.as_ref(), Some(&seen.name));
        assert_eq!((seen.role, seen.settings["smtpd_tls_security_level"].value.as_str()), (role, level));
    }

    // mx.example.test is the host's own name and no mail domain: the world has no MX for it.
    assert_eq!(facts.domains.iter().map(|d| d.domain.to_string()).collect::<Vec<_>>(), ["example.test", "plain.test"]);
    let domain = &facts.domains[0];
    assert_eq!(domain.mx.value().unwrap().records.len(), 2);
    assert_eq!(domain.mx.value().unwrap().security, Security::Secure);
    assert_eq!(domain.mta_sts.value().unwrap().records, ["v=STSv1; id=1;".into()]);
    assert_eq!(facts.domains[1].mx.value().unwrap().security, Security::Insecure);

    let mx: BTreeMap<&str, _> = facts.mx_hosts.iter().map(|m| (m.name.as_str(), m)).collect();
    assert_eq!(mx.keys().copied().collect::<Vec<_>>(), ["backup.example.test", "mx.example.test"]);
    assert_eq!(mx["mx.example.test"].here.value(), Some(&Here::Yes));
    assert_eq!(mx["mx.example.test"].tlsa.value().unwrap().records.len(), 1);
    assert_eq!(mx["mx.example.test"].caa.value().unwrap().records, ["0 issue \"ca.test\""]);
    assert_ne!(mx["backup.example.test"].here.value(), Some(&Here::Yes));
    let used: Vec<_> = facts.foreign.iter().filter(|f| f.in_use).collect();
    assert_eq!(used.len(), 1, "{used:?}");
    assert_eq!((&used[0].chain, &used[0].key, used[0].trusted, used[0].keeper.as_str()), (&cert_file, &key_file, true, "file"));
    assert_eq!(used[0].leaf, Certificate::read_pem(chain.as_bytes()).unwrap()[0]);

    assert_eq!(
        facts.other_names.iter().map(|n| (n.name.as_str(), n.here.value())).collect::<Vec<_>>(),
        [("imap.example.test", Some(&Here::Yes))]
    );

    // The baseline: what each listener serves, and for the world the whole dialogue.
    for service in ["mx", "in"] {
        let views: Vec<_> = facts.views.iter().filter(|v| v.probe.addr == postfix.addr(service)).collect();
        assert!((3..=4).contains(&views.len()), "{service}: {}", views.len());
        assert_eq!(views[0].leaf(), Some(&used[0].leaf), "{service}: {:?}", views[0]);
        assert_eq!(views[0].probe.name.as_str(), "mx.example.test");
    }
    let whole = |v: &&mxseal::view::EndpointView| v.probe.addr == postfix.addr("mx") && v.steps.contains(&("RCPT".to_owned(), 250));
    assert!(facts.views.iter().any(|v| whole(&v)), "{:?}", facts.views);

    let port80 = facts.port80.value().unwrap();
    assert_eq!((port80.pid, port80.elsewhere, port80.webroot.as_ref()), (std::process::id(), false, None));
    assert_eq!(facts.groups.get("root"), Some(&0));

    let json = serde_json::to_string(&facts).unwrap();
    assert!(!json.contains("PRIVATE KEY"));
    let again: Facts = serde_json::from_str(&json).unwrap();
    assert_eq!(again.domains, facts.domains);

    postfix.stop();
    assert_eq!(look(&net, &wants(&postfix.etc())).server.value().unwrap().running.value(), Some(&false));
}

fn texts(names: &[mxseal::name::DnsName]) -> Vec<&str> {
    names.iter().map(mxseal::name::DnsName::as_str).collect()
}

#[test]
fn another_instances_listener_is_not_ours() {
    let first = Postfix::new("mx.example.test").start();
    let second = Postfix::new("mx2.example.test").start();
    // The configuration of the first now claims the port of the second.
    let master = first.read_config("master.cf");
    first.write_config("master.cf", &format!("{master}\n{} inet n - y - - smtpd\n", second.addr("mx")));
    let facts = look(&deaf(), &wants(&first.etc()));
    let of = |addr| facts.listeners.iter().find(|l| l.addr == addr).unwrap();
    assert!(of(first.addr("mx")).service.is_some());
    assert_eq!(of(second.addr("mx")).owner.value().unwrap().pid, second.pid().unwrap());
    assert_eq!(of(second.addr("mx")).service, None);
}

#[test]
fn what_cannot_be_seen_says_why() {
    let postfix = Postfix::new("mx.example.test").main("virtual_mailbox_domains = mysql:/etc/postfix/domains.cf").written();
    let facts = look(&deaf(), &wants(&postfix.etc()));
    let server = facts.server.value().unwrap_or_else(|| panic!("{:?}", facts.server));
    let reason = why(&server.receives_for);
    assert!(reason.contains("mysql:/etc/postfix/domains.cf") && reason.contains("--domain"), "{reason}");
    // The domains that are written down are still asked about; nobody answers.
    assert!(texts(&facts.domains.iter().map(|d| d.domain.clone()).collect::<Vec<_>>()).contains(&"example.test"));
    assert!(why(&facts.domains[0].mx).contains("127.0.0.1:9"), "{:?}", facts.domains[0].mx);

    for (broken, says) in [("main.cf", "main.cf:3: "), ("master.cf", "master.cf:3: ")] {
        let good = postfix.read_config(broken);
        let mut lines: Vec<&str> = good.lines().collect();
        lines.insert(2, "smtp inet");
        postfix.write_config(broken, &format!("{}\n", lines.join("\n")));
        let facts = look(&deaf(), &wants(&postfix.etc()));
        let reason = why(&facts.server);
        assert!(reason.contains(says), "{broken}: {reason}");
        postfix.write_config(broken, &good);
    }
    fs::remove_file(postfix.etc().join("master.cf")).unwrap();
    let facts = look(&deaf(), &wants(&postfix.etc()));
    assert!(why(&facts.server).contains("master.cf cannot be read: it does not exist"), "{:?}", facts.server);

    let facts = look(&deaf(), &Wants { mta: Some("qmail".into()), ..Wants::default() });
    assert!(why(&facts.server).contains("postfix"), "{:?}", facts.server);
    assert_eq!((facts.lineages.len(), facts.views.len()), (0, 0));
}

/// With this variable set, this test binary surveys the configuration directory that it names and prints the facts.
const CHILD: &str = "MXSEAL_TEST_SURVEY_OF";

fn child(test: &str, of: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, of);
    command
}

/// In the child: the survey, its facts on standard output between two marks. `true` when this was the child.
#[allow(clippy::print_stdout)]
fn in_child() -> bool {
    let Some(of) = std::env::var_os(CHILD) else { return false };
    let facts = look(&deaf(), &wants(&PathBuf::from(of)));
    println!("<facts>{}</facts>", serde_json::to_string(&facts).unwrap());
    true
}

fn facts_of(output: &str) -> Facts {
    let json = output.split_once("<facts>").and_then(|(_, rest)| rest.split_once("</facts>"));
    serde_json::from_str(json.unwrap_or_else(|| panic!("no facts in {output}")).0).unwrap()
}

/// Kind and mode, inode, times of content and of metadata, digest of the content.
type State = (u32, u64, (i64, i64), (i64, i64), Digest);

/// Every file below.
fn tree(dir: &Path) -> BTreeMap<PathBuf, State> {
    let mut all = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let about = fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        let digest = Digest::of(&if about.is_file() { fs::read(&path).unwrap() } else { Vec::new() });
        all.insert(path, (about.mode(), about.ino(), (about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec()), digest));
    }
    all
}

#[test]
fn nothing_is_changed() {
    if in_child() {
        return;
    }
    let mut postfix = Postfix::new("mx.example.test").start();
    postfix.stop();
    let before = tree(postfix.dir());
    let traced = tempfile::NamedTempFile::new().unwrap();
    let calls = "trace=open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,symlink,\
                 symlinkat,mknod,mknodat,chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,truncate,ftruncate,setxattr,fsetxattr,\
                 utimensat,utimes,mount,kill";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", calls, "-o"]).arg(traced.path());
    let inner = child("survey::nothing_is_changed", &postfix.etc());
    strace.arg(inner.get_program()).args(inner.get_args()).env(CHILD, postfix.etc());
    let facts = facts_of(&run(&mut strace));
    assert!(facts.server.value().is_some(), "{:?}", facts.server);
    let after = tree(postfix.dir());
    let changed: Vec<_> = before.keys().chain(after.keys()).filter(|p| before.get(*p) != after.get(*p)).collect();
    assert!(changed.is_empty(), "{changed:?}");

    let trace = fs::read_to_string(traced.path()).unwrap();
    assert!(trace.contains(&format!("{}/main.cf", postfix.etc().display())), "strace saw nothing:\n{trace}");
    let writes = |line: &&str| {
        let call = line.split_once(' ').map_or(*line, |(_, call)| call.trim_start());
        let opens = call.starts_with("open");
        let to_write = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|f| call.contains(f));
        let harmless = call.contains("\"/dev/null\"") || call.starts_with("+++") || call.starts_with("---") || call.starts_with("<...");
        !harmless && (!opens || to_write)
    };
    assert_eq!(trace.lines().filter(writes).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn without_root_the_rest_is_still_seen() {
    if in_child() {
        return;
    }
    let postfix = Postfix::new("mx.example.test").start();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let mut command = child("survey::without_root_the_rest_is_still_seen", &postfix.etc());
    command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw()).current_dir("/");
    let facts = facts_of(&run(&mut command));
    assert!(!facts.host.root);
    let server = facts.server.value().unwrap_or_else(|| panic!("{:?}", facts.server));
    assert!(why(&server.running).contains("ermission denied"), "{:?}", server.running);
    let listener = facts.listeners.iter().find(|l| l.addr == postfix.addr("mx")).unwrap();
    assert!(why(&listener.owner).contains("root"), "{listener:?}");
}

#[test]
fn a_stock_host_is_surveyed() {
    let dns = Dns::start(&[]);
    let began = Instant::now();
    let facts = look(&net(dns.resolver), &wants(Path::new("/etc/postfix")));
    let took = began.elapsed();
    eprintln!("survey of /etc/postfix: {took:?}");
    assert!(facts.server.value().is_some(), "{:?}", facts.server);
    assert_ne!(facts.now, Moment(0));
}

#[test]
fn a_damaged_store_is_an_error_and_no_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let nothing = Wants { mta: Some("none".into()), ..Wants::default() };
    assert_eq!(look_with(&store, &deaf(), &nothing).unwrap().lineages, vec![]);
    store.save_bytes("lineages/mx.example.test.json", b"{").unwrap();
    let e = look_with(&store, &deaf(), &nothing).unwrap_err().to_string();
    assert!(e.contains("mx.example.test.json"), "{e}");
}

#[test]
fn a_server_in_another_filesystem_is_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    for dir in ["usr", "lib", "lib64", "etc", "dev", "tmp"] {
        fs::create_dir(root.path().join(dir)).unwrap();
    }
    let addr = crate::lab::ports::free_port();
    let script = format!(
        "for d in usr lib lib64 etc dev; do [ ! -e /$d ] || mount --bind /$d {0}/$d; done\n\
         exec chroot {0} /usr/bin/openssl s_server -nocert -www -accept {addr}",
        root.path().display()
    );
    let log = root.path().join("log");
    let server = Daemon::start(Command::new("unshare").args(["--mount", "sh", "-ec", &script]), &log);
    wait_for(&format!("openssl in another root; {}", server.log()), Duration::from_secs(10), || std::net::TcpStream::connect(addr).is_ok());
    let nothing = Wants { mta: Some("none".into()), ..Wants::default() };
    let facts = look(&Net { http_port: addr.port(), ..deaf() }, &nothing);
    let owner = facts.port80.value().unwrap_or_else(|| panic!("{:?}", facts.port80));
    assert_eq!((owner.pid, owner.program.as_str(), owner.elsewhere), (server.pid(), "openssl", true));
}

#[test]
fn a_plan_can_be_made_of_it() {
    let dns = Dns::start(&[("example.test", "@ MX 10 mx\nmx A 127.0.0.1\n", Signed::Yes)]);
    let postfix = Postfix::new("mx.example.test").main("smtpd_tls_security_level = may");
    let (_, chain, key) = issued(&["mx.example.test"]);
    let (cert_file, key_file) = (postfix.dir().join("cert.pem"), postfix.dir().join("key.pem"));
    fs::write(&cert_file, &chain).unwrap();
    fs::write(&key_file, &key).unwrap();
    let postfix =
        postfix.main(&format!("smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}", cert_file.display(), key_file.display())).start();
    // DANE senders know this key: the new certificate must be for it.
    let spki = Certificate::read_pem(chain.as_bytes()).unwrap()[0].spki.clone();
    dns.set("example.test", "_25._tcp.mx", "TLSA", 300, &[&format!("3 1 1 {spki}")]);
    let facts = look(&dns.net(net(dns.resolver)), &Wants { served: true, live_dir: "/etc/mxseal/live".into(), ..wants(&postfix.etc()) });
    let intent = Intent {
        domains: Vec::new(),
        mx: Vec::new(),
        key_types: None,
        directory: Some("https://ca.test/directory".into()),
        acme_profile: None,
        live_dir: "/etc/mxseal/live".into(),
        ..Intent::default()
    };
    let profile = Profile::built_in().unwrap().into_iter().find(|p| p.id == "postfix").unwrap();
    let plan = mxseal::plan::plan(&facts, &intent, &profile).unwrap_or_else(|e| panic!("{e}"));
    assert!(plan.held.is_empty(), "{:?}", plan.held);
    let Some(Stage::Errand(Errand::Obtain(order))) = &plan.next else { panic!("{:?}", plan.next) };
    assert_eq!(texts(&order.names), ["mx.example.test"]);
    let reused: Vec<_> = order.keys.iter().filter_map(|k| k.reuse.clone()).collect();
    assert_eq!(reused, [(key_file, spki)]);
}
