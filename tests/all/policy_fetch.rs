//! The policy as senders fetch it: what web servers get wrong is told, address by address, and counts as no policy.

use crate::lab::{
    authority::{Authority, Issued},
    dns::own_loopback,
    web::serve_by,
};
use mxseal::{
    certificate::KeyType,
    policy::{Fetched, sts_policy::LARGEST},
    publish::fetch,
    world::Net,
};
use std::{
    net::{IpAddr, Ipv4Addr, TcpListener},
    sync::mpsc::channel,
};

const POLICY: &str = "version: STSv1\nmode: testing\nmx: mx.example.test\nmax_age: 86400\n";
const NAME: &str = "mta-sts.example.test";

/// A web server at an address of its own. `status` may bring header fields along.
fn serve(issued: &Issued, status: &str, media: &'static str, body: &str) -> Ipv4Addr {
    let (host, status, body) = (own_loopback(), status.to_owned(), body.as_bytes().to_vec());
    serve_by(TcpListener::bind((host, 443)).unwrap(), issued, move |_, _| (status.clone(), media, body.clone()));
    host
}

/// The mode of the policy, or why there is none.
fn fetched(net: &Net, hosts: &[impl Into<IpAddr> + Copy]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let addresses: Vec<IpAddr> = hosts.iter().map(|&h| h.into()).collect();
    match runtime.block_on(fetch::policy(net, &"example.test".parse().unwrap(), &addresses)) {
        Fetched::Policy { reading, unasked } => {
            let mode = reading.strict().map_or_else(|| "refused".to_owned(), |p| p.mode.to_string());
            unasked.iter().fold(mode, |said, at| format!("{said}, not asked: {at}"))
        }
        Fetched::Nothing(why) => why,
        Fetched::Untold(why) => format!("untold: {why}"),
    }
}

#[test]
fn only_a_policy_that_every_sender_takes_is_one() {
    let authority = Authority::new();
    let good = authority.issue(&[NAME], KeyType::Ecdsa);
    let any = authority.issue(&["*.example.test"], KeyType::Ecdsa);
    let other = authority.issue(&["mta-sts.example.net"], KeyType::Ecdsa);
    let stranger = Authority::new().issue(&[NAME], KeyType::Ecdsa);
    let past = authority.issue_with(&[NAME], KeyType::Ecdsa, |p| p.not_after = rcgen::date_time_ymd(2020, 5, 25));
    let large = POLICY.to_owned() + &"x".repeat(LARGEST);
    for (issued, status, media, body, expected) in [
        (&good, "200 OK", "text/plain", POLICY, "testing"),
        (&good, "200 OK\r\nSet-Cookie: a=b", "Text/Plain; charset=\"utf-8\"", POLICY, "testing"),
        (&any, "200 OK", "text/plain", POLICY, "testing"),
        (&good, "301 Moved\r\nLocation: https://www.example.test/", "text/plain", POLICY, "it redirects to \"https://www.example.test/\""),
        (&good, "307 Moved", "text/plain", POLICY, "it redirects to \"nowhere\""),
        (&good, "204 No Content", "text/plain", "", "the answer is 204 No Content, and only 200 counts"),
        (&good, "503 Busy", "text/plain", POLICY, "the answer is 503"),
        (&good, "200 OK", "text/html", POLICY, "its media type is \"text/html\""),
        (&good, "200 OK", "text/plainer", POLICY, "its media type is \"text/plainer\""),
        (&good, "200 OK", "", POLICY, "its media type is \"\""),
        (&good, "200 OK\r\nContent-Encoding: gzip", "text/plain", "\u{1f}\u{8b}", "refused"),
        (&good, "200 OK", "text/plain", "<html>", "refused"),
        (&good, "200 OK", "text/plain", &large, "it did not come whole within 65537 bytes"),
        (&other, "200 OK", "text/plain", POLICY, "no TLS that verifies: invalid peer certificate: certificate not valid for name"),
        (&past, "200 OK", "text/plain", POLICY, "no TLS that verifies: invalid peer certificate: certificate expired"),
        (&stranger, "200 OK", "text/plain", POLICY, "no TLS that verifies: invalid peer certificate: UnknownIssuer"),
    ] {
        let said = fetched(&authority.net(), &[serve(issued, status, media, body)]);
        let means = said == expected
            || (said.starts_with("https://mta-sts.example.test/.well-known/mta-sts.txt at 127.") && said.contains(expected));
        assert!(means, "{status:?} {media:?} {expected:?}: {said}");
    }
}

/// Every address is asked on its own: one that fails is named beside those that serve, and those that are slow are waited for together.
#[test]
fn every_address_is_asked_on_its_own() {
    let authority = Authority::new();
    let (net, issued) = (authority.net(), authority.issue(&[NAME], KeyType::Ecdsa));
    let good = [(); 2].map(|()| serve(&issued, "200 OK", "text/plain", POLICY));
    let closed = own_loopback();
    assert_eq!(fetched(&net, &good), "testing");
    let said = fetched(&net, &[good[0], closed, good[1]]);
    assert!(said.contains(&format!("at {closed}: Connection refused")), "{said}");
    assert!(good.iter().all(|at| said.contains(&at.to_string())) && said.contains("; it comes from "), "{said}");
    let older = serve(&issued, "200 OK", "text/plain", &POLICY.replace("86400", "86401"));
    let said = fetched(&net, &[good[0], older]);
    assert!(said.contains("serve different policies"), "{said}");

    // Where nothing leads to, nobody can tell what is served. No TCP goes to everybody.
    let nowhere = Ipv4Addr::new(255, 255, 255, 255);
    assert_eq!(fetched(&net, &[good[0], nowhere]), format!("testing, not asked: {nowhere}"));
    let said = fetched(&net, &[nowhere]);
    assert!(said.starts_with(&format!("untold: from this host nothing leads to {nowhere}")), "{said}");
    let said = fetched(&net, &[closed, nowhere]);
    assert!(said.contains("Connection refused"), "{said}");
    assert_eq!(fetched(&net, &[] as &[IpAddr]), "mta-sts.example.test has no address");

    let (release, held) = channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    let slow = [(); 3].map(|()| {
        let (host, held) = (own_loopback(), held.clone());
        serve_by(TcpListener::bind((host, 443)).unwrap(), &issued, move |_, _| {
            let _ = held.lock().unwrap().recv();
            ("200 OK".to_owned(), "text/plain", Vec::new())
        });
        host
    });
    let began = std::time::Instant::now();
    let said = fetched(&net, &slow);
    drop(release);
    assert_eq!(said.matches("there was no whole answer within 10 s").count(), 3, "{said}");
    assert!(began.elapsed().as_secs() < 25, "one after the other: {:?}", began.elapsed());
}
