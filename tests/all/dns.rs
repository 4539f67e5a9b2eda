//! The resolver's answers against a real validating resolver.

use crate::lab::{
    authority::net_with,
    dns::{Dns, Signed},
    ports::free_port,
};
use mxseal::{
    dns::Resolver,
    facts::{Answer, Known, Security},
    name::DnsName,
    world::Net,
};
use rustls::RootCertStore;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// A network that asks only `resolver`.
pub fn net(resolver: SocketAddr) -> Net {
    Net { resolver: Some(resolver), ..net_with(RootCertStore::empty()) }
}

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn here<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn seen<T>(known: Known<Answer<T>>) -> Answer<T> {
    match known {
        Known::Seen { value, .. } => value,
        Known::Unknown { why } => panic!("unknown: {why}"),
    }
}

fn ask_at(resolver: SocketAddr) -> Resolver {
    Resolver::new(&net(resolver)).unwrap()
}

/// The same, starting from the lab's root.
fn ask(dns: &Dns) -> Resolver {
    Resolver::new(&dns.net(net(dns.resolver))).unwrap()
}

/// Whether an answer was published with this TTL: what a cache has of it grows old, and slow machines take seconds.
fn aged(got: u32, published: u32) -> bool {
    got <= published && published - got < 15
}

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn answers_carry_their_dnssec_state() {
    let zone = "@ MX 20 mx2\n@ MX 10 mx1\nmx1 60 A 192.0.2.25\nmx1 AAAA 2001:db8::25\nalias 30 CNAME mx1\nvoid MX 0 .\n\
                @ CAA 0 issue \"letsencrypt.org\"\n_smtp._tls TXT \"v=TLSRPTv1; \" \"rua=mailto:a@example.test\"\n";
    let dns = Dns::start(&[("example.test", zone, Signed::Yes), ("plain.test", zone, Signed::No), ("bogus.test", zone, Signed::Wrong)]);
    here(async {
        let r = ask(&dns);
        for (zone, state) in [("example.test", Security::Secure), ("plain.test", Security::Insecure), ("bogus.test", Security::Bogus)] {
            let sub = |label: &str| name(&format!("{label}.{zone}"));
            let mx = seen(r.mx(&name(zone)).await);
            assert_eq!(mx.records, vec![(10, sub("mx1")), (20, sub("mx2"))]);
            assert_eq!((mx.security, aged(mx.ttl, 300)), (state, true), "{zone}: {}", mx.ttl);

            let a = seen(r.addresses(&sub("mx1")).await);
            assert_eq!(a.records, vec!["192.0.2.25".parse::<std::net::IpAddr>().unwrap(), "2001:db8::25".parse().unwrap()]);
            assert_eq!((a.security, aged(a.ttl, 60)), (state, true), "{zone}: {}", a.ttl);
            let alias = seen(r.addresses(&sub("alias")).await);
            assert_eq!((alias.records.len(), aged(alias.ttl, 30)), (2, true), "{zone}: {}", alias.ttl);

            for absent in [seen(r.addresses(&sub("nope")).await), seen(r.addresses(&sub("_smtp._tls")).await)] {
                assert_eq!((absent.records, absent.security, aged(absent.ttl, 5)), (vec![], state, true), "{zone}: {}", absent.ttl);
            }
            assert_eq!(seen(r.mx(&sub("void")).await).records, vec![], "{zone}: a null MX");
            let texts = seen(r.txt(&sub("_smtp._tls")).await).records;
            assert_eq!(
                texts.iter().map(mxseal::publish::Text::as_str).collect::<Vec<_>>(),
                ["v=TLSRPTv1; rua=mailto:a@example.test"],
                "{zone}"
            );

            let caa = seen(r.caa(&sub("deep.below.mx1")).await);
            assert_eq!((caa.records, caa.security), (vec!["0 issue \"letsencrypt.org\"".to_owned()], state), "{zone}");
        }
        dns.set("example.test", "_25._tcp.mx1", "TLSA", 120, &[&format!("3 1 1 {KEY}")]);
        let tlsa = seen(r.tlsa(&name("_25._tcp.mx1.example.test")).await);
        assert_eq!(tlsa.records.iter().map(ToString::to_string).collect::<Vec<_>>(), vec![format!("3 1 1 {KEY}")]);
        assert_eq!((tlsa.security, aged(tlsa.ttl, 120)), (Security::Secure, true), "{}", tlsa.ttl);
        dns.set("example.test", "_25._tcp.mx1", "TLSA", 120, &[]);
        assert_eq!(seen(r.tlsa(&name("_25._tcp.mx1.example.test")).await).records, vec![]);
    });
}

