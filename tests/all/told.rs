//! What senders are told: records for a real signed zone, in forms that the real consumers take.

use crate::lab::{
    authority::Authority,
    dns::{Dns, Signed, own_loopback},
    household::{Household, MX, MXSEAL},
    process::run,
    web::{Web, serve},
};
use mxseal::certificate::{Digest, KeyType};
use serde_json::Value;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    process::{Command, Output},
};

pub const POLICY: &str = "version: STSv1\nmode: testing\nmx: mx.example.test\nmax_age: 86400\n";

/// A state directory in which a certificate for `mx.example.test` is proved: a lineage, and the receipt that promised it.
pub struct Site {
    pub dir: tempfile::TempDir,
    pub dns: Dns,
    authority: Authority,
    pub host: Ipv4Addr,
}

impl Site {
    pub fn new(signed: Signed) -> Self {
        Self::with(signed, "")
    }

    /// The same with more records in the zone.
    pub fn with(signed: Signed, more: &str) -> Self {
        let host = own_loopback();
        let zone = format!("@ MX 10 mx\nmx A {host}\nmta-sts A {host}\nother TXT \"kept\"\n{more}");
        let dns = Dns::start(&[("example.test", &zone, signed)]);
        Self { dir: tempfile::tempdir().unwrap(), dns, authority: Authority::new(), host }
    }

    /// The program with what it needs to work here.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let root = self.dir.path().join("root.pem");
        fs::write(&root, self.authority.root_pem()).unwrap();
        let mut command = Command::new(MXSEAL);
        command
            .args(arguments)
            .args(["--domain", "example.test", "--mx", "mx.example.test", "--resolver", &self.dns.resolver.to_string()])
            .arg("--trust-anchor")
            .arg(root)
            .arg("--dnssec-anchor")
            .arg(self.dns.anchor())
            .arg("--state-dir")
            .arg(self.dir.path().join("state"))
            .arg("--config")
            .arg(self.dir.path().join("mxseal.toml"));
        command
    }

    fn mxseal(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let out = self.mxseal(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"))
    }

    /// Serves one policy at port 443 of the host.
    pub fn serve(&self, policy: &str) {
        let issued = self.authority.issue(&["mta-sts.example.test"], KeyType::Ecdsa);
        let file = ("text/plain", policy.as_bytes().to_vec());
        serve(SocketAddr::from((self.host, 443)), &issued, Web::from([("/.well-known/mta-sts.txt".to_owned(), file)]));
    }
}

