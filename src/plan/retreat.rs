//! Once the world was told something, the way back is a retreat in order: TLSA records are withdrawn and forgotten, then the
//! policy is left and forgotten, then an entry in a list, and only then the files go back. Pure: each run takes one step.

use crate::{
    change::{Expect, Receipt, Want},
    claims::{Broken, Claim, Claims, Presents},
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    name::DnsName,
    view::{Judged, Offer},
};

/// What has to be done before a change may be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retreat {
    /// The next step.
    pub next: Step,
    /// Everything that stands against the undoing, in the order in which it is taken back.
    pub against: Vec<Finding>,
    /// The names that are promised something: MX names and domains.
    pub names: Vec<DnsName>,
}

/// One step of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take away the TLSA records of these MX names.
    Withdraw(Vec<DnsName>),
    /// Say to senders of these domains that there is no policy any more.
    Leave(Vec<DnsName>),
    /// Have these domains taken off their list.
    Unlist(Vec<DnsName>),
    /// Nothing, until the last cache has forgotten.
    Wait(Moment),
}

/// What each MX name would present again, as it was seen before the change.
fn presented_before(receipt: &Receipt, now: Moment) -> Vec<Presents> {
    // What is promised is promised to other servers, and those do not come to the ports of users.
    let promised = |e: &&Expect| !matches!(e.addr.port(), 465 | 587) && matches!(e.want, Want::Ours(_));
    let mut all: Vec<Presents> = Vec::new();
    for expect in receipt.change.prove.iter().filter(promised) {
        let views = receipt.baseline.iter().filter(|v| v.probe.addr == expect.addr && v.probe.offer != Offer::Legacy);
        let sessions: Vec<_> = views.filter_map(|v| v.tls.value()).collect();
        let good = sessions.iter().all(|tls| {
            let lasts = tls.chain.first().is_some_and(|leaf| leaf.not_after > now && leaf.covers(&expect.name));
            lasts && matches!(tls.trusted.value(), Some(Judged::Good))
        });
        let spki = sessions.iter().filter_map(|tls| tls.chain.first()).map(|leaf| leaf.spki.clone());
        let here = Presents {
            mx: expect.name.clone(),
            domains: expect.domain.iter().cloned().collect(),
            spki: spki.collect(),
            verified: good && !sessions.is_empty(),
        };
        match all.iter_mut().find(|p| p.mx == here.mx) {
            Some(known) => {
                // An address that shows no key at all keeps no promise.
                known.verified &= here.verified;
                known.spki =
                    if known.spki.is_empty() || here.spki.is_empty() { Vec::new() } else { [&known.spki[..], &here.spki].concat() };
            }
            None => all.push(here),
        }
    }
    all
}

/// The next step of the retreat; `None` where nothing stands against the undoing.
#[must_use]
pub fn retreat(claims: &Claims, receipt: &Receipt, now: Moment) -> Option<Retreat> {
    let before = presented_before(receipt, now);
    let mut broken: Vec<Broken<'_>> = Vec::new();
    for presents in &before {
        for one in claims.allows(presents, now).err().into_iter().flatten() {
            if broken.iter().all(|b| b.claim != one.claim) {
                broken.push(one);
            }
        }
    }
    broken.sort_by_key(|b| place(b.claim));
    let first = place(broken.first()?.claim);
    // What comes later is not begun before the first is forgotten.
    let now_due: Vec<&Claim> = broken.iter().map(|b| b.claim).filter(|c| place(c) == first).collect();
    let mut standing: Vec<DnsName> = now_due.iter().filter(|c| c.until().is_none()).map(|c| about(c)).collect();
    standing.sort();
    standing.dedup();
    let next = match (now_due.iter().filter_map(|c| c.until()).max(), first) {
        (Some(until), _) if standing.is_empty() => Step::Wait(until),
        (_, 0) => Step::Withdraw(standing),
        (_, 1) => Step::Leave(standing),
        _ => Step::Unlist(standing),
    };
    let mut names: Vec<DnsName> = broken.iter().map(|b| about(b.claim)).chain(before.iter().flat_map(|p| p.domains.clone())).collect();
    names.sort();
    names.dedup();
    Some(Retreat { next, against: broken.iter().map(Broken::finding).collect(), names })
}

