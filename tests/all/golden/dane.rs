//! TLSA records that are published already rule the very first order.

use super::*;

#[test]
fn a_key_that_tlsa_names_is_kept() {
    case("dane-matching", "postfix", "3.7.11", |f, _| {
        f.foreign = vec![snakeoil()];
        f.mx_hosts[0].tlsa = answer(vec![tlsa(3, 1, "50"), tlsa(2, 1, "99")]);
    })
    .expect("a plan");
}

#[test]
fn a_plan_that_would_break_tlsa_is_held() {
    case("dane-foreign", "postfix", "3.7.11", |f, _| {
        f.foreign = vec![snakeoil()];
        f.mx_hosts[0].tlsa = answer(vec![tlsa(3, 1, "11"), tlsa(3, 0, "50")]);
        if let Known::Seen { value, .. } = &mut f.mx_hosts[0].tlsa {
            value.security = Security::Insecure;
        }
    })
    .expect("a plan");
}

#[test]
fn unknown_tlsa_holds() {
    case("dane-unknown", "postfix", "3.7.11", |f, _| f.mx_hosts[0].tlsa = Known::unknown("192.0.2.53 did not answer")).expect("a plan");
}

#[test]
fn bogus_tlsa_holds() {
    case("dane-bogus", "postfix", "3.7.11", |f, _| {
        f.foreign = vec![snakeoil()];
        f.mx_hosts[0].tlsa = Known::seen(Answer { records: vec![tlsa(3, 1, "50")], security: Security::Bogus, ttl: 60 }, "dns");
    })
    .expect("a plan");
}

#[test]
fn a_key_that_tlsa_names_by_its_longer_digest_is_kept() {
    let plan = case("dane-matching", "postfix", "3.7.11", |f, _| {
        f.foreign = vec![snakeoil()];
        f.mx_hosts[0].tlsa = answer(vec![Tlsa { matching: 2, data: "50".repeat(64), ..tlsa(3, 1, "50") }]);
    });
    assert!(plan.expect("a plan").held.is_empty());
}

#[test]
fn a_served_key_type_without_a_record_is_not_dropped() {
    let both = |f: &mut Facts| {
        f.foreign = vec![snakeoil(), foreign("/etc/ssl/ec.key", "ee", KeyType::Ecdsa, &["mx1"], false)];
        f.mx_hosts[0].tlsa = answer(vec![tlsa(3, 1, "50")]);
    };
    case("dane-one-of-two", "postfix", "3.7.11", |f, _| both(f)).expect("a plan");
    // Unless it is asked for.
    let plan = case("dane-one-by-flag", "postfix", "3.7.11", |f, i| {
        both(f);
        i.key_types = Some(KeyTypes::Rsa);
    });
    assert!(plan.expect("a plan").held.is_empty());
}

#[test]
fn records_that_no_new_certificate_can_match_say_what_to_publish_and_when_to_come_back() {
    for (record, ttl, words, hours) in [
        (tlsa(3, 0, "50"), 3600, "names one certificate", "48 h"),
        (tlsa(2, 1, "ca"), 86_400, "names a CA", "48 h"),
        (tlsa(2, 0, "ca"), 100_000, "names a CA", "56 h"),
        (tlsa(3, 1, "11"), 172_800, "names a key that was not found here", "96 h"),
    ] {
        let plan = case("dane-foreign", "postfix", "3.7.11", |f, _| {
            f.foreign = vec![snakeoil()];
            f.mx_hosts[0].tlsa = Known::seen(Answer { records: vec![record.clone()], security: Security::Secure, ttl }, "dns");
        });
        let held = plan.expect("a plan").held;
        assert!(held[0].evidence[0].contains(words), "{held:?}");
        assert!(held[0].consequence.contains(hours) && held[0].consequence.contains("beside"), "{held:?}");
    }
}

#[test]
fn what_is_unknown_of_tlsa_holds_nothing_back_where_nothing_is_to_be_done() {
    let plan = case("good-host-unknown-tlsa", "postfix", "3.7.11", |f, _| {
        f.lineages = vec![lineage(BOTH, Deployment::Proved)];
        let mut image = image(b"bundle");
        image.meta.mode = 0o600;
        f.live.insert(LIVE.into(), image);
        f.mx_hosts[0].tlsa = Known::unknown("192.0.2.53 did not answer");
    });
    assert_eq!(plan.expect("a plan").held, []);
}
