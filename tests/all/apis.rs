//! Records get into DNS over the programming interface of whoever serves the zone: PowerDNS's own server.

use crate::{
    lab::{
        authority::Authority,
        dns::{Dns, Signed, own_loopback},
        household::Household,
        pebble::{Options, Pebble},
        powerdns::{KEY, PowerDns, credentials},
    },
    publish::{name, record, txt},
    retreat::told,
    told::{POLICY, Site},
};
use mxseal::{
    acme::{self, Wishes},
    certificate::KeyType,
    facts::Tlsa,
    moment::Moment,
    plan::{Challenge, KeyChoice, Obtain},
    publish::{
        Data, Exchange, Ours, Record, Refused,
        api::Api,
        publisher::{Publisher, Publishers, Words},
    },
    report::Nobody,
    world::{Net, Store},
};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

fn tlsa(data: &str) -> Record {
    record("_25._tcp.mx.cloud.test", Data::Tlsa(Tlsa { usage: 3, selector: 1, matching: 1, data: data.repeat(32) }))
}

fn exchange(add: &[Record], remove: &[Record]) -> Exchange {
    Exchange { zone: name("cloud.test"), add: add.to_vec(), remove: remove.to_vec() }
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

fn publisher(credentials: &Path) -> Publisher {
    Publisher::Api(Api::of("powerdns", credentials.to_owned()).unwrap())
}

fn ours(store: &Store) -> Vec<Record> {
    store.load::<Ours>(Ours::FILE).unwrap().unwrap_or_default().0.into_iter().map(|told| told.record).collect()
}

#[test]
fn single_records_are_exchanged_at_powerdns() {
    let theirs = "aa".repeat(32);
    let server = PowerDns::start(
        "cloud.test",
        &[("mx", "A", "192.0.2.1"), ("_mta-sts", "TXT", "\"not for senders\""), ("_acme", "CNAME", "elsewhere.cloud.test.")],
    );
    server.set("_25._tcp.mx", "TLSA", 60, &[&format!("3 1 1 {theirs}")]);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("state")).unwrap();
    let publisher = publisher(&server.credentials);
    let net = Authority::new().net();
    let publish = |e: &Exchange| wait(publisher.publish(&net, &store, e, Moment(1)));
    let long = format!("v=TLSRPTv1; rua={};", ["mailto:postmaster@cloud.test"; 12].join(","));
    let new = [
        tlsa("0b"),
        tlsa("0c"),
        txt("_mta-sts.cloud.test", "v=STSv1; id=1;"),
        txt("_smtp._tls.cloud.test", &long),
        record("mx.cloud.test", Data::Caa("0 issue \"ca.example; validationmethods=http-01,dns-01\"".parse().unwrap())),
        record("mta-sts.cloud.test", Data::Cname(name("mx.cloud.test"))),
    ];
    let draft = wait(publisher.draft(&net, &exchange(&new, &[]), Moment(1))).unwrap();
    let Words::Text(words) = draft.words else { panic!("{:?}", draft.words) };
    assert!(words.lines().count() == 6 && words.contains("+ mta-sts.cloud.test. 3600 IN CNAME mx.cloud.test.\n"), "{words}");
    assert!(ours(&store).is_empty() && server.ask("_mta-sts.cloud.test", "TXT") == "\"not for senders\"", "a draft changes nothing");

    publish(&exchange(&new, &[])).unwrap_or_else(|e| panic!("{e}"));
    let upper = |data: &str| data.repeat(32).to_uppercase();
    let keys = |all: &[&str]| all.iter().map(|k| format!("3 1 1 {}", upper(k))).collect::<Vec<_>>().join("\n");
    assert_eq!(server.ask("_25._tcp.mx.cloud.test", "TLSA"), keys(&["0b", "0c", "aa"]));
    assert_eq!(server.ask("_mta-sts.cloud.test", "TXT"), "\"not for senders\"\n\"v=STSv1; id=1;\"");
    assert_eq!(server.ask("mta-sts.cloud.test", "CNAME"), "mx.cloud.test.");
    assert_eq!(server.ask("mx.cloud.test", "CAA"), "0 issue \"ca.example; validationmethods=http-01,dns-01\"");
    assert!(server.ask("_smtp._tls.cloud.test", "TXT").contains("\" \""), "in two strings");
    assert_eq!(ours(&store), new);

    // Once more is nothing more, and what is ours alone goes.
    assert!(publish(&exchange(&new, &[])).unwrap().exchange.is_empty());
    publish(&exchange(&[txt("_mta-sts.cloud.test", "v=STSv1; id=2;")], &[new[2].clone(), new[0].clone(), new[3].clone()])).unwrap();
    assert_eq!(server.ask("_mta-sts.cloud.test", "TXT"), "\"not for senders\"\n\"v=STSv1; id=2;\"");
    assert_eq!(server.ask("_25._tcp.mx.cloud.test", "TLSA"), keys(&["0c", "aa"]));
    assert_eq!(server.ask("_smtp._tls.cloud.test", "TXT"), "");
    assert_eq!(ours(&store).len(), 4);
    // An alias is exchanged for another.
    let other = record("mta-sts.cloud.test", Data::Cname(name("ns.cloud.test")));
    publish(&exchange(&[other], &[new[5].clone()])).unwrap();
    assert_eq!(server.ask("mta-sts.cloud.test", "CNAME"), "ns.cloud.test.");

    // Somebody else's is in the way, or would be.
    for (new, says) in [
        (txt("_mta-sts.cloud.test", "v=STSv1; id=9;"), "cannot stand beside `_mta-sts.cloud.test."),
        (txt("_acme.cloud.test", "a text"), "CNAME elsewhere.cloud.test."),
        (record("mx.cloud.test", Data::Cname(name("ns.cloud.test"))), "mx.cloud.test"),
        (record("ns.cloud.test", Data::Cname(name("mx.cloud.test"))), "`ns.cloud.test A 127."),
    ] {
        let said = publish(&exchange(&[tlsa("0d"), new], &[])).unwrap_err().to_string();
        assert!(said.contains(says) && said.ends_with("nothing was written"), "{said}");
    }
    assert_eq!(server.ask("_25._tcp.mx.cloud.test", "TLSA"), keys(&["0c", "aa"]));
    assert_eq!(ours(&store).len(), 4);

    // What it takes in part is taken back: an alias at the zone's apex is refused, and came last.
    let bad = record("cloud.test", Data::Cname(name("mx.cloud.test")));
    let half = publish(&exchange(&[tlsa("0d"), bad], &[])).unwrap_err();
    assert!(matches!(half, Refused::TakenBack(_)) && half.to_string().contains("the zone is as it was"), "{half}");
    assert_eq!((server.ask("_25._tcp.mx.cloud.test", "TLSA"), ours(&store).len()), (keys(&["0c", "aa"]), 4));
}

