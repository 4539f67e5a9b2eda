//! The way back once senders were told: step by step, and no file before they have forgotten.

use crate::lab::{
    authority::Authority,
    dns::{Signed, own_loopback},
    household::{Household, MX, MXSEAL},
    web::{Web, serve},
};
use mxseal::certificate::KeyType;
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
};

/// Runs the program with `--json`; gives its exit code and its document. A file, because the guard keeps a pipe open.
pub(crate) fn told(house: &Household, verb: &str, more: &[&str]) -> (i32, Value) {
    let file = house.root.join("document");
    let mut command = Command::new(MXSEAL);
    command.args(house.arguments(verb)).arg("--json").args(more).stdin(Stdio::null()).stderr(Stdio::null());
    let status = command.stdout(fs::File::create(&file).expect("a file")).status().expect("mxseal");
    let text = fs::read_to_string(&file).expect("what it printed");
    let document = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{verb} {more:?}: {e}: {text}"));
    (status.code().expect("a code"), document)
}

pub(crate) fn ids(document: &Value) -> Vec<&str> {
    document["findings"].as_array().expect("findings").iter().filter_map(|f| f["id"].as_str()).collect()
}

#[test]
fn nothing_goes_back_before_senders_have_forgotten() {
    let house = Household::in_zone(Signed::Yes);
    let before = house.tree();
    let (code, done) = told(&house, "setup", &["--alarm", ""]);
    assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{done:#}");
    assert!(ids(&done).contains(&"tell-planned"), "{done:#}");
    let records = done["dns"]["records"].as_array().expect("records");
    let of = |kind: &str| records.iter().filter(|r| r["type"] == kind).map(|r| r["value"].as_str().expect("a value")).collect::<Vec<_>>();
    assert_eq!((of("TLSA").len(), of("TXT")), (4, vec!["v=TLSRPTv1; rua=mailto:postmaster@example.test;"]), "{done:#}");
    let changed = house.tree();
    assert_ne!(before, changed);

    // Senders are told, by hand; somebody takes a key away, and puts it back.
    house.dns.set("example.test", "_25._tcp.mx", "TLSA", 300, &of("TLSA"));
    let held = |more: &[&str], says: &str| {
        let (code, held) = told(&house, "undo", more);
        let stands = held["findings"][0].to_string();
        assert!(code == 1 && held["outcome"] == "held" && stands.contains("claim-stands") && stands.contains(MX), "{held:#}");
        assert!(held["says"].as_str().is_some_and(|s| s.contains(says)), "{held:#}");
        assert_eq!(house.tree(), changed, "{says}");
    };
    held(&[], "Withdraw the TLSA records of _25._tcp.mx.example.test");
    let renew = || told(&house, "renew", &[]);
    let (_, fine) = renew();
    assert!(!ids(&fine).iter().any(|id| id.starts_with("published-")), "{fine:#}");
    fs::remove_file(house.state().join("watch/told.json")).expect("it was asked");
    house.dns.set("example.test", "_25._tcp.mx", "TLSA", 300, &of("TLSA")[1..]);
    let (code, drifted) = renew();
    assert!(code == 1 && ids(&drifted).contains(&"published-other"), "{drifted:#}");
    house.dns.set("example.test", "_25._tcp.mx", "TLSA", 300, &of("TLSA"));
    let (_, fine) = renew();
    assert!(!ids(&fine).iter().any(|id| id.starts_with("published-")), "{fine:#}");

    // Withdrawn, and not yet forgotten.
    house.dns.set("example.test", "_25._tcp.mx", "TLSA", 300, &[]);
    held(&[], "Caches may believe what was withdrawn until 20");
    let (code, other) = told(&house, "undo", &["--files-only", "other.test"]);
    assert!(code == 2 && other["error"].as_str().is_some_and(|e| e.contains(MX)), "{other:#}");
    let (code, known) = told(&house, "undo", &["--files-only", MX, "--dry-run"]);
    assert!(code == 0 && known["outcome"] == "planned" && ids(&known).contains(&"claim-stands"), "{known:#}");
    assert_eq!(house.tree(), changed);

    // The time goes by.
    let kept = house.state().join("claims.json");
    let mut claims: Value = serde_json::from_str(&fs::read_to_string(&kept).expect("claims")).expect("JSON");
    for claim in claims["claims"].as_array_mut().expect("claims") {
        assert!(claim["until"].is_u64(), "all of it was withdrawn: {claim:#}");
        claim["until"] = 1.into();
    }
    fs::write(&kept, claims.to_string()).expect("written");
    let (code, undone) = told(&house, "undo", &[]);
    assert_eq!(code, 0, "{undone:#}");
    assert_eq!(house.tree(), before);
}

/// A policy that setup begins: the file is written, and the record follows once it is served. None is begun that nobody asked for,
/// or beside one that is there.
#[test]
fn a_policy_that_setup_begins_is_announced_once_it_is_served() {
    let house = Household::in_zone(Signed::Yes);
    let (host, authority) = (own_loopback(), Authority::new());
    let root = house.root.join("web.pem");
    fs::write(&root, authority.root_pem()).expect("written");
    house.dns.set("example.test", "mta-sts", "A", 60, &[&host.to_string()]);
    let web = serve(SocketAddr::from((host, 443)), &authority.issue(&["mta-sts.example.test"], KeyType::Ecdsa), Web::new());
    let (www, root) = (house.root.join("www"), root.display().to_string());
    let kept = house.state().join("policies");

    let export = www.display().to_string();
    let how = ["--trust-anchor", &root, "--alarm", "", "--tell", "mta-sts", "--policy-host", "export", "--export-dir", &export];
    let (code, done) = told(&house, "setup", &how);
    assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{done:#}");
    let begun = done["findings"].as_array().expect("findings").iter().find(|f| f["id"] == "policy-begun");
    let begun = begun.unwrap_or_else(|| panic!("{done:#}")).to_string();
    assert!(begun.contains("let the web server of mta-sts.example.test serve the file"), "{begun}");
    let text = fs::read(www.join("mta-sts.example.test/.well-known/mta-sts.txt")).expect("the file");
    assert_eq!(String::from_utf8_lossy(&text), "version: STSv1\nmode: testing\nmx: mx.example.test\nmax_age: 86400\n");
    assert!(kept.exists() && !done["dns"]["records"].to_string().contains("_mta-sts"), "the file comes first: {done:#}");

    web.show(Web::from([("/.well-known/mta-sts.txt".to_owned(), ("text/plain", text))]));
    let resolver = house.dns.resolver.to_string();
    let mut dns = Command::new(MXSEAL);
    dns.args(&house.arguments("status")[..4]).args(["--json", "dns", "--domain", "example.test", "--mx", MX, "--resolver", &resolver]);
    dns.args(["--mta", "postfix", "--mta-config"]).arg(house.postfix.etc()).args(["--trust-anchor", &root]);
    let out = dns.output().expect("mxseal");
    let document: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    assert!(document["records"].to_string().contains("v=STSv1; id="), "{document:#}");

    // A policy that is tried out holds no undoing back, and is not passed over in silence.
    let (code, undo) = told(&house, "undo", &["--dry-run"]);
    let outlives = undo["findings"].as_array().expect("findings").iter().find(|f| f["id"] == "policy-outlives");
    assert!(code == 0 && outlives.is_some_and(|f| f["subject"].to_string().contains("example.test")), "{undo:#}");
}

#[test]
fn what_setup_published_is_withdrawn_first() {
    let house = Household::in_zone(Signed::Yes);
    let before = house.tree();
    let server = house.dns.authority.to_string();
    let (code, done) = told(&house, "setup", &["--alarm", "", "--tell", "dane,tls-rpt", "--publish", "rfc2136", "--dns-server", &server]);
    assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{done:#}");
    assert!(!ids(&done).contains(&"publish-failed"), "{done:#}");
    let kept: Value = serde_json::from_str(&fs::read_to_string(house.state().join("claims.json")).expect("claims")).expect("JSON");
    assert_eq!(kept["claims"][0]["spki"].as_array().map(Vec::len), Some(4), "two keys, and two that follow: {kept:#}");
    let changed = house.tree();
    let status = Command::new(MXSEAL).args(&house.arguments("status")[..4]).args(["--json", "status"]).output().expect("mxseal");
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!((&status["told"][0]["kind"], &status["told"][0]["mx"]), (&"tlsa".into(), &MX.into()), "{status:#}");

    // The settings know how, so that the first step is taken from here; no file goes with it.
    house.dns.forget();
    let (code, held) = told(&house, "undo", &[]);
    assert!(code == 1 && held["says"].as_str().is_some_and(|s| s.contains("The TLSA records are withdrawn")), "{held:#}");
    house.dns.forget();
    let (code, held) = told(&house, "undo", &[]);
    assert!(code == 1 && held["says"].as_str().is_some_and(|s| s.contains("Caches may believe what was withdrawn until")), "{held:#}");
    assert_eq!(house.tree(), changed);
    let (code, files) = told(&house, "undo", &["--files-only", "example.test"]);
    assert!(code == 1 && ids(&files).contains(&"claim-stands"), "{files:#}");
    assert_eq!(house.tree(), before);
}
