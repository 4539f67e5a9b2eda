//! A certificate that certbot keeps, on a booted stock host: adopted and renewed there, or taken over.

use crate::lab::{
    host::{Host, differences, text},
    internet::{DIRECTORY, Internet},
    setup::{SNAKE_OIL, assert_verifiable, contents, outcome, setup},
    terminal::Terminal,
};
use mxseal::certificate::Certificate;
use serde_json::Value;

const NAME: &str = "mx1.example.test";
const HOOK: &str = "/etc/letsencrypt/renewal-hooks/deploy/mxseal";

/// certbot as its package brings it, with the lab's CA.
fn certbot(host: &Host, words: &[&str]) {
    let out = host.run(&[&["env", "REQUESTS_CA_BUNDLE=/root/api-ca.pem", "certbot", "-n"], words].concat());
    assert!(out.status.success(), "{}{}", text(&out), String::from_utf8_lossy(&out.stderr));
}

fn order(host: &Host, name: &str, key_type: &str) {
    certbot(
        host,
        &[
            "certonly",
            "--standalone",
            "--server",
            DIRECTORY,
            "--agree-tos",
            "--register-unsafely-without-email",
            "--cert-name",
            name,
            "-d",
            NAME,
            "--key-type",
            key_type,
        ],
    );
}

/// The serial of what certbot keeps under a name.
fn kept(host: &Host, name: &str) -> String {
    let pem = host.ok(&["cat", &format!("/etc/letsencrypt/live/{name}/cert.pem")]);
    Certificate::read_pem(pem.as_bytes()).expect("a certificate").remove(0).serial
}

fn served(internet: &Internet, cipher: &str) -> String {
    let seen = internet.s_client(&["-tls1_2", "-cipher", cipher]);
    let pem = seen.split("-----BEGIN CERTIFICATE-----").nth(1).expect("a certificate").split("-----END").next().expect("its end");
    let pem = format!("-----BEGIN CERTIFICATE-----{pem}-----END CERTIFICATE-----\n");
    Certificate::read_pem(pem.as_bytes()).expect("a certificate").remove(0).serial
}

fn orders(internet: &Internet) -> usize {
    internet.ca_log().matches("Added order ").count()
}

fn ids(done: &Value) -> Vec<&str> {
    done["findings"].as_array().expect("findings").iter().filter_map(|f| f["id"].as_str()).collect()
}

/// A host where certbot keeps an ECDSA and an RSA certificate, and its timer is enabled.
fn with_certbot(internet: &Internet) -> Host {
    let host = internet.mail_host();
    host.ok(&["mkdir", "-p", "/etc/systemd/system/timers.target.wants"]);
    host.ok(&["ln", "-sf", "/lib/systemd/system/certbot.timer", "/etc/systemd/system/timers.target.wants/certbot.timer"]);
    order(&host, NAME, "ecdsa");
    order(&host, "mx1-rsa", "rsa");
    host
}

#[test]
fn what_certbot_keeps_is_served_and_renewed_there() {
    let internet = Internet::start();
    let host = with_certbot(&internet);
    let (postfix, theirs) = (contents(&host.tree("/etc/postfix")), contents(&host.tree("/etc/letsencrypt")));
    let before = orders(&internet);

    let done = outcome(&setup(&host, &["--adopt"]), 0);
    assert_eq!((done["outcome"].as_str(), done["certificate"]["keepers"][0].as_str()), (Some("proved"), Some("certbot")), "{done:#}");
    assert!(!ids(&done).contains(&"adopt-not-renewed"), "{done:#}");
    assert_verifiable(&internet);
    let shown = || (served(&internet, "aECDSA"), served(&internet, "aRSA"));
    assert_eq!(shown(), (kept(&host, NAME), kept(&host, "mx1-rsa")));
    assert_eq!(orders(&internet), before, "nothing is ordered");
    let news = differences(&theirs, &contents(&host.tree("/etc/letsencrypt")));
    assert!(news.len() == 1 && news[0].starts_with("renewal-hooks/deploy/mxseal: "), "{news:?}");

    // What stands needs no flag, and no order either.
    assert_eq!(outcome(&setup(&host, &[]), 0)["outcome"], "nothing-to-do");
    let rests = outcome(&host.run(&["mxseal", "renew", "--json", "--force"]), 0);
    assert_eq!((rests["outcome"].as_str(), orders(&internet)), (Some("nothing-to-do"), before), "{rests:#}");
    let refused = outcome(&host.run(&["mxseal", "rollover", "--json", "--yes"]), 1);
    assert!(ids(&refused) == ["rollover-not-ours"] && refused["findings"].to_string().contains("certbot keeps"), "{refused:#}");

    // certbot renews with a new key, and tells us.
    let old = shown();
    certbot(&host, &["renew", "--no-random-sleep-on-renew", "--force-renewal", "--cert-name", NAME]);
    assert_ne!(kept(&host, NAME), old.0);
    assert_eq!(shown(), (kept(&host, NAME), old.1.clone()), "its hook has put the new one in place");
    assert_verifiable(&internet);

    // A new key that TLSA records do not name is not served.
    let pem = host.ok(&["cat", &format!("/etc/letsencrypt/live/{NAME}/cert.pem"), "/etc/letsencrypt/live/mx1-rsa/cert.pem"]);
    let keys = Certificate::read_pem(pem.as_bytes()).expect("two");
    let records: Vec<String> = keys.iter().map(|leaf| format!("3 1 1 {}", leaf.spki)).collect();
    internet.dns.set("example.test", "_25._tcp.mx1", "TLSA", 60, &records.iter().map(String::as_str).collect::<Vec<_>>());
    let told = shown();
    certbot(&host, &["renew", "--no-random-sleep-on-renew", "--force-renewal", "--cert-name", NAME]);
    assert_eq!(shown(), told);
    let held = outcome(&host.run(&["mxseal", "renew", "--json"]), 1);
    assert!(ids(&held).contains(&"adopt-new-key"), "{held:#}");
    let status = text(&host.run(&["mxseal", "status"]));
    assert!(status.contains("certbot keeps mx1.example.test (ecdsa)"), "{status}");

    // Senders were told of those keys: an undo asks to withdraw the records first, or to be told that nobody minds.
    assert!(ids(&outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 1)).contains(&"claim-stands"));
    assert_eq!(outcome(&host.run(&["mxseal", "undo", "--json", "--yes", "--files-only", NAME]), 1)["outcome"], "proved");
    assert!(!host.path(HOOK).exists() && internet.s_client(&[]).contains(SNAKE_OIL));
    assert_eq!(differences(&postfix, &contents(&host.tree("/etc/postfix"))), Vec::<String>::new());
}

