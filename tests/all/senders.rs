//! Real senders decide: with what one setup tells them they verify this host, and whoever sits on the path reads
//! nothing. Without them he reads everything.

use crate::lab::{
    attacker::{self, Attack, Attacker},
    authority::Authority,
    host::{Host, text},
    internet::Internet,
    list_desk::{ListDesk, TOKEN},
    setup::{outcome, setup},
};
use mxseal::certificate::KeyType;

const TO: &str = "postmaster@example.test";
const SECRET: &str = "the eagle has landed";
const BOTH: [Attack; 2] = [Attack::Strip, Attack::Impersonate];

/// Where the host looks: at the one resolver of this world that validates.
const RESOLVER: [&str; 2] = ["--resolver", "198.18.0.54"];

#[test]
fn senders_insist_on_what_they_are_told_and_an_attacker_reads_nothing() {
    let mut internet = Internet::start();
    internet.net.plug("web", 80);
    attacker::plug(&mut internet.net);
    for (kind, address) in [("A", "198.18.0.25"), ("AAAA", "fd00::25")] {
        internet.dns.set("example.test", "mta-sts", kind, 60, &[address]);
    }
    let web = Authority::new();
    let host = internet.mail_host();
    host.write("/root/web.pem", web.root_pem());
    let attacker = Attacker::new(&internet.net);
    let senders = [internet.sender("dane"), internet.sender_by_sts("")];
    let [dane, sts] = &senders;

    // Before: encrypted or not, he reads it.
    for (sender, attack) in senders.iter().zip(BOTH) {
        let under = attacker.begins(attack);
        let log = sender.send_text(TO, SECRET);
        assert!(log.contains("status=sent") && under.read().contains(SECRET), "{attack:?}: {log}");
    }

    // One run proves the certificate, serves a policy and tells the world of all of it.
    let done = outcome(&setup(&host, &[&RESOLVER[..], &["--publish", "rfc2136", "--policy-host", "builtin"]].concat()), 0);
    assert!(done["findings"].as_array().is_some_and(|all| all.iter().any(|f| f["id"] == "policy-begun")), "{done:#}");
    internet.dns.forget();

    // A policy in testing mode holds nothing up, and protects nobody.
    let log = sts.send_text(TO, SECRET);
    assert!(log.contains("status=sent") && !log.contains("Verified TLS"), "{log}");
    {
        let under = attacker.begins(Attack::Strip);
        let log = sts.send_text(TO, SECRET);
        assert!(log.contains("status=sent") && under.read().contains(SECRET), "{log}");
    }
    bind(&internet, &host);

    let finger = dane.finger("dane", "example.test");
    assert!(finger.contains("Verified TLS connection established to mx1.example.test"), "{finger}");
    for sender in &senders {
        let log = sender.send_text(TO, SECRET);
        assert!(log.contains("status=sent") && log.contains("Verified TLS connection established to mx1.example.test"), "{log}");
    }
    the_list_takes_it(&internet, &host, &web);

    for attack in BOTH {
        let under = attacker.begins(attack);
        for sender in &senders {
            let before = under.conversations();
            let log = sender.send_text(TO, SECRET);
            assert!(log.contains("status=deferred") && !log.contains("status=sent"), "{attack:?}: {log}");
            assert!(under.conversations() > before, "{attack:?} was not tried: {log}");
            assert_eq!(under.read(), "", "{attack:?}: {log}");
        }
        // MX records that are not signed lead to the same signed keys: Postfix goes by them.
        let log = dane.send_text("postmaster@plain.test", SECRET);
        assert!(log.contains("status=deferred") && under.read().is_empty(), "{attack:?}: {log}");
    }
    // What waited arrives.
    senders.iter().for_each(|sender| sender.flush(TO));
}

/// From testing to a policy that binds; the record follows what is served.
fn bind(internet: &Internet, host: &Host) {
    let policy = |words: &[&str]| host.run(&[&["mxseal", "policy"], words, &["example.test", "--json", "--yes"]].concat());
    // So long that a list takes the domain too.
    let bound = policy(&["enforce", "--max-age", "10886400"]);
    assert!(text(&bound).contains("mode: enforce"), "{bound:?}");
    host.run(&["mxseal", "dns", "--publish", "--json"]);
    internet.dns.forget();
    let stands = outcome(&host.run(&["mxseal", "policy", "show", "--domain", "example.test", "--json"]), 0);
    assert_eq!(stands["policies"][0]["kept"]["step"], "stands", "{stands:#}");
}

/// Whoever keeps a list takes the domain, by the documented API.
fn the_list_takes_it(internet: &Internet, host: &Host, web: &Authority) {
    let submit = |more: &[&str], code: i32| {
        let anchors = ["--resolver", "198.18.0.54", "--trust-anchor", "/root/root.pem", "/root/web.pem"];
        let out = host.run(&[&["mxseal", "list", "submit", "example.test"], &anchors[..], more].concat());
        let said = text(&out) + &String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{more:?}: {said}");
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let closed = submit(&[], 1);
    let today = ["since 2020", "1 of 1 MX hosts have TLSA records", "its policy is in mode enforce", "[list-eligible]"];
    assert!(today.iter().all(|words| closed.contains(words)), "{closed}");

    let listener = internet.net.listen("web", "198.18.0.80:444".parse().unwrap());
    let desk = ListDesk::open(listener, &web.issue(&["198.18.0.80"], KeyType::Ecdsa));
    let settings = host.read("/etc/mxseal/mxseal.toml");
    host.write("/etc/mxseal/mxseal.toml", format!("{settings}\n[list]\napi = \"https://198.18.0.80:444\"\n"));
    desk.book().fault = Some("Failure: Name in cert doesn't match hostname");
    let said = submit(&["--yes"], 1);
    assert!(said.contains("mx1.example.test: Failure: Name in cert") && said.contains("[list-refused]"), "{said}");
    desk.book().fault = None;
    let said = submit(&[], 1);
    assert!(said.contains("would be asked for") && said.contains("mxseal list submit example.test --yes"), "{said}");
    assert!(desk.book().asked.iter().all(|a| !a.starts_with("POST /api/queue")), "{:?}", desk.book().asked);

    let said = submit(&["--yes"], 1);
    assert!(said.contains("Thank you for submitting your domain.") && said.contains("--token TOKEN"), "{said}");
    let asked = desk.book().asked.last().cloned();
    assert_eq!(asked.as_deref(), Some("POST /api/queue domain=example.test&email=postmaster%40example.test&weeks=4&mta-sts=on"));
    assert!(host.read("/var/lib/mxseal/claims.json").contains("\"listed\""));
    assert!(submit(&["--yes"], 1).contains("waits for the word of its postmaster"));
    assert!(submit(&["--token", "0"], 1).contains("Token is not known (400)"));
    assert!(submit(&["--token", TOKEN], 0).contains("is confirmed, and waits for its time"));
    assert!(submit(&["--yes"], 0).contains("is confirmed"));
    desk.book().busy = true;
    assert!(submit(&[], 3).contains("answers 429; try again later"));
    host.write("/etc/mxseal/mxseal.toml", settings);
}
