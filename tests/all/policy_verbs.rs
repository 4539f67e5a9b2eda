//! The verbs of a policy where somebody else serves it: files and texts for them, and the whole way out, with the clock put forward.

use crate::lab::{
    authority::Authority,
    dns::{Dns, Signed, own_loopback},
    household::MXSEAL,
    process::run,
    transaction::{CHANGING, calls},
    web::{Served, Web, serve, serve_by},
};
use mxseal::{certificate::KeyType, policy::sts_policy::StsPolicy};
use serde_json::Value;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A domain whose policy host and MX host are here, and serve nothing yet.
struct Site {
    dir: tempfile::TempDir,
    dns: Dns,
    authority: Authority,
    host: Ipv4Addr,
}

impl Site {
    fn new() -> Self {
        let host = own_loopback();
        let zone = format!("@ MX 10 mx\nmx A {host}\nmta-sts A {host}\n");
        let dns = Dns::start(&[("example.test", &zone, Signed::No)]);
        let authority = Authority::new();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("root.pem"), authority.root_pem()).unwrap();
        Self { dir, dns, authority, host }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// `mxseal policy` so many days from now, under another program where one is named.
    fn mxseal(&self, days: u32, under: &[&str], words: &str) -> Output {
        let mut command = Command::new("faketime");
        command.arg(format!("+{days} days")).args(under).args([MXSEAL, "policy"]).args(words.split(' '));
        command.args(["--resolver", &self.dns.resolver.to_string(), "--trust-anchor"]).arg(self.path("root.pem"));
        command.arg("--state-dir").arg(self.path("state")).arg("--config").arg(self.path("mxseal.toml"));
        command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("faketime: {e}; tests/run installs it"))
    }

    fn run(&self, days: u32, words: &str) -> Output {
        self.mxseal(days, &[], words)
    }

    /// The texts at the record's name, at the zone's own server.
    fn texts(&self) -> String {
        run(Command::new("kdig").args([&format!("@{}", self.dns.authority.ip()), "+short", "_mta-sts.example.test", "TXT"]))
    }

    /// Another verb, so many days from now: its exit status and its document.
    fn verb(&self, days: u32, verb: &str) -> (i32, Value) {
        let mut command = Command::new("faketime");
        command.arg(format!("+{days} days")).args([MXSEAL, "--json", "--state-dir"]).arg(self.path("state"));
        command.arg("--config").arg(self.path("mxseal.toml")).arg(verb).stdin(Stdio::null());
        let out = command.output().unwrap();
        let document = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{verb}: {e}: {out:?}"));
        (out.status.code().unwrap(), document)
    }

    /// The same, which must end with `code`; what it printed.
    fn page(&self, words: &str, code: i32) -> String {
        let out = self.run(0, words);
        assert_eq!(out.status.code(), Some(code), "{words}: {out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    /// The step that the document names, behind the ids of what it says.
    fn step(&self, days: u32, words: &str) -> String {
        let out = self.run(days, &format!("{words} --json"));
        let document: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{words}: {e}: {out:?}"));
        assert_eq!(document["exit"].as_i64(), out.status.code().map(i64::from), "{words}: {document:#}");
        let said = document["findings"].as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap());
        said.chain(document["policies"][0]["kept"]["step"].as_str()).collect::<Vec<_>>().join(" ")
    }

    /// A web server that serves this text as the policy.
    fn serve(&self, text: &str) -> Served {
        let issued = self.authority.issue(&["mta-sts.example.test"], KeyType::Ecdsa);
        serve(SocketAddr::from((self.host, 443)), &issued, files(text))
    }

    /// The record that the state in the Store wants.
    fn announce(&self, days: u32) {
        let out = self.run(days, "show --domain example.test --json");
        let document: Value = serde_json::from_slice(&out.stdout).unwrap();
        self.dns.set("example.test", "_mta-sts", "TXT", 60, &[&format!("\"{}\"", document["policies"][0]["record"].as_str().unwrap())]);
    }
}

fn ids(document: &Value) -> Vec<String> {
    document["findings"].as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap().to_owned()).collect()
}

fn files(text: &str) -> Web {
    Web::from([("/.well-known/mta-sts.txt".to_owned(), ("text/plain", text.as_bytes().to_vec()))])
}

