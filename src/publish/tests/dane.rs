//! Where TLSA records are wanted.

use super::*;

#[test]
fn tlsa_is_wanted_only_where_it_can_be_kept() {
    let key = |of: &str| Tlsa { usage: 3, selector: 1, matching: 1, data: spki(of).0 };
    let ca = || Tlsa { usage: 2, selector: 1, matching: 1, data: spki("a CA").0 };
    type Change = Box<dyn Fn(&mut Facts)>;
    let published = |all: Vec<Tlsa>| -> Change { Box::new(move |f| f.mx_hosts[0].tlsa = answer(all.clone(), Security::Secure)) };
    let zone = |security| -> Change { Box::new(move |f| f.mx_hosts[0].addresses = answer(vec!["192.0.2.1".parse().unwrap()], security)) };
    let four = |need: &str, state: &str| {
        ["ec", "rsa"]
            .map(|k| format!("{need} {state} _25._tcp.mx.example.org TLSA 3 1 1 {k}"))
            .into_iter()
            .chain(["next ec", "next rsa"].map(|k| format!("recommended {state} _25._tcp.mx.example.org TLSA 3 1 1 {k}")))
            .collect::<Vec<_>>()
    };
    let with_former: Vec<Tlsa> = ["ec", "rsa", "next ec", "next rsa", "before"].map(key).into();
    let later = with_former.clone();
    let table: Vec<(&str, Change, Vec<String>)> = vec![
        ("all there", published(["ec", "rsa", "next ec", "next rsa"].map(key).into()), four("required", "right")),
        // RFC 7672 §3: no record of theirs matches what this host presents.
        ("others only", published(vec![key("other")]), four("required", "missing")),
        // RFC 7672 §3.1.2: a CA's record may fit every key of this host.
        ("a CA", published(vec![key("other"), ca()]), four("recommended", "missing")),
        (
            "the certificate",
            published(vec![Tlsa { usage: 3, selector: 0, matching: 1, data: spki("leaf").0 }]),
            four("required", "missing"),
        ),
        (
            "one of two",
            published(vec![key("ec"), key("other")]),
            [vec!["required right _25._tcp.mx.example.org TLSA 3 1 1 ec".to_owned()], four("required", "missing").split_off(1)].concat(),
        ),
        // The SHA-256 of nothing helps nobody.
        ("useless", published(vec![key("")]), [four("required", "missing"), vec!["fail tlsa-useless mx.example.org".into()]].concat()),
        // RFC 7672 §2.2: unsigned records are passed over.
        ("unsigned", zone(Security::Insecure), vec!["warn tlsa-not-proposed mx.example.org".into()]),
        ("bogus", zone(Security::Bogus), vec!["fail tlsa-not-proposed mx.example.org".into()]),
        ("nobody could tell", zone(Security::Unknown), vec!["unknown tlsa-not-proposed mx.example.org".into()]),
        (
            "unsigned, and published all the same",
            Box::new(move |f| {
                f.mx_hosts[0].addresses = answer(vec!["192.0.2.1".parse().unwrap()], Security::Insecure);
                f.mx_hosts[0].tlsa = answer(vec![key("other")], Security::Insecure);
            }),
            vec!["warn tlsa-in-vain mx.example.org".into()],
        ),
        // RFC 7672 §2.2.1; postconf(5) smtp_tls_dane_insecure_mx_policy.
        (
            "unsigned MX, keys that fit",
            Box::new(move |f| {
                f.domains[0].mx = answer(vec![(10, name("mx.example.org"))], Security::Insecure);
                f.mx_hosts[0].tlsa = answer(["ec", "rsa", "next ec", "next rsa"].map(key).into(), Security::Secure);
            }),
            [four("required", "right"), vec!["warn tlsa-insecure-mx mx.example.org".into()]].concat(),
        ),
        (
            "unsigned MX, other keys",
            Box::new(move |f| {
                f.domains[0].mx = answer(vec![(10, name("mx.example.org"))], Security::Insecure);
                f.mx_hosts[0].tlsa = answer(vec![key("other")], Security::Secure);
            }),
            [four("required", "missing"), vec!["fail tlsa-insecure-mx mx.example.org".into()]].concat(),
        ),
        (
            "shared name",
            Box::new(|f| f.mx_hosts[0].here = Known::seen(Here::Partly, "-")),
            vec!["warn tlsa-not-proposed mx.example.org".into()],
        ),
        ("not proved", Box::new(|f| f.lineages[0].deployment = Deployment::Issued), vec!["warn tlsa-not-proposed mx.example.org".into()]),
        (
            "of another program",
            Box::new(|f| {
                f.lineages[0].adopted = vec![Source {
                    key_type: KeyType::Rsa,
                    keeper: "certbot".into(),
                    name: "mx".into(),
                    chain: "/c".into(),
                    key: "/k".into(),
                }];
            }),
            vec!["warn tlsa-not-proposed mx.example.org".into()],
        ),
        ("our key is seen there", Box::new(|f| f.views = vec![seen("rsa")]), four("recommended", "missing")),
        (
            "another key is seen there",
            Box::new(|f| f.views = vec![seen("rsa"), seen("other")]),
            vec!["warn tlsa-not-proposed mx.example.org".into()],
        ),
        (
            "who sends another name is shown that one's certificate of ours",
            Box::new(|f| {
                let mut key = f.lineages[0].keys[0].clone();
                key.spki = spki("of another name");
                key.leaf = None;
                f.lineages.push(Lineage { keys: vec![key], ..Lineage::begun(name("mx2.example.org"), "/y".into()) });
                f.views = vec![seen("rsa"), seen("of another name")];
                f.views[1].probe.name = name("mx2.example.org");
            }),
            four("recommended", "missing"),
        ),
        (
            "who sends this name is shown another one's certificate of ours",
            Box::new(|f| {
                let mut key = f.lineages[0].keys[0].clone();
                key.spki = spki("of another name");
                key.leaf = None;
                f.lineages.push(Lineage { keys: vec![key], ..Lineage::begun(name("mx2.example.org"), "/y".into()) });
                f.views = vec![seen("of another name")];
            }),
            vec!["warn tlsa-not-proposed mx.example.org".into()],
        ),
        (
            "the record of a key before a roll-over stays",
            Box::new(move |f| {
                f.lineages[0].former = vec![FormerKey { key_type: KeyType::Rsa, spki: spki("before"), left: Some(f.now) }];
                f.mx_hosts[0].tlsa = answer(with_former.clone(), Security::Secure);
            }),
            four("required", "right").into_iter().chain(["pass rollover-hold mx.example.org".to_owned()]).collect(),
        ),
        (
            "and goes later",
            Box::new(move |f| {
                f.lineages[0].former = vec![FormerKey { key_type: KeyType::Rsa, spki: spki("before"), left: Some(f.now) }];
                f.mx_hosts[0].tlsa = answer(later.clone(), Security::Secure);
                f.now = f.now.after(std::time::Duration::from_secs(3 * 86_400));
            }),
            four("required", "right").into_iter().chain(["warn rollover-retire mx.example.org".to_owned()]).collect(),
        ),
        ("no certificate", Box::new(|f| f.lineages.clear()), vec!["warn tlsa-not-proposed mx.example.org".into()]),
        (
            "unknown",
            Box::new(|f| f.mx_hosts[0].tlsa = Known::unknown("SERVFAIL")),
            vec!["unknown dns-unknown _25._tcp.mx.example.org".into()],
        ),
    ];
    for (what, change, expected) in table {
        let mut facts = facts();
        change(&mut facts);
        let all = told(&facts, &serving(POLICY), &Asked::default());
        let mut seen = about(&all, "mx.example.org");
        seen.retain(|l| !l.contains("CNAME"));
        assert_eq!(seen, expected, "{what}");
    }
}