#[test]
fn whatever_goes_wrong_is_said_without_the_key() {
    let server = PowerDns::start("cloud.test", &[]);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("state")).unwrap();
    let net = Authority::new().net();
    let new = [txt("_smtp._tls.cloud.test", "v=TLSRPTv1; rua=mailto:a@cloud.test;")];
    let said = |text: &str, e: &Exchange| {
        let file = credentials(dir.path(), text);
        let said = wait(publisher(&file).publish(&net, &store, e, Moment(1))).unwrap_err();
        assert!(matches!(said, Refused::Failed(_)), "{said}");
        let said = said.to_string();
        assert!(!said.contains(KEY) && said.ends_with("nothing was written") && said.len() < 600, "{said}");
        said
    };
    let fine = format!("api-key = '{KEY}'\nendpoint = 'http://{}'\n", server.api);
    let nobody = own_loopback();
    for (text, zone, says) in [
        (
            format!("api-key = 'not-{KEY}'\nendpoint = 'http://{}'\n", server.api),
            "cloud.test",
            "PowerDNS does not accept the credentials in /",
        ),
        (format!("api-key = '{KEY}'\nendpoint = 'http://{nobody}:9'\n"), "cloud.test", "PowerDNS could not be reached at http://127."),
        (
            format!("api-key = '{KEY}'\nendpoint = 'http://{nobody}:9/{KEY}'\n"),
            "cloud.test",
            "PowerDNS could not be reached at http://127.",
        ),
        (format!("api-key = '{KEY}'\nendpoint = 'http://192.0.2.1'\n"), "cloud.test", "sent the key in clear"),
        (
            format!("api-key = '{KEY}'\n"),
            "cloud.test",
            "endpoint is missing; PowerDNS asks for api-key, endpoint and, where you like, server",
        ),
        (format!("{fine}server = 'another'\n"), "cloud.test", "PowerDNS does not know the zone cloud.test"),
        (fine.clone(), "other.test", "PowerDNS does not know the zone other.test"),
    ] {
        let said = said(&text, &Exchange { zone: name(zone), ..exchange(&new, &[]) });
        assert!(said.contains(says), "{text}: {said}");
    }
    assert_eq!((server.ask("_smtp._tls.cloud.test", "TXT"), ours(&store).len()), (String::new(), 0));
}

