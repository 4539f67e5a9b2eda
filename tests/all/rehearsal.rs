//! The made-up world of a rehearsal, held against the product's own wires and against an independent validator.

use crate::lab::{
    authority::net_with,
    ports::free_port,
    process::{Daemon, run, wait_for},
};
use mxseal::{
    acme::{self, Trouble, Wishes},
    certificate::KeyType,
    dns::Resolver,
    facts::{Lineage, Role, Security, Tlsa},
    name::DnsName,
    plan::{KeyChoice, Obtain},
    rehearsal::{
        Ca, Dns, Fault, StandIn,
        dns::{Record, Signing, Table},
    },
    report::observer::Nobody,
    survey,
    view::{Judged, Offer},
    world::{self, Machine, Net, RootKeys, Store},
};
use std::{fs, future::Future, path::Path, process::Command, time::Duration};

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

/// A mail domain with everything that is asked of one, at 127.0.0.1.
fn domain(table: Table, domain: &str, signing: Signing) -> Table {
    let (domain, mx) = (name(domain), name(&format!("mx.{domain}")));
    let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: "ab".repeat(32) };
    table
        .zone(&domain, signing)
        .record(&domain, Record::Mx(10, mx.clone()))
        .record(&domain, Record::Caa(false, "issue".into(), "rehearsal.invalid".into()))
        .record(&mx, Record::Address([127, 0, 0, 1].into()))
        .record(&name(&format!("_25._tcp.{mx}")), Record::Tlsa(tlsa))
        .record(&name(&format!("_mta-sts.{domain}")), Record::Txt(format!("v=STSv1; id={};", "1".repeat(1500))))
        .record(&name(&format!("alias.{domain}")), Record::Alias(mx))
}

fn three_zones() -> Table {
    let table = domain(Table::default(), "signed.test", Signing::Signed);
    domain(domain(table, "plain.test", Signing::Unsigned), "bogus.test", Signing::Bogus)
}

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn asking(dns: &Dns) -> Resolver {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("root.key"), &dns.anchor).unwrap();
    let roots = RootKeys::default().and_of(&dir.path().join("root.key")).unwrap();
    let nobody = rustls::RootCertStore::empty();
    Resolver::new(&Net { resolver: Some(dns.addr), dns_roots: roots, ..net_with(nobody) }).unwrap()
}

#[test]
fn the_resolver_sees_records_and_how_far_to_trust_them() {
    let dns = Dns::start(three_zones()).unwrap();
    on_a_runtime(async {
        let resolver = asking(&dns);
        for (domain, security) in [("signed.test", Security::Secure), ("plain.test", Security::Insecure), ("bogus.test", Security::Bogus)] {
            let under = |label: &str| name(&format!("{label}.{domain}"));
            let mx = resolver.mx(&name(domain)).await;
            let mx = mx.value().unwrap();
            assert_eq!((mx.records.as_slice(), mx.security), (&[(10, under("mx"))][..], security));
            let addresses = resolver.addresses(&under("alias")).await;
            let addresses = addresses.value().unwrap();
            assert_eq!((addresses.records.len(), addresses.security), (1, security));
            let tlsa = resolver.tlsa(&under("_25._tcp.mx")).await;
            assert_eq!(tlsa.value().unwrap().records[0].to_string(), format!("3 1 1 {}", "ab".repeat(32)));
            let txt = resolver.txt(&under("_mta-sts")).await;
            assert_eq!(txt.value().unwrap().records[0].as_str().len(), 1513, "longer than a UDP answer");
            let caa = resolver.caa(&under("mx")).await;
            assert_eq!(caa.value().unwrap().records, ["0 issue \"rehearsal.invalid\""]);
            for absent in ["mx.nowhere", "_25._tcp.alias"] {
                let none = resolver.tlsa(&under(absent)).await;
                let none = none.value().unwrap();
                assert_eq!((none.records.len(), none.security), (0, security), "{absent}");
            }
        }
    });
}

