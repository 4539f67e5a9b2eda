//! Whether a domain would be taken on a policy list, by the rules that the EFF published and its checker held. Pure.

use crate::{
    facts::{DomainFacts, Known, MxFacts},
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    policy::{
        policy_list::{ListMode, ListPattern, ListPolicy},
        sts_policy::{Mode, StsPolicy},
    },
    view::EndpointView,
};

/// So many names an entry may have.
const MOST: usize = 8;
/// The least `max_age` of an MTA-STS policy that an entry may follow, in seconds: 126 days.
const LEAST_AGE: u32 = 10_886_400;

/// The policy that an entry may follow: one that senders keep for long.
#[must_use]
pub fn list_follows(sts: Option<&StsPolicy>) -> Option<&StsPolicy> {
    sts.filter(|p| p.mode != Mode::None && p.max_age >= LEAST_AGE)
}

/// The entry of a domain: from the MTA-STS policy that it may follow, else every MX host that it has, to be tried.
#[must_use]
pub fn list_entry(mx: &[DnsName], sts: Option<&StsPolicy>) -> ListPolicy {
    match list_follows(sts) {
        Some(policy) => ListPolicy {
            mode: if policy.mode == Mode::Enforce { ListMode::Enforce } else { ListMode::Testing },
            // An asterisk here is a leading dot there; both stand for one label.
            mxs: policy.mx.iter().filter_map(|p| p.to_string().trim_start_matches('*').parse().ok()).collect(),
        },
        None => ListPolicy { mode: ListMode::Testing, mxs: mx.iter().filter_map(|name| name.as_str().parse().ok()).collect() },
    }
}

/// What stands against the domain, MX host by MX host, or that nothing does. `views` are one conversation with each address.
#[must_use]
pub fn eligible(domain: &DomainFacts, hosts: &[MxFacts], views: &[EndpointView], sts: Option<&StsPolicy>) -> Vec<Finding> {
    let subject = || Subject::Domain(domain.domain.clone());
    let against = |says: String| Finding::new("list-not-eligible", Verdict::Fail, subject(), says);
    let mx: Vec<DnsName> = match &domain.mx {
        Known::Seen { value, .. } => value.records.iter().map(|(_, name)| name.clone()).collect(),
        Known::Unknown { why } => {
            return vec![Finding::new(
                "list-not-eligible",
                Verdict::Unknown,
                subject(),
                format!("the MX records of {} are unknown: {why}", domain.domain),
            )];
        }
    };
    let mut all: Vec<Finding> = Vec::new();
    let entry = list_entry(&mx, sts);
    if mx.is_empty() {
        all.push(against(format!("{} has no MX record", domain.domain)));
    }
    if list_follows(sts).is_none() && entry.mxs.len() > MOST {
        all.push(against(format!("{} has {} MX hosts, and an entry without MTA-STS names at most {MOST}", domain.domain, mx.len())));
    }
    let mut reached = 0;
    for name in &mx {
        if !entry.mxs.iter().any(|p: &ListPattern| p.matches(name)) {
            all.push(against(format!("{name} is an MX host that its policy does not name")));
        }
        let here = |v: &&EndpointView| {
            let of = hosts.iter().find(|h| h.name == *name).and_then(|h| h.addresses.value());
            v.probe.name == *name && of.is_some_and(|a| a.records.contains(&v.probe.addr.ip()))
        };
        let mine: Vec<&EndpointView> = views.iter().filter(here).collect();
        let answered: Vec<&&EndpointView> = mine.iter().filter(|v| !v.silent() && !v.turned_away()).collect();
        reached += answered.len();
        all.extend(answered.into_iter().filter_map(|v| fault(name, v)));
        // Hosts that nobody reaches are for other purposes, and were passed over.
        if mine.iter().all(|v| v.silent() || v.turned_away()) {
            let says = format!("{name} could not be asked from here, so it is passed over");
            all.push(
                Finding::new("list-unreachable", Verdict::Unknown, subject(), says)
                    .means("many networks let nobody out on port 25: then this says nothing about the domain"),
            );
        }
    }
    if reached > 0 && all.iter().all(|f| f.verdict != Verdict::Fail) {
        let says = format!("every MX host of {} that answers offers TLS that verifies, as the rules of the list want it", domain.domain);
        let mut eligible =
            Finding::new("list-eligible", Verdict::Pass, subject(), says).means("it had to stay so for a week before a domain was taken");
        if let Some(short) = sts.filter(|p| p.mode != Mode::None && list_follows(sts).is_none()) {
            eligible = eligible
                .seen(format!(
                    "its MTA-STS policy is kept for {} s, and an entry follows one of {LEAST_AGE} s or more: this one names the MX hosts, in mode testing",
                    short.max_age
                ))
                .remedy(Remedy::Command(format!("mxseal policy enforce {} --max-age {LEAST_AGE}", domain.domain)));
        }
        all.push(eligible);
    }
    all
}

