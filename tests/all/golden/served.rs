//! What the wire shows today rules the plan: a certificate of somebody else that is good, and one that a table keeps.

use super::*;
use mxseal::facts::Listener;

const ADDRS: [&str; 2] = ["127.0.0.1:25", "192.0.2.25:25"];

fn certbot(names: &[&str], left: u64) -> Certificate {
    leaf("1e", KeyType::Ecdsa, names, NOW.0 + left * DAY - 90 * DAY, NOW.0 + left * DAY)
}

/// Every MX listener presents `with` to whoever sends a name and `without` to the others; RSA alone fails.
fn serve(facts: &mut Facts, with: &Certificate, without: &Certificate, trusted: bool) {
    facts.views.clear();
    for addr in ADDRS {
        facts.views.extend([
            view(addr, true, Offer::Any, std::slice::from_ref(with), trusted),
            view(addr, false, Offer::Any, std::slice::from_ref(without), trusted),
            view(addr, true, Offer::Rsa, &[], trusted),
            view(addr, true, Offer::Legacy, &[], trusted),
        ]);
    }
}

/// A host whose certificate is kept by certbot, which its configuration names.
fn kept_by_certbot(facts: &mut Facts, leaf: &Certificate) {
    let chain = "/etc/letsencrypt/live/mx1.example.org/fullchain.pem";
    facts.foreign = vec![ForeignLineage {
        keeper: "certbot".into(),
        chain: chain.into(),
        key: chain.replace("fullchain", "privkey").into(),
        leaf: leaf.clone(),
        trusted: true,
        in_use: true,
        kept: None,
    }];
    serve(facts, leaf, leaf, true);
}

#[test]
fn a_certificate_that_somebody_else_keeps_well_is_left_alone() {
    let plan = case("good-by-certbot", "postfix", "3.7.11", |f, _| kept_by_certbot(f, &certbot(&["mx1.example.org"], 60))).expect("a plan");
    assert_eq!((plan.next, plan.later, plan.held), (None, vec![], vec![]));
    assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
}

/// What the plan is for a host with certbot's certificate, after a tweak: the note that it is good, or a stage, or held.
fn planned(tweak: impl FnOnce(&mut Facts, &mut Intent)) -> Plan {
    let profile = Profile::built_in().expect("profiles").remove(0);
    let files =
        [("/etc/postfix/main.cf".to_owned(), STOCK_MAIN.to_owned()), ("/etc/postfix/master.cf".to_owned(), STOCK_MASTER.to_owned())];
    let (mut facts, mut intent) = (host(&profile, "3.7.11", &files), intent());
    if let Known::Seen { value, .. } = &mut facts.server {
        value.services[0].listens = vec!["0.0.0.0:25".parse().expect("an address")];
    }
    kept_by_certbot(&mut facts, &certbot(&["mx1.example.org"], 60));
    tweak(&mut facts, &mut intent);
    plan(&facts, &intent, &profile).expect("a plan")
}

#[test]
fn only_what_is_good_everywhere_is_left_alone() {
    let good = |what: &str, want: bool, tweak: &dyn Fn(&mut Facts, &mut Intent)| {
        let plan = planned(tweak);
        let left = plan.next.is_none() && plan.held.is_empty() && plan.notes.iter().any(|f| f.id == "good-already");
        assert_eq!(left, want, "{what}: {plan:?}");
    };
    let served = |names: &[&str], left: u64, life: u64| {
        let leaf = leaf("1e", KeyType::Ecdsa, names, NOW.0 + left * DAY - life * DAY, NOW.0 + left * DAY);
        move |f: &mut Facts, _: &mut Intent| kept_by_certbot(f, &leaf)
    };
    let mx1 = &["mx1.example.org"][..];
    good("as it is", true, &|_, _| {});
    good("a wildcard", true, &served(&["*.example.org"], 60, 90));
    good("another name", false, &served(&["www.example.org"], 60, 90));
    for (left, life, want) in [(31, 90, true), (29, 90, false), (4, 6, true), (2, 6, false)] {
        good(&format!("{left} of {life} days left"), want, &served(mx1, left, life));
    }
    good("not trusted", false, &|f, _| serve(f, &certbot(mx1, 60), &certbot(mx1, 60), false));
    good("another one without a name", false, &|f, _| serve(f, &certbot(mx1, 60), &snakeoil().leaf, true));
    good("one address has no TLS", false, &|f, _| f.views[4..].iter_mut().for_each(|v| v.tls = Known::unknown("no STARTTLS")));
    good("one address says nothing", true, &|f, _| {
        for view in &mut f.views[4..] {
            (view.answered, view.tls) = (false, Known::unknown("refused"));
        }
    });
    good("nobody answers", false, &|f, _| {
        for view in &mut f.views {
            (view.answered, view.tls) = (false, Known::unknown("refused"));
        }
    });
    good("one address was not asked", false, &|f, _| f.views.truncate(4));
    good("nothing was asked", false, &|f, _| f.views.clear());
    good("RSA is presented too and is not trusted", false, &|f, _| {
        f.views[2] = view(ADDRS[0], true, Offer::Rsa, &[snakeoil().leaf], false);
    });
    good("a further MX name", false, &|f, _| {
        let mx2 = MxFacts { name: name("mx2.example.org"), ..f.mx_hosts[0].clone() };
        f.mx_hosts.push(mx2);
    });
    // Wishes.
    good("both key types are wished", false, &|_, i| i.key_types = Some(KeyTypes::Both));
    good("the served key type is wished", true, &|_, i| i.key_types = Some(KeyTypes::Ecdsa));
    good("another CA is wished, and nothing of ours is there", true, &|_, i| i.directory = Some("https://other.test/dir".into()));
    let issued = |f: &mut Facts| f.lineages = vec![lineage(BOTH, Deployment::Issued)];
    good("ours is issued, and not installed", true, &|f, _| issued(f));
    good("ours is issued by another CA than is wished", false, &|f, i| {
        issued(f);
        i.directory = Some("https://other.test/dir".into());
    });
    good("ours is issued with another profile than is wished", false, &|f, i| {
        issued(f);
        i.acme_profile = Some("shortlived".into());
    });
    good("ours is served by one address", false, &|f, _| {
        issued(f);
        f.views[0] = view(ADDRS[0], true, Offer::Any, &[f.lineages[0].keys[0].leaf.clone().expect("a leaf")], true);
    });
    // TLSA.
    good("TLSA names the key", true, &|f, _| f.mx_hosts[0].tlsa = answer(vec![tlsa(3, 1, "1e")]));
    good("TLSA names the certificate", true, &|f, _| {
        let data = f.foreign[0].leaf.digest.0.clone();
        f.mx_hosts[0].tlsa = answer(vec![Tlsa { data, ..tlsa(3, 0, "1e") }]);
    });
    good("TLSA names the CA", true, &|f, _| {
        let ca = leaf("ca", KeyType::Ecdsa, &[], 0, u64::MAX);
        f.views
            .iter_mut()
            .filter_map(|v| if let Known::Seen { value, .. } = &mut v.tls { Some(value) } else { None })
            .for_each(|t| t.chain.push(ca.clone()));
        f.mx_hosts[0].tlsa = answer(vec![tlsa(2, 1, "ca")]);
    });
    good("TLSA names another key", false, &|f, _| f.mx_hosts[0].tlsa = answer(vec![tlsa(3, 1, "11")]));
    good("TLSA is unknown", true, &|f, _| f.mx_hosts[0].tlsa = Known::unknown("no answer"));
}

