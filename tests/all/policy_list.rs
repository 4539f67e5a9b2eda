//! A signed policy list through every verb: only its keeper's signature, its own time, and what a map can say count.
//! `fixtures/list` has two lists of one keeper, a week apart, and another's key.

use crate::lab::{
    authority::Authority,
    dns::{Dns, Signed, own_loopback},
    household::MXSEAL,
    web::{Web, serve, serve_by},
};
use mxseal::{
    certificate::KeyType,
    publish::desk::{self, Desk},
};
use serde_json::Value;
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output},
};

const KEY: &str = "F743F45DC4FDB87625C6D9C2903BE0013D76197E";
const WEEK: &str = "2030-01-09T00:00:00Z";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/fixtures/list").join(name)
}

fn list(state: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    said(Command::new(MXSEAL).arg("--state-dir").arg(state).arg("--config").arg(state.join("mxseal.toml")).arg("list").args(arguments))
}

fn said(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// The flags that name one of the lists and its keeper's key.
fn of(name: &str) -> Vec<String> {
    ["--list", &fixture(name).display().to_string(), "--keyring", &fixture("key.gpg").display().to_string(), "--fingerprint", KEY]
        .map(ToOwned::to_owned)
        .into()
}

fn with<'a>(verb: &[&'a str], flags: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    verb.iter().copied().chain(flags.iter().map(String::as_str)).chain(more.iter().copied()).collect()
}

#[test]
fn only_the_keepers_signature_counts() {
    let dir = tempfile::tempdir().unwrap();
    let run = |flags: &[String], at: &str| list(dir.path(), &with(&["verify"], flags, &["--at", at]));
    let (code, out, err) = run(&of("first.json"), WEEK);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("2030-01-01T00:00:00Z") && out.contains("4, 3 of them in mode enforce"), "{out}");

    let mut other_key = of("first.json");
    other_key[3] = fixture("other.gpg").display().to_string();
    let mut other_print = of("first.json");
    other_print[5] = "A".repeat(40);
    let mut other_signature = of("first.json");
    other_signature.extend(["--signature".to_owned(), fixture("second.json.asc").display().to_string()]);
    let damaged = dir.path().join("first.json");
    fs::write(&damaged, fs::read_to_string(fixture("first.json")).unwrap().replace("testing", "enforce")).unwrap();
    fs::copy(fixture("first.json.asc"), dir.path().join("first.json.asc")).unwrap();
    let mut changed = of("first.json");
    changed[1] = damaged.display().to_string();
    for (what, flags) in [("key", other_key), ("fingerprint", other_print), ("signature", other_signature), ("bytes", changed)] {
        let (code, _, err) = run(&flags, WEEK);
        assert!(
            code == Some(1) && err.contains("not signed by the key") && err.contains("explain list-not-genuine"),
            "{what}: {code:?} {err}"
        );
    }
    // Nobody reads what is far too large, nor waits for what never ends.
    let mut large = of("first.json");
    large[1] = damaged.display().to_string();
    fs::File::create(&damaged).unwrap().set_len(1 << 40).unwrap();
    let (code, _, err) = run(&large, WEEK);
    assert!(code == Some(2) && err.contains("no list is that large"), "{code:?} {err}");
    large[1] = "/dev/zero".to_owned();
    let (code, _, err) = run(&large, WEEK);
    assert!(code == Some(2) && err.contains("not a regular file"), "{code:?} {err}");
    let mut short = of("first.json");
    short[5] = KEY[24..].to_owned();
    let (code, _, err) = run(&short, WEEK);
    assert!(code == Some(2) && err.contains("no whole fingerprint"), "{err}");
    for (at, why) in [("2030-01-15T00:00:00Z", "expired at"), ("2029-12-31T00:00:00Z", "one of the two clocks")] {
        let (code, _, err) = run(&of("first.json"), at);
        assert!(code == Some(1) && err.contains(why) && err.contains("explain list-past"), "{at}: {err}");
    }
}

