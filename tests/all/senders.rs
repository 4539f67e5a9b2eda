//! Real senders decide: with the records that `mxseal dns` prints they verify this host, and whoever sits on the path reads
//! nothing. Without them he reads everything.

use crate::lab::{
    attacker::{self, Attack, Attacker},
    authority::Authority,
    host::{Host, text},
    internet::{Internet, SENDER},
    list_desk::{ListDesk, TOKEN},
    process::run,
    setup::{outcome, setup},
    web::{Web, serve_on},
};
use mxseal::certificate::KeyType;
use std::fs;

const TO: &str = "postmaster@example.test";
const SECRET: &str = "the eagle has landed";
const BOTH: [Attack; 2] = [Attack::Strip, Attack::Impersonate];

/// An MTA-STS policy as it is served.
fn policy(mode: &str) -> Web {
    let text = format!("version: STSv1\r\nmode: {mode}\r\nmx: mx1.example.test\r\nmax_age: 10886400\r\n");
    Web::from([("/.well-known/mta-sts.txt".to_owned(), ("text/plain", text.into_bytes()))])
}

#[test]
fn senders_insist_on_what_they_are_told_and_an_attacker_reads_nothing() {
    let mut internet = Internet::start();
    internet.net.plug("web", 80);
    attacker::plug(&mut internet.net);
    internet.dns.set("example.test", "mta-sts", "A", 60, &["198.18.0.80"]);
    let web = Authority::new();
    let listener = internet.net.listen("web", "198.18.0.80:443".parse().unwrap());
    let served = serve_on(listener, &web.issue(&["mta-sts.example.test"], KeyType::Ecdsa), policy("enforce"));
    let host = internet.mail_host();
    host.write("/root/web.pem", web.root_pem());
    let attacker = Attacker::new(&internet.net);
    let senders = [internet.sender("dane"), internet.sender_by_sts(&web.root_pem())];

    // Before: encrypted or not, he reads it.
    for (sender, attack) in senders.iter().zip(BOTH) {
        let under = attacker.begins(attack);
        let log = sender.send_text(TO, SECRET);
        assert!(log.contains("status=sent") && under.read().contains(SECRET), "{attack:?}: {log}");
    }

    outcome(&setup(&host, &[]), 0);
    let resolver = ["--resolver", "198.18.0.54", "--trust-anchor", "/root/root.pem", "/root/web.pem"];
    let printed = host.run(&[&["mxseal", "dns", "--format", "nsupdate"], &resolver[..]].concat());
    let update = text(&printed);
    assert_eq!((update.matches(" TLSA 3 1 1 ").count(), update.matches("_mta-sts.example.test").count() > 0), (4, true), "{printed:?}");
    let file = host.path("/root/update");
    fs::write(&file, format!("server 198.18.0.53\n{update}")).unwrap();
    run(internet.net.command(SENDER, "knsupdate").arg(&file));
    internet.dns.forget();

    let [dane, sts] = &senders;
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

    // A policy in testing mode holds nothing up, and protects nobody.
    served.show(policy("testing"));
    internet.dns.set("example.test", "_mta-sts", "TXT", 60, &["\"v=STSv1; id=testing;\""]);
    let log = sts.send_text(TO, SECRET);
    assert!(log.contains("status=sent"), "{log}");
    let under = attacker.begins(Attack::Strip);
    let log = sts.send_text(TO, SECRET);
    assert!(log.contains("status=sent") && under.read().contains(SECRET), "{log}");
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
