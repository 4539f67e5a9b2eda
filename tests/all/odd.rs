//! Odd configurations of a real Postfix: planned, changed and proved, with every other listener as it was; then nothing is left
//! to plan. And what somebody else keeps is left alone.

use crate::{
    dns::net,
    lab::{
        authority::{Authority, self_signed},
        dns::{Dns, Signed},
        postfix::Postfix,
        process::run,
        transaction::run_lock,
    },
};
use mxseal::{
    apply::{apply, try_on_a_copy},
    certificate::{Certificate, KeyType},
    change::Want,
    check::prove,
    facts::{Deployment, Facts, Lineage, LineageKey},
    intent::Intent,
    mta::profile::Profile,
    name::DnsName,
    plan::{Errand, Obtain, Plan, Stage, plan},
    survey::{Wants, survey},
    view::Offer,
    world::{Look as _, Machine, Net, Store, now},
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

const MX: &str = "mx.example.test";
const DIRECTORY: &str = "https://ca.test/directory";

/// A Postfix with certificates beside its configuration: `old` is verifiable and for other names, `snake` is self-signed, `good`
/// is verifiable and for the MX name.
struct Scene {
    postfix: Postfix,
    authority: Authority,
    net: Net,
    state: tempfile::TempDir,
    _dns: Dns,
    own: Ipv4Addr,
}

impl Scene {
    /// `$dir` in the lines is the configuration directory, `$own` an address that no other test has.
    fn new(main: &str, master: &str) -> Self {
        static TAKEN: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        let own = Ipv4Addr::new(127, 100 + TAKEN.fetch_add(1, Ordering::Relaxed), high, low.max(1));
        let zone = "@ MX 10 mx\nmx A 127.0.0.1\nimap A 127.0.0.1\nold A 192.0.2.77\n";
        let dns = Dns::start(&[("example.test", zone, Signed::No)]);
        let authority = Authority::new();
        let net = Net { resolver: net(dns.resolver).resolver, ..authority.net() };
        let postfix = Postfix::new(MX);
        let old = authority.issue(&["imap.example.test", "old.example.test"], KeyType::Rsa);
        let (snake, ec) = (self_signed(&["localhost"], KeyType::Rsa, false), self_signed(&["localhost"], KeyType::Ecdsa, false));
        let good = authority.issue(&[MX], KeyType::Ecdsa);
        for (name, issued) in [("old", &old), ("snake", &snake), ("ec", &ec), ("good", &good)] {
            fs::write(postfix.etc().join(format!("{name}.pem")), &issued.chain).unwrap();
            fs::write(postfix.etc().join(format!("{name}.key")), &issued.key).unwrap();
            fs::write(postfix.etc().join(format!("{name}.both")), &issued.bundle).unwrap();
        }
        let etc = postfix.etc().display().to_string();
        let text = |t: &str| t.replace("$dir", &etc).replace("$own", &own.to_string());
        let postfix = postfix.main(&text(main)).master(&text(master)).start();
        Self { postfix, authority, net, state: tempfile::tempdir().unwrap(), _dns: dns, own }
    }

    fn live_dir(&self) -> PathBuf {
        self.postfix.dir().join("live")
    }

    fn look(&self, lineages: &[Lineage]) -> Facts {
        let wants = Wants {
            mta: Some("postfix".into()),
            config_dir: Some(self.postfix.etc()),
            live_dir: self.live_dir(),
            served: true,
            ..Wants::default()
        };
        let store = Store::open(self.state.path()).unwrap();
        let mut facts = wait(survey(&Machine, &store, &self.net, &wants, now())).unwrap();
        facts.live = lineages.iter().filter_map(|l| Some((l.live.clone(), Machine.image(&l.live).unwrap()?))).collect();
        facts.lineages = lineages.to_vec();
        facts
    }

    fn plan(&self, facts: &Facts) -> Plan {
        let profile = Profile::built_in().unwrap().into_iter().find(|p| p.id == "postfix").unwrap();
        let intent = Intent { live_dir: self.live_dir(), ..Intent::default() };
        plan(facts, &intent, &profile).unwrap_or_else(|e| panic!("{e}"))
    }

    /// What the CA would have issued.
    fn obtained(&self, order: &Obtain) -> Lineage {
        let names: Vec<&str> = order.names.iter().map(DnsName::as_str).collect();
        let mut bundle = String::new();
        let keys = order.keys.iter().map(|choice| {
            let issued = self.authority.issue(&names, choice.key_type);
            bundle += &issued.bundle;
            let leaf = Certificate::read_pem(issued.chain.as_bytes()).unwrap().remove(0);
            LineageKey { key_type: choice.key_type, spki: leaf.spki.clone(), leaf: Some(leaf), bundle: None, window: None }
        });
        let keys = keys.collect();
        Lineage {
            directory: DIRECTORY.into(),
            keys,
            bundle: Some(Store::open(self.state.path()).unwrap().put(bundle.as_bytes()).unwrap()),
            deployment: Deployment::Issued,
            ..Lineage::begun(order.lineage.clone(), order.live.clone())
        }
    }

    /// From the first survey to the proof, and a last survey, which is given. `kept` are the listeners that stay as they were.
    fn set_up(&self, kept: &[SocketAddr]) -> Facts {
        let first = self.plan(&self.look(&[]));
        let Some(Stage::Errand(Errand::Obtain(order))) = &first.next else { panic!("{first:#?}") };
        let lineage = self.obtained(order);
        let facts = self.look(std::slice::from_ref(&lineage));
        let Some(Stage::Change(change)) = self.plan(&facts).next else { panic!("no change") };
        let stays: Vec<SocketAddr> = change.prove.iter().filter(|e| e.want == Want::Unchanged).map(|e| e.addr).collect();
        assert_eq!(stays, kept, "{:#?}", change.prove);
        assert!(change.prove.iter().any(|e| e.addr == self.postfix.addr("mx")), "{:#?}", change.prove);

        let store = Store::open(self.state.path()).unwrap();
        try_on_a_copy(&Machine, &store, &change, change.trial.as_ref().unwrap()).unwrap_or_else(|e| panic!("{e}"));
        let lock = run_lock(&self.postfix.etc());
        let mut machine = Machine;
        let live = apply(&mut machine, &store, lock, (*change).clone()).unwrap_or_else(|e| panic!("{e}"));
        let (_, proved) = wait(prove(&self.net, &change.prove, &facts.views, &facts.claims, Duration::from_secs(30)));
        let proved = proved.unwrap_or_else(|faults| panic!("{faults:#?}\n{}", self.postfix.read_config("main.cf")));
        live.commit(&proved.proof, facts.views).unwrap_or_else(|e| panic!("{e}"));

        let facts = self.look(&[Lineage { deployment: Deployment::Proved, ..lineage }]);
        let again = self.plan(&facts);
        assert_eq!((again.next, again.held), (None, vec![]), "planned again");
        facts
    }

    fn file(&self, name: &str) -> Certificate {
        Certificate::read_pem(self.postfix.read_config(name).as_bytes()).unwrap().remove(0)
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddrV4::new(self.own, port).into()
    }
}

/// Certificates that a listener presents, by whoever asks.
fn presented(facts: &Facts, addr: SocketAddr) -> Vec<Certificate> {
    facts.views.iter().filter(|v| v.probe.addr == addr && v.probe.offer != Offer::Legacy).filter_map(|v| v.leaf()).cloned().collect()
}

fn wait<T>(of: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(of)
}

const OLD: &str = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/old.pem\nsmtpd_tls_key_file = $dir/old.key";
const SNAKE: &str = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/snake.pem\nsmtpd_tls_key_file = $dir/snake.key";

/// Mail programs know names that cannot be validated here, so the services for them keep the old file.
#[test]
fn mail_programs_keep_the_names_that_they_know() {
    let clients = "$own:587 inet n - y - - smtpd\n$own:465 inet n - y - - smtpd\n  -o smtpd_tls_wrappermode=yes\n";
    let chain = "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = $dir/old.both";
    for main in [OLD, chain] {
        let scene = Scene::new(main, clients);
        let kept = [scene.at(465), scene.at(587)];
        let facts = scene.set_up(&kept);
        for addr in kept {
            let presented = presented(&facts, addr);
            assert!(!presented.is_empty() && presented.iter().all(|leaf| *leaf == scene.file("old.pem")), "{addr}: {presented:?}");
        }
        let ours = presented(&facts, scene.postfix.addr("mx"));
        assert!(ours.iter().all(|leaf| leaf.names == [MX, "imap.example.test"]) && ours.len() >= 3, "{ours:?}");
    }
}

#[test]
fn services_with_certificates_of_their_own_keep_them() {
    for own in [
        "-o smtpd_tls_cert_file=$dir/ec.pem -o smtpd_tls_key_file=$dir/ec.key",
        "-o smtpd_tls_chain_files=$dir/ec.both",
        "-o smtpd_tls_eccert_file=$dir/ec.pem -o smtpd_tls_eckey_file=$dir/ec.key -o smtpd_tls_cert_file=none",
    ] {
        let scene = Scene::new(SNAKE, &format!("$own:587 inet n - y - - smtpd\n  {own}\n"));
        let facts = scene.set_up(&[scene.at(587)]);
        let presented = presented(&facts, scene.at(587));
        assert!(!presented.is_empty() && presented.iter().all(|leaf| *leaf == scene.file("ec.pem")), "{own}: {presented:?}");
    }
}

#[test]
fn the_level_is_read_as_postfix_reads_it() {
    let submission = "$own:587 inet n - y - - smtpd\n";
    for (main, master) in [
        // An empty level on the service is none, whatever main.cf says.
        (SNAKE, "$own:25 inet n - y - - smtpd\n  -o smtpd_tls_security_level=\n$own:587 inet n - y - - smtpd\n"),
        // Legacy switches, with the level empty.
        (
            "smtpd_use_tls = yes\nsmtpd_tls_security_level =\nsmtpd_tls_cert_file = $dir/snake.pem\nsmtpd_tls_key_file = $dir/snake.key",
            submission,
        ),
        // No level at all: may is written, and the service that enforces goes on enforcing.
        (
            "smtpd_tls_cert_file = $dir/snake.pem\nsmtpd_tls_key_file = $dir/snake.key",
            "$own:587 inet n - y - - smtpd\n  -o smtpd_enforce_tls=yes\n",
        ),
        // TLS without any certificate.
        ("smtpd_tls_security_level = may\nsmtpd_tls_cert_file = none", submission),
        // Each key type in a setting of its own, and the oldest of all.
        (
            "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/snake.pem\nsmtpd_tls_key_file = $dir/snake.key\nsmtpd_tls_eccert_file = $dir/ec.pem\nsmtpd_tls_eckey_file = $dir/ec.key",
            submission,
        ),
        ("smtpd_tls_security_level = may\nsmtpd_tls_dcert_file = $dir/snake.pem\nsmtpd_tls_dkey_file = $dir/snake.key", submission),
    ] {
        let scene = Scene::new(main, master);
        let facts = scene.set_up(&[]);
        let second = master.contains(":25").then(|| scene.at(25));
        for addr in [scene.postfix.addr("mx"), scene.at(587)].into_iter().chain(second) {
            let presented = presented(&facts, addr);
            assert!(presented.len() >= 3 && presented.iter().all(|leaf| leaf.names == [MX]), "{main} {addr}: {presented:?}");
        }
        let enforces = master.contains("enforce");
        let clear = facts.views.iter().find(|v| v.probe.addr == scene.at(587) && v.probe.offer == Offer::Legacy).unwrap();
        assert!(clear.offers.iter().any(|o| o == "STARTTLS"), "{clear:#?}");
        let master = scene.postfix.read_config("master.cf");
        assert_eq!(master.lines().any(|l| l.trim() == "-o smtpd_tls_security_level=encrypt"), enforces, "{master}");
    }
}

#[test]
fn what_somebody_else_keeps_well_is_left_alone() {
    let good = "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = $dir/good.both";
    let scene = Scene::new(good, "$own:25 inet n - y - - smtpd\n");
    let plan = scene.plan(&scene.look(&[]));
    assert_eq!((plan.next, plan.held), (None, vec![]));
    assert_eq!(plan.notes.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["good-already"], "{:#?}", plan.notes);
    // One listener that presents another one is enough.
    let scene = Scene::new(good, "$own:25 inet n - y - - smtpd\n  -o smtpd_tls_chain_files=\n");
    assert!(scene.plan(&scene.look(&[])).next.is_some());
}

#[test]
fn a_table_of_certificates_by_name_holds_the_plan_before_an_order() {
    for (kind, entry, held) in
        [("hash", MX, true), ("inline", MX, true), ("hash", ".example.test", true), ("hash", "www.example.net", false)]
    {
        let scene = Scene::new(SNAKE, "");
        let etc = scene.postfix.etc();
        let files = ["good.key", "good.pem"].map(|name| etc.join(name).display().to_string()).join(" ");
        let table = etc.join("sni").display().to_string();
        if kind == "hash" {
            fs::write(&table, format!("# by name\n{entry} {files}\n")).unwrap();
            run(&mut scene.postfix.command("postmap", &["-F", &format!("hash:{table}")]));
            scene.postfix.set(&format!("tls_server_sni_maps = hash:{table}"));
        } else {
            // Postfix wants the files' content in such a table; its name counts all the same.
            scene.postfix.set(&format!("tls_server_sni_maps = inline:{{ {{ {entry} = none }} }}"));
        }
        scene.postfix.reload();
        let facts = scene.look(&[]);
        let plan = scene.plan(&facts);
        let ids: Vec<_> = plan.held.iter().map(|f| f.id.as_str()).collect();
        assert_eq!(ids, if held { vec!["sni-keeps-certificate"] } else { vec![] }, "{kind} {entry}: {plan:#?}");
        assert_eq!(plan.next.is_some(), !held);
        if kind == "hash" && held {
            // The wire alone says it too.
            let plan = scene.plan(&Facts { sni_names: Default::default(), ..facts });
            assert_eq!(plan.held.len(), 1, "{plan:#?}");
        }
    }
}
