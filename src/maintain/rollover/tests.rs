//! The gate as a table, and what it is for: whoever went by any cache meets a key that it knows.

use super::*;
use crate::{
    certificate::{Certificate, KeyType},
    facts::{FormerKey, LineageKey, NextKey, Source},
};
use proptest::prelude::*;
use std::time::Duration;

const NOW: Moment = Moment(1_800_000_000);
const DAY: u64 = 86_400;

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn spki(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

fn key(of: &str) -> LineageKey {
    let leaf = Certificate {
        digest: spki(of),
        spki: spki(of),
        spki_sha512: String::new(),
        key_type: KeyType::Ecdsa,
        serial: of.into(),
        authority: String::new(),
        names: vec!["mx.example.org".into()],
        issuer: "CA".into(),
        self_signed: false,
        not_before: NOW.before(Duration::from_secs(DAY)),
        not_after: NOW.after(Duration::from_secs(89 * DAY)),
        client_auth: false,
    };
    LineageKey { key_type: KeyType::Ecdsa, spki: spki(of), leaf: Some(leaf), bundle: None, window: None }
}

fn lineage() -> Lineage {
    Lineage {
        keys: vec![key("current")],
        next: vec![NextKey { key_type: KeyType::Ecdsa, spki: spki("next") }],
        deployment: Deployment::Proved,
        ..Lineage::begun(name("mx.example.org"), "/etc/mxseal/live/mx.example.org.pem".into())
    }
}

fn tlsa(of: &str) -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: spki(of).0 }
}

fn server(n: u8, says: Says) -> View {
    let who = Who::Authority(name(&format!("ns{n}.example.org")), ([192, 0, 2, n], 53).into());
    View { who, zone: name("example.org"), serial: None, says }
}

fn has(right: usize) -> Says {
    Says::Seen { right, of: 1, ttl: 3600, security: Security::Unknown }
}

fn sight(zone: Security, records: &[&str], security: Security, servers: Vec<View>) -> KeySight {
    let records = Answer { records: records.iter().map(|r| tlsa(r)).collect(), security, ttl: 300 };
    KeySight {
        mx: name("mx.example.org"),
        zone: Known::seen(zone, "test"),
        records: Known::seen(records, "test"),
        servers: Known::seen(servers, "test"),
    }
}

fn word(next: &RollOver) -> String {
    match next {
        RollOver::Refuse(finding) => finding.id.clone(),
        RollOver::Hold(_) => "hold".into(),
        RollOver::Retire => "retire".into(),
        RollOver::Wait { lacks, .. } => lacks.iter().map(|f| f.id.as_str()).collect::<Vec<_>>().join(" "),
        RollOver::Certify { untold } => if *untold { "certify untold" } else { "certify" }.into(),
        RollOver::Deploy { untold } => if *untold { "deploy untold" } else { "deploy" }.into(),
    }
}

fn seen(days: u64, ttl: u32) -> SeenKeys {
    let since = NOW.before(Duration::from_secs(days * DAY));
    SeenKeys(vec![SeenKey { mx: name("mx.example.org"), spki: spki("next"), since, ttl }])
}

