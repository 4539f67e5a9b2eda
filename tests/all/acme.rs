//! The certificate errand against a real CA: every promise that an admin relies on, with the CA at its worst.

use crate::lab::{
    pebble::{BLOCKED, EAB, Options, Pebble, new_pebble},
    ports::free_port,
    process::{self, Daemon, wait_for},
};
use mxseal::{
    acme::{self, Trouble, Wishes},
    certificate::{Certificate, Digest, KeyType},
    change::Command,
    facts::{Deployment, Lineage},
    maintain::{self, Due},
    moment::Moment,
    plan::{Challenge, Door, KeyChoice, Obtain},
    report::observer::{Event, Nobody, Observer},
    serve::Served,
    world::{self, Net, Store},
};
use std::{
    collections::BTreeMap,
    future::Future,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Observer for Heard {
    fn see(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

struct Bench {
    pebble: Pebble,
    net: Net,
    store: Store,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(options: &Options) -> Self {
        let pebble = Pebble::start(options);
        let dir = tempfile::tempdir().unwrap();
        let net = net(&pebble.api_ca, pebble.http_port);
        let store = Store::open(dir.path().join("state")).unwrap();
        Self { pebble, net, store, dir }
    }

    fn obtain(&self, order: &Obtain, wishes: &Wishes) -> Result<Lineage, Trouble> {
        on_a_runtime(acme::obtain(&self.net, &self.store, order, wishes, &Nobody))
    }

    fn order(&self, types: &[KeyType], names: &[&str]) -> Obtain {
        order(&self.pebble.directory, types, names)
    }
}

fn net(api_ca: &Path, http_port: u16) -> Net {
    let mut net = Net::of_this_host(None, &[] as &[&Path], &[api_ca]).unwrap();
    net.http_port = http_port;
    net
}

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn order(directory: &str, types: &[KeyType], names: &[&str]) -> Obtain {
    Obtain {
        lineage: names[0].parse().unwrap(),
        names: names.iter().map(|n| n.parse().unwrap()).collect(),
        keys: types.iter().map(|&key_type| KeyChoice { key_type, reuse: None, replaces: None }).collect(),
        directory: directory.to_owned(),
        acme_profile: None,
        live: "/etc/postfix/mxseal.pem".into(),
    }
}

fn wishes() -> Wishes {
    Wishes { agree_tos: true, email: Some("postmaster@example.test".into()), ..Wishes::default() }
}

const ECDSA: &[KeyType] = &[KeyType::Ecdsa];
const BOTH: &[KeyType] = &[KeyType::Ecdsa, KeyType::Rsa];
const MX: &str = "mx.example.test";

/// What every issued lineage must be.
fn sound(bench: &Bench, lineage: &Lineage, types: &[KeyType], names: &[&str]) {
    assert_eq!(lineage.keys.iter().map(|k| k.key_type).collect::<Vec<_>>(), types);
    assert_eq!(lineage.deployment, Deployment::Issued);
    let bundle = bench.store.get(lineage.bundle.as_ref().unwrap()).unwrap();
    let text = String::from_utf8(bundle.clone()).unwrap();
    assert_eq!(text.matches("PRIVATE KEY-----\n").count(), 2 * types.len(), "one key a type, begin and end");
    let chain = Certificate::read_pem(&bundle).unwrap();
    for key in &lineage.keys {
        let leaf = key.leaf.as_ref().unwrap();
        assert_eq!((&leaf.spki, leaf.key_type), (&key.spki, key.key_type));
        assert!(chain.contains(leaf));
        for name in names {
            assert!(leaf.covers(&name.parse().unwrap()), "{name} in {:?}", leaf.names);
        }
    }
    assert_eq!(acme::load_lineages(&bench.store).unwrap(), std::slice::from_ref(lineage));
    let mut folders = vec![bench.dir.path().join("state")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            let mode = std::fs::metadata(&entry).unwrap().permissions().mode() & 0o777;
            if entry.is_dir() {
                assert_eq!(mode, 0o700, "{}", entry.display());
                folders.push(entry);
            } else {
                assert_eq!(mode, 0o600, "{}", entry.display());
                let json = entry.extension().is_some_and(|e| e == "json");
                assert!(!json || !std::fs::read_to_string(&entry).unwrap().contains("PRIVATE"), "{}", entry.display());
            }
        }
    }
}

#[test]
fn control_is_shown_on_port_443_where_port_80_is_not_ours() {
    let mut bench = Bench::new(&Options::default());
    let _web = std::net::TcpListener::bind(("0.0.0.0", bench.pebble.http_port)).unwrap();
    bench.net.tls_port = bench.pebble.tls_port;
    let wishes = Wishes { challenge: Challenge::TlsAlpn, ..wishes() };
    let names = [MX, "mail.example.test"];
    let lineage = bench.obtain(&bench.order(BOTH, &names), &wishes).unwrap();
    sound(&bench, &lineage, BOTH, &names);
    let holder = std::net::TcpListener::bind(("0.0.0.0", bench.pebble.tls_port)).expect("ours is gone");
    let refused = bench.obtain(&bench.order(ECDSA, &["other.example.test"]), &wishes).unwrap_err().to_string();
    assert!(
        refused.contains(&format!("port {} cannot be opened", bench.pebble.tls_port)) && refused.contains("--challenge http-01"),
        "{refused}"
    );
    drop(holder);
    let none = bench.obtain(&bench.order(ECDSA, &["other.example.test"]), &Wishes { challenge: Challenge::Dns, ..wishes });
    assert!(matches!(none, Err(Trouble::NoPublisher)), "{none:?}");
}

/// The policy host has the port, and shows our answers beside what it serves, as long as an order is open.
#[test]
fn the_policy_host_answers_where_port_443_is_its_own() {
    let mut bench = Bench::new(&Options::default());
    bench.net.tls_port = bench.pebble.tls_port;
    let (file, at) = (bench.dir.path().join("served.json"), format!("127.0.0.1:{}", bench.pebble.tls_port));
    let before = serde_json::to_string_pretty(&Served::new(BTreeMap::new())).unwrap();
    std::fs::write(&file, &before).unwrap();
    let mut serve = std::process::Command::new(env!("CARGO_BIN_EXE_mxseal"));
    let _host = Daemon::start(serve.args(["serve", "--listen", &at, "--file"]).arg(&file), &bench.dir.path().join("log"));
    wait_for("the policy host", Duration::from_secs(20), || std::net::TcpStream::connect(&at).is_ok());
    let by = |reload: &[&str]| {
        let reload = Command(reload.iter().map(ToString::to_string).collect());
        Wishes { challenge: Challenge::PolicyHost(Door { file: file.clone(), reload }), ..wishes() }
    };
    let names = [MX, "mail.example.test"];
    let lineage = bench.obtain(&bench.order(BOTH, &names), &by(&[])).unwrap();
    sound(&bench, &lineage, BOTH, &names);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);

    let refused = bench.obtain(&bench.order(ECDSA, &["other.example.test"]), &by(&["false"])).unwrap_err().to_string();
    assert!(refused.contains("the policy host has it, and could not be told") && refused.contains("--challenge http-01"), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn both_key_types_arrive_and_are_not_ordered_twice() {
    let bench = Bench::new(&Options::default());
    let names = [MX, "mail.example.test"];
    let wanted = bench.order(BOTH, &names);
    let heard = Heard::default();
    let lineage = on_a_runtime(acme::obtain(&bench.net, &bench.store, &wanted, &wishes(), &heard)).unwrap();
    sound(&bench, &lineage, BOTH, &names);
    let heard = heard.0.into_inner().unwrap();
    assert!(heard.iter().any(|e| matches!(e, Event::Waiting { .. })) && heard.iter().any(|e| matches!(e, Event::Done(_))), "{heard:?}");
    acme::mark(&bench.store, &lineage.name, Deployment::Proved).unwrap();
    let again = bench.obtain(&wanted, &wishes()).unwrap();
    assert_eq!(again.deployment, Deployment::Proved, "what is in hand stays as it is");
    assert_eq!((bench.pebble.orders(), bench.pebble.issued()), (2, 2));
    // More names are another order with the same keys.
    let more = bench.obtain(&bench.order(BOTH, &[MX, "mail.example.test", "smtp.example.test"]), &wishes()).unwrap();
    assert_eq!(more.keys.iter().map(|k| &k.spki).collect::<Vec<_>>(), lineage.keys.iter().map(|k| &k.spki).collect::<Vec<_>>());
    assert_eq!((more.deployment, bench.pebble.issued()), (Deployment::Issued, 4));
    assert_eq!(bench.store.list("orders").unwrap().len(), 2, "old orders are gone");
}

/// What the CA suggests is asked for and kept; a certificate that is due is ordered anew with the same key, and once.
#[test]
fn the_ca_says_when_to_renew() {
    let bench = Bench::new(&Options { binary: new_pebble(), ..Options::default() });
    let wanted = bench.order(BOTH, &[MX]);
    let first = bench.obtain(&wanted, &wishes()).unwrap();
    let asked = |lineage: &Lineage| on_a_runtime(acme::ask_windows(&bench.net, &bench.store, lineage)).unwrap();
    let told = asked(&first);
    assert!(told.keys.iter().all(|k| k.window.is_some()), "{told:#?}");
    assert!(matches!(maintain::lineage_due(&told, world::now()), Due::Later(_)), "{told:#?}");
    assert_eq!(acme::load_lineages(&bench.store).unwrap(), std::slice::from_ref(&told), "it is kept");
    let questions = || bench.pebble.log().matches("/renewalInfo/").count() + bench.pebble.log().matches("renewal-info/").count();
    let before = questions();
    assert_eq!(asked(&told), told);
    assert_eq!(questions(), before, "not before the CA wishes it");

    // One of both is to be revoked tomorrow, say.
    let bundle = String::from_utf8(bench.store.get(told.bundle.as_ref().unwrap()).unwrap()).unwrap();
    let begin = bundle.find("-----BEGIN CERTIFICATE").unwrap();
    let end = bundle[begin..].find("-----END CERTIFICATE-----\n").unwrap() + begin + 26;
    let window = serde_json::json!({"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"});
    let page = "https://ca.example/why";
    bench.pebble.suggest(&bundle[begin..end], &serde_json::json!({"suggestedWindow": window, "explanationURL": page}));
    let mut rested = told.clone();
    rested.keys.iter_mut().for_each(|k| k.window.as_mut().unwrap().again = Moment(0));
    let told = asked(&rested);
    assert_eq!(told.keys[0].window.as_ref().unwrap().explanation.as_deref(), Some(page));
    assert_eq!(maintain::lineage_due(&told, world::now()), Due::Now { told: true });

    let mut renewal = wanted.clone();
    for (choice, key) in renewal.keys.iter_mut().zip(&told.keys) {
        choice.replaces = Some(key.leaf.as_ref().unwrap().serial.clone());
    }
    let backup = bench.dir.path().join("backup");
    world::copy_tree(&bench.dir.path().join("state"), &backup).unwrap();
    let renewed = bench.obtain(&renewal, &wishes()).unwrap();
    for (old, new) in told.keys.iter().zip(&renewed.keys) {
        assert_eq!(old.spki, new.spki, "a published TLSA record stays true");
        assert_ne!(old.leaf, new.leaf);
        assert_eq!(new.window, None);
    }
    assert_eq!(bench.obtain(&renewal, &wishes()).unwrap(), renewed);
    assert_eq!(bench.pebble.issued(), 4);

    // Whoever comes with a backup is told that these are replaced already, and gets new ones all the same.
    let requests = || bench.pebble.log().matches("POST /order-plz").count();
    let (before, store) = (requests(), Store::open(&backup).unwrap());
    let wanted = on_a_runtime(acme::obtain(&bench.net, &store, &renewal, &wishes(), &Nobody)).unwrap();
    assert_ne!(wanted.bundle, told.bundle);
    assert_eq!(requests() - before, 4, "each was refused once: {}", bench.pebble.log());
}

/// Debian's Pebble knows no windows: the lifetime tells.
#[test]
fn a_ca_without_windows_is_no_trouble() {
    let bench = Bench::new(&Options::default());
    let lineage = bench.obtain(&bench.order(ECDSA, &[MX]), &wishes()).unwrap();
    assert_eq!(on_a_runtime(acme::ask_windows(&bench.net, &bench.store, &lineage)).unwrap(), lineage);
    let mut renewal = bench.order(ECDSA, &[MX]);
    renewal.keys[0].replaces = lineage.keys[0].leaf.as_ref().map(|l| l.serial.clone());
    assert_ne!(bench.obtain(&renewal, &wishes()).unwrap().keys[0].leaf, lineage.keys[0].leaf);
}

#[test]
fn in_hand_needs_no_network() {
    let mut bench = Bench::new(&Options::default());
    let wanted = bench.order(ECDSA, &[MX]);
    let lineage = bench.obtain(&wanted, &wishes()).unwrap();
    bench.pebble = Pebble::start(&Options::default());
    assert_eq!(bench.obtain(&wanted, &wishes()).unwrap(), lineage);
}

#[test]
fn an_external_account_is_bound() {
    let bench = Bench::new(&Options { eab: true, ..Options::default() });
    let wanted = bench.order(ECDSA, &[MX]);
    let refused = bench.obtain(&wanted, &wishes()).unwrap_err();
    assert!(matches!(refused, Trouble::Binding { .. }), "{refused}");
    let wrong = Wishes { eab: Some((EAB.0.into(), acme::eab_key("AAAA").unwrap())), ..wishes() };
    let refused = bench.obtain(&wanted, &wrong).unwrap_err();
    assert!(matches!(refused, Trouble::Refused(_)) && refused.to_string().contains("--eab-hmac-key-file"), "{refused}");
    let right = Wishes { eab: Some((EAB.0.into(), acme::eab_key(EAB.1).unwrap())), ..wishes() };
    sound(&bench, &bench.obtain(&wanted, &right).unwrap(), ECDSA, &[MX]);
    assert!(!format!("{right:?}").contains("zWND"));
}

#[test]
fn terms_come_first() {
    let bench = Bench::new(&Options { binary: new_pebble(), ..Options::default() });
    let directory = on_a_runtime(acme::terms(&bench.net, &bench.pebble.directory)).unwrap();
    assert!(directory.terms_of_service.is_some() && !directory.eab_required, "{directory:?}");
    assert!(directory.profiles.contains_key("shortlived"), "{directory:?}");
    assert!(directory.clock_off.value().unwrap().abs() < 5, "{directory:?}");
    let refused = bench.obtain(&bench.order(ECDSA, &[MX]), &Wishes { agree_tos: false, ..wishes() }).unwrap_err();
    assert!(matches!(&refused, Trouble::Terms { url } if Some(url) == directory.terms_of_service.as_ref()), "{refused}");
    assert!(bench.store.list("accounts").unwrap().is_empty());
}

#[test]
fn profiles_are_asked_for_by_name() {
    let bench = Bench::new(&Options { binary: new_pebble(), ..Options::default() });
    let mut wanted = bench.order(ECDSA, &[MX]);
    wanted.acme_profile = Some("quick".into());
    let refused = bench.obtain(&wanted, &wishes()).unwrap_err().to_string();
    assert!(refused.contains("default, shortlived"), "{refused}");
    wanted.acme_profile = Some("shortlived".into());
    let lineage = bench.obtain(&wanted, &wishes()).unwrap();
    sound(&bench, &lineage, ECDSA, &[MX]);
    let leaf = lineage.keys[0].leaf.as_ref().unwrap();
    let life = leaf.not_after.since(leaf.not_before).as_secs();
    assert!((518_000..=519_000).contains(&life) && !leaf.client_auth, "{leaf:?}");
}

#[test]
fn sixty_percent_of_nonces_refused() {
    let bench = Bench::new(&Options { nonce_reject: 60, ..Options::default() });
    sound(&bench, &bench.obtain(&bench.order(BOTH, &[MX]), &wishes()).unwrap(), BOTH, &[MX]);
}

#[test]
fn slow_validation_is_waited_for_within_the_bound() {
    let bench = Bench::new(&Options { slow: true, ..Options::default() });
    let wanted = bench.order(ECDSA, &[MX, "a.example.test", "b.example.test", "c.example.test"]);
    let began = Instant::now();
    let hasty = Wishes { patience: Duration::from_millis(200), ..wishes() };
    match bench.obtain(&wanted, &hasty) {
        Err(Trouble::Late { .. }) => assert!(began.elapsed() < Duration::from_secs(30)),
        other => panic!("{other:?}"),
    }
    sound(&bench, &bench.obtain(&wanted, &wishes()).unwrap(), ECDSA, &[MX]);
    assert_eq!(bench.pebble.orders(), 1, "the order of the hasty run went on");
}

#[test]
fn valid_authorizations_are_used_again() {
    let bench = Bench::new(&Options { authz_reuse: 100, ..Options::default() });
    bench.obtain(&bench.order(ECDSA, &[MX]), &wishes()).unwrap();
    let holder = std::net::TcpListener::bind(("0.0.0.0", bench.pebble.http_port)).unwrap();
    bench.obtain(&bench.order(&[KeyType::Rsa], &[MX]), &wishes()).unwrap();
    drop(holder);
    assert_eq!(bench.pebble.issued(), 2);
}

#[test]
fn a_forbidden_name_is_named() {
    let bench = Bench::new(&Options::default());
    let refused = bench.obtain(&bench.order(ECDSA, &[MX, BLOCKED]), &wishes()).unwrap_err();
    assert_eq!(refused.kinds(), ["rejectedIdentifier"], "{refused}");
    let text = refused.to_string();
    assert!(text.contains(&format!("refuses {BLOCKED}")) && text.contains("leave it out"), "{text}");
}

#[test]
fn an_unreachable_name_says_which_address_was_tried() {
    let bench = Bench::new(&Options { binary: new_pebble(), ..Options::default() });
    // The name points at an address where our listener's port answers nothing: another port.
    let mut elsewhere = bench.net.clone();
    elsewhere.http_port = free_port().port();
    let names = [MX, "other.example.test"];
    bench.pebble.tell_dns("add-a", &serde_json::json!({"host": "other.example.test.", "addresses": ["127.0.0.77"]}));
    let wanted = bench.order(ECDSA, &names);
    let refused = on_a_runtime(acme::obtain(&elsewhere, &bench.store, &wanted, &wishes(), &Nobody)).unwrap_err();
    assert!(refused.kinds().iter().all(|k| *k == "connection"), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("refused"), "the CA's own words: {text}");
    assert!(text.contains("127.0.0.1") || text.contains("127.0.0.77"), "the address: {text}");
    assert!(text.contains("nobody asked this host"), "{text}");
    assert!(text.contains("A and AAAA records"), "the next step: {text}");
    // An order that failed is not resumed; with everything right it goes well.
    bench.pebble.tell_dns("clear-a", &serde_json::json!({"host": "other.example.test."}));
    sound(&bench, &bench.obtain(&wanted, &wishes()).unwrap(), ECDSA, &names);
}

#[test]
fn a_name_without_address_is_said() {
    let bench = Bench::new(&Options::default());
    bench.pebble.tell_dns("set-servfail", &serde_json::json!({"host": "mx.example.test."}));
    let refused = bench.obtain(&bench.order(ECDSA, &[MX]), &wishes()).unwrap_err();
    assert!(matches!(&refused, Trouble::Refused(_)) && refused.to_string().contains(&format!("refuses {MX}")), "{refused}");
}

#[test]
fn a_taken_port_is_said_and_a_webroot_is_the_way() {
    let bench = Bench::new(&Options::default());
    let wanted = bench.order(ECDSA, &[MX]);
    let holder = std::net::TcpListener::bind(("0.0.0.0", bench.pebble.http_port)).unwrap();
    let refused = bench.obtain(&wanted, &wishes()).unwrap_err();
    assert!(matches!(&refused, Trouble::Listen { .. }) && refused.to_string().contains("--webroot"), "{refused}");
    // The other program is a web server with a directory.
    let root = bench.dir.path().join("www");
    std::fs::create_dir(&root).unwrap();
    let served = root.clone();
    let server = std::thread::spawn(move || {
        use std::io::{BufRead as _, Write as _};
        let mut answered = 0;
        while let Ok((stream, _)) = holder.accept() {
            let mut line = String::new();
            std::io::BufReader::new(&stream).read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
            if path == "/quit" {
                break;
            }
            let file = served.join(path.trim_start_matches('/'));
            let mode = std::fs::metadata(&file).map(|m| m.permissions().mode() & 0o777).ok();
            assert_eq!(mode, Some(0o644), "{}", file.display());
            let body = std::fs::read_to_string(&file).unwrap();
            write!(&stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            answered += 1;
        }
        answered
    });
    let lineage = bench.obtain(&wanted, &Wishes { challenge: Challenge::Webroot(root.clone()), ..wishes() });
    std::io::Write::write_all(
        &mut std::net::TcpStream::connect(("127.0.0.1", bench.pebble.http_port)).unwrap(),
        b"GET /quit HTTP/1.0\r\n\r\n",
    )
    .unwrap();
    assert!(server.join().unwrap() >= 1);
    sound(&bench, &lineage.unwrap(), ECDSA, &[MX]);
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "nothing stays in the webroot");
}

#[test]
fn the_listener_answers_on_ipv6() {
    let bench = Bench::new(&Options { ipv6: "::1", ..Options::default() });
    bench.pebble.tell_dns("set-default-ipv4", &serde_json::json!({"ip": ""}));
    sound(&bench, &bench.obtain(&bench.order(ECDSA, &[MX]), &wishes()).unwrap(), ECDSA, &[MX]);
    assert!(std::net::TcpListener::bind(("::", bench.pebble.http_port)).is_ok(), "the listener is gone");
}

#[test]
fn keys_in_use_are_kept_in_every_form() {
    let bench = Bench::new(&Options::default());
    let file = bench.dir.path().join("key.pem");
    let openssl = |args: &[&str]| process::run(std::process::Command::new("openssl").args(args));
    let path = file.to_str().unwrap();
    for (n, (key_type, make)) in [
        (KeyType::Ecdsa, vec!["ecparam", "-name", "prime256v1", "-genkey", "-out", path]),
        (KeyType::Rsa, vec!["genrsa", "-traditional", "-out", path, "2048"]),
        (KeyType::Rsa, vec!["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-out", path]),
        (KeyType::Ecdsa, vec!["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", path]),
    ]
    .into_iter()
    .enumerate()
    {
        openssl(&make);
        let public = bench.dir.path().join("public.der");
        openssl(&["pkey", "-in", path, "-pubout", "-outform", "DER", "-out", public.to_str().unwrap()]);
        let spki = Digest::of(&std::fs::read(public).unwrap());
        let name = format!("mx{n}.example.test");
        let mut wanted = bench.order(&[key_type], &[&name]);
        wanted.keys[0].reuse = Some((file.clone(), spki.clone()));
        let lineage = bench.obtain(&wanted, &wishes()).unwrap_or_else(|e| panic!("{make:?}: {e}"));
        assert_eq!(lineage.keys[0].spki, spki, "{make:?}");
        // What a mail server reads must be a key that its library takes.
        let bundle = bench.dir.path().join("bundle.pem");
        std::fs::write(&bundle, bench.store.get(lineage.bundle.as_ref().unwrap()).unwrap()).unwrap();
        openssl(&["pkey", "-in", bundle.to_str().unwrap(), "-noout"]);
        wanted.keys[0].reuse = Some((file.clone(), Digest::of(b"another")));
        let refused = bench.obtain(&wanted, &wishes()).unwrap_err().to_string();
        assert!(refused.contains(path) && refused.contains("must stay in use"), "{refused}");
    }
}

#[test]
fn an_api_that_is_not_to_be_trusted() {
    let bench = Bench::new(&Options::default());
    let stranger = Bench::new(&Options::default());
    let wanted = bench.order(ECDSA, &[MX]);
    let refused = on_a_runtime(acme::obtain(&stranger.net, &bench.store, &wanted, &wishes(), &Nobody)).unwrap_err();
    assert!(matches!(&refused, Trouble::Untrusted { .. }) && refused.to_string().contains("--acme-ca-file"), "{refused}");
    assert_eq!(bench.pebble.orders(), 0);
    for (url, want) in [
        (bench.pebble.directory.replace("https", "http"), "must begin with https://"),
        (bench.pebble.directory.replace("/dir", "/nowhere"), "404"),
        (format!("https://{}/dir", free_port()), "cannot be reached"),
        ("https://ca.invalid/dir".to_owned(), "cannot be reached"),
    ] {
        let began = Instant::now();
        let refused = bench.obtain(&order(&url, ECDSA, &[MX]), &wishes()).unwrap_err().to_string();
        assert!(refused.contains(want) && refused.contains("--acme-directory"), "{url}: {refused}");
        assert!(began.elapsed() < Duration::from_secs(40), "{url} took {:?}", began.elapsed());
    }
}

mod faults;