#[test]
fn a_file_is_written_for_who_serves_it_and_the_way_out_takes_its_time() {
    let site = Site::new();
    let www = site.path("www");
    let file = www.join("mta-sts.example.test/.well-known/mta-sts.txt");
    let how = format!("--export-dir {} --yes", www.display());

    // Nobody said yes, or may: nothing is kept, nothing is written.
    let unasked = site.run(0, &format!("testing example.test --policy-host export --export-dir {}", www.display()));
    assert!(unasked.status.code() == Some(2) && String::from_utf8_lossy(&unasked.stderr).contains("--yes"), "{unasked:?}");
    let dry = site.page(&format!("testing example.test --policy-host export {how} --dry-run"), 0);
    assert!(dry.contains("mode: testing\nmx: mx.example.test\n"), "{dry}");
    assert!(!file.exists() && site.page("show --domain example.test", 1).contains("Served     nothing"));

    let site_text = site.page(&format!("testing example.test --policy-host snippet --web-server nginx {how}"), 1);
    eprintln!("{site_text}");
    assert!(site_text.contains("server_name mta-sts.example.test;") && site_text.contains("mta-sts-mx-unreached"), "{site_text}");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text, "version: STSv1\nmode: testing\nmx: mx.example.test\nmax_age: 86400\n");

    let web = site.serve(&text);
    assert_eq!(site.step(0, "show --domain example.test"), "announce");
    site.announce(0);
    assert_eq!(site.step(0, "show --domain example.test"), "stands");
    // Nobody is bound to hosts that do not answer.
    assert_eq!(site.step(0, &format!("enforce example.test {how}")), "mta-sts-mx-unreached stands");
    let refused = site.page(&format!("enforce example.test {how}"), 1);
    assert!(refused.contains("[mta-sts-mx-unreached]") && refused.contains("Kept       mode testing"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);

    // A second host: first the policy, with the record, then DNS; and back.
    assert_eq!(site.step(0, &format!("mx add mx2.example.test --domain example.test {how}")), "mta-sts-mx-unfit serve");
    web.show(files(&fs::read_to_string(&file).unwrap()));
    site.announce(0);
    assert_eq!(site.step(0, "show --domain example.test"), "wait");
    assert_eq!(site.step(1, "show --domain example.test"), "stands");
    let remove = format!("mx remove mx2.example.test --domain example.test {how}");
    assert_eq!(site.step(2, &remove), "serve");
    assert!(!fs::read_to_string(&file).unwrap().contains("mx2"));
    web.show(files(&fs::read_to_string(&file).unwrap()));

    // Out: what was served binds nobody, but it was served for a day.
    let leave = format!("leave example.test {how}");
    site.run(3, &leave);
    web.show(files(&fs::read_to_string(&file).unwrap()));
    site.announce(3);
    assert_eq!(site.step(3, &leave), "wait");
    assert_eq!(site.step(5, &leave), "withdraw");
    site.dns.set("example.test", "_mta-sts", "TXT", 60, &[]);
    assert_eq!(site.step(5, &leave), "wait");
    assert!(file.exists());
    assert_eq!(site.step(6, &leave), "");
    assert!(!file.exists());
    assert_eq!(site.run(6, &leave).status.code(), Some(1), "there is none to leave");
}

#[test]
fn where_port_443_is_taken_its_owner_is_named() {
    let site = Site::new();
    let _web = site.serve("no policy");
    // Were it not taken, no CA would be asked all the same.
    fs::write(site.path("mxseal.toml"), "acme-directory = 'https://127.0.0.1:9/dir'\n").unwrap();
    let taken = site.run(0, "testing example.test --policy-host builtin --yes");
    let said = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(taken.status.code() == Some(1) && said.contains("port 443 is ") && said.contains("--policy-host snippet"), "{said}");
}

