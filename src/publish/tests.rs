//! Facts become a sheet: a table a rule.

use super::*;
use crate::{
    certificate::{Certificate, Digest, KeyType},
    facts::{
        Answer, Deployment, DomainFacts, Facts, FormerKey, Here, Host, Known, Lineage, LineageKey, MxFacts, NextKey, Security, Source, Tlsa,
    },
    finding::Verdict,
    intent::ChallengeType,
    moment::Moment,
    policy::{Fetched, caa::Caa, sts_policy::StsPolicy},
    view::{EndpointView, Judged, Offer, Probe, TlsView, Wire},
};

mod dane;
mod dialect;
mod prospect;

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn answer<T>(records: Vec<T>, security: Security) -> Known<Answer<T>> {
    Known::seen(Answer { records, security, ttl: 300 }, "dns")
}

fn texts(all: &[&str]) -> Known<Answer<Text>> {
    answer(all.iter().map(|t| (*t).into()).collect(), Security::Secure)
}

fn spki(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

fn lineage() -> Lineage {
    let key = |key_type, of: &str| LineageKey {
        key_type,
        spki: spki(of),
        leaf: Some(Certificate {
            digest: spki("leaf"),
            spki: spki(of),
            spki_sha512: String::new(),
            key_type,
            serial: "01".into(),
            authority: String::new(),
            names: vec!["mx.example.org".into()],
            issuer: "CA".into(),
            self_signed: false,
            not_before: Moment(0),
            not_after: Moment(9),
            client_auth: false,
        }),
        bundle: None,
        window: None,
    };
    Lineage {
        directory: "https://ca.example/dir".into(),
        keys: vec![key(KeyType::Ecdsa, "ec"), key(KeyType::Rsa, "rsa")],
        next: [(KeyType::Ecdsa, "next ec"), (KeyType::Rsa, "next rsa")].map(|(key_type, of)| NextKey { key_type, spki: spki(of) }).into(),
        deployment: Deployment::Proved,
        ..Lineage::begun(name("mx.example.org"), "/x".into())
    }
}

/// What the address of the MX name presents.
fn seen(key: &str) -> EndpointView {
    let mut leaf = lineage().keys.swap_remove(0).leaf.unwrap();
    leaf.spki = spki(key);
    let good = || Known::seen(Judged::Good, "-");
    let tls = TlsView {
        protocol: "TLS1.3".into(),
        suite: String::new(),
        group: String::new(),
        chain: vec![leaf],
        trusted: good(),
        named: good(),
    };
    let probe = Probe {
        addr: "192.0.2.1:25".parse().unwrap(),
        wire: Wire::StartTls,
        name: name("mx.example.org"),
        sni: true,
        offer: Offer::Any,
        postmaster_of: None,
    };
    EndpointView { answered: true, tls: Known::seen(tls, "-"), ..EndpointView::begun(probe, Moment(0)) }
}

/// A good host in a signed zone, about which the world was told nothing.
fn facts() -> Facts {
    let host = Host { hostname: "mx".into(), addresses: vec![], os: String::new(), root: true, clock_off: Known::unknown("-") };
    Facts {
        domains: vec![DomainFacts {
            domain: name("example.org"),
            mx: answer(vec![(10, name("mx.example.org"))], Security::Secure),
            mta_sts: texts(&[]),
            tls_rpt: texts(&[]),
            policy_host: Known::unknown("test"),
        }],
        mx_hosts: vec![MxFacts {
            name: name("mx.example.org"),
            addresses: answer(vec!["192.0.2.1".parse().unwrap()], Security::Secure),
            here: Known::seen(Here::Yes, "-"),
            tlsa: answer(vec![], Security::Secure),
            caa: answer(vec![], Security::Secure),
        }],
        lineages: vec![lineage()],
        ..Facts::unseen(host, Moment(1_800_000_000))
    }
}

/// `mta-sts.example.org` has an address, and serves this.
fn serving(policy: &str) -> Sight {
    let domain = name("example.org");
    Sight {
        policy_hosts: [(domain.clone(), answer(vec!["192.0.2.1".parse().unwrap()], Security::Secure))].into(),
        policies: [(domain, Fetched::from_all(policy.as_bytes()))].into(),
        ..Sight::default()
    }
}

const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 1209600\n";

/// A line a record, a line a finding.
fn told(facts: &Facts, sight: &Sight, asked: &Asked) -> Vec<String> {
    let sheet = sheet(facts, sight, asked);
    let state = |w: &Wanted| match &w.state {
        State::Right => "right".to_owned(),
        State::Missing => "missing".to_owned(),
        State::Instead { old, .. } => format!("instead of {}", old.len()),
    };
    let data = |d: &Data| {
        let mut text = d.to_string();
        for of in ["ec", "rsa", "next ec", "next rsa"] {
            text = text.replace(&spki(of).0, of);
        }
        text
    };
    let records = sheet.wanted.iter().map(|w| format!("{} {} {} {} {}", w.need, state(w), w.owner, w.data.kind(), data(&w.data)));
    records.chain(sheet.findings.iter().map(|f| format!("{} {} {}", f.verdict, f.id, f.subject))).collect()
}

fn about(all: &[String], what: &str) -> Vec<String> {
    all.iter().filter(|l| l.contains(what)).cloned().collect()
}

#[test]
fn a_record_hides_no_others() {
    let mut facts = facts();
    let there = vec![Tlsa { usage: 3, selector: 1, matching: 1, data: facts.lineages[0].keys[0].spki.0.clone() }];
    facts.mx_hosts[0].tlsa = answer(there, Security::Secure);
    let of_tlsa = |wildcard: Option<Known<bool>>| {
        let wildcards = wildcard.map(|w| (name("_25._tcp.mx.example.org"), w)).into_iter().collect();
        let lines = told(&facts, &Sight { wildcards, ..Sight::default() }, &Asked::default());
        (about(&lines, "TLSA").len(), about(&lines, "tlsa-not-proposed").len() + about(&lines, "dns-unknown").len())
    };
    for (what, wildcard, expected) in [
        ("nobody looked", None, (4, 0)),
        ("at the name itself", Some(Known::seen(false, "test")), (4, 0)),
        ("of a wildcard", Some(Known::seen(true, "test")), (0, 1)),
        ("nobody knows", Some(Known::unknown("test")), (0, 1)),
    ] {
        assert_eq!(of_tlsa(wildcard), expected, "{what}");
    }
}

#[test]
fn an_alias_has_no_record_beside_it() {
    let issuer = Issuer { name: "ca.example".into(), methods: vec![ChallengeType::Http01] };
    let asked = Asked { caa: Some(issuer), ..Asked::default() };
    let governing = || [(name("example.org"), answer(vec![], Security::Secure))].into();
    let here = Known::seen(Answer { records: vec!["192.0.2.1".parse().unwrap()], security: Security::Secure, ttl: 1 }, "test");
    for (what, addresses, alias_of, expected) in [
        ("the alias is wanted", answer(vec![], Security::Secure), None, vec!["mta-sts.example.org CNAME", "mx.example.org CAA"]),
        ("it has an address", here.clone(), None, vec!["mta-sts.example.org CAA", "mx.example.org CAA"]),
        ("it is an alias of ours", here.clone(), Some("mx.example.org"), vec!["mx.example.org CAA"]),
        ("it is an alias of others", here, Some("pages.example.net"), vec!["mx.example.org CAA"]),
    ] {
        let sight = Sight { policy_hosts: [(name("example.org"), addresses)].into(), policy_caa: governing(), ..Sight::default() };
        let mut sheet = sheet(&facts(), &sight, &asked);
        let at = |owner: &str| Whereabouts { owner: name(owner), zone: name("example.org") };
        let places = alias_of.map(|of| (name("mta-sts.example.org"), Known::seen(at(of), "test"))).into_iter().collect();
        sheet.place(&places);
        let mut got: Vec<String> = sheet.wanted.iter().map(|w| format!("{} {}", w.owner, w.data.kind())).collect();
        got.retain(|line| !line.starts_with('_'));
        got.sort();
        assert_eq!(got, expected, "{what}");
    }
}

#[test]
fn two_aliases_of_one_name_have_its_records_once() {
    let mut sheet = sheet(&facts(), &Sight::default(), &Asked::default());
    let mut second = sheet.wanted.iter().find(|w| w.data.kind() == "TLSA").unwrap().clone();
    let at = Whereabouts { owner: name("_tlsa.example.org"), zone: name("example.org") };
    let places = [second.owner.clone(), name("_25._tcp.mx2.example.org")].map(|owner| (owner, Known::seen(at.clone(), "test"))).into();
    second.owner = name("_25._tcp.mx2.example.org");
    let before = sheet.wanted.len();
    sheet.wanted.push(second);
    sheet.place(&places);
    assert_eq!(sheet.wanted.len(), before);
}

#[test]
fn a_good_host_that_nobody_was_told_of() {
    let no_address = Sight { policy_hosts: [(name("example.org"), answer(vec![], Security::Secure))].into(), ..Sight::default() };
    assert_eq!(
        told(&facts(), &no_address, &Asked::default()),
        [
            "recommended missing _smtp._tls.example.org TXT \"v=TLSRPTv1; rua=mailto:postmaster@example.org;\"",
            "recommended missing mta-sts.example.org CNAME mx.example.org.",
            "recommended missing _25._tcp.mx.example.org TLSA 3 1 1 ec",
            "recommended missing _25._tcp.mx.example.org TLSA 3 1 1 rsa",
            "recommended missing _25._tcp.mx.example.org TLSA 3 1 1 next ec",
            "recommended missing _25._tcp.mx.example.org TLSA 3 1 1 next rsa",
            "warn tlsrpt-same-way example.org",
            "warn mta-sts-not-served example.org",
        ]
    );
    let served = about(&told(&facts(), &serving(POLICY), &Asked::default()), "mta-sts");
    let id = StsPolicy::read(POLICY.as_bytes()).value.unwrap().record().id;
    assert_eq!(served, [format!("recommended missing _mta-sts.example.org TXT \"v=STSv1; id={id};\"")]);
}

#[test]
fn what_is_published_is_not_weakened() {
    let rua = |uri: &str| Asked { rua: vec![uri.parse().unwrap()], ..Asked::default() };
    for (there, asked, expected) in [
        // A place that is there stays, ours comes behind it.
        (
            &["v=TLSRPTv1; rua=mailto:a@a.example"][..],
            Asked::default(),
            "recommended right _smtp._tls.example.org TXT \"v=TLSRPTv1; rua=mailto:a@a.example\"",
        ),
        (
            &["v=TLSRPTv1; rua=mailto:a@a.example"],
            rua("https://b.example/r"),
            "recommended instead of 1 _smtp._tls.example.org TXT \"v=TLSRPTv1; rua=mailto:a@a.example,https://b.example/r;\"",
        ),
        (
            &["v=TLSRPTv1; rua=mailto:a@a.example"],
            rua("mailto:A@a.example"),
            "recommended right _smtp._tls.example.org TXT \"v=TLSRPTv1; rua=mailto:a@a.example\"",
        ),
        // RFC 8460 §3: broken, or twice, is not there.
        (
            &["v=TLSRPTv1; rua=mailto:a@a.example "],
            Asked::default(),
            "required instead of 1 _smtp._tls.example.org TXT \"v=TLSRPTv1; rua=mailto:a@a.example;\"",
        ),
        (
            &["v=TLSRPTv1; rua=a@a.example"],
            Asked::default(),
            "required instead of 1 _smtp._tls.example.org TXT \"v=TLSRPTv1; rua=mailto:postmaster@example.org;\"",
        ),
        (
            &["v=TLSRPTv1; rua=mailto:a@a.example", "other", "v=TLSRPTv1; rua=mailto:b@b.example"],
            Asked::default(),
            "required instead of 2 _smtp._tls.example.org TXT \"v=TLSRPTv1; rua=mailto:a@a.example,mailto:b@b.example;\"",
        ),
    ] {
        let mut facts = facts();
        facts.domains[0].tls_rpt = texts(there);
        assert_eq!(about(&told(&facts, &serving(POLICY), &asked), "_smtp"), [expected], "{there:?}");
    }
    let served = StsPolicy::read(POLICY.as_bytes()).value.unwrap();
    let more = policy_for(Some(&served), &[name("mx.example.org"), name("mx2.example.org")]);
    assert_eq!(more.text(), POLICY.replace("mx.example.org\n", "mx.example.org\nmx: mx2.example.org\n"));
    assert_eq!(policy_for(None, &[name("mx.example.org")]).text(), "version: STSv1\nmode: testing\nmx: mx.example.org\nmax_age: 86400\n");
}

#[test]
fn the_sts_record_follows_the_policy() {
    let wide = POLICY.replace("mx.example.org", "other.example.org");
    for (there, served, expected) in [
        (&["v=STSv1; id=anything"][..], POLICY, &["recommended right _mta-sts.example.org"][..]),
        (&["v=STSv1; id=not-ok"], POLICY, &["required instead of 1 _mta-sts.example.org"]),
        (&["v=STSv1; id=a", "v=STSv1; id=b"], POLICY, &["required instead of 2 _mta-sts.example.org"]),
        (&["v=STSv1; id=a"], "<html>", &["fail mta-sts-policy-wrong example.org"]),
        (&["v=STSv1; id=a"], &wide, &["recommended right _mta-sts.example.org", "fail mta-sts-uncovered example.org"]),
        (
            &["v=STSv1; id=a"],
            &wide.replace("enforce", "testing"),
            &["recommended right _mta-sts.example.org", "warn mta-sts-uncovered example.org"],
        ),
    ] {
        let mut facts = facts();
        facts.domains[0].mta_sts = texts(there);
        let seen = about(&told(&facts, &serving(served), &Asked::default()), "mta-sts");
        assert!(seen.len() == expected.len() && seen.iter().zip(expected).all(|(l, e)| l.starts_with(e)), "{there:?}: {seen:?}");
    }
    let mut facts = facts();
    facts.domains[0].mta_sts = texts(&["v=STSv1; id=a"]);
    let mut dead = serving(POLICY);
    dead.policies.insert(name("example.org"), Fetched::Nothing("connection refused".into()));
    assert_eq!(about(&told(&facts, &dead, &Asked::default()), "mta-sts"), ["fail mta-sts-not-served example.org"]);
    // Who has no way there knows nothing of it; and one of its addresses may be out of reach.
    dead.policies.insert(name("example.org"), Fetched::Untold("nothing leads there".into()));
    assert_eq!(about(&told(&facts, &dead, &Asked::default()), "mta-sts"), ["unknown mta-sts-untold example.org"]);
    let unasked = vec!["2001:db8::1".parse().unwrap()];
    dead.policies.insert(name("example.org"), Fetched::Policy { reading: StsPolicy::read(POLICY.as_bytes()), unasked });
    let seen = about(&told(&facts, &dead, &Asked::default()), "mta-sts");
    // A record that is there is not changed for it.
    assert_eq!(seen, ["warn mta-sts-untold example.org"]);
    facts.domains[0].mta_sts = texts(&[]);
    let seen = about(&told(&facts, &dead, &Asked::default()), "mta-sts");
    assert!(seen.len() == 2 && seen[0].starts_with("recommended missing") && seen[1] == "warn mta-sts-untold example.org", "{seen:?}");
}

#[test]
fn a_policy_that_is_kept_here_has_its_own_record() {
    let kept = |text: &str| {
        let policy = StsPolicy::read(text.as_bytes()).value.unwrap();
        let id = policy.record().text();
        let kept = KeptPolicy::new(name("example.org"), policy, PolicyHost::None, Moment(1));
        (Sight { kept: [(name("example.org"), kept)].into(), ..serving(text) }, id)
    };
    let leaving = POLICY.replace("enforce", "none");
    let (bound, left) = (kept(POLICY), kept(&leaving));
    for (sight, there, expected) in [
        (&bound.0, &[bound.1.as_str()][..], &["recommended right _mta-sts.example.org"][..]),
        (&bound.0, &["v=STSv1; id=older"], &["required instead of 1 _mta-sts.example.org"]),
        (&bound.0, &[], &["recommended missing _mta-sts.example.org"]),
        (&left.0, &[left.1.as_str()], &["recommended right _mta-sts.example.org"]),
        (&left.0, &[bound.1.as_str()], &["required instead of 1 _mta-sts.example.org"]),
        // It was withdrawn, and is not proposed again.
        (&left.0, &[], &[]),
    ] {
        let mut facts = facts();
        facts.domains[0].mta_sts = texts(there);
        let seen = about(&told(&facts, sight, &Asked::default()), "mta-sts");
        assert!(seen.len() == expected.len() && seen.iter().zip(expected).all(|(l, e)| l.starts_with(e)), "{there:?}: {seen:?}");
    }
}

#[test]
fn reports_must_be_deliverable() {
    let asked = Asked { rua: vec!["mailto:a@gone.example".parse().unwrap()], ..Asked::default() };
    for (mx, expected) in [
        (answer(vec![], Security::Secure), &["fail tlsrpt-undeliverable example.org"][..]),
        (answer(vec![(10, name("mx.gone.example"))], Security::Secure), &[]),
        (Known::unknown("SERVFAIL"), &["unknown tlsrpt-undeliverable example.org"]),
    ] {
        let sight = Sight { report_mx: [(name("gone.example"), mx)].into(), ..serving(POLICY) };
        assert_eq!(about(&told(&facts(), &sight, &asked), "tlsrpt"), expected);
    }
}

#[test]
fn caa_is_wanted_at_the_exact_names_alone() {
    let methods = vec![ChallengeType::Http01, ChallengeType::Dns01];
    let asked = Asked { caa: Some(Issuer { name: "ca.example".into(), methods }), ..Asked::default() };
    for (governing, expected) in [
        (&[][..], "recommended missing"),
        (&["0 issue \"ca.example\""], "recommended right"),
        (&["0 issue \"ca.example; validationmethods=http-01\""], "recommended missing"),
        (&["0 issue \"other.example\""], "required missing"),
    ] {
        let mut facts = facts();
        let caa = || answer(governing.iter().map(|t| (*t).to_owned()).collect(), Security::Secure);
        facts.mx_hosts[0].caa = caa();
        let sight = Sight { policy_caa: [(name("example.org"), caa())].into(), ..serving(POLICY) };
        let seen = about(&told(&facts, &sight, &asked), " CAA ");
        let mut lines: Vec<String> = ["mta-sts.example.org", "mx.example.org"]
            .map(|n| format!("{expected} {n} CAA 0 issue \"ca.example; validationmethods=http-01,dns-01\""))
            .into();
        lines.sort();
        assert_eq!(seen, lines, "{governing:?}");
    }
}

#[test]
fn another_hosts_domain_gets_nothing() {
    let mut facts = facts();
    facts.mx_hosts[0].here = Known::seen(Here::No, "-");
    assert_eq!(told(&facts, &serving(POLICY), &Asked::default()), ["unknown dns-not-ours example.org"]);
    let said = Asked { mx: vec![name("mx.example.org")], ..Asked::default() };
    assert!(told(&facts, &serving(POLICY), &said).len() > 5);
}

#[test]
fn a_record_lies_where_its_alias_ends() {
    let mut sheet = sheet(&facts(), &serving(POLICY), &Asked::default());
    let owner = name("_mta-sts.example.org");
    let end = Whereabouts { owner: name("sts.provider.example"), zone: name("provider.example") };
    sheet.place(&[(owner, Known::seen(end, "dns"))].into());
    assert!(sheet.wanted.iter().any(|w| w.line().starts_with("sts.provider.example. 3600 IN TXT")), "{sheet:?}");
    assert!(sheet.findings.iter().all(|f| crate::topics::topic(&f.id).is_some() && f.verdict != Verdict::Pass));
}