#[test]
fn a_map_is_taken_by_postfix_and_says_no_more_than_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let map = dir.path().join("map");
    let source = of("second.json");
    let export = |server: &str, at: &str| {
        let file = map.display().to_string();
        list(dir.path(), &with(&["export", server], &source, &["--at", at, "--output", &file]))
    };
    let (code, out, err) = export("postfix", WEEK);
    assert!(code == Some(0) && out.is_empty() && err.contains("3 domains") && err.contains("1 left out"), "{code:?} {err}");
    let asked = said(Command::new("postmap").args(["-q", "big.example"]).arg(format!("texthash:{}", map.display())));
    assert_eq!(asked.1, "secure match=mx1.big.example:mx2.big.example servername=hostname\n", "{asked:?}");
    let wild = said(Command::new("postmap").args(["-q", "wild.example"]).arg(format!("texthash:{}", map.display())));
    assert_eq!(wild.1, "", "{wild:?}");
    let (code, ..) = export("exim", WEEK);
    let text = fs::read_to_string(&map).unwrap();
    assert!(code == Some(0) && text.contains("\nwild.example: ^[^.]+\\.wild\\.example$\n"), "{text}");
    // An expired list leaves a comment alone, in place of the map.
    let (code, _, err) = export("postfix", "2030-02-01T00:00:00Z");
    let text = fs::read_to_string(&map).unwrap();
    assert!(code == Some(1) && err.contains("expired") && text.lines().all(|l| l.starts_with('#')), "{err} {text}");
}

#[test]
fn a_newer_list_is_fetched_and_an_older_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let host = own_loopback();
    let issued = authority.issue(&[&host.to_string()], KeyType::Ecdsa);
    let file = |name: &str| fs::read(fixture(name)).unwrap();
    let paths = ["first", "second"].iter().flat_map(|n| [format!("{n}.json"), format!("{n}.json.asc")]);
    let web: Web = paths.map(|path| (format!("/{path}"), ("application/json", file(&path)))).collect();
    // One address is one list that changes: what it serves is chosen here.
    let shown = |name: &str| {
        Web::from([
            ("/list".to_owned(), web[&format!("/{name}.json")].clone()),
            ("/list.asc".to_owned(), web[&format!("/{name}.json.asc")].clone()),
        ])
    };
    let root = dir.path().join("root.pem");
    fs::write(&root, authority.root_pem()).unwrap();
    let served = serve(SocketAddr::from((host, 0)), &issued, shown("second"));
    let url = format!("https://{host}:{}/list", served.port());
    let fetch = |more: &[&str]| {
        let mut command = Command::new("faketime");
        command.args(["-f", "@2030-01-09 00:00:00", MXSEAL, "--state-dir"]).arg(dir.path().join("state")).args([
            "list",
            "fetch",
            "--trust-anchor",
        ]);
        said(command.arg(&root).args(more))
    };
    let (code, _, err) = fetch(&[]);
    assert!(code == Some(2) && err.contains("--url"), "{err}");
    let key = fixture("key.gpg").display().to_string();
    let all = ["--url", &url, "--keyring", &key, "--fingerprint", KEY];
    let (code, out, err) = fetch(&all);
    assert!(code == Some(0) && out.contains("2030-01-08"), "{code:?} {out} {err}");
    let (code, out, err) = fetch(&[]);
    assert!(code == Some(0) && out.contains("2030-01-08"), "{code:?} {out} {err}");

    served.show(shown("first"));
    let (code, _, err) = fetch(&[]);
    assert!(code == Some(1) && err.contains("older than the one at hand"), "{code:?} {err}");
    let (code, out, err) = list(&dir.path().join("state"), &["show", "small.example", "--at", WEEK]);
    assert!(code == Some(0) && out.contains("mode enforce, MX hosts mx.small.example"), "{code:?} {out} {err}");
    // Whoever is on it has nothing to ask for.
    let mx = own_loopback();
    let dns = Dns::start(&[("small.example", &format!("@ MX 10 mx\nmx A {mx}"), Signed::No)]);
    let mut check = Command::new("faketime");
    check.args(["-f", "@2030-01-09 00:00:00", MXSEAL, "--state-dir"]).arg(dir.path().join("state"));
    check.args(["list", "check", "small.example", "--resolver", &dns.resolver.to_string()]);
    let (code, out, err) = said(&mut check);
    assert!(code == Some(3) && out.contains("is on the list of 2030-01-08T00:00:00Z, in mode enforce"), "{code:?} {out} {err}");
    let (code, out, _) = list(&dir.path().join("state"), &["show", "none.example", "--at", WEEK]);
    assert!(code == Some(1) && out.contains("is not on the list"), "{out}");
    // Nothing is left of what was replaced or refused.
    assert_eq!(fs::read_dir(dir.path().join("state/objects")).unwrap().count(), 3);
    served.show(Web::new());
    let (code, _, err) = fetch(&[]);
    assert!(code == Some(3) && err.contains("404"), "{code:?} {err}");
}

