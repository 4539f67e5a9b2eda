//! A setup tells senders all of it: the name of the policy host, the policy served there, the records; then it offers the list.

use crate::lab::{
    authority::Authority,
    host::text,
    internet::{DIRECTORY, Internet, SENDER},
    list_desk::ListDesk,
    setup::{ANSWERS, outcome},
    terminal::{Terminal, lines},
};
use mxseal::certificate::KeyType;

const POLICY: &str = "version: STSv1\nmode: testing\nmx: mx1.example.test\nmax_age: 86400\n";

/// The policy as senders fetch it, by each family.
fn fetched(internet: &Internet, root: &std::path::Path) -> [String; 2] {
    ["198.18.0.25", "[fd00::25]"].map(|at| {
        let mut curl = internet.net.command(SENDER, "curl");
        curl.args(["-sSf", "--max-time", "20", "--resolve", &format!("mta-sts.example.test:443:{at}"), "--cacert"]).arg(root);
        let out = curl.arg("https://mta-sts.example.test/.well-known/mta-sts.txt").output().expect("curl; tests/run installs it");
        text(&out)
    })
}

/// Nobody has to come back: where records are published by mxseal one run goes from nothing to a policy that is announced, and asks
/// for the list.
#[test]
fn one_setup_goes_from_nothing_to_a_policy_that_senders_know() {
    let mut internet = Internet::start();
    internet.net.plug("web", 80);
    let host = internet.mail_host();
    let web = Authority::new();
    let desk = ListDesk::open(internet.net.listen("web", "198.18.0.80:444".parse().unwrap()), &web.issue(&["198.18.0.80"], KeyType::Ecdsa));
    host.write("/root/web.pem", web.root_pem());
    host.ok(&["mkdir", "-p", "/etc/mxseal"]);
    host.write("/etc/mxseal/mxseal.toml", "[list]\napi = \"https://198.18.0.80:444\"\n");

    let flags = format!("--acme-directory {DIRECTORY} --acme-ca-file /root/api-ca.pem --trust-anchor /root/root.pem /root/web.pem");
    let publish = "--alarm '' --publish rfc2136 --dns-server 198.18.0.53 --public-resolver none --wait 90s";
    let mut session = Terminal::start(|argv| host.command(argv), &format!("mxseal setup {flags} {publish}"));
    session.answer("Do you agree to them? [y/N]", "y\n");
    session.answer("E-mail address for the CA [none]:", "\n");
    session.answer("What to tell them (tls-rpt, mta-sts; or nothing) [tls-rpt mta-sts]:", "\n");
    let plan = session.answer("? more [n]:", "y\n");
    let plan = lines(&plan).join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plan.contains("is begun once mta-sts.example.test leads here: it has no address yet [policy-planned]"), "{plan}");
    assert!(plan.contains("published first: mta-sts.example.test. 3600 IN CNAME mx1.example.test."), "{plan}");
    session.answer("for the next run? [Y/n]", "y\n");
    let shown = session.answer("Ask for it now? [y/N]", "y\n");
    for said in ["[policy-begun]", "Everybody who was asked has it.", "[list-eligible]", "would be asked for"] {
        assert!(shown.contains(said), "no {said:?}: {shown}");
    }
    let (code, seen) = session.end();
    assert!(code == 0 && seen.contains("Thank you for submitting your domain."), "{code}: {seen}");
    let asked = desk.book().asked.last().cloned();
    assert_eq!(asked.as_deref(), Some("POST /api/queue domain=example.test&email=postmaster%40example.test&weeks=4&mta-sts=on"));
    assert_eq!(fetched(&internet, &host.path("/root/root.pem")), [POLICY; 2]);

    // What is told stays told: the next run finds nothing to do, and says so of the records too.
    let again = [&["mxseal", "setup", "--json"], ANSWERS, &["--trust-anchor", "/root/web.pem"]].concat();
    let again = outcome(&host.run(&again), 0);
    assert_eq!((&again["outcome"], &again["dns"]["records"]), (&"nothing-to-do".into(), &serde_json::json!([])), "{again:#}");
    let show = outcome(&host.run(&["mxseal", "policy", "--json", "show", "--trust-anchor", "/root/root.pem"]), 0);
    assert_eq!(show["policies"][0]["kept"]["step"], "stands", "{show:#}");

    // Somebody takes a record away: the next setup tells, and nothing else.
    internet.dns.set("example.test", "_smtp._tls", "TXT", 60, &[]);
    let told = outcome(&host.run(&[&["mxseal", "setup", "--json"], ANSWERS].concat()), 0);
    assert_eq!((&told["outcome"], &told["dns"]["zones"][0]["state"]), (&"nothing-to-do".into(), &"published".into()), "{told:#}");
    let told = outcome(&host.run(&[&["mxseal", "setup", "--json", "--list", "no"], ANSWERS].concat()), 0);
    assert_eq!(told["dns"]["records"], serde_json::json!([]), "{told:#}");
}
