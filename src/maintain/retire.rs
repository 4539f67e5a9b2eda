//! When the records of keys that were left in a roll-over may go: nobody expects such a key any more, and nobody is shown one. Pure.

use crate::{
    claims::Claims,
    facts::{Known, Lineage},
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    name::DnsName,
    view::EndpointView,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// From when on no sender expects a key that left; `None` where none did, or the keys in use are not proved.
#[must_use]
pub fn retired_from(lineage: &Lineage, claims: &Claims) -> Option<Moment> {
    let each = lineage.former.iter().map(|k| k.left.map(|left| claims.not_expected_from(&k.spki, left)));
    each.collect::<Option<Vec<Moment>>>()?.into_iter().max()
}

/// What a human should do about keys that left.
#[must_use]
pub fn retire_due(lineage: &Lineage, claims: &Claims, now: Moment) -> Option<Finding> {
    retired_from(lineage, claims).filter(|at| *at <= now)?;
    let mut finding = Finding::new(
        "rollover-retire",
        Verdict::Warn,
        Subject::Mx(lineage.name.clone()),
        format!("the records of the keys that {} had before its roll-over are to be taken away", lineage.name),
    );
    finding.evidence.extend(lineage.former.iter().map(|k| format!("{} 3 1 1 {}", k.key_type, k.spki)));
    let means = "whoever holds such a key can go on passing for this host to DANE senders";
    Some(finding.means(means).remedy(Remedy::Command("mxseal rollover".into())))
}

/// What stands against it at addresses of the MX names that are not this host's: a key that left is presented there still, or
/// nobody could be asked.
#[must_use]
pub fn served_elsewhere(lineage: &Lineage, seen: &BTreeMap<DnsName, Known<Vec<EndpointView>>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (mx, views) in seen {
        let views = match views {
            Known::Seen { value, .. } => value,
            Known::Unknown { why } => {
                findings.push(unasked(mx, "which addresses it has is not known").seen(why));
                continue;
            }
        };
        let addresses: BTreeSet<IpAddr> = views.iter().map(|v| v.probe.addr.ip()).collect();
        for address in addresses {
            let here = || views.iter().filter(|v| v.probe.addr.ip() == address);
            let shown: Vec<_> = here().filter_map(EndpointView::leaf).collect();
            if let Some(leaf) = shown.iter().find(|leaf| lineage.former.iter().any(|k| k.spki == leaf.spki)) {
                let says = format!("{address} of {mx} still presents a key that was left here");
                let finding = Finding::new("rollover-elsewhere", Verdict::Warn, Subject::Mx(mx.clone()), says);
                let finding = finding.seen(format!("{} {}, until {}", leaf.key_type, leaf.spki, leaf.not_after));
                let means = "DANE senders that reach it there need the record of that key (RFC 7672), so it stays";
                findings.push(finding.means(means).remedy(Remedy::Do(format!(
                    "bring key and chain of this host to {address}, or give it another MX name; then run mxseal rollover again"
                ))));
            } else if shown.is_empty() {
                let why = here().find_map(|v| v.broke.clone()).unwrap_or_else(|| "no TLS".to_owned());
                findings.push(unasked(mx, &format!("{address} shows no certificate to this host")).seen(why));
            }
        }
    }
    findings
}

fn unasked(mx: &DnsName, why: &str) -> Finding {
    let says = format!("whether a key that was left is presented at another address of {mx} is not known: {why}");
    Finding::new("rollover-elsewhere", Verdict::Unknown, Subject::Mx(mx.clone()), says)
        .means("a record that somebody needs must not go, so all of them stay")
        .remedy(Remedy::Do("where you know that no host presents such a key any more, take the records away by hand".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        certificate::{Certificate, Digest, KeyType},
        facts::FormerKey,
        view::{Judged, Offer, Probe, TlsView, Wire},
    };

    fn view(address: &str, key: Option<&str>) -> EndpointView {
        let leaf = |key: &str| Certificate {
            digest: Digest::of(key.as_bytes()),
            spki: Digest::of(key.as_bytes()),
            spki_sha512: String::new(),
            key_type: KeyType::Rsa,
            serial: key.into(),
            authority: String::new(),
            names: Vec::new(),
            issuer: "CA".into(),
            self_signed: false,
            not_before: Moment(0),
            not_after: Moment(1),
            client_auth: false,
        };
        let good = || Known::seen(Judged::Good, "test");
        let tls = |key: &str| TlsView {
            protocol: "TLS1.3".into(),
            suite: String::new(),
            group: String::new(),
            chain: vec![leaf(key)],
            trusted: good(),
            named: good(),
        };
        EndpointView {
            probe: Probe {
                addr: (address.parse::<IpAddr>().expect("an address"), 25).into(),
                wire: Wire::StartTls,
                name: "mx.example.org".parse().expect("a name"),
                sni: true,
                offer: Offer::Any,
                postmaster_of: None,
            },
            taken: Moment(0),
            took_ms: 1,
            answered: key.is_some(),
            greeting: Known::unknown("test"),
            offers: Vec::new(),
            starttls: None,
            tls: key.map_or_else(|| Known::unknown("test"), |key| Known::seen(tls(key), "test")),
            steps: Vec::new(),
            broke: key.is_none().then(|| "connection refused".into()),
        }
    }

    #[test]
    fn a_record_stays_while_an_address_of_the_name_may_need_it() {
        let mx: DnsName = "mx.example.org".parse().expect("a name");
        let former = ["ecdsa", "rsa"].map(|key| FormerKey { key_type: KeyType::Rsa, spki: Digest::of(key.as_bytes()), left: None });
        let lineage = Lineage { former: former.to_vec(), ..Lineage::begun(mx.clone(), "/etc/mxseal/live/mx.pem".into()) };
        let (one, two) = ("192.0.2.1", "2001:db8::1");
        for (what, views, expected) in [
            ("no other address", Known::seen(vec![], "test"), vec![]),
            ("a key of its own", Known::seen(vec![view(one, Some("other"))], "test"), vec![]),
            ("ours as it is now", Known::seen(vec![view(one, Some("current")), view(two, Some("current"))], "test"), vec![]),
            ("one type is left behind", Known::seen(vec![view(one, Some("current")), view(one, Some("rsa"))], "test"), vec![Verdict::Warn]),
            ("one key type alone", Known::seen(vec![view(one, Some("current")), view(one, None)], "test"), vec![]),
            ("silent", Known::seen(vec![view(one, Some("current")), view(two, None)], "test"), vec![Verdict::Unknown]),
            (
                "one is left behind, one silent",
                Known::seen(vec![view(one, Some("ecdsa")), view(two, None)], "test"),
                vec![Verdict::Warn, Verdict::Unknown],
            ),
            ("no resolver", Known::unknown("no answer"), vec![Verdict::Unknown]),
        ] {
            let found = served_elsewhere(&lineage, &BTreeMap::from([(mx.clone(), views)]));
            assert_eq!(found.iter().map(|f| f.verdict).collect::<Vec<_>>(), expected, "{what}: {found:?}");
        }
    }
}