#[test]
fn what_is_changed_is_answered_at_once() {
    let dns = Dns::start(three_zones()).unwrap();
    let (mx, owner) = (name("mx.signed.test"), name("_25._tcp.mx.signed.test"));
    on_a_runtime(async {
        let resolver = asking(&dns);
        dns.change(|table| {
            table.records.remove(&owner);
            table.zones.insert(name("signed.test"), Signing::Bogus);
        })
        .unwrap();
        let tlsa = resolver.tlsa(&owner).await;
        let tlsa = tlsa.value().unwrap();
        assert_eq!((tlsa.records.len(), tlsa.security), (0, Security::Bogus));
        let wrong = Tlsa { usage: 3, selector: 1, matching: 1, data: "no hexadecimal".into() };
        assert!(dns.change(|table| table.records.entry(mx.clone()).or_default().push(Record::Tlsa(wrong))).is_err());
        assert_eq!(resolver.addresses(&mx).await.value().unwrap().records.len(), 1);
    });
}

/// What listens on port 53 outside a room is this host's: it hears nothing of a rehearsal.
#[test]
fn zones_have_servers_of_their_own_in_a_room_alone() {
    let dns = Dns::start(three_zones()).unwrap();
    on_a_runtime(async {
        let resolver = asking(&dns);
        for zone in ["signed.test", "plain.test"] {
            assert_eq!(resolver.name_servers(&name(zone)).await.value().map(|a| a.records.len()), Some(1), "{zone}");
            assert!(resolver.of_zone(&name(zone)).await.is_none(), "{zone}");
        }
    });
}

/// unbound starts from our anchor and believes nothing else: what it says AD to has signatures and proofs that are real.
#[test]
fn an_independent_validator_believes_it() {
    let dns = Dns::start(three_zones()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let at = free_port();
    fs::write(dir.path().join("root.key"), format!("{}\n", dns.anchor)).unwrap();
    let (home, port) = (dir.path().display(), at.port());
    let conf = format!(
        "server:\n directory: \"{home}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n verbosity: 1\n num-threads: 1\n \
         interface: 127.0.0.1\n port: {port}\n do-ip6: no\n do-not-query-localhost: no\n trust-anchor-file: \"{home}/root.key\"\n \
         module-config: \"validator iterator\"\n local-zone: \"test.\" nodefault\n local-zone: \"invalid.\" nodefault\n \
         qname-minimisation: no\nstub-zone:\n name: \".\"\n stub-addr: {}@{}\nremote-control:\n control-enable: no\n",
        dns.addr.ip(),
        dns.addr.port()
    );
    fs::write(dir.path().join("unbound.conf"), conf).unwrap();
    let unbound =
        Daemon::start(Command::new("unbound").arg("-d").arg("-c").arg(dir.path().join("unbound.conf")), &dir.path().join("unbound.log"));
    let dig = |question: &[&str]| {
        let mut kdig = Command::new("kdig");
        kdig.args(["@127.0.0.1", "-p", &port.to_string(), "+dnssec", "+timeout=2", "+retry=0"]).args(question);
        let said = kdig.output().unwrap_or_else(|e| panic!("kdig: {e}; tests/run installs what is needed"));
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let flags = said.lines().find(|l| l.contains("Flags: ")).unwrap_or_default().to_owned();
        let status = said.lines().find_map(|l| l.split("status: ").nth(1)?.split(';').next()).unwrap_or_default().to_owned();
        (status, flags.contains(" ad"), said)
    };
    wait_for(&format!("unbound to answer:\n{}", unbound.log()), Duration::from_secs(20), || dig(&[".", "SOA"]).0 == "NOERROR");
    for (question, status, ad) in [
        ([".", "SOA"], "NOERROR", true),
        (["signed.test", "MX"], "NOERROR", true),
        (["alias.signed.test", "A"], "NOERROR", true),
        (["_25._tcp.mx.signed.test", "TLSA"], "NOERROR", true),
        (["mx.signed.test", "AAAA"], "NOERROR", true),
        (["_tcp.mx.signed.test", "TLSA"], "NOERROR", true),
        (["a.signed.test", "A"], "NXDOMAIN", true),
        (["zz.deep.below.mx.signed.test", "A"], "NXDOMAIN", true),
        (["signed.test", "DS"], "NOERROR", true),
        (["other.test", "NS"], "NXDOMAIN", true),
        (["plain.test", "MX"], "NOERROR", false),
        (["nowhere.plain.test", "MX"], "NXDOMAIN", false),
        (["bogus.test", "MX"], "SERVFAIL", false),
    ] {
        let (got, authentic, said) = dig(&question);
        assert_eq!((got.as_str(), authentic), (status, ad), "{question:?}:\n{said}\n{}", unbound.log());
    }
}

struct World {
    _dns: Dns,
    ca: Ca,
    net: Net,
    store: Store,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(fault: Option<Fault>) -> Self {
        let dns = Dns::start(three_zones()).unwrap();
        let ca = Ca::start(dns.addr, free_port().port(), fault).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("state")).unwrap();
        Self { net: ca.net(), _dns: dns, ca, store, _dir: dir }
    }

    fn obtain(&self, types: &[KeyType], names: &[&str], wishes: &Wishes) -> Result<Lineage, Trouble> {
        let order = Obtain {
            lineage: name(names[0]),
            names: names.iter().map(|n| name(n)).collect(),
            keys: types.iter().map(|&key_type| KeyChoice { key_type, reuse: None, replaces: None }).collect(),
            directory: self.ca.directory.clone(),
            acme_profile: None,
            live: "/etc/postfix/mxseal.pem".into(),
        };
        on_a_runtime(acme::obtain(&self.net, &self.store, &order, wishes, &Nobody))
    }
}