/// What one conversation shows against the host.
fn fault(name: &DnsName, view: &EndpointView) -> Option<Finding> {
    let why = super::sts_hosts::unfit(view)?;
    Some(Finding::new("list-not-eligible", Verdict::Fail, Subject::Mx(name.clone()), format!("{}: {why}", view.probe.addr)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{Answer, Security},
        moment::Moment,
        topics,
        view::{Judged, Offer, Probe, Reply, TlsView, Wire},
    };

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    fn answer<T>(records: Vec<T>) -> Known<Answer<T>> {
        Known::seen(Answer { records, security: Security::Unknown, ttl: 60 }, "dns")
    }

    fn view(address: &str, mx: &str) -> EndpointView {
        let tls = TlsView {
            protocol: "TLS1.3".into(),
            suite: String::new(),
            group: String::new(),
            chain: vec![],
            trusted: Known::seen(Judged::Good, "-"),
            named: Known::seen(Judged::Good, "-"),
        };
        let probe = Probe {
            addr: format!("{address}:25").parse().unwrap(),
            wire: Wire::StartTls,
            name: name(mx),
            sni: true,
            offer: Offer::Any,
            postmaster_of: None,
        };
        EndpointView {
            answered: true,
            greeting: Known::seen(Reply { code: 220, lines: vec![] }, "-"),
            tls: Known::seen(tls, "-"),
            ..EndpointView::begun(probe, Moment(0))
        }
    }

    fn told(mx: &[(&str, &str)], sts: Option<&str>, change: impl Fn(&mut Vec<EndpointView>)) -> Vec<String> {
        let domain = DomainFacts {
            domain: name("example.org"),
            mx: answer(mx.iter().map(|(n, _)| (10, name(n))).collect()),
            mta_sts: answer(vec![]),
            tls_rpt: answer(vec![]),
            policy_host: Known::unknown("test"),
        };
        let host = |(n, a): &(&str, &str)| MxFacts {
            name: name(n),
            addresses: answer(vec![a.parse().unwrap()]),
            here: Known::unknown("-"),
            tlsa: Known::unknown("-"),
            caa: Known::unknown("-"),
        };
        let hosts: Vec<MxFacts> = mx.iter().map(host).collect();
        let mut views: Vec<EndpointView> = mx.iter().map(|(n, a)| view(a, n)).collect();
        change(&mut views);
        let sts = sts.map(|t| StsPolicy::read(t.as_bytes()).value.unwrap());
        let all = eligible(&domain, &hosts, &views, sts.as_ref());
        assert!(all.iter().all(|f| topics::topic(&f.id).is_some()));
        all.iter().map(|f| format!("{} {}", f.id, f.says)).collect()
    }

    #[test]
    fn the_rules_of_the_list_are_held() {
        let (one, two) = ([("mx1.example.org", "192.0.2.1")], [("mx1.example.org", "192.0.2.1"), ("mx2.example.org", "192.0.2.2")]);
        let sts = |age: u32| format!("version: STSv1\nmode: enforce\nmx: *.example.org\nmax_age: {age}\n");
        let bad = |views: &mut Vec<EndpointView>, change: &dyn Fn(&mut TlsView)| {
            if let Known::Seen { value, .. } = &mut views[0].tls {
                change(value);
            }
        };
        let silent = |v: &mut EndpointView| {
            v.answered = false;
            v.tls = Known::unknown("no connection");
        };
        type Change<'a> = Box<dyn Fn(&mut Vec<EndpointView>) + 'a>;
        let nothing = || -> Change<'_> { Box::new(|_| ()) };
        let nine: Vec<(String, String)> = (1..=9).map(|n| (format!("mx{n}.example.org"), format!("192.0.2.{n}"))).collect();
        let nine: Vec<(&str, &str)> = nine.iter().map(|(n, a)| (n.as_str(), a.as_str())).collect();
        #[allow(clippy::type_complexity)]
        let table: Vec<(&[(&str, &str)], Option<String>, Change<'_>, &[&str])> = vec![
            (&one, None, nothing(), &["list-eligible every"]),
            (&one, Some(sts(LEAST_AGE)), nothing(), &["list-eligible every"]),
            // One that is not kept for long is not followed.
            (&one, Some(sts(LEAST_AGE - 1)), nothing(), &["list-eligible every"]),
            (&one, Some(sts(LEAST_AGE - 1).replace('*', "other")), nothing(), &["list-eligible every"]),
            (&nine, Some(sts(LEAST_AGE - 1)), nothing(), &["list-not-eligible example.org has 9 MX hosts"]),
            (&nine, Some(sts(LEAST_AGE)), nothing(), &["list-eligible every"]),
            (&one, Some(sts(LEAST_AGE).replace('*', "other")), nothing(), &["list-not-eligible mx1.example.org is an MX host"]),
            (&[], None, nothing(), &["list-not-eligible example.org has no MX"]),
            (&nine, None, nothing(), &["list-not-eligible example.org has 9 MX hosts"]),
            (&one, None, Box::new(|v| v[0].tls = Known::unknown("STARTTLS is not offered")), &["list-not-eligible 192.0.2.1:25: no TLS"]),
            (
                &one,
                None,
                Box::new(|v| bad(v, &|t| t.trusted = Known::seen(Judged::Bad("self-signed".into()), "-"))),
                &["list-not-eligible 192.0.2.1:25: no sender can verify"],
            ),
            (
                &one,
                None,
                Box::new(|v| bad(v, &|t| t.named = Known::seen(Judged::Bad("of x".into()), "-"))),
                &["list-not-eligible 192.0.2.1:25: its certificate is of other"],
            ),
            (&one, None, Box::new(|v| bad(v, &|t| t.protocol = "TLS1.0".into())), &["list-not-eligible 192.0.2.1:25: TLS1.0"]),
            // A host that nobody reaches is passed over, but one must be reached.
            (&two, None, Box::new(|v| silent(&mut v[1])), &["list-unreachable mx2", "list-eligible every"]),
            (&one, None, Box::new(|v| silent(&mut v[0])), &["list-unreachable mx1"]),
        ];
        for (mx, sts, change, expected) in table {
            let seen = told(mx, sts.as_deref(), change);
            assert!(seen.len() == expected.len() && seen.iter().zip(expected).all(|(s, e)| s.starts_with(e)), "{expected:?}: {seen:?}");
        }
    }

    #[test]
    fn an_entry_follows_the_policy() {
        let policy =
            StsPolicy::read(b"version: STSv1\nmode: enforce\nmx: *.example.org\nmx: mx.example.net\nmax_age: 10886400\n").value.unwrap();
        let entry = list_entry(&[name("mx1.example.org")], Some(&policy));
        assert_eq!(entry.mxs.iter().map(ToString::to_string).collect::<Vec<_>>(), [".example.org", "mx.example.net"]);
        assert_eq!(entry.mode, ListMode::Enforce);
        let (none, short) = (StsPolicy { mode: Mode::None, ..policy.clone() }, StsPolicy { max_age: LEAST_AGE - 1, ..policy });
        for passed_over in [none, short] {
            let entry = list_entry(&[name("mx1.example.org")], Some(&passed_over));
            assert_eq!((entry.mode, entry.mxs[0].to_string()), (ListMode::Testing, "mx1.example.org".into()));
        }
    }
}
