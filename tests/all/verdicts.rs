//! The verifier says what is wrong with a certificate, in words, and goes on; only a key that the server does not hold
//! ends the conversation.

use crate::lab::authority::{Authority, Issued, self_signed};
use mxseal::{
    certificate::{KeyType, pem_certificates},
    name::DnsName,
    smtp::converse,
    view::{EndpointView, Judged, Offer, Probe, Wire},
};
use rustls::{
    ServerConfig, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

const MX: &str = "mx.example.test";

#[test]
fn what_is_wrong_is_said_in_words() {
    let authority = Authority::new();
    let good = authority.issue(&[MX], KeyType::Ecdsa);
    let first = good.chain.find("-----END CERTIFICATE-----").unwrap() + "-----END CERTIFICATE-----\n".len();
    let alone = good.chain[..first].to_owned();
    let expired = authority.issue_with(&[MX], KeyType::Ecdsa, |p| p.not_after = rcgen::date_time_ymd(2021, 2, 3));
    let early = authority.issue_with(&[MX], KeyType::Ecdsa, |p| p.not_before = rcgen::date_time_ymd(2090, 2, 3));
    let client = authority.issue_with(&[MX], KeyType::Ecdsa, |p| p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]);
    let other = authority.issue(&["mail.example.test", "smtp.example.test"], KeyType::Rsa);
    let wild = authority.issue(&["*.example.test"], KeyType::Ecdsa);
    let stranger = Authority::new().issue(&[MX], KeyType::Ecdsa);
    let fine = "Good";
    for (what, issued, chain, trusted, named) in [
        ("good", &good, None, fine, fine),
        ("a wildcard", &wild, None, fine, fine),
        ("no intermediate", &good, Some(&alone), "the server sends no intermediate certificate", fine),
        ("expired", &expired, None, "expired at 2021-02-03", fine),
        ("not yet valid", &early, None, "valid only from 2090-02-03", fine),
        ("for clients", &client, None, "not issued for servers", fine),
        ("other names", &other, None, fine, "covers mail.example.test, smtp.example.test, not mx.example.test"),
        ("another CA", &stranger, None, "the chain ends in no root known here", fine),
        ("self-signed", &self_signed(&[MX], KeyType::Rsa, false), None, "it is self-signed", fine),
        ("self-signed by OpenSSL", &self_signed(&[MX], KeyType::Ecdsa, true), None, "it is self-signed", fine),
    ] {
        let view = ask(&authority, server(chain.unwrap_or(&issued.chain), &issued.key, false), MX, Offer::Any);
        let tls = view.tls.value().unwrap_or_else(|| panic!("{what}: {view:#?}"));
        assert_eq!(tls.chain[0].serial, issued.presented.serial, "{what}");
        assert_eq!(view.greeting.value().map(|g| g.code), Some(220), "{what}: the conversation goes on");
        for (verdict, expected) in [(&tls.trusted, trusted), (&tls.named, named)] {
            match verdict.value().unwrap_or_else(|| panic!("{what}: {verdict:?}")) {
                Judged::Good => assert_eq!(expected, fine, "{what}"),
                Judged::Bad(why) => assert!(why.contains(expected), "{what}: {why}"),
            }
        }
    }
}

#[test]
fn a_key_that_the_server_does_not_hold_ends_it() {
    let authority = Authority::new();
    let (shown, held) = (authority.issue(&[MX], KeyType::Ecdsa), authority.issue(&[MX], KeyType::Ecdsa));
    let view = ask(&authority, server(&shown.chain, &held.key, false), MX, Offer::Any);
    assert!(view.tls.value().is_none() && view.broke.as_deref().is_some_and(|b| b.contains("does not hold the key")), "{view:#?}");
}

#[test]
fn an_offer_of_one_key_type_shows_that_type() {
    let authority = Authority::new();
    let both = [KeyType::Ecdsa, KeyType::Rsa].map(|t| (t, authority.issue(&[MX], t)));
    for (has, Issued { chain, key, .. }) in &both {
        for (offer, wants) in [(Offer::Ecdsa, KeyType::Ecdsa), (Offer::Rsa, KeyType::Rsa)] {
            let view = ask(&authority, server(chain, key, false), MX, offer);
            assert_eq!(view.leaf().map(|l| l.key_type), (*has == wants).then_some(wants), "{offer:?} to {has}: {view:#?}");
            assert!(!view.silent());
        }
    }
}

#[test]
fn a_middlebox_that_drops_a_large_hello() {
    let authority = Authority::new();
    let Issued { chain, key, .. } = authority.issue(&[MX], KeyType::Ecdsa);
    let view = ask(&authority, server(&chain, &key, true), MX, Offer::Any);
    let mxseal::facts::Known::Seen { value, at } = &view.tls else { panic!("{view:#?}") };
    assert!(at.contains("without post-quantum key exchange; with it, "), "{at}");
    assert_eq!(value.group, "X25519");
}

#[test]
fn names_that_tls_does_not_take() {
    let authority = Authority::new();
    let Issued { chain, key, .. } = authority.issue(&[MX], KeyType::Ecdsa);
    for name in ["_25._tcp.mx.example.test", "1.2.3.test", "localhost"] {
        let view = ask(&authority, server(&chain, &key, false), name, Offer::Any);
        assert!(matches!(view.tls.value().and_then(|t| t.named.value()), Some(Judged::Bad(_))), "{name}: {view:#?}");
    }
}

fn ask(authority: &Authority, addr: SocketAddr, name: &str, offer: Offer) -> EndpointView {
    let name: DnsName = name.parse().unwrap();
    let probe = Probe { addr, wire: Wire::Implicit, name, sni: true, offer, postmaster_of: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(converse(&authority.net(), &probe, Duration::from_secs(5)))
}

/// A server with implicit TLS that greets, for two connections. With `small`, the first hello of more than a packet
/// ends its connection.
fn server(chain: &str, key: &str, small: bool) -> SocketAddr {
    #[derive(Debug)]
    struct Always(Arc<CertifiedKey>);
    impl ResolvesServerCert for Always {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let chain: Vec<_> = pem_certificates(chain.as_bytes()).unwrap().into_iter().map(CertificateDer::from).collect();
    let key = aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(chain, key)))));
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for peer in listener.incoming().take(2) {
            serve(peer.unwrap(), &config, small);
        }
    });
    addr
}

fn serve(mut peer: TcpStream, config: &Arc<ServerConfig>, small: bool) {
    let mut hello = [0; 1400];
    if small && peer.peek(&mut hello).unwrap() == hello.len() {
        let _ = peer.read(&mut hello);
        return;
    }
    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut tls = rustls::Stream::new(&mut connection, &mut peer);
    if tls.write_all(b"220 mx\r\n").is_ok() {
        let _ = tls.read(&mut hello);
    }
}