fn wishes() -> Wishes {
    Wishes { agree_tos: true, email: Some("postmaster@signed.test".into()), ..Wishes::default() }
}

const NAMES: [&str; 2] = ["mx.signed.test", "alias.plain.test"];

#[test]
fn the_certificate_errand_runs_to_a_chain_that_its_root_verifies() {
    let world = World::new(None);
    let refused = world.obtain(&[KeyType::Ecdsa], &NAMES, &Wishes { agree_tos: false, ..wishes() }).unwrap_err();
    assert!(matches!(refused, Trouble::Terms { .. }), "{refused}");
    let lineage = world.obtain(&[KeyType::Ecdsa, KeyType::Rsa], &NAMES, &wishes()).unwrap();
    assert_eq!(lineage.keys.len(), 2);
    let bundle = world.store.get(lineage.bundle.as_ref().unwrap()).unwrap();
    let chain = mxseal::certificate::pem_certificates(&bundle).unwrap();
    assert_eq!(chain.len(), 4, "two leaves, each with its intermediate");
    let root = world.store.path("root.pem");
    fs::write(&root, &world.ca.root).unwrap();
    let leaf = world.store.path("bundle.pem");
    fs::write(&leaf, &bundle).unwrap();
    let said = run(Command::new("openssl").args(["verify", "-purpose", "sslserver", "-verify_hostname", NAMES[1], "-CAfile"]).args([
        &root,
        Path::new("-untrusted"),
        &leaf,
        &leaf,
    ]));
    assert!(said.contains(": OK"), "{said}");
    // Nothing is ordered twice.
    assert_eq!(world.obtain(&[KeyType::Ecdsa, KeyType::Rsa], &NAMES, &wishes()).unwrap(), lineage);
    // Each certificate is to be renewed in the last third of its life (RFC 9773).
    for key in on_a_runtime(acme::ask_windows(&world.net, &world.store, &lineage)).unwrap().keys {
        let (leaf, window) = (key.leaf.unwrap(), key.window.unwrap());
        let life = leaf.not_after.since(leaf.not_before);
        assert!(window.start > leaf.not_before.after(life / 2) && window.end < leaf.not_after, "{window:?}");
    }
}

