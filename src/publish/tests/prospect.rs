//! What a plan says of telling, and of the policies that are begun.

use super::*;
use crate::{facts::PortOwner, intent::Tell};

fn port443(facts: &mut Facts, pid: u32, program: &str) {
    facts.port443 = Known::seen(PortOwner { pid, program: program.into(), elsewhere: false, webroot: None }, "-");
}

/// A host whose port 443 is free, and to which the policy host's name leads.
fn ready() -> Facts {
    let mut facts = facts();
    facts.host.addresses = vec!["192.0.2.1".parse().unwrap()];
    facts.domains[0].policy_host = answer(vec!["192.0.2.1".parse().unwrap()], Security::Secure);
    port443(&mut facts, 0, "");
    facts
}

#[test]
fn ports_names_and_words_decide_who_serves_a_policy() {
    use ServedBy::{Builtin, Export, Snippet};
    type Tweak = fn(&mut Facts);
    let leads = |to: &[&str]| answer(to.iter().map(|a| a.parse().unwrap()).collect(), Security::Insecure);
    let (nowhere, away, half) = (leads(&[]), leads(&["198.51.100.9"]), leads(&["192.0.2.1", "198.51.100.9"]));
    let nginx: Tweak = |f| port443(f, 7, "nginx");
    let other: Tweak = |f| port443(f, 7, "haproxy");
    let none: Tweak = |_| {};
    let nat: Tweak = |f| f.host.addresses = vec!["10.0.0.5".parse().unwrap()];
    let held: Tweak = |f| f.port443 = Known::unknown("no /proc");
    let away_from_here: Tweak = |f| {
        let Known::Seen { value, .. } = &mut f.port443 else { return };
        (value.pid, value.program, value.elsewhere) = (7, "nginx".into(), true);
    };
    for (what, tweak, host, said, expected) in [
        ("free", none, None, None, Prospect::Begin(Builtin)),
        ("ours already", |f: &mut Facts| port443(f, 7, "mxseal"), None, None, Prospect::Begin(Builtin)),
        ("nginx", nginx, None, None, Prospect::Begin(Snippet)),
        ("nginx in a container", away_from_here, None, None, Prospect::Taken("nginx".into())),
        ("nginx, and builtin is wished", nginx, None, Some(Builtin), Prospect::Taken("nginx".into())),
        ("free, and a site is wished", none, None, Some(Snippet), Prospect::Begin(Snippet)),
        ("another", other, None, None, Prospect::Taken("haproxy".into())),
        ("another, and a file is wished", other, Some(&away), Some(Export), Prospect::Begin(Export)),
        ("unknown", held, None, None, Prospect::Unknown("no /proc".into())),
        ("unknown, and builtin is wished", held, None, Some(Builtin), Prospect::Begin(Builtin)),
        ("no address", none, Some(&nowhere), None, Prospect::Nameless(Builtin)),
        ("elsewhere", none, Some(&away), None, Prospect::Elsewhere),
        ("half elsewhere", none, Some(&half), None, Prospect::Elsewhere),
        ("behind NAT, as its MX name", nat, None, None, Prospect::Begin(Builtin)),
        ("DNS is silent", none, Some(&Known::unknown("late")), None, Prospect::Unknown("late".into())),
    ] {
        let mut facts = ready();
        tweak(&mut facts);
        if let Some(host) = host {
            facts.domains[0].policy_host = host.clone();
        }
        assert_eq!(prospects(&facts, &[], said, &[].into()).into_values().collect::<Vec<_>>(), [expected], "{what}");
    }
}