#[test]
fn behind_postscreen_strangers_must_see_it_too() {
    let files = |main: &str| {
        let master = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\ntlsproxy unix - - y - 0 tlsproxy\n";
        [
            ("/etc/postfix/main.cf".to_owned(), format!("{STOCK_MAIN}inet_protocols = ipv4\n{main}")),
            ("/etc/postfix/master.cf".to_owned(), master.to_owned()),
        ]
    };
    for (main, good) in [("", true), ("tlsproxy_tls_cert_file = /old.pem\n", false)] {
        let profile = Profile::built_in().expect("profiles").remove(0);
        let mut facts = host(&profile, "3.7.11", &files(main));
        kept_by_certbot(&mut facts, &certbot(&["mx1.example.org"], 60));
        let plan = plan(&facts, &intent(), &profile).expect("a plan");
        assert_eq!(plan.next.is_none(), good, "{main:?}: {plan:?}");
    }
}

#[test]
fn one_socket_for_both_families_is_proved_by_both() {
    let stage = stage(|f, _| {
        let addr = "[::]:25".parse().expect("an address");
        f.listeners = vec![Listener { addr, owner: Known::unknown("test"), service: Some("smtp/inet".into()) }];
    });
    let Some(Stage::Change(change)) = stage else { panic!("a change") };
    let addrs: Vec<String> = change.prove.iter().map(|e| e.addr.to_string()).collect();
    assert_eq!(addrs, ["127.0.0.1:25", "192.0.2.25:25", "[::1]:25"]);
}

#[test]
fn a_table_that_keeps_another_certificate_holds_the_plan() {
    let old = certbot(&["mx1.example.org"], 10);
    // By what the wire shows, where the table cannot be read; then by its text, where senders see no difference yet.
    case("sni-on-the-wire", "postfix", "3.7.11", |f, _| serve(f, &old, &snakeoil().leaf, false)).expect("a plan");
    case("sni-in-the-table", "postfix", "3.7.11", |f, _| {
        f.sni_names.insert("hash:/etc/postfix/sni".into(), vec!["www.example.net".into(), ".example.org".into()]);
    })
    .expect("a plan");
    case("sni-of-others", "postfix", "3.7.11", |f, _| {
        f.sni_names.insert("hash:/etc/postfix/sni".into(), vec!["www.example.net".into(), ".1.example.org".into()]);
    })
    .expect("a plan");
}

#[test]
fn a_table_that_keeps_another_certificate_is_no_reason_to_activate_again_and_again() {
    let plan = case("sni-after-the-change", "postfix", "3.7.11", |f, _| {
        f.lineages = vec![lineage(BOTH, Deployment::Proved)];
        let mut image = image(b"bundle");
        image.meta.mode = 0o600;
        f.live.insert(LIVE.into(), image);
        let ours = f.lineages[0].keys[0].leaf.clone().expect("a leaf");
        serve(f, &certbot(&["mx1.example.org"], 10), &ours, false);
        f.views.retain(|v| v.probe.offer == Offer::Any);
    });
    assert_eq!(plan.expect("a plan").held.len(), 1);
}