/// The record follows the file, in place of the one before and of no other, and goes when nobody believes in the policy any more.
#[test]
fn the_record_is_told_to_the_zone_once_the_policy_is_served() {
    let site = Site::new();
    let www = site.path("www");
    let file = www.join("mta-sts.example.test/.well-known/mta-sts.txt");
    let texts = || site.texts();
    let announced = || {
        let text = StsPolicy::read(&fs::read(&file).unwrap()).strict().unwrap().record().text();
        format!("{}\n", [format!("\"{text}\""), "\"not ours\"".to_owned()].join("\n"))
    };
    let sorted = |text: String| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    site.dns.set("example.test", "_mta-sts", "TXT", 60, &["\"not ours\""]);
    let how = format!("--policy-host export --export-dir {} --publish rfc2136", www.display());

    let testing = format!("testing example.test {how}");
    let planned = site.page(&format!("{testing} --dry-run"), 0);
    assert!(
        planned.contains("Zone example.test: would be published") && planned.contains("update add _mta-sts.example.test. 60 TXT"),
        "{planned}"
    );
    assert!(
        planned.contains("prereq yxrrset _mta-sts.example.test. IN TXT \"not ours\""),
        "what is seen there is the condition: {planned}"
    );
    assert_eq!(site.step(0, &format!("{testing} --yes")), "mta-sts-mx-unreached serve");
    assert_eq!(texts(), "\"not ours\"\n", "nothing is announced that is not served");
    let web = site.serve(&fs::read_to_string(&file).unwrap());
    assert_eq!(site.step(0, &testing), "mta-sts-mx-unreached announce", "nobody said yes");
    assert_eq!(texts(), "\"not ours\"\n");
    assert_eq!(site.step(0, &format!("{testing} --yes")), "mta-sts-mx-unreached stands");
    assert_eq!(sorted(texts()), sorted(announced()));

    // Two weeks later it may be made to bind, and nobody says so before.
    let settings = format!("resolver = \"{}\"\ntrust-anchor = [\"{}\"]\n", site.dns.resolver, site.path("root.pem").display());
    fs::write(site.path("mxseal.toml"), settings).unwrap();
    let renewed = |days: u32| {
        let (code, document) = site.verb(days, "renew");
        (code, ids(&document))
    };
    assert_eq!(renewed(1), (0, vec![]));
    assert_eq!(renewed(16), (0, vec!["policy-tried".to_owned()]));
    assert!(ids(&site.verb(16, "status").1).contains(&"policy-tried".to_owned()));
    // A record that somebody lost is missed.
    let first = texts();
    site.dns.set("example.test", "_mta-sts", "TXT", 60, &["\"not ours\""]);
    assert_eq!(renewed(16).1, ["policy-tried"], "it was asked just now");
    assert_eq!(renewed(18), (1, vec!["policy-due".to_owned()]));
    assert!(ids(&site.verb(18, "status").1).contains(&"policy-due".to_owned()));
    site.dns.set("example.test", "_mta-sts", "TXT", 60, &first.lines().collect::<Vec<_>>());
    assert_eq!(site.step(0, "show --domain example.test"), "stands");

    let add = format!("mx add mx2.example.test --domain example.test {how} --yes");
    let planned = site.run(0, &format!("{add} --dry-run --json"));
    let planned: Value = serde_json::from_slice(&planned.stdout).unwrap_or_else(|e| panic!("{e}: {planned:?}"));
    let zone = &planned["zones"][0];
    assert!(
        zone["state"] == "planned" && zone["removed"][0].as_str().is_some_and(|r| first.contains(r.split('"').nth(1).unwrap())),
        "{zone:#}"
    );
    assert!(zone["change"].as_str().is_some_and(|c| c.contains("update delete _mta-sts.example.test. TXT")), "{zone:#}");
    assert_eq!(texts(), first, "a dry run changes nothing");
    assert_eq!(site.step(0, &add), "mta-sts-mx-unfit serve");
    assert_eq!(texts(), first, "the file comes before the record");
    web.show(files(&fs::read_to_string(&file).unwrap()));
    assert_eq!(site.step(0, &add), "wait");
    assert_eq!(sorted(texts()), sorted(announced()));

    // Somebody else wrote one of their own.
    let ours = announced();
    site.dns.set("example.test", "_mta-sts", "TXT", 60, &["\"v=STSv1; id=theirs;\""]);
    let leave = format!("leave example.test {how} --yes");
    site.run(2, &leave);
    web.show(files(&fs::read_to_string(&file).unwrap()));
    assert_eq!(site.run(2, &format!("{leave} --dry-run")).status.code(), Some(1), "it could not be done");
    assert_eq!(site.step(2, &leave), "dns-left-to-you announce");
    assert_eq!(texts(), "\"v=STSv1; id=theirs;\"\n");
    let ours: Vec<&str> = ours.lines().collect();
    site.dns.set("example.test", "_mta-sts", "TXT", 60, &ours);

    assert_eq!(site.step(2, &leave), "wait");
    assert_eq!(sorted(texts()), sorted(announced()));
    assert_eq!(site.step(4, &leave), "wait", "taken away, and caches have to forget it");
    assert_eq!(texts(), "\"not ours\"\n");
    assert!(site.run(5, &leave).status.success() && !file.exists());
}

