//! Replies as records: pure.

use super::weaker;
use crate::{
    facts::{Answer, Security, Tlsa, Whereabouts},
    name::DnsName,
    policy::quoted,
    record::Text,
};
use hickory_proto::{
    op::Message,
    rr::{
        Name, RData, RecordType,
        rdata::{CAA, TLSA, TXT},
    },
};
use std::str::FromStr as _;

/// Longer chains of CNAMEs are loops or worse.
pub(super) const LONGEST_CHAIN: usize = 16;

/// A label that nobody uses: below a name that is there nothing has it, and below one that is not it is covered by the same wildcard
/// (RFC 4592 §3.3.1).
pub(super) const NOBODYS: &str = "_mxseal-nobody";

/// Whether an answer about [`NOBODYS`] name shows a wildcard. A DNAME has everything below it too (RFC 6672).
pub(super) fn is_from_wildcard(message: &Message) -> bool {
    !message.answers.is_empty() && !message.answers.iter().any(|r| r.record_type() == RecordType::DNAME)
}

/// The records of `kind` where the CNAME chain of `asked` ends, with the smallest TTL on the way. Where there is none,
/// the TTL is how long their absence may be believed (RFC 2308 §5).
pub(super) fn answer<T>(
    message: &Message,
    asked: &DnsName,
    kind: RecordType,
    security: Security,
    read: impl Fn(&RData) -> Result<Option<T>, String>,
) -> Result<Answer<T>, String> {
    let (owner, mut ttl) = end_of_chain(message, asked, kind)?;
    let mut records = Vec::new();
    let mut any = false;
    for record in message.answers.iter().filter(|r| r.name == owner && r.record_type() == kind) {
        any = true;
        ttl = ttl.min(record.ttl);
        records.extend(read(&record.data)?);
    }
    if !any {
        let absence = message.authorities.iter().find_map(|r| match &r.data {
            RData::SOA(soa) => Some(r.ttl.min(soa.minimum)),
            _ => None,
        });
        ttl = ttl.min(absence.unwrap_or(0));
    }
    Ok(Answer { records, security, ttl })
}

/// The name where the CNAME chain of `asked` ends, with the smallest TTL on the way.
fn end_of_chain(message: &Message, asked: &DnsName, kind: RecordType) -> Result<(Name, u32), String> {
    let mut owner = Name::from_str(&asked.absolute()).map_err(|e| e.to_string())?;
    let mut ttl = u32::MAX;
    for _ in 0..LONGEST_CHAIN {
        let Some((cname, target)) = message.answers.iter().find_map(|r| match &r.data {
            RData::CNAME(c) if r.name == owner && kind != RecordType::CNAME => Some((r, &c.0)),
            _ => None,
        }) else {
            break;
        };
        ttl = ttl.min(cname.ttl);
        owner = target.clone();
    }
    Ok((owner, ttl))
}

/// The end of the CNAME chain of `asked` and the zone that holds it, from a reply to the question for its SOA: the record
/// itself at the apex of a zone, and beside every denial below it.
pub(super) fn whereabouts(message: &Message, asked: &DnsName) -> Result<Whereabouts, String> {
    let (owner, _) = end_of_chain(message, asked, RecordType::SOA)?;
    let all = message.answers.iter().chain(&message.authorities);
    let soa = all.filter(|r| matches!(r.data, RData::SOA(_)) && r.name.zone_of(&owner)).max_by_key(|r| r.name.num_labels());
    let zone = host(&soa.ok_or("no SOA record of a zone above it is there")?.name)?;
    Ok(Whereabouts { owner: host(&owner)?, zone })
}

/// Two answers as one.
pub(super) fn joined<T>(mut a: Answer<T>, b: Answer<T>) -> Answer<T> {
    let ttl = match (a.records.is_empty(), b.records.is_empty()) {
        (false, true) => a.ttl,
        (true, false) => b.ttl,
        _ => a.ttl.min(b.ttl),
    };
    a.records.extend(b.records);
    Answer { records: a.records, security: weaker(a.security, b.security), ttl }
}

/// A name in a record as a host name.
pub(super) fn host(name: &Name) -> Result<DnsName, String> {
    name.to_ascii().parse().map_err(|e: crate::name::NotADnsName| e.to_string())
}

pub(super) fn tlsa(t: &TLSA) -> Tlsa {
    Tlsa {
        usage: t.cert_usage.into(),
        selector: t.selector.into(),
        matching: t.matching.into(),
        data: data_encoding::HEXLOWER.encode(&t.cert_data),
    }
}

pub(super) fn txt(t: &TXT) -> Text {
    Text::of_strings(t.txt_data.iter().map(AsRef::as_ref))
}