#[test]
fn what_certbot_keeps_is_taken_over_and_left_as_it_is() {
    let internet = Internet::start();
    let host = with_certbot(&internet);
    // A person is asked, and adoption is what an empty line answers where it loses nothing.
    let words =
        format!("mxseal setup --tell nothing --acme-directory {DIRECTORY} --acme-ca-file /root/api-ca.pem --trust-anchor /root/root.pem");
    let mut session = Terminal::start(|argv| host.command(argv), &words);
    let asked = session.answer("[adopt]:", "\n");
    assert!(asked.contains("certbot.timer renews it"), "{asked}");
    let planned = session.answer("? more [n]:", "n\n");
    assert!(
        planned.contains("Take in the certificate for mx1.example.test") && planned.contains("renewal-hooks/deploy/mxseal"),
        "{planned}"
    );
    assert_eq!(session.end().0, 1);
    outcome(&setup(&host, &["--adopt"]), 0);
    let adopted = served(&internet, "aRSA");
    let done = outcome(&setup(&host, &["--take-over"]), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert!(ids(&done).contains(&"renewed-elsewhere"), "{done:#}");
    assert_verifiable(&internet);
    assert_ne!(served(&internet, "aRSA"), adopted, "an order of our own");
    assert!(!host.path(HOOK).exists(), "it has nothing to tell any more");
    assert_eq!(kept(&host, "mx1-rsa"), adopted, "certbot's own files stay");
    assert_eq!(outcome(&setup(&host, &[]), 0)["outcome"], "nothing-to-do");
}

/// An adoption that only replaced the certificate of an earlier setup goes back with it, whichever is named.
#[test]
fn a_setup_below_a_later_adoption_is_undone_with_it() {
    let internet = Internet::start();
    let host = with_certbot(&internet);
    let (postfix, theirs) = (contents(&host.tree("/etc/postfix")), contents(&host.tree("/etc/letsencrypt")));
    let first = outcome(&setup(&host, &["--take-over"]), 0);
    let adopted = outcome(&setup(&host, &["--adopt"]), 0);
    assert_eq!((adopted["outcome"].as_str(), host.path(HOOK).exists()), (Some("proved"), true), "{adopted:#}");
    assert_eq!(served(&internet, "aRSA"), kept(&host, "mx1-rsa"));
    certbot(&host, &["renew", "--no-random-sleep-on-renew", "--force-renewal", "--cert-name", "mx1-rsa"]);
    assert_eq!(served(&internet, "aRSA"), kept(&host, "mx1-rsa"), "renewed once more by its keeper");
    let theirs_renewed = contents(&host.tree("/etc/letsencrypt"));

    let [below, above] = [&first, &adopted].map(|done| done["change"].as_str().expect("a change"));
    let refused = outcome(&host.run(&["mxseal", "undo", above, "--json", "--yes"]), 2);
    assert!(refused["error"].as_str().is_some_and(|e| e.contains(&format!("undone with it: mxseal undo {below}"))), "{refused:#}");
    assert_eq!(served(&internet, "aRSA"), kept(&host, "mx1-rsa"));

    let back = outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert_eq!((back["outcome"].as_str(), ids(&back).contains(&"wire-renewed")), (Some("proved"), false), "{back:#}");
    assert!(internet.s_client(&[]).contains(SNAKE_OIL), "{back:#}");
    assert_eq!(differences(&postfix, &contents(&host.tree("/etc/postfix"))), Vec::<String>::new(), "{back:#}");
    let news = differences(&theirs_renewed, &contents(&host.tree("/etc/letsencrypt")));
    assert!(news.len() == 1 && news[0].starts_with("renewal-hooks/deploy/mxseal"), "{news:?}");
    assert!(!theirs.contains_key(std::path::Path::new("renewal-hooks/deploy/mxseal")));
    assert_eq!(text(&host.run(&["find", "/etc/mxseal/live", "-type", "f"])), "", "no key stays behind");
    let nothing = outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 1);
    assert_eq!(nothing["topic"], "undo-nothing", "{nothing:#}");
}
