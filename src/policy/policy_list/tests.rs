use super::*;
use crate::policy::chance::Chance;

const LIST: &str = r#"{
  "version": "0.1", "timestamp": "2020-05-20T10:25:12.123456-07:00", "expires": 1591205112, "author": "somebody",
  "policy-aliases": { "big": { "mode": "testing", "mxs": [".mail.big.example"] } },
  "policies": {
    "small.example": { "mode": "enforce", "mxs": ["mx1.small.example", "mx2.small.example"] },
    "wild.example": { "mode": "enforce", "mxs": ["mx.wild.example", ".in.wild.example"] },
    "big.example": { "policy-alias": "big" }
  }
}"#;

const DAY: Moment = Moment(1_590_364_800);

#[test]
fn a_list_is_read_and_aliases_are_followed() {
    let list = PolicyList::read(LIST.as_bytes()).unwrap();
    assert_eq!((list.timestamp, list.expires), (Moment(1_589_995_512), Moment(1_591_205_112)));
    assert_eq!((list.policies.len(), list.enforced()), (3, 2));
    let big = &list.policies[&"big.example".parse().unwrap()];
    assert_eq!(big.mode, ListMode::Testing);
    for (mx, expected) in [("a.mail.big.example", true), ("mail.big.example", false), ("a.b.mail.big.example", false)] {
        assert_eq!(big.mxs[0].matches(&mx.parse().unwrap()), expected, "{mx}");
    }
}

#[test]
fn what_the_schema_forbids_is_refused() {
    for (from, to, says) in [
        ("\"0.1\"", "\"0.2\"", "its version is \"0.2\""),
        ("\"author\"", "\"writer\"", "unknown field `writer`"),
        ("\"expires\": 1591205112,", "", "missing field `expires`"),
        ("1591205112", "-1", "data did not match"),
        ("2020-05-20T10:25:12.123456-07:00", "2020-05-20T10:25:12", "no time with a zone"),
        ("\"policy-aliases\"", "\"aliases\"", "unknown field `aliases`"),
        ("\"policy-alias\": \"big\"", "\"policy-alias\": \"none\"", "which is not there"),
        ("\"policy-alias\": \"big\"", "\"policy-alias\": \"big\", \"mode\": \"testing\"", "did not match"),
        ("\"mode\": \"enforce\"", "\"mode\": \"none\"", "did not match"),
        ("[\".mail.big.example\"]", "[]", "are none"),
        ("\"mx1.small.example\"", "\"mx2.small.example\"", "twice"),
        ("\"mx1.small.example\"", "\"*.small.example\"", "did not match"),
        ("\"mx1.small.example\"", "\"small\"", "did not match"),
        ("\"wild.example\"", "\"small.example\"", "stands there twice"),
        ("\"wild.example\"", "\"not a domain\"", "is not a DNS name"),
        ("}\n}", "}\n", "EOF"),
    ] {
        assert!(LIST.contains(from), "{from}");
        let error = PolicyList::read(LIST.replacen(from, to, 1).as_bytes()).expect_err(to).to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
    assert_eq!(PolicyList::read(&vec![b' '; LARGEST + 1]), Err(NotAList::TooLarge));
}

#[test]
fn time_goes_one_way() {
    let list = PolicyList::read(LIST.as_bytes()).unwrap();
    let second = |s: u64| Moment(list.timestamp.0 + s);
    assert_eq!(list.fit(DAY, None), Ok(()));
    assert_eq!(list.fit(DAY, Some(list.timestamp)), Ok(()));
    assert!(matches!(list.fit(DAY, Some(second(1))), Err(Unfit::Older { .. })));
    assert!(matches!(list.fit(list.expires, None), Err(Unfit::Expired { .. })));
    assert!(matches!(list.fit(Moment(list.timestamp.0 - 3601), None), Err(Unfit::Early { .. })));
    assert_eq!(list.fit(Moment(list.timestamp.0 - 3600), None), Ok(()));
}

#[test]
fn an_entry_is_read_back() {
    let policy = ListPolicy { mode: ListMode::Testing, mxs: vec!["mx.example.org".parse().unwrap()] };
    let text = entry(&"example.org".parse().unwrap(), &policy);
    let inside = format!("{{\"version\":\"0.1\",\"timestamp\":1,\"expires\":2,\"policy-aliases\":{{}},\"policies\":{}}}", text.trim());
    assert_eq!(PolicyList::read(inside.as_bytes()).unwrap().policies.into_values().collect::<Vec<_>>(), [policy]);
}

#[test]
fn any_bytes_are_read() {
    let mut chance = Chance::new();
    let bytes = LIST.as_bytes();
    for _ in 0..3000 {
        let mut damaged = bytes.to_vec();
        for _ in 0..=chance.below(3) {
            let at = chance.below(damaged.len());
            match chance.below(3) {
                0 => damaged[at] = u8::try_from(chance.below(256)).unwrap(),
                1 => damaged.truncate(at.max(1)),
                _ => damaged.insert(at, b"\"{}[],:x1"[chance.below(9)]),
            }
        }
        if let Ok(list) = PolicyList::read(&damaged) {
            let _ = list.fit(DAY, None);
        }
    }
}

/// A real list, where one is at hand: `MXSEAL_POLICY_LIST` is its path, and the clock is that of its last week.
#[test]
fn the_last_list_of_the_eff_passes() {
    let Some(path) = std::env::var_os("MXSEAL_POLICY_LIST") else { return };
    let list = PolicyList::read(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((list.policies.len(), list.enforced(), list.fit(DAY, None)), (926, 361, Ok(())));
    assert!(matches!(list.fit(Moment(1_800_000_000), None), Err(Unfit::Expired { .. })));
}

#[test]
fn only_the_whole_fingerprint_of_the_signer_counts() {
    let primary = "B693F33372E965D76D55368616EEA65D03326C9D";
    let sub = "2C319DE47066C200DFDC4D6B842AEA40C5BCD6E1";
    let good = format!(
        "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 842AEA40C5BCD6E1 Somebody\n[GNUPG:] VALIDSIG {sub} 2020-05-20 1589995512 0 4 0 1 10 00 {primary}\n"
    );
    for (fingerprint, status, expected) in [
        (primary, good.clone(), true),
        (&format!("0x{}", primary.to_lowercase()), good.clone(), true),
        (sub, good.clone(), true),
        (&"A".repeat(40), good.clone(), false),
        (primary, good.replace("GOODSIG", "EXPKEYSIG"), false),
        (primary, good.replace("GOODSIG", "REVKEYSIG"), false),
        (primary, good.replace("GOODSIG", "BADSIG"), false),
        (primary, good.lines().take(2).collect::<Vec<_>>().join("\n"), false),
        (primary, format!("{good}[GNUPG:] ERRSIG 0 1 2\n"), false),
        (primary, format!("{good}{good}"), false),
        (primary, String::new(), false),
    ] {
        assert_eq!(fingerprint.parse::<Fingerprint>().unwrap().signed(&status), expected, "{fingerprint} {status}");
    }
    for short in ["", "C5BCD6E1", "842AEA40C5BCD6E1", &"g".repeat(40)] {
        assert!(short.parse::<Fingerprint>().is_err(), "{short}");
    }
}
