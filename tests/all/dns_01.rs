//! The CA is answered in DNS: a real one looks, at real name servers, and nothing of it is left.

use crate::lab::{
    dns::{Dns, Signed, own_loopback},
    front::{Fate, Front},
    household::{Household, MXSEAL},
    pebble::{Options, Pebble, YEARS},
    process::{run, wait_for},
};
use mxseal::{
    acme::{self, Trouble, Wishes},
    certificate::KeyType,
    facts::Lineage,
    moment::Moment,
    plan::{Challenge, KeyChoice, Obtain},
    publish::{
        Data, Ours, Record,
        publisher::{Publisher, Publishers},
    },
    report::Nobody,
    world::{Net, Store},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

const MX: &str = "mx.example.test";
/// Its texts lie under another name.
const ALIAS: &str = "alias.example.test";

fn texts(dns: &Dns, name: &str) -> String {
    run(Command::new("kdig").args([&format!("@{}", dns.authority.ip()), "+short", name, "TXT"]))
}

/// Certificates of these types, from the CA with this directory and this root.
fn obtain(
    resolver: SocketAddr,
    store: &Store,
    (directory, api_ca): (&str, &Path),
    publisher: Publisher,
    types: &[KeyType],
    patience: u64,
) -> Result<Lineage, Trouble> {
    let mut net = Net::of_this_host(Some(resolver), &[] as &[&Path], &[api_ca]).unwrap();
    net.http_port = 9;
    let order = Obtain {
        lineage: MX.parse().unwrap(),
        names: [MX, ALIAS].map(|n| n.parse().unwrap()).to_vec(),
        keys: types.iter().map(|&key_type| KeyChoice { key_type, reuse: None, replaces: None }).collect(),
        directory: directory.to_owned(),
        acme_profile: None,
        live: "/etc/postfix/mxseal.pem".into(),
    };
    let publishers = Publishers { all: Some(publisher), ..Publishers::default() };
    let patience = Duration::from_secs(patience);
    let wishes = Wishes { agree_tos: true, challenge: Challenge::Dns, publishers, patience, ..Wishes::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(acme::obtain(&net, store, &order, &wishes, &Nobody))
}

#[test]
fn a_ca_finds_the_texts_and_nobody_finds_them_later() {
    let host = own_loopback();
    let zone = format!("mx A {host}\nalias A {host}\n_acme-challenge.alias CNAME texts.example.test.\n_acme-challenge.mx TXT \"not ours\"");
    let dns = Dns::start(&[("example.test", &zone, Signed::No)]);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("state")).unwrap();
    let obtain = |ca: &Pebble, publisher: Publisher, types: &[KeyType], patience: u64| {
        obtain(dns.resolver, &store, (&ca.directory, &ca.api_ca), publisher, types, patience)
    };
    let nothing_is_left = |what: &str| {
        assert_eq!(texts(&dns, "_acme-challenge.mx.example.test"), "\"not ours\"\n", "{what}");
        assert_eq!(texts(&dns, "texts.example.test"), "", "{what}");
        assert_eq!(store.load::<Ours>("challenges.json").unwrap(), None, "{what}");
        assert_eq!(store.load::<Ours>(Ours::FILE).unwrap().unwrap_or_default(), Ours::default(), "{what}");
    };
    let updates = || Publisher::Rfc2136 { server: None, key: None };

    // What a killed run left is taken away first.
    let old = Record { owner: "texts.example.test".parse().unwrap(), ttl: 60, data: Data::Txt("left by a killed run".into()) };
    dns.set("example.test", "texts", "TXT", 60, &["\"left by a killed run\""]);
    let mut left = Ours::default();
    left.note(&"example.test".parse().unwrap(), &[old], Moment(1));
    store.save("challenges.json", &left).unwrap();

    // Its resolver remembers the texts for as long as they say, and both orders are of the same names.
    let ca = Pebble::start(&Options { dns: Some(dns.resolver), ..Options::default() });
    let lineage = obtain(&ca, updates(), &[KeyType::Ecdsa, KeyType::Rsa], 90).unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(lineage.keys.len(), 2);
    nothing_is_left("a success");

    // Another CA looks where nothing is.
    let blind = Pebble::start(&Options::default());
    let refused = obtain(&blind, updates(), &[KeyType::Ecdsa], 90);
    assert!(matches!(&refused, Err(Trouble::Refused(_))), "{refused:?}");
    nothing_is_left("a refusal");

    // A way that leads nowhere is not waited for, and the CA is not asked to look.
    let hook = dir.path().join("hook");
    fs::write(&hook, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let late = obtain(&blind, Publisher::Hook { program: hook }, &[KeyType::Ecdsa], 2);
    assert!(matches!(&late, Err(Trouble::Late { on, .. }) if on.contains("name server")), "{late:?}");
    nothing_is_left("a way that leads nowhere");
    let by_hand = obtain(&blind, Publisher::Manual, &[KeyType::Ecdsa], 2);
    assert!(matches!(&by_hand, Err(Trouble::NoPublisher)), "{by_hand:?}");
}

/// One that has no second pending order of the same names, and knows them all once the first is done.
#[test]
fn a_ca_with_one_order_at_a_time_certifies_each_key() {
    let host = own_loopback();
    let dns = Dns::start(&[("example.test", &format!("mx A {host}\nalias A {host}"), Signed::No)]);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("state")).unwrap();
    let ca = Pebble::start(&Options { dns: Some(dns.resolver), authz_reuse: 100, ..Options::default() });
    let orders = AtomicUsize::new(0);
    let front = Front::start(&ca, YEARS, move |_, line| match line.contains("order-plz").then(|| orders.fetch_add(1, Ordering::SeqCst)) {
        Some(0) => Fate::Keep,
        Some(1) => Fate::Again,
        _ => Fate::Pass,
    });
    let updates = Publisher::Rfc2136 { server: None, key: None };
    let lineage = obtain(dns.resolver, &store, (&front.directory, &front.api_ca), updates, &[KeyType::Ecdsa, KeyType::Rsa], 90);
    let lineage = lineage.unwrap_or_else(|trouble| panic!("{trouble}"));
    assert!(lineage.keys.len() == 2 && lineage.keys.iter().all(|k| k.leaf.is_some()));
    assert_ne!(lineage.keys[0].spki, lineage.keys[1].spki);
}

/// Whoever interrupts leaves nothing in DNS, and what cannot be taken away is named.
#[test]
fn an_interrupt_takes_the_texts_away() {
    let house = Household::new();
    let (hook, told, code) = (house.root.join("hook"), house.root.join("told"), house.root.join("code"));
    // It writes down what it is told and publishes nothing, so that the name servers are waited for.
    let script = format!(
        "#!/bin/sh\ntold=$(cat)\nprintf '%s\\n' \"$told\" >> {}\ncase $told in *'\"add\": []'*) exit $(cat {}) ;; esac\n",
        told.display(),
        code.display()
    );
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let state = house.root.join("other");
    for (signal, exit, taken) in [(Signal::SIGINT, "0", true), (Signal::SIGTERM, "1", false)] {
        fs::write(&code, exit).unwrap();
        let _ = fs::remove_file(&told);
        let mut arguments = house.arguments("setup");
        arguments[1] = state.display().to_string();
        arguments.extend(["--challenge", "dns-01", "--publish", "hook", "--hook"].map(str::to_owned));
        arguments.push(hook.display().to_string());
        let mut run = house.start(Command::new(MXSEAL).args(&arguments));
        let heard = || fs::read_to_string(&told).unwrap_or_default();
        wait_for("the text for the CA", Duration::from_secs(60), || {
            assert!(run.try_wait().unwrap().is_none(), "{}", house.said());
            house.said().contains("every name server")
        });
        assert!(heard().contains("_acme-challenge.mx.example.test"), "{}", heard());
        kill(Pid::from_raw(i32::try_from(run.id()).unwrap()), signal).unwrap();
        let status = run.wait().unwrap();
        assert_eq!(status.signal(), Some(signal as i32), "{}", house.said());
        let removed = heard().split("\"remove\": [").filter(|part| part.contains("_acme-challenge.mx.example.test")).count();
        assert!(removed >= 1, "{}", heard());
        let left = "In DNS stays, until the next run takes it away: _acme-challenge.mx.example.test. 60 IN TXT";
        // Terminals are 80 wide, and so are lines elsewhere.
        let said = house.said().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!((said.contains(left), state.join("challenges.json").exists()), (!taken, !taken), "{said}");
    }
}
