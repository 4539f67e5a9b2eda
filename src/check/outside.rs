//! What no conversation from this host can show. Pure.

use crate::{
    change::{Expect, Want},
    facts::Service,
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    view::Wire,
};
use std::collections::BTreeSet;

/// What stays unknown after a proof on this host: what senders elsewhere are shown. A finding for each name and port that is
/// ours now, and one for each service that
/// tests strangers.
#[must_use]
pub fn outside(expect: &[Expect], services: &[Service]) -> Vec<Finding> {
    let ours = |e: &&Expect| matches!(e.want, Want::Ours(_)) && e.wire == Wire::StartTls && e.domain.is_some();
    let asked: BTreeSet<(&DnsName, u16)> = expect.iter().filter(ours).map(|e| (&e.name, e.addr.port())).collect();
    let mut unknown: Vec<Finding> = asked.iter().map(|(name, port)| elsewhere(name, *port)).collect();
    if !asked.is_empty() {
        unknown.extend(services.iter().filter(|s| s.tests_strangers).map(exempt));
    }
    unknown
}

fn elsewhere(name: &DnsName, port: u16) -> Finding {
    let command = format!(
        "openssl s_client -brief -starttls smtp -connect {name}:{port} -servername {name} -verify_hostname {name} -verify_return_error </dev/null"
    );
    Finding::new(
        "outside-unknown",
        Verdict::Unknown,
        Subject::Mx(name.clone()),
        format!("what senders elsewhere are shown as {name} is unknown: every conversation came from this host"),
    )
    .means("a firewall, NAT or filter on the way may still show them something else; the command below tells, on any other host")
    .remedy(Remedy::Command(command))
}

fn exempt(service: &Service) -> Finding {
    Finding::new(
        "wire-exempt",
        Verdict::Unknown,
        Subject::Setting(service.name.clone()),
        format!("{} ({}) may let this host's own addresses pass untested", service.program, service.name),
    )
    .means("strangers that it tests are served by another program, which was not seen from here")
    .remedy(Remedy::Do(format!("ask from a host that {} does not exempt", service.program)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{facts::Role, topics};
    use std::collections::BTreeMap;

    #[test]
    fn each_name_is_told_once_and_only_where_it_is_ours() {
        let expect = |addr: &str, name: &str, want, domain: bool| Expect {
            addr: addr.parse().expect("an address"),
            wire: Wire::StartTls,
            name: name.parse().expect("a name"),
            domain: domain.then(|| "example.org".parse().expect("a name")),
            want,
            unnamed: Vec::new(),
        };
        let ours = || Want::Ours(Vec::new());
        let all = [
            expect("192.0.2.1:25", "mx1.example.org", ours(), true),
            expect("[2001:db8::1]:25", "mx1.example.org", ours(), true),
            expect("192.0.2.1:25", "mx2.example.org", ours(), true),
            expect("192.0.2.1:587", "mx1.example.org", ours(), false),
            expect("192.0.2.9:25", "mx3.example.org", Want::Unchanged, true),
        ];
        let service = |program: &str| Service {
            name: format!("{program}/inet"),
            at: ("master.cf".into(), 1),
            program: program.into(),
            listens: Vec::new(),
            role: Role::Mx,
            wire: None,
            tests_strangers: program == "postscreen",
            chroot: false,
            settings: BTreeMap::new(),
        };
        let services = [service("postscreen"), service("smtpd")];
        let told = |expect: &[Expect]| outside(expect, &services).iter().map(|f| format!("{} {}", f.id, f.subject)).collect::<Vec<_>>();
        assert_eq!(told(&all), ["outside-unknown mx1.example.org", "outside-unknown mx2.example.org", "wire-exempt postscreen/inet"]);
        assert_eq!(told(&all[4..]), Vec::<String>::new());
        assert!(outside(&all, &services).iter().all(|f| topics::topic(&f.id).is_some() && f.verdict == Verdict::Unknown));
    }
}
