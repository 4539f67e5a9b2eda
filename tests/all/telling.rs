//! A setup tells senders all of it: the name of the policy host, the policy served there, the records; then it offers the list.

use crate::lab::{
    authority::Authority,
    host::text,
    internet::{DIRECTORY, Internet, SENDER},
    list_desk::ListDesk,
    setup::{ANSWERS, outcome},
    terminal::Terminal,
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

#[test]
fn setup_tells_senders_asks_for_the_list_and_begins_a_policy() {
    let mut internet = Internet::start();
    internet.net.plug("web", 80);
    let host = internet.mail_host();
    let web = Authority::new();
    let desk = ListDesk::open(internet.net.listen("web", "198.18.0.80:444".parse().unwrap()), &web.issue(&["198.18.0.80"], KeyType::Ecdsa));
    host.write("/root/web.pem", web.root_pem());
    host.ok(&["mkdir", "-p", "/etc/mxseal"]);
    host.write("/etc/mxseal/mxseal.toml", "[list]\napi = \"https://198.18.0.80:444\"\n");

    // A person: records are published, and waited for; then the list is offered.
    let flags = format!("--acme-directory {DIRECTORY} --acme-ca-file /root/api-ca.pem --trust-anchor /root/root.pem /root/web.pem");
    let publish = "--alarm '' --publish rfc2136 --dns-server 198.18.0.53 --public-resolver none";
    let mut session = Terminal::start(|argv| host.command(argv), &format!("mxseal setup {flags} {publish}"));
    session.answer("Do you agree to them? [y/N]", "y\n");
    session.answer("E-mail address for the CA [none]:", "\n");
    session.answer("What to tell them (tls-rpt, mta-sts; or nothing) [tls-rpt mta-sts]:", "tls-rpt\n");
    session.answer("? more [n]:", "y\n");
    session.answer("for the next run? [Y/n]", "y\n");
    let shown = session.answer("Ask for it now? [y/N]", "y\n");
    for said in ["1 record is published.", "Everybody who was asked has it.", "[list-eligible]", "would be asked for"] {
        assert!(shown.contains(said), "no {said:?}: {shown}");
    }
    let (code, seen) = session.end();
    assert!(code == 0 && seen.contains("Thank you for submitting your domain."), "{code}: {seen}");
    let asked = desk.book().asked.last().cloned().unwrap_or_default();
    assert!(asked.starts_with("POST /api/queue domain=example.test&email=postmaster%40example.test&weeks=4"), "{asked}");

    // Nothing is left to do here, and senders can be told more: one run gives the policy host its name, begins the policy, serves it,
    // and announces it once it is seen as senders fetch it. The zone's own servers are enough to go on with.
    let more = ["--tell", "tls-rpt,mta-sts", "--public-resolver", "none", "--list", "no"];
    let run = |wait: &[&str]| outcome(&host.run(&[&["mxseal", "setup", "--json"], ANSWERS, &more, wait].concat()), 0);
    let told = run(&[]);
    let added = told["dns"]["zones"].as_array().expect("zones").iter().flat_map(|z| z["added"].as_array().expect("records"));
    let added: Vec<&str> = added.filter_map(|r| r.as_str()).collect();
    assert_eq!((&told["outcome"], added.len()), (&"nothing-to-do".into(), 2), "{told:#}");
    assert!(added[0] == "mta-sts.example.test. 3600 IN CNAME mx1.example.test." && added[1].contains("v=STSv1; id="), "{told:#}");
    assert!(told["findings"].to_string().contains("policy-begun") && told["dns"].get("wait").is_none(), "{told:#}");
    assert_eq!(fetched(&internet, &host.path("/root/root.pem")), [POLICY; 2]);
    let show = outcome(&host.run(&["mxseal", "policy", "--json", "show"]), 0);
    assert_eq!(show["policies"][0]["kept"]["step"], "stands", "{show:#}");

    // What is told stays told; a record that somebody takes away comes back.
    let again = run(&[]);
    assert_eq!((&again["outcome"], &again["dns"]["records"]), (&"nothing-to-do".into(), &serde_json::json!([])), "{again:#}");
    internet.dns.set("example.test", "_smtp._tls", "TXT", 60, &[]);
    let shown = outcome(&host.run(&["mxseal", "setup", "--json", "--non-interactive", "--list", "no"]), 0);
    assert_eq!(shown["dns"]["records"].as_array().map(Vec::len), Some(1), "nobody approved it: {shown:#}");
    assert!(shown["dns"].get("zones").is_none(), "{shown:#}");
    let back = run(&["--wait", "90s"]);
    assert!(back["dns"]["zones"][0]["state"] == "published" && back["dns"]["wait"]["outlook"] == "done", "{back:#}");
    assert_eq!(run(&[])["dns"]["records"], serde_json::json!([]));
}