/// As in a zone file (RFC 8659 §4.1.1).
pub(super) fn caa(c: &CAA) -> String {
    format!("{} {} {}", c.flags(), c.tag, quoted(&c.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::{
        Record,
        rdata::{A, CNAME, MX, SOA},
    };

    fn n(text: &str) -> Name {
        Name::from_str(text).unwrap()
    }

    fn message(answers: Vec<(&str, u32, RData)>, authority: Option<(u32, u32)>) -> Message {
        let mut m = Message::query();
        m.insert_answers(answers.into_iter().map(|(name, ttl, data)| Record::from_rdata(n(name), ttl, data)).collect());
        if let Some((ttl, minimum)) = authority {
            let soa = SOA::new(n("ns.example."), n("h.example."), 1, 1, 1, 1, minimum);
            m.insert_authorities(vec![Record::from_rdata(n("example."), ttl, RData::SOA(soa))]);
        }
        m
    }

    proptest::proptest! {
        #[test]
        fn any_message_is_read_in_peace(flips in proptest::collection::vec((0_usize..200, proptest::num::u8::ANY), 0..6)) {
            let cname = RData::CNAME(CNAME(n("b.example.")));
            let a = RData::A(A::new(192, 0, 2, 1));
            let mut bytes = message(vec![("mx.example.", 5, cname), ("b.example.", 60, a)], Some((60, 5))).to_vec().expect("a message");
            for (at, with) in flips {
                let at = at % bytes.len();
                bytes[at] ^= with;
            }
            let asked = "mx.example".parse().expect("a name");
            if let Ok(read) = Message::from_vec(&bytes) {
                let _ = answer(&read, &asked, RecordType::A, Security::Secure, |_| Ok(Some(())));
                let _ = whereabouts(&read, &asked);
            }
        }
    }

    #[test]
    fn records_are_those_at_the_end_of_the_chain() {
        let a = |last| RData::A(A::new(192, 0, 2, last));
        let cname = |to: &str| RData::CNAME(CNAME(n(to)));
        #[allow(clippy::type_complexity)]
        let table: Vec<(&str, Vec<(&str, u32, RData)>, Option<(u32, u32)>, Vec<u8>, u32)> = vec![
            ("plain", vec![("mx.example.", 60, a(1)), ("MX.example.", 30, a(2))], None, vec![1, 2], 30),
            ("cname", vec![("mx.example.", 5, cname("b.example.")), ("b.example.", 60, a(3))], None, vec![3], 5),
            ("stray", vec![("other.example.", 60, a(4))], Some((90, 20)), vec![], 20),
            ("nodata", vec![], Some((10, 300)), vec![], 10),
            ("nothing at all", vec![], None, vec![], 0),
            ("cname to nothing", vec![("mx.example.", 7, cname("b.example."))], Some((300, 300)), vec![], 7),
            ("loop", vec![("mx.example.", 7, cname("mx.example."))], None, vec![], 0),
        ];
        for (what, answers, authority, expected, ttl) in table {
            let got = answer(&message(answers, authority), &"mx.example".parse().unwrap(), RecordType::A, Security::Secure, |d| {
                Ok(if let RData::A(a) = d { Some(a.0.octets()[3]) } else { None })
            })
            .unwrap();
            assert_eq!((got.records, got.ttl), (expected, ttl), "{what}");
        }
    }

    #[test]
    fn the_zone_is_that_of_the_end_of_the_chain() {
        let cname = |to: &str| RData::CNAME(CNAME(n(to)));
        let soa = || RData::SOA(SOA::new(n("ns.example."), n("h.example."), 1, 1, 1, 1, 5));
        let found = |asked: &str, message: &Message| {
            whereabouts(message, &asked.parse().unwrap()).ok().map(|w| (w.owner.to_string(), w.zone.to_string()))
        };
        let own = |owner: &str, zone: &str| Some((owner.to_owned(), zone.to_owned()));
        assert_eq!(found("example", &message(vec![("example.", 60, soa())], None)), own("example", "example"));
        assert_eq!(found("_mta-sts.a.example", &message(vec![], Some((60, 5)))), own("_mta-sts.a.example", "example"));
        let elsewhere = message(vec![("_mta-sts.a.test.", 60, cname("sts.b.example."))], Some((60, 5)));
        assert_eq!(found("_mta-sts.a.test", &elsewhere), own("sts.b.example", "example"));
        assert_eq!(found("a.test", &message(vec![], Some((60, 5)))), None);
    }

    #[test]
    fn a_name_that_is_no_host_is_said() {
        let m =
            message(vec![("example.", 60, RData::MX(MX::new(10, Name::from_labels(["bad host".as_bytes(), b"example"]).unwrap())))], None);
        let got = answer(&m, &"example".parse().unwrap(), RecordType::MX, Security::Secure, |d| match d {
            RData::MX(mx) => host(&mx.exchange).map(Some),
            _ => Ok(None),
        });
        assert!(got.unwrap_err().contains("is not a DNS name"));
    }

    #[test]
    fn caa_reads_back_as_in_a_zone_file() {
        for (value, expected) in [("letsencrypt.org", r#"0 issue "letsencrypt.org""#), ("a\"b\\c\u{7}", r#"0 issue "a\"b\\c\007""#)] {
            let mut c = CAA::new_issue(false, None, Vec::new());
            c.value = value.as_bytes().to_vec();
            assert_eq!(caa(&c), expected);
        }
    }

    #[test]
    fn a_whole_is_as_secure_as_its_weakest_part() {
        use Security::{Bogus, Insecure, Secure, Unknown};
        for (a, b, expected) in [
            (Secure, Secure, Secure),
            (Secure, Insecure, Insecure),
            (Unknown, Insecure, Unknown),
            (Secure, Unknown, Unknown),
            (Bogus, Unknown, Bogus),
        ] {
            assert_eq!((weaker(a, b), weaker(b, a)), (expected, expected));
        }
    }
}