#[test]
fn each_fault_of_the_authority_is_told_as_the_real_one_would() {
    let told = |(fault, says): (Fault, &str)| {
        let patience = if fault == Fault::CaSlow { Duration::from_secs(1) } else { Wishes::default().patience };
        let error = World::new(Some(fault)).obtain(&[KeyType::Ecdsa], &[NAMES[0]], &Wishes { patience, ..wishes() }).unwrap_err();
        assert!(error.to_string().contains(says), "{fault:?}: {error}");
    };
    std::thread::scope(|scope| {
        for case in [
            (Fault::CaRefuses, "the certificate authority refuses mx.signed.test: Error creating new order"),
            (Fault::CaCannotReach, "let the certificate authority reach this host"),
            (Fault::WrongKey, "is not what was ordered"),
            (Fault::CaSlow, "gave up after 1 s"),
            (Fault::CaVanishes, "cannot be reached"),
        ] {
            scope.spawn(move || told(case));
        }
    });
}

#[test]
fn a_name_without_an_address_and_a_bogus_one_get_no_certificate() {
    for (asked, kind) in [("nowhere.signed.test", "dns"), ("mx.bogus.test", "dns")] {
        let error = World::new(None).obtain(&[KeyType::Ecdsa], &[asked], &wishes()).unwrap_err();
        assert_eq!(error.kinds(), [kind], "{error}");
    }
}

const OURSELVES: &str = env!("CARGO_BIN_EXE_mxseal");

/// What survey makes of a stand-in is what it makes of a mail server: declared, running, asked, served.
#[test]
fn a_stand_in_is_surveyed_as_a_mail_server() {
    let dir = tempfile::tempdir().unwrap();
    let dns = Dns::start(domain(Table::default(), "signed.test", Signing::Signed)).unwrap();
    let ca = Ca::start(dns.addr, free_port().port(), None).unwrap();
    let stand_in = StandIn::start(Path::new(OURSELVES), dir.path(), &name("mx.signed.test"), &[name("signed.test")], None).unwrap();
    let wants = survey::Wants {
        mta: Some(stand_in.profile.id.clone()),
        config_dir: Some(stand_in.config_dir.clone()),
        live_dir: stand_in.settings.with_file_name("live"),
        profiles: Some(vec![stand_in.profile.clone()]),
        served: true,
        ..survey::Wants::default()
    };
    let store = Store::open(dir.path().join("state")).unwrap();
    let facts = on_a_runtime(survey::survey(&Machine, &store, &ca.net(), &wants, world::now())).unwrap();
    let server = facts.server.value().unwrap();
    assert_eq!(server.running.value(), Some(&true), "{:?}", server.running);
    assert_eq!(server.receives_for.value().unwrap(), &[name("mx.signed.test"), name("signed.test")]);
    let roles: Vec<_> = server.services.iter().map(|s| s.role).collect();
    assert_eq!(roles, [Role::Mx, Role::Submissions]);
    assert_eq!(facts.views.len(), 8, "{:#?}", facts.views);
    for view in &facts.views {
        let leaf = view.tls.value().and_then(|tls| Some((tls.chain.first()?.names.clone(), tls.trusted.value() == Some(&Judged::Good))));
        let self_made = Some((vec!["mx.signed.test".to_owned()], false));
        match view.probe.offer {
            // Its key is ECDSA, and old protocols are not spoken.
            Offer::Rsa | Offer::Legacy => assert_eq!(leaf, None, "{view:#?}"),
            Offer::Any | Offer::Ecdsa => assert_eq!(leaf, self_made, "{view:#?}"),
        }
        if view.probe.offer == Offer::Any {
            let steps: Vec<_> = view.steps.iter().map(|(verb, code)| (verb.as_str(), *code)).collect();
            assert_eq!(steps[1..], [("MAIL", 250), ("RCPT", 250), ("RSET", 250), ("QUIT", 221)], "{view:#?}");
        }
    }
}