/// A policy whose host never had a name is left without one; nobody says that there is still to be waited for where there is none.
#[test]
fn a_policy_that_nobody_could_fetch_is_left_too() {
    let site = Site::new();
    site.dns.set("example.test", "mta-sts", "A", 60, &[]);
    let how = format!("example.test --policy-host export --export-dir {} --yes", site.path("www").display());
    let none = site.page(&format!("leave {how}"), 1);
    assert!(none.contains("there is none to leave"), "{none}");
    assert_eq!(site.step(0, &format!("testing {how}")), "mta-sts-mx-unreached serve");
    assert_eq!(site.step(0, &format!("leave {how}")), "wait");
    assert_eq!(site.step(2, &format!("leave {how}")), "");
    assert!(!site.path("www/mta-sts.example.test/.well-known/mta-sts.txt").exists());
    assert!(!site.path("state/policies/example.test.json").exists());
}

/// Whoever dies on the way out says it again: nothing is lost, taken away early or left behind.
#[test]
fn leaving_goes_on_after_a_kill() {
    let site = Site::new();
    let www = site.path("www");
    let file = www.join("mta-sts.example.test/.well-known/mta-sts.txt");
    let issued = site.authority.issue(&["mta-sts.example.test"], KeyType::Ecdsa);
    let served = file.clone();
    serve_by(TcpListener::bind((site.host, 443)).unwrap(), &issued, move |_, _| match fs::read(&served) {
        Ok(text) => ("200 OK".to_owned(), "text/plain", text),
        Err(_) => ("404 Not Found".to_owned(), "text/plain", Vec::new()),
    });
    let how = format!("--policy-host export --export-dir {} --publish rfc2136 --yes", www.display());
    let leave = format!("leave example.test {how}");
    site.step(0, &format!("testing example.test {how}"));
    let trace = format!("trace={}", CHANGING.replace("openat,", ""));
    let under = |days: u32, strace: &[&str]| site.mxseal(days, &[&["strace", "-qq", "-e", &trace], strace].concat(), &leave);
    // What is kept, what is served, and the record.
    let state = || {
        let kept = fs::read_to_string(site.path("state/policies/example.test.json")).ok();
        (kept, fs::read_to_string(&file).ok(), site.texts())
    };
    let keep = |from: &Path, to: &Path| {
        let _ = fs::remove_dir_all(to);
        run(Command::new("cp").arg("-a").arg(from).arg(to));
    };
    let stride: usize = std::env::var("MXSEAL_KILL_STRIDE").map_or(23, |s| s.parse().unwrap());
    let (mut kills, log) = (0, site.path("trace"));
    for (days, ends) in [(0, "wait"), (2, "wait"), (4, "")] {
        for place in ["state", "www"] {
            keep(&site.path(place), &site.path(&format!("{place}.before")));
        }
        let before = site.texts();
        let done = under(days, &["-o", &log.display().to_string()]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let (whole, calls) = (state(), calls(&fs::read_to_string(&log).unwrap()));
        assert!(calls.len() > 20 && (days == 4 || whole.2 != before), "{}", calls.len());
        for call in calls.iter().rev().step_by(stride) {
            for place in ["state", "www"] {
                keep(&site.path(&format!("{place}.before")), &site.path(place));
            }
            site.dns.set("example.test", "_mta-sts", "TXT", 60, &before.lines().collect::<Vec<_>>());
            under(days, &["-o", "/dev/null", "-e", &format!("inject={}", call.inject("signal=KILL"))]);
            let at = format!("day {days}, killed at {call}");
            assert!(file.exists() || (days == 4 && whole.1.is_none()), "{at}: the file went too early");
            let kept = state().0;
            let again = site.step(days, &leave);
            // Where it had come to its end nothing is left to be said again.
            assert!(again == ends || (kept.is_none() && again.starts_with("mta-sts-not-served")), "{at}: {again}");
            let unclocked = |kept: &Option<String>| kept.as_ref().map(|k| k.chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
            let now = state();
            assert_eq!((unclocked(&now.0), &now.1, &now.2), (unclocked(&whole.0), &whole.1, &whole.2), "{at}");
            kills += 1;
        }
    }
    let claims = fs::read_to_string(site.path("state/claims.json")).unwrap();
    assert!(!claims.contains("\"until\": null") && !claims.contains("\"until\":null"), "{claims}");
    eprintln!("leave was killed {kills} times");
}