/// What senders go on hearing after the undoing, although it binds nobody: a policy in mode testing.
#[must_use]
pub fn left_told(claims: &Claims, receipt: &Receipt, now: Moment) -> Vec<Finding> {
    let before = presented_before(receipt, now);
    let mut domains: Vec<&DnsName> = before.iter().flat_map(|presents| claims.tried_in_vain(presents, now)).collect();
    domains.sort();
    domains.dedup();
    let finding = |domain: &DnsName| {
        let says = format!("the MTA-STS policy of {domain} (mode testing) stays, and this host will not do what it says");
        Finding::new("policy-outlives", Verdict::Warn, Subject::Domain(domain.clone()), says)
            .means("senders deliver all the same, and report every session as a failure")
            .remedy(Remedy::Command(format!("mxseal policy leave {domain}")))
    };
    domains.into_iter().map(finding).collect()
}

/// The order of the retreat.
const fn place(claim: &Claim) -> u8 {
    match claim {
        Claim::Tlsa { .. } => 0,
        Claim::Sts { .. } => 1,
        Claim::Listed { .. } => 2,
    }
}

fn about(claim: &Claim) -> DnsName {
    match claim {
        Claim::Tlsa { mx, .. } => mx.clone(),
        Claim::Sts { domain, .. } | Claim::Listed { domain, .. } => domain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        certificate::{Certificate, Digest, KeyType},
        change::{Activation, Change, Presented},
        known::Known,
        policy::sts_policy::{Mode, MxPattern, StsPolicy},
        view::{EndpointView, Probe, TlsView, Wire},
    };
    use std::collections::BTreeMap;

    const DAY: u64 = 86_400;
    const NOW: Moment = Moment(1_800_000_000);

    fn name(text: &str) -> DnsName {
        text.parse().expect("a name")
    }

    fn later(days: u64) -> Moment {
        Moment(NOW.0 + days * DAY)
    }

    fn receipt(key: &str, trusted: bool) -> Receipt {
        let leaf = Certificate {
            digest: Digest::of(b"certificate"),
            spki: Digest::of(key.as_bytes()),
            spki_sha512: String::new(),
            key_type: KeyType::Ecdsa,
            serial: "01".into(),
            authority: String::new(),
            names: vec!["mx.example.org".into()],
            issuer: "CA".into(),
            self_signed: !trusted,
            not_before: Moment(0),
            not_after: later(60),
            client_auth: false,
        };
        let expect = Expect {
            addr: ([192, 0, 2, 1], 25).into(),
            wire: Wire::StartTls,
            name: name("mx.example.org"),
            domain: Some(name("example.org")),
            unnamed: Vec::new(),
            want: Want::Ours(vec![Presented { key_type: KeyType::Ecdsa, spki: Digest::of(b"ours"), serial: "02".into() }]),
        };
        let probe =
            Probe { addr: expect.addr, wire: expect.wire, name: expect.name.clone(), sni: true, offer: Offer::Any, postmaster_of: None };
        let trusted = if trusted { Judged::Good } else { Judged::Bad("self-signed".into()) };
        let tls = TlsView {
            protocol: String::new(),
            suite: String::new(),
            group: String::new(),
            chain: vec![leaf],
            trusted: Known::seen(trusted, "test"),
            named: Known::seen(Judged::Good, "test"),
        };
        let view = EndpointView { answered: true, tls: Known::seen(tls, "test"), ..EndpointView::begun(probe, NOW) };
        let change = Change {
            id: "1".into(),
            why: String::new(),
            profile: "postfix".into(),
            config_dir: "/etc/postfix".into(),
            edits: Vec::new(),
            trial: None,
            check: Vec::new(),
            activation: Activation::None,
            activate: Vec::new(),
            running: None,
            prove: vec![expect],
            undoes: None,
            renews: None,
            replaces: None,
            notices_ms: 0,
            config: BTreeMap::new(),
        };
        Receipt { id: "1".into(), change, proved: NOW, baseline: vec![view], unproved: false }
    }

    fn policy(mode: Mode) -> StsPolicy {
        StsPolicy { mode, mx: vec![MxPattern::of(name("mx.example.org"))], max_age: 1_209_600 }
    }

    #[test]
    fn it_goes_step_by_step_in_order() {
        let (mx, domain, before) = (name("mx.example.org"), name("example.org"), receipt("former", false));
        let next = |claims: &Claims, at| retreat(claims, &before, at).map(|r| r.next);
        let mut claims = Claims::default();
        assert_eq!(next(&claims, NOW), None, "nothing was ever told");
        claims.tell_tlsa(&mx, &[Digest::of(b"ours")], 3600, NOW);
        claims.tell_policy(&domain, Some(&policy(Mode::Enforce)), NOW);
        let all = retreat(&claims, &before, NOW).expect("a retreat");
        assert_eq!((all.next, all.against.len()), (Step::Withdraw(vec![mx.clone()]), 2));
        assert_eq!(all.names, [domain.clone(), mx.clone()]);
        claims.tell_tlsa(&mx, &[], 3600, later(1));
        assert_eq!(next(&claims, later(2)), Some(Step::Wait(later(3))), "two days, and the policy is not left before");
        assert_eq!(next(&claims, later(3)), Some(Step::Leave(vec![domain.clone()])));
        claims.tell_policy(&domain, Some(&policy(Mode::None)), later(3));
        assert_eq!(next(&claims, later(4)), Some(Step::Wait(later(17))));
        assert_eq!(next(&claims, later(17)), None);
        claims.tell_list(&domain, "https://list.example/", true, NOW);
        assert_eq!(next(&claims, later(17)), Some(Step::Unlist(vec![domain])));
    }

    #[test]
    fn what_was_there_before_may_keep_the_promise() {
        let told = |mode| {
            let mut claims = Claims::default();
            claims.tell_policy(&name("example.org"), Some(&policy(mode)), NOW);
            claims
        };
        let mut dane = Claims::default();
        dane.tell_tlsa(&name("mx.example.org"), &[Digest::of(b"ours"), Digest::of(b"former")], 60, NOW);
        let silent = Receipt { baseline: Vec::new(), ..receipt("former", true) };
        for (what, claims, before, at, free) in [
            ("enforce, a certificate that verifies", told(Mode::Enforce), receipt("former", true), NOW, true),
            ("enforce, one that has ended since", told(Mode::Enforce), receipt("former", true), later(61), false),
            ("enforce, a self-signed one", told(Mode::Enforce), receipt("former", false), NOW, false),
            ("enforce, nothing was seen", told(Mode::Enforce), silent.clone(), NOW, false),
            ("testing binds nobody", told(Mode::Testing), receipt("former", false), NOW, true),
            ("a key that is published", dane.clone(), receipt("former", false), NOW, true),
            ("another", dane.clone(), receipt("other", true), NOW, false),
            ("no TLS was seen", dane, silent, NOW, false),
        ] {
            assert_eq!(retreat(&claims, &before, at).is_none(), free, "{what}");
        }
        for (before, left) in [(receipt("former", false), 1), (receipt("former", true), 0)] {
            let all = left_told(&told(Mode::Testing), &before, NOW);
            assert_eq!(all.len(), left, "{all:?}");
            assert!(left_told(&told(Mode::Enforce), &before, NOW).is_empty(), "that one is left first");
        }
    }
}
