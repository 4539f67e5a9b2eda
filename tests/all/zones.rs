//! One host in a tree of zones: what each verb says of each kind of zone, and of a resolver that nobody can follow.

use crate::lab::{
    dns::Signed,
    household::{Household, MXSEAL},
    primary::Primary,
};
use serde_json::Value;
use std::{
    fs,
    process::{Command, Stdio},
};

const ZONE: &str = "@ MX 10 mx\nmx A 127.0.0.1\nmta-sts A 127.0.0.1\n_smtp._tls TXT \"v=TLSRPTv1; rua=mailto:tls@example.net\"";

/// The zone, the anchor, and what is said: `dns` of TLSA; `survey` of the address; `setup` on the whole, and of its plan; who waits, of
/// the end, of the name server and of the resolver.
const TABLE: [(&str, bool, &str, &str, &str, &str); 6] = [
    ("example.test", true, "warn no certificate of ours", "127.0.0.1 (signed)", "planned for DANE", "done right right secure"),
    // Its server is not where the world looks for it.
    ("bind.test", true, "warn no certificate of ours", "127.0.0.1 (signed)", "planned for DANE", ""),
    ("plain.test", true, "warn not signed with DNSSEC", "127.0.0.1 (not signed)", "planned without DANE", "done right right insecure"),
    ("bogus.test", true, "fail signatures in the zone", "127.0.0.1 (signed wrongly", "held tlsa-unknown", "untold right silent"),
    // The resolver vouches for them, and no key that is known here leads there.
    (
        "example.test",
        false,
        "unknown both say so",
        "127.0.0.1 (signed or not is unknown",
        "planned without DANE",
        "done right right unknown",
    ),
    ("bind.test", false, "unknown both say so", "127.0.0.1 (signed or not is unknown", "planned without DANE", ""),
];

#[test]
fn each_verb_knows_each_kind_of_zone() {
    let house = Household::in_zones(&[
        ("example.test", ZONE, Signed::Nsec3),
        ("plain.test", ZONE, Signed::No),
        ("bogus.test", ZONE, Signed::Wrong),
    ]);
    let bind = Primary::start_signed("bind.test", ZONE);
    house.dns.delegate("bind.test", bind.addr, &bind.ds());
    let resolver = house.dns.resolver.to_string();
    let anchor = house.dns.anchor().display().to_string();
    for (zone, anchored, dns, survey, setup, wait) in TABLE {
        let mx = format!("mx.{zone}");
        let run = |verb: &str, more: &[&str]| {
            let mut words: Vec<String> = house.arguments("setup").into_iter().map(|w| w.replace("example.test", zone)).collect();
            if verb != "setup" {
                words.truncate(4);
                words.extend([verb, "--mta", "postfix", "--domain", zone, "--mx", &mx, "--resolver", &resolver].map(str::to_owned));
                words.extend(["--mta-config".to_owned(), house.postfix.etc().display().to_string()]);
                words.extend(["--dnssec-anchor", &anchor].map(str::to_owned));
            }
            if !anchored {
                let at = words.iter().position(|w| w == "--dnssec-anchor").unwrap();
                words.drain(at..at + 2);
            }
            // A file: the guard keeps a pipe open.
            let said = house.root.join("said-of-a-zone");
            let mut command = Command::new(MXSEAL);
            command.args(words).args(more).stdin(Stdio::null()).stdout(fs::File::create(&said).unwrap()).stderr(Stdio::null());
            let code = command.status().unwrap().code();
            (code, fs::read_to_string(said).unwrap())
        };
        let json = |verb, more: &[&str]| -> Value {
            let (code, said) = run(verb, &[more, &["--json"]].concat());
            serde_json::from_str(&said).unwrap_or_else(|e| panic!("{zone}: {verb} ended with {code:?}: {e}: {said}"))
        };
        let of = |document: &Value, id: &str| document["findings"].as_array().unwrap().iter().find(|f| f["id"] == id).cloned();
        let what = format!("{zone}, anchored: {anchored}");

        let document = json("dns", &[]);
        let (verdict, words) = dns.split_once(' ').unwrap();
        let found = of(&document, "tlsa-not-proposed").unwrap_or_else(|| panic!("{what}: {document:#}"));
        assert!(found["verdict"] == verdict && found["says"].as_str().unwrap().contains(words), "{what}: {found:#}");
        if !anchored {
            assert!(found["evidence"].to_string().contains("our own validation"), "{what}: {found:#}");
        }
        let (_, page) = run("survey", &[]);
        assert!(page.contains(survey), "{what}: {page}");

        let document = json("setup", &["--dry-run"]);
        let planned = || of(&document, "tell-planned").is_some_and(|f| f["says"].as_str().unwrap().contains("DANE"));
        let got = match document["outcome"].as_str().unwrap_or_default() {
            "planned" if planned() => "planned for DANE".to_owned(),
            "planned" => "planned without DANE".to_owned(),
            other => format!("{other} {}", document["findings"][0]["id"].as_str().unwrap_or_default()),
        };
        assert_eq!(got, setup, "{what}: {document:#}");

        if wait.is_empty() {
            continue;
        }
        let document = json("dns", &["--wait", "--timeout", "5m", "--public-resolver", "none"]);
        let waited = &document["wait"];
        let (server, resolver) = (&waited["servers"][0], &waited["servers"][1]);
        let got = [&waited["outlook"], &server["state"], &resolver["state"], &resolver["security"]];
        let got: Vec<&str> = got.into_iter().filter_map(Value::as_str).collect();
        assert_eq!(got.join(" "), wait, "{what}: {document:#}");
    }
}