#[test]
fn the_gate_opens_only_where_everybody_must_know_the_key() {
    use Security::{Bogus, Insecure, Secure, Unknown};
    let both = ["current", "next"];
    let good = || sight(Secure, &both, Secure, vec![server(1, has(1)), server(2, has(1))]);
    let of = |zone, records: &[&str], security, servers| sight(zone, records, security, servers);
    let other_family = View { who: Who::Authority(name("ns1.example.org"), ([192, 0, 2, 9], 53).into()), ..server(1, Says::NoRoute) };
    let silent = || Says::Silent("no answer".into());
    for (what, sight, kept, expected) in [
        ("two days", good(), seen(2, 300), "certify"),
        ("not two days", good(), seen(1, 300), "rollover-too-new"),
        ("a long TTL", good(), seen(3, 2 * 86_400), "rollover-too-new"),
        ("a long TTL, long enough", good(), seen(4, 2 * 86_400), "certify"),
        ("never seen before", good(), SeenKeys::default(), "rollover-too-new"),
        ("one lags", of(Secure, &both, Secure, vec![server(1, has(1)), server(2, has(0))]), seen(9, 300), "rollover-not-told"),
        (
            "one lags, one is silent",
            of(Secure, &both, Secure, vec![server(1, has(0)), server(2, silent())]),
            seen(9, 300),
            "rollover-not-told",
        ),
        ("one is silent", of(Secure, &both, Secure, vec![server(1, has(1)), server(2, silent())]), seen(9, 300), "rollover-unknown"),
        ("no server is known", of(Secure, &both, Secure, vec![]), seen(9, 300), "rollover-unknown"),
        ("no way to the other family", of(Secure, &both, Secure, vec![server(1, has(1)), other_family]), seen(9, 300), "certify"),
        ("no way to a server", of(Secure, &both, Secure, vec![server(1, Says::NoRoute)]), seen(9, 300), "rollover-unknown"),
        ("the resolver remembers", of(Secure, &["current"], Secure, vec![server(1, has(1))]), seen(9, 300), "rollover-not-told"),
        ("forged", of(Secure, &both, Bogus, vec![server(1, has(1))]), seen(9, 300), "rollover-unknown"),
        ("nobody validates", of(Secure, &both, Unknown, vec![server(1, has(1))]), seen(9, 300), "rollover-unknown"),
        ("signed, and nothing told", of(Secure, &[], Secure, vec![server(1, has(0))]), seen(9, 300), "rollover-not-told"),
        ("unsigned, and nothing told", of(Insecure, &[], Insecure, vec![server(1, has(0))]), seen(9, 300), "certify untold"),
        ("unsigned, and told", of(Insecure, &["current"], Insecure, vec![server(1, has(0))]), seen(9, 300), "rollover-not-told"),
        (
            "unsigned addresses, signed records",
            of(Insecure, &["current"], Secure, vec![server(1, has(0))]),
            seen(9, 300),
            "rollover-not-told",
        ),
        ("nobody knows whether it is signed", of(Unknown, &[], Insecure, vec![server(1, has(0))]), seen(9, 300), "rollover-unknown"),
        ("no resolver", KeySight { records: Known::unknown("no answer"), ..good() }, seen(9, 300), "rollover-unknown"),
        ("no whereabouts", KeySight { servers: Known::unknown("no answer"), ..good() }, seen(9, 300), "rollover-unknown"),
    ] {
        let next = roll_over(&lineage(), &[sight], &kept, &Claims::default(), NOW);
        assert_eq!(word(&next), expected, "{what}");
    }
    // One of two names is enough to wait.
    let lags = KeySight { mx: name("mx2.example.org"), ..of(Secure, &both, Secure, vec![server(1, has(0))]) };
    assert_eq!(word(&roll_over(&lineage(), &[good(), lags], &seen(9, 300), &Claims::default(), NOW)), "rollover-not-told");
    assert_eq!(
        word(&roll_over(&lineage(), &[], &seen(9, 300), &Claims::default(), NOW)),
        "rollover-unknown",
        "of no name nothing is known"
    );
    // What was told before the key was, and may be believed still.
    let mut claims = Claims::default();
    claims.tell_tlsa(&name("mx.example.org"), &[spki("current")], 300, NOW.before(Duration::from_secs(9 * DAY)));
    claims.tell_tlsa(&name("mx.example.org"), &[spki("current"), spki("next")], 300, NOW.before(Duration::from_secs(DAY)));
    assert_eq!(word(&roll_over(&lineage(), &[good()], &seen(9, 300), &claims, NOW)), "rollover-too-new");
}

#[test]
fn every_state_has_its_step() {
    let good = sight(Security::Secure, &["current", "next"], Security::Secure, vec![server(1, has(1))]);
    let successor = |of: &str| Some(Box::new(Lineage { keys: vec![key(of)], ..lineage() }));
    let former = |left: Option<u64>| {
        let left = left.map(|days| NOW.before(Duration::from_secs(days * DAY)));
        vec![FormerKey { key_type: KeyType::Ecdsa, spki: spki("before"), left }]
    };
    let due = Lineage { keys: vec![key("next")], ..lineage() };
    let mut claims = Claims::default();
    claims.tell_tlsa(&name("mx.example.org"), &[spki("before"), spki("current"), spki("next")], 86_400 * 2, NOW);
    let other = Lineage { live: "/etc/mxseal/live/other.pem".into(), ..*successor("next").expect("one") };
    let source = Source {
        key_type: KeyType::Ecdsa,
        keeper: "certbot".into(),
        name: "mx".into(),
        chain: "/etc/letsencrypt/live/mx/fullchain.pem".into(),
        key: "/etc/letsencrypt/live/mx/privkey.pem".into(),
    };
    for (what, lineage, now, expected) in [
        ("no certificate yet", lineage(), NOW, "certify"),
        ("one that fits", Lineage { successor: successor("next"), ..lineage() }, NOW, "deploy"),
        ("of another key", Lineage { successor: successor("other"), ..lineage() }, NOW, "certify"),
        ("of another place", Lineage { successor: Some(Box::new(other)), ..lineage() }, NOW, "certify"),
        (
            "one that is due itself",
            Lineage { successor: Some(Box::new(due)), ..lineage() },
            NOW.after(Duration::from_secs(70 * DAY)),
            "certify",
        ),
        ("no key follows", Lineage { next: Vec::new(), ..lineage() }, NOW, "rollover-unknown"),
        ("others keep it", Lineage { adopted: vec![source], ..lineage() }, NOW, "rollover-not-ours"),
        ("not proved", Lineage { deployment: Deployment::Installed, former: former(None), ..lineage() }, NOW, "rollover-not-proved"),
        ("left and not noted", Lineage { former: former(None), ..lineage() }, NOW, "hold"),
        ("left three days ago, a TTL of two", Lineage { former: former(Some(3)), ..lineage() }, NOW, "hold"),
        ("left four days ago", Lineage { former: former(Some(4)), ..lineage() }, NOW, "retire"),
    ] {
        let kept = seen(9, 300);
        let claims = if lineage.former.is_empty() { &Claims::default() } else { &claims };
        assert_eq!(word(&roll_over(&lineage, std::slice::from_ref(&good), &kept, claims, now)), expected, "{what}");
    }
}