#[test]
fn a_policy_that_is_there_stays() {
    for (what, texts, kept, expected) in [
        ("none", texts(&["v=spf1 -all"]), false, Prospect::Begin(ServedBy::Builtin)),
        ("announced", texts(&["v=STSv1; id=1;"]), false, Prospect::There),
        ("announced badly", texts(&["v=STSv1; id=;"]), false, Prospect::There),
        ("twice", texts(&["v=STSv1; id=1;", "v=STSv1; id=2;"]), false, Prospect::There),
        ("kept here", texts(&[]), true, Prospect::There),
        ("not answered", Known::unknown("late"), false, Prospect::Unknown("late".into())),
    ] {
        let mut facts = ready();
        facts.domains[0].mta_sts = texts;
        let kept = kept.then(|| name("example.org")).into_iter().collect();
        let prospects = prospects(&facts, &[], None, &kept);
        assert_eq!(prospects.values().collect::<Vec<_>>(), [&expected], "{what}");
        let notes = policy_notes(&prospects, &facts, &[], false);
        assert_eq!(notes.is_empty(), expected == Prospect::There, "{what}: {notes:?}");
    }
    let mut foreign = ready();
    foreign.mx_hosts[0].here = Known::seen(Here::No, "-");
    assert!(prospects(&foreign, &[], None, &[].into()).is_empty(), "its mail goes elsewhere");
    assert_eq!(prospects(&foreign, &[name("mx.example.org")], None, &[].into()).len(), 1, "unless somebody says otherwise");
}

#[test]
fn an_outlook_names_what_can_be_told() {
    let policy = name("example.org");
    let unsigned: fn(&mut Facts) = |f| f.mx_hosts[0].addresses = answer(vec!["192.0.2.1".parse().unwrap()], Security::Insecure);
    for (what, tweak, tell, policies, expected) in [
        ("all", (|_| {}) as fn(&mut Facts), &[][..], &[&policy][..], &["report how TLS went", "the keys of mx.example.org", "MTA-STS"][..]),
        ("no policy", |_| {}, &[], &[], &["report how TLS went", "the keys of mx.example.org"]),
        ("not signed", unsigned, &[], &[], &["report how TLS went"]),
        ("not signed, and DANE wished", unsigned, &[Tell::Dane], &[], &[]),
        ("one wish", |_| {}, &[Tell::Dane], &[&policy], &["the keys of mx.example.org"]),
        ("behind a load balancer", |f| f.mx_hosts[0].here = Known::seen(Here::Partly, "-"), &[], &[], &["report how TLS went"]),
        ("another host's", |f| f.mx_hosts[0].here = Known::seen(Here::No, "-"), &[], &[], &[]),
        ("nothing", |_| {}, &[Tell::Nothing], &[&policy], &[]),
    ] {
        let mut facts = facts();
        tweak(&mut facts);
        let said = outlook(&facts, &[], tell, policies, "how").map_or_else(String::new, |note| note.says);
        let parts: Vec<&str> = said.trim_start_matches("once the proof stands, senders can be told: ").split("; ").collect();
        assert_eq!(parts.iter().filter(|p| !p.is_empty()).count(), expected.len(), "{what}: {said}");
        assert!(expected.iter().zip(&parts).all(|(e, part)| part.contains(e)), "{what}: {said}");
    }
}

/// Each of many is named once, and told what comes first.
#[test]
fn many_domains_are_named_once() {
    let mut facts = ready();
    let one = facts.domains[0].clone();
    let numbered = |n: usize| DomainFacts { domain: name(&format!("d{n}.example.org")), policy_host: texts_of(&[]), ..one.clone() };
    facts.domains = (1..=5).map(numbered).collect();
    let prospects = prospects(&facts, &[], None, &[].into());
    let notes = policy_notes(&prospects, &facts, &[], false);
    let [note] = notes.as_slice() else { panic!("{notes:?}") };
    assert!(note.says.ends_with("d5.example.org is begun once mta-sts.DOMAIN of each lead here: they have no address yet"), "{note:?}");
    assert_eq!((note.evidence.len(), &note.remedy), (5, &crate::finding::Remedy::Command("mxseal setup".into())), "{note:?}");
    let told = outlook(&facts, &[], &[], &[], "-").unwrap();
    assert!(told.says.contains("for 5 domains"), "{told:?}");
}

fn texts_of(addresses: &[&str]) -> Known<Answer<std::net::IpAddr>> {
    answer(addresses.iter().map(|a| a.parse().unwrap()).collect(), Security::Secure)
}