#[test]
fn the_program_publishes_and_shows_no_secret() {
    let server = PowerDns::start("example.test", &[]);
    let site = Site::new(Signed::No);
    site.serve(POLICY);
    let file = site.dir.path().join("dns.toml");
    fs::copy(&server.credentials, &file).unwrap();
    fs::write(
        site.dir.path().join("mxseal.toml"),
        "[zone.'example.test']\npublish = 'api'\ndns-provider = 'powerdns'\ndns-credentials = 'dns.toml'\n",
    )
    .unwrap();
    let run = |arguments: &[&str]| {
        let out = site.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        assert!(!said.contains(KEY), "{said}");
        (out.status.code(), said)
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, open) = run(&["dns", "--publish", "--dry-run"]);
    assert!(code == Some(1) && open.contains("others may read them"), "{open}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, dry) = run(&["dns", "--publish", "--dry-run"]);
    assert!(code == Some(1) && dry.contains("+ _smtp._tls.example.test. 3600 IN TXT \"v=TLSRPTv1;"), "{dry}");
    assert_eq!(server.ask("_smtp._tls.example.test", "TXT"), "");
    let document = site.json(&["dns", "--publish"]);
    assert_eq!(document["zones"][0]["state"], "published", "{document}");
    assert!(server.ask("_mta-sts.example.test", "TXT").starts_with("\"v=STSv1; id=") && !document.to_string().contains(KEY));
    let again = site.json(&["dns", "--publish"]);
    assert_eq!(again["zones"][0]["state"], "nothing-to-do", "{again}");
    // Nothing of it is in what is kept either.
    let kept = fs::read_to_string(site.dir.path().join("state/published.json")).unwrap();
    assert!(kept.contains("_smtp._tls.example.test") && !kept.contains("the-key-of-the-lab"), "{kept}");

    for (arguments, says) in [
        (&["--publish", "api", "--dns-provider", "cloudflair"][..], "there is no provider \"cloudflair\"; do you mean cloudflare?"),
        (&["--publish", "hook"], "--publish hook needs --hook FILE"),
    ] {
        let (code, said) = run(&[&["dns"], arguments].concat());
        assert!(code == Some(2) && said.contains(says), "{said}");
    }
    let away = ["dns", "--publish", "--dry-run", "--rua", "mailto:other@example.test"];
    for (variables, says) in [
        (&[("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/nowhere")][..], "install ca-certificates; nothing was written"),
        (&[("http_proxy", "http://127.0.0.1:9")], "http_proxy is set, and that proxy would be sent the key in clear"),
    ] {
        let out = site.command(&away).envs(variables.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        // The page is broken into lines.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.status.code() == Some(1) && said.contains(says), "{said}");
    }
}

/// From a setup to the first step of an undo: keys of somebody else's at the same name stay.
#[test]
fn what_setup_told_powerdns_is_withdrawn_record_by_record() {
    let theirs = format!("3 1 1 {}", "AA".repeat(32));
    let server = PowerDns::start("example.test", &[("_25._tcp.mx", "TLSA", &theirs)]);
    let house = Household::in_zone(Signed::Yes);
    let keys = || server.ask("_25._tcp.mx.example.test", "TLSA").lines().map(ToOwned::to_owned).collect::<Vec<_>>();
    let way = ["--publish", "api", "--dns-provider", "powerdns", "--dns-credentials", server.credentials.to_str().unwrap()];
    let (code, done) = told(&house, "setup", &[&["--alarm", "", "--tell", "dane,tls-rpt"][..], &way].concat());
    assert_eq!((code, &done["outcome"], &done["dns"]["zones"][0]["state"]), (0, &"proved".into(), &"published".into()), "{done:#}");
    assert!(keys().len() == 5 && keys().contains(&theirs), "{:?}", keys());
    assert!(server.ask("_smtp._tls.example.test", "TXT").contains("v=TLSRPTv1"));
    // The settings know how.
    let settings = fs::read_to_string(house.root.join("conf/mxseal.toml")).unwrap();
    assert!(settings.contains("publish = \"api\"\n") && settings.contains("dns-provider = \"powerdns\"\n"), "{settings}");
    // The world sees a signed copy of the zone.
    let seen = keys();
    house.dns.set("example.test", "_25._tcp.mx", "TLSA", 300, &seen.iter().map(String::as_str).collect::<Vec<_>>());
    let (code, held) = told(&house, "undo", &[]);
    assert!(code == 1 && held["says"].as_str().is_some_and(|s| s.contains("The TLSA records are withdrawn")), "{held:#}");
    assert_eq!(keys(), [theirs]);
    for document in [done, held] {
        assert!(!document.to_string().contains(KEY));
    }
}

#[test]
fn a_ca_finds_the_texts_that_powerdns_was_given() {
    let server = PowerDns::start("cloud.test", &[("_acme-challenge.mx", "CNAME", "texts.cloud.test.")]);
    let at = server.addr.ip().to_string();
    server.set("mx", "A", 60, &[&at]);
    server.set("_acme-challenge.alias", "TXT", 60, &["\"not ours\""]);
    server.set("alias", "A", 60, &[&at]);
    let dns = Dns::start(&[]);
    dns.set(".", "cloud.test.", "NS", 300, &["ns.cloud.test."]);
    dns.set(".", "ns.cloud.test.", "A", 300, &[&at]);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("state")).unwrap();
    let ca = Pebble::start(&Options { dns: Some(server.addr), ..Options::default() });
    let mut net = Net::of_this_host(Some(dns.resolver), &[] as &[&Path], &[&ca.api_ca]).unwrap();
    net.http_port = 9;
    let order = Obtain {
        lineage: name("mx.cloud.test"),
        names: ["mx.cloud.test", "alias.cloud.test"].map(name).to_vec(),
        keys: vec![KeyChoice { key_type: KeyType::Ecdsa, reuse: None, replaces: None }],
        directory: ca.directory.clone(),
        acme_profile: None,
        live: "/etc/postfix/mxseal.pem".into(),
    };
    let publishers = Publishers { all: Some(publisher(&server.credentials)), ..Publishers::default() };
    let patience = Duration::from_secs(90);
    let wishes = Wishes { agree_tos: true, challenge: Challenge::Dns, publishers, patience, ..Wishes::default() };
    let lineage = wait(acme::obtain(&net, &store, &order, &wishes, &Nobody)).unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(lineage.keys.len(), 1);
    assert_eq!(server.ask("_acme-challenge.alias.cloud.test", "TXT"), "\"not ours\"");
    assert_eq!(server.ask("texts.cloud.test", "TXT"), "");
    assert_eq!((store.load::<Ours>("challenges.json").unwrap(), ours(&store).len()), (None, 0));
}