/// Every kind of answer and of absence, behind aliases too; in zones that prove absence in either way.
#[test]
fn our_own_validation_agrees() {
    let zone = "mx A 192.0.2.25\nto CNAME mx\nnowhere CNAME gone\naway CNAME mx.other.test.\nout CNAME mx.plain.test.\n\
                *.wild TXT \"any\"\ndeep.ent TXT \"below\"\n";
    let dns = Dns::start(&[
        ("nsec.test", zone, Signed::Yes),
        ("nsec3.test", zone, Signed::Nsec3),
        ("other.test", "mx A 192.0.2.26\n", Signed::Nsec3),
        ("plain.test", "mx A 192.0.2.27\n", Signed::No),
    ]);
    let validating = ask(&dns);
    // Somebody who starts from another root finds no way to it, whatever the resolver says.
    let elsewhere = ask_at(dns.resolver);
    here(async {
        for zone in ["nsec.test", "nsec3.test"] {
            for (label, addresses) in
                [("mx", 1), ("to", 1), ("nowhere", 0), ("away", 1), ("absent", 0), ("a.b.absent", 0), ("x.wild", 0), ("ent", 0)]
            {
                let owner = name(&format!("{label}.{zone}"));
                let known = validating.addresses(&owner).await;
                let answer = known.value().unwrap_or_else(|| panic!("{known:?}"));
                assert_eq!((answer.records.len(), answer.security), (addresses, Security::Secure), "{owner}: {known:?}");
                let known = elsewhere.addresses(&owner).await;
                let Known::Seen { value, at } = &known else { panic!("{known:?}") };
                assert_eq!((value.records.len(), value.security), (addresses, Security::Unknown), "{owner}: {known:?}");
                assert!(at.contains("says that it is signed; our own validation"), "{owner}: {at}");
            }
            assert_eq!(seen(validating.addresses(&name(&format!("out.{zone}"))).await).security, Security::Insecure, "{zone}");
        }
        // A record made from a wildcard is beyond our own validation where NSEC shows that nothing is nearer.
        for (zone, security) in [("nsec.test", Security::Unknown), ("nsec3.test", Security::Secure)] {
            let text = seen(validating.txt(&name(&format!("x.wild.{zone}"))).await);
            assert_eq!((text.records, text.security), (vec!["any".into()], security), "{zone}");
        }
    });
}

#[test]
fn an_answer_too_large_for_udp_comes_whole() {
    let many: String = (0..120).map(|i| format!("@ TXT \"{i:0>60}\"\n")).collect();
    let dns = Dns::start(&[("large.test", &many, Signed::Yes)]);
    let all = here(async { seen(ask(&dns).txt(&name("large.test")).await) });
    assert_eq!((all.records.len(), all.security), (120, Security::Secure));
}

#[test]
fn who_does_not_validate_proves_nothing() {
    let dns = Dns::start(&[("example.test", "@ MX 10 mx1\n", Signed::Yes)]);
    let mx = here(async { seen(ask_at(dns.authority).mx(&name("example.test")).await) });
    assert_eq!((mx.records.len(), mx.security), (1, Security::Unknown));
}

#[test]
fn silence_is_unknown_and_ends_in_time() {
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let known = here(async { ask_at(deaf.local_addr().unwrap()).mx(&name("example.test")).await });
    let Known::Unknown { why } = known else { panic!("{known:?}") };
    assert!(why.contains("did not answer MX of example.test"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn absence_is_an_answer_and_a_closed_port_is_none() {
    let dns = Dns::start(&[("example.test", "", Signed::Yes)]);
    let known = here(async { ask_at(dns.authority).txt(&name("example.org.invalid")).await });
    // The lab's root is authoritative for it: proven absence, not a refusal.
    assert_eq!(seen(known).records, vec![]);
    let closed = free_port();
    let known = here(async { ask_at(closed).txt(&name("example.test")).await });
    assert!(matches!(known, Known::Unknown { .. }), "{known:?}");
}

#[test]
fn the_hosts_file_is_never_read() {
    let dns = Dns::start(&[("example.test", "", Signed::Yes)]);
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    assert!(hosts.contains("localhost"), "this test needs a name in /etc/hosts");
    let answer = here(async { seen(ask_at(dns.resolver).addresses(&name("ip6-localhost")).await) });
    assert_eq!(answer.records, Vec::<std::net::IpAddr>::new());
}