/// Whatever is at the address of a list's desk, it is said what, and nothing is taken for an answer.
#[test]
fn a_desk_that_is_none_is_told() {
    let authority = Authority::new();
    let issued = authority.issue(&["127.0.0.1"], KeyType::Ecdsa);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let html = "<!DOCTYPE html><title>Welcome</title>";
    for (status, body, state, scan) in [
        ("200 OK", html, "answers 200, and not as", "answers 200, and not as"),
        ("404 Not Found", html, "answers 404, and not as", "answers 404, and not as"),
        ("500 Oh", html, "answers 500; try again later", "answers 500; try again later"),
        ("301 Moved\r\nLocation: https://example.net/", html, "it redirects to", "it redirects to"),
        ("200 OK", "", "answers 200, and not as", "answers 200, and not as"),
        ("200 OK", "{}", "the state of the domain cannot be read", "what its checker found cannot be read"),
        ("404 Not Found", "{\"message\":\"no\"}", "", "the list's keeper refuses: no (404)"),
        (
            "200 OK",
            "{\"response\":{\"state\":\"gold\"}}",
            "the state of the domain cannot be read",
            "what its checker found cannot be read",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        serve_by(listener, &issued, move |_, _| (status.to_owned(), "text/html", body.as_bytes().to_vec()));
        let (net, domain) = (authority.net(), "example.test".parse().unwrap());
        let desk = Desk { net: &net, url: &url };
        let heard = |said: Result<String, desk::Refused>| said.unwrap_or_else(|e| e.to_string());
        let of_state = heard(runtime.block_on(desk.state(&domain)).map(|_| String::new()));
        let of_scan = heard(runtime.block_on(desk.scan(&domain)).map(|_| String::new()));
        assert!(of_state.contains(state) && of_state.is_empty() == state.is_empty(), "{status}: {of_state}");
        assert!(of_scan.contains(scan), "{status}: {of_scan}");
    }
}

#[test]
fn an_entry_is_made_from_dns() {
    let dir = tempfile::tempdir().unwrap();
    let host = own_loopback();
    let dns = Dns::start(&[("example.test", &format!("@ MX 10 mx\n@ MX 20 mx2\nmx A {host}\nmx2 A {host}"), Signed::No)]);
    let resolver = dns.resolver.to_string();
    let (code, out, err) = list(dir.path(), &["entry", "example.test", "--resolver", &resolver]);
    assert_eq!(code, Some(0), "{err}");
    let entry: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(entry["example.test"], serde_json::json!({"mode": "testing", "mxs": ["mx.example.test", "mx2.example.test"]}));
    // A policy counts where a record announces it; then the entry follows it, and not before.
    dns.set("example.test", "mta-sts", "A", 60, &[&host.to_string()]);
    let authority = Authority::new();
    let (root, issued) = (dir.path().join("root.pem"), authority.issue(&["mta-sts.example.test"], KeyType::Ecdsa));
    fs::write(&root, authority.root_pem()).unwrap();
    let policy = |age: &str| {
        let text = format!("version: STSv1\nmode: enforce\nmx: *.example.test\nmax_age: {age}\n");
        Web::from([("/.well-known/mta-sts.txt".to_owned(), ("text/plain", text.into_bytes()))])
    };
    let web = serve(SocketAddr::from((host, 443)), &issued, policy("10886400"));
    let anchor = root.display().to_string();
    let entry = || {
        let (code, out, err) = list(dir.path(), &["entry", "example.test", "--resolver", &resolver, "--trust-anchor", &anchor]);
        assert_eq!(code, Some(0), "{err}");
        serde_json::from_str::<Value>(&out).unwrap()["example.test"].clone()
    };
    assert_eq!(entry()["mode"], "testing");
    dns.set("example.test", "_mta-sts", "TXT", 60, &["\"v=STSv1; id=1;\""]);
    assert_eq!(entry(), serde_json::json!({"mode": "enforce", "mxs": [".example.test"]}));
    // Nor does it where senders keep it for a short time.
    web.show(policy("1209600"));
    assert_eq!(entry()["mode"], "testing");
    // Nobody listens there.
    let (code, out, err) = list(dir.path(), &["check", "example.test", "--resolver", &resolver]);
    assert!(code == Some(3) && out.contains("list-unreachable") && out.contains("list-closed"), "{code:?} {out} {err}");
}

/// The last list of the EFF, where it is at hand: `MXSEAL_POLICY_LIST` is its path; signature and `authority.gpg` lie beside.
#[test]
fn the_last_list_of_the_eff_goes_through_every_verb() {
    let Some(path) = std::env::var_os("MXSEAL_POLICY_LIST").map(PathBuf::from) else { return };
    let dir = tempfile::tempdir().unwrap();
    let key = path.with_file_name("authority.gpg").display().to_string();
    let path = path.display().to_string();
    let flags = ["--list", &path, "--keyring", &key, "--fingerprint", "B693F33372E965D76D55368616EEA65D03326C9D"].map(ToOwned::to_owned);
    let then = ["--at", "2020-05-25T00:00:00Z"];
    for (verb, says) in [
        (&["verify"][..], "926, 361 of them"),
        (&["show", "gmail.com"], "mode enforce"),
        (&["export", "postfix"], " secure match="),
        (&["export", "exim"], "# Policy list of 2020-05-20"),
    ] {
        let (code, out, err) = list(dir.path(), &with(verb, &flags, &then));
        assert!(code == Some(0) && out.contains(says), "{verb:?}: {code:?} {err}");
        let (code, out, err) = list(dir.path(), &with(verb, &flags, &[]));
        assert!(code == Some(1) && format!("{out}{err}").contains("expired"), "{verb:?}: {code:?} {out} {err}");
    }
    let authority = Authority::new();
    let host = own_loopback();
    let file = |path: &str| ("application/json", fs::read(path).unwrap());
    let web = Web::from([("/list".to_owned(), file(&path)), ("/list.asc".to_owned(), file(&format!("{path}.asc")))]);
    let served = serve(SocketAddr::from((host, 0)), &authority.issue(&[&host.to_string()], KeyType::Ecdsa), web);
    let root = dir.path().join("root.pem");
    fs::write(&root, authority.root_pem()).unwrap();
    for (at, exit, says) in [("@2020-05-25 00:00:00", 0, "2020-05-20"), ("+0s", 1, "expired")] {
        let mut fetch = Command::new("faketime");
        fetch.args(["-f", at, MXSEAL, "--state-dir"]).arg(dir.path().join(exit.to_string())).args(["list", "fetch", "--trust-anchor"]);
        fetch.arg(&root).args(["--url", &format!("https://{host}:{}/list", served.port())]).args(&flags[2..]);
        let (code, out, err) = said(&mut fetch);
        assert!(code == Some(exit) && format!("{out}{err}").contains(says), "{at}: {code:?} {out} {err}");
    }
}