#[test]
fn the_time_begins_where_everybody_has_it_and_not_where_nobody_could_tell() {
    let (keys, mut kept) = (vec![spki("next")], SeenKeys::default());
    let at = |days: u64| Moment(NOW.0 + days * DAY);
    let here = |says| sight(Security::Secure, &["current", "next"], Security::Secure, vec![server(1, says)]);
    for (day, says, since) in [
        (0, has(0), None),
        (1, has(1), Some(at(1))),
        (2, Says::Silent("no answer".into()), Some(at(1))),
        (3, has(1), Some(at(1))),
        (4, has(0), None),
        (5, has(1), Some(at(5))),
    ] {
        kept.see(&keys, &here(says), at(day));
        assert_eq!(kept.of(&name("mx.example.org"), &spki("next")).map(|k| k.since), since, "day {day}");
    }
    kept.keep_only(&[lineage()]);
    assert_eq!(kept.0.len(), 1);
    kept.keep_only(&[Lineage { next: Vec::new(), ..lineage() }]);
    assert_eq!(kept, SeenKeys::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// A zone that gets its records when it likes, a server that lags, caches of any age within the TTL, and a host that looks when it
    /// likes: at every hour, whatever set a sender may hold names the key that it is shown.
    #[test]
    fn whoever_goes_by_a_cache_meets_a_key_that_it_knows(
        ttl in 1_u64..40, published in 0_u64..60, lag in 0_u64..60, looks in prop::collection::btree_set(0_u64..400, 1..60), cleaned in 0_u64..400,
    ) {
        let hour = |h: u64| Moment(NOW.0 + h * 3600);
        let in_zone = |h: u64, at: u64| -> Vec<&str> {
            [("before", h >= at), ("next", h >= at)].iter().filter(|(n, there)| *n == "before" || *there).map(|(n, _)| *n).collect()
        };
        let (keys, mut kept, mut claims) = (vec![spki("next")], SeenKeys::default(), Claims::default());
        let mut rolled: Option<u64> = None;
        let mut retired: Option<u64> = None;
        for h in looks.iter().copied() {
            let now = hour(h);
            match rolled {
                None => {
                    let says = |at| Says::Seen { right: usize::from(h >= at), of: 1, ttl: u32::try_from(ttl * 3600).expect("hours"), security: Security::Unknown };
                    let records = in_zone(h, published);
                    let sight = sight(Security::Secure, &records, Security::Secure, vec![server(1, says(published)), server(2, says(published + lag))]);
                    let records = sight.records.value().expect("seen").records.clone();
                    claims.see_tlsa(&sight.mx, &records, u32::try_from(ttl * 3600).expect("hours"), now);
                    kept.see(&keys, &sight, now);
                    let current = Lineage { keys: vec![key("before")], ..lineage() };
                    if matches!(roll_over(&current, &[sight], &kept, &claims, now), RollOver::Certify { .. }) {
                        rolled = Some(h);
                    }
                }
                Some(at) if h >= at + cleaned => {
                    let former = vec![FormerKey { key_type: KeyType::Ecdsa, spki: spki("before"), left: Some(hour(at)) }];
                    let after = Lineage { keys: vec![key("next")], former, ..lineage() };
                    if roll_over(&after, &[], &kept, &claims, now) == RollOver::Retire {
                        retired = retired.or(Some(h));
                    }
                }
                Some(_) => {}
            }
        }
        // A sender at hour `h` holds what one of the servers said at any hour within the TTL before.
        let held = |h: u64| (h.saturating_sub(ttl)..=h).flat_map(|asked| [published, published + lag].map(|at| {
            let mut set = in_zone(asked, at);
            set.retain(|key| *key != "before" || retired.is_none_or(|r| asked < r));
            set
        })).collect::<Vec<_>>();
        for h in 0..450 {
            let shown = if rolled.is_some_and(|at| h >= at) { "next" } else { "before" };
            prop_assert!(held(h).iter().all(|set| set.contains(&shown)), "hour {h}: {shown} of {:?}", held(h));
        }
    }
}