#[test]
fn records_go_from_missing_to_right_by_a_real_update() {
    let site = Site::new(Signed::Yes);
    site.serve(POLICY);
    let wanted = |document: &Value| {
        let line = |r: &Value| format!("{} {} {}", r["state"].as_str().unwrap(), r["name"].as_str().unwrap(), r["type"].as_str().unwrap());
        document["records"].as_array().unwrap().iter().map(line).collect::<Vec<_>>()
    };
    let before = site.json(&["dns"]);
    assert_eq!(before["exit"], 1);
    assert_eq!(wanted(&before), ["missing _smtp._tls.example.test TXT", "missing _mta-sts.example.test TXT"]);
    assert!(before["records"].as_array().unwrap().iter().all(|r| r["zone"] == "example.test"), "{before}");

    // Taken by a server of zones as it is.
    let out = site.mxseal(&["dns"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let zone = String::from_utf8(out.stdout).unwrap();
    let file = site.dir.path().join("example.test.zone");
    for (form, text) in [("zone", zone), ("generic", String::from_utf8(site.mxseal(&["dns", "--format", "generic"]).stdout).unwrap())] {
        let head = "$ORIGIN example.test.\n@ 300 IN SOA ns hostmaster 1 3600 600 86400 5\n@ 300 IN NS ns\nns 300 IN A 127.0.0.1\n";
        fs::write(&file, format!("{head}{text}")).unwrap();
        let said = run(Command::new("kzonecheck").args(["-o", "example.test."]).arg(&file));
        assert!(!said.contains("error"), "{form}: {said}");
    }

    // And by a server of updates. Caches still believe that there is nothing.
    let update = site.mxseal(&["dns", "--format", "nsupdate"]);
    send(&site, &String::from_utf8(update.stdout).unwrap());
    let after = site.json(&["dns", "--all"]);
    assert_eq!(wanted(&after), ["right _smtp._tls.example.test TXT", "right _mta-sts.example.test TXT"], "{after}");
    let text = String::from_utf8(site.mxseal(&["dns"]).stdout).unwrap();
    assert_eq!(text, "");

    // A place for reports is put behind the one that is there; an update on what has changed since is refused.
    let update = site.mxseal(&["dns", "--format", "nsupdate", "--rua", "https://reports.example.test/"]);
    let update = String::from_utf8(update.stdout).unwrap();
    send(&site, &update);
    let said = send_to(&site, &update);
    assert!(!said.status.success(), "{said:?}");
    let both = site.json(&["dns", "--all", "--rua", "https://reports.example.test/"]);
    assert_eq!(both["records"][0]["value"], "v=TLSRPTv1; rua=mailto:postmaster@example.test,https://reports.example.test/;");
}

/// What goes is named in the strings in which it stands, beside what stays; else a server would find that another set is there.
#[test]
fn an_update_names_texts_as_they_stand() {
    let site = Site::new(Signed::No);
    for there in [
        &["\"v=TLSRPTv1;\" \"\" \" rua=mailto:a@example.net\"", "\"not for\" \" senders\""][..],
        &["\"v=TLSRPTv1; rua=mailto:a@example.net\"", "\"v=TLSRPTv1; rua=http://example.net/\""],
        &["\"v=TLSRPTv1; rua=nowhere\"", "\"v=TLSRPTv1; \"", "\"v=TLSRPTv10; x=y\""],
    ] {
        site.dns.set("example.test", "_smtp._tls", "TXT", 60, there);
        let script = String::from_utf8(site.mxseal(&["dns", "--format", "nsupdate", "--rua", "mailto:tls@example.test"]).stdout).unwrap();
        send(&site, &script);
        let held = run(Command::new("kdig").args([&format!("@{}", site.dns.authority.ip()), "+short", "_smtp._tls.example.test", "TXT"]));
        let of_senders: Vec<&str> = held.lines().filter(|l| l.starts_with("\"v=TLSRPTv1;")).collect();
        let stays = there.iter().filter(|t| !t.starts_with("\"v=TLSRPTv1;")).count();
        assert_eq!((of_senders.len(), held.lines().count()), (1, 1 + stays), "{there:?}: {script}{held}");
        let (first, ours) = (there.iter().any(|t| t.contains("mailto:a@")), of_senders[0].contains("tls@example.test"));
        assert!(ours && of_senders[0].contains("mailto:a@example.net") == first, "{there:?}: {held}");
    }
}

#[test]
fn the_state_of_the_zone_decides() {
    for (signed, verdict, says, seen) in [
        (Signed::Yes, "warn", "is proved on the wire", "(signed)"),
        (Signed::No, "warn", "is not signed with DNSSEC", "(not signed)"),
        (Signed::Wrong, "fail", "the signatures in the zone of mx.example.test are wrong", "(signed wrongly"),
    ] {
        let site = Site::new(signed);
        let document = site.json(&["dns"]);
        assert_eq!(document["exit"], 1, "{document}");
        let of_keys = document["findings"].as_array().unwrap().iter().find(|f| f["id"] == "tlsa-not-proposed");
        let of_keys = of_keys.unwrap_or_else(|| panic!("{signed:?}: {document}"));
        assert_eq!(of_keys["verdict"], verdict, "{signed:?}: {of_keys}");
        assert!(of_keys["says"].as_str().unwrap().contains(says), "{signed:?}: {of_keys}");
        let page = site.mxseal(&["survey"]);
        let page = String::from_utf8(page.stdout).unwrap();
        assert!(page.contains(seen), "{signed:?}: {page}");
    }
}

fn send_to(site: &Site, update: &str) -> Output {
    let at = site.dns.authority;
    let file = site.dir.path().join("update");
    fs::write(&file, format!("server {} {}\n{update}", at.ip(), at.port())).unwrap();
    Command::new("knsupdate").arg(&file).output().unwrap_or_else(|e| panic!("knsupdate: {e}; tests/run installs it"))
}

fn send(site: &Site, update: &str) {
    let out = send_to(site, update);
    assert!(out.status.success() && out.stderr.is_empty(), "{update}\n{out:?}");
}

#[test]
fn the_policy_is_shown_as_senders_see_it() {
    let site = Site::new(Signed::No);
    let page = |expected: i32| {
        let out = site.mxseal(&["policy", "show"]);
        assert_eq!(out.status.code(), Some(expected), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let nothing = page(1);
    assert!(nothing.contains("nothing: https://mta-sts.example.test/") && nothing.contains("mode: testing"), "{nothing}");
    site.serve(POLICY);
    let served = page(0);
    assert!(served.contains("mx.example.test is named") && !served.contains("To serve"), "{served}");
    // A second host enters DNS before the policy.
    site.dns.set("example.test", "@", "MX", 300, &["10 mx", "20 mx2"]);
    let short = page(1);
    assert!(short.contains("mx2.example.test is not named") && short.contains("mx: mx2.example.test"), "{short}");
}

/// From a setup in a signed zone to keys that DANE senders know: those in use, and those that follow.
#[test]
fn keys_are_published_with_those_that_follow() {
    let house = Household::in_zone(Signed::Yes);
    let (resolver, anchor) = (house.dns.resolver.to_string(), house.dns.anchor().display().to_string());
    let tlsa = || {
        let mut arguments = house.arguments("dns")[..5].to_vec();
        let more = ["--json", "--all", "--mta", "postfix", "--domain", "example.test", "--mx", MX, "--resolver", &resolver];
        arguments.extend(more.map(ToOwned::to_owned));
        let etc = house.postfix.etc().display().to_string();
        arguments.extend(["--dnssec-anchor", &anchor, "--mta-config", &etc].map(ToOwned::to_owned));
        let out = Command::new(MXSEAL).args(&arguments).output().unwrap();
        let document: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
        let mut records = document["records"].as_array().unwrap().clone();
        records.retain(|r| r["type"] == "TLSA");
        (records, document)
    };
    let (records, document) = tlsa();
    let reason = |f: &Value| f["id"] == "tlsa-not-proposed" && f["says"].as_str().unwrap().contains("proved on the wire");
    assert!(records.is_empty() && document["findings"].as_array().unwrap().iter().any(reason), "{document}");

    let (code, said) = house.run(&[], "setup");
    assert_eq!(code, 0, "{said}");
    let path = house.state().join(format!("lineages/{MX}.json"));
    let lineage: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let keys = |of: &str| lineage[of].as_array().unwrap().iter().map(|k| k["spki"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let expected: Vec<String> = [keys("keys"), keys("next")].concat().iter().map(|spki| format!("3 1 1 {spki}")).collect();
    let (records, document) = tlsa();
    let values: Vec<&str> = records.iter().map(|r| r["value"].as_str().unwrap()).collect();
    assert_eq!(values, expected, "{document}");
    assert!(records.iter().all(|r| r["state"] == "missing"), "{document}");
    let mut served = house.served();
    served.sort();
    let mut used = keys("keys");
    used.sort();
    assert_eq!(served, used);
    for spki in keys("next") {
        let key = path.with_extension("").join(format!("{spki}.key"));
        assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
        let public = Command::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&key).output().unwrap();
        assert_eq!(Digest::of(&public.stdout).0, spki);
    }
    house.dns.set("example.test", "_25._tcp.mx", "TLSA", 300, &values);
    let (records, document) = tlsa();
    assert!(records.len() == 4 && records.iter().all(|r| r["state"] == "right"), "{document}");
}

/// The certificate in hand is for keys that no record names: it is not put in place while DANE senders know another key.
#[test]
fn a_key_change_without_published_tlsa_is_refused() {
    let house = Household::in_zone(Signed::Yes);
    house.keep_port();
    let before = (house.served(), house.tree());
    let setup = || {
        let mut command = Command::new(MXSEAL);
        command.args(house.arguments("setup")).args(["--json", "--tell", "nothing", "--alarm", ""]);
        // A file: the guard keeps a pipe open.
        let file = house.root.join("document");
        let status = command.stdout(fs::File::create(&file).unwrap()).stderr(std::process::Stdio::null()).status().unwrap();
        let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        (status.code(), document)
    };
    let stranger = format!("3 1 1 {}", "ab".repeat(32));
    house.dns.set("example.test", "_25._tcp.mx", "TLSA", 300, &[&stranger]);
    let (code, held) = setup();
    let breaks = held["findings"].as_array().unwrap().iter().find(|f| f["id"] == "tlsa-would-break");
    let breaks = breaks.unwrap_or_else(|| panic!("{held:#}"));
    assert_eq!((code, &held["outcome"]), (Some(1), &"held".into()), "{held:#}");
    assert!(breaks["evidence"].to_string().contains(&stranger), "{breaks:#}");
    assert!(before == (house.served(), house.tree()), "something changed");

    // They know the one that is served: it is kept, in a certificate that was ordered for it.
    let keys: Vec<&String> = before.0.iter().filter(|spki| *spki != "none").collect();
    let known: Vec<String> = keys.iter().map(|spki| format!("3 1 1 {spki}")).collect();
    house.dns.set("example.test", "_25._tcp.mx", "TLSA", 300, &known.iter().map(String::as_str).collect::<Vec<_>>());
    let (code, done) = setup();
    assert_eq!((code, &done["outcome"]), (Some(0), &"proved".into()), "{done:#}");
    assert_eq!(house.served(), before.0);
    assert_ne!(house.tree(), before.1);
}
