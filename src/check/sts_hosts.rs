//! Whether senders that go by an MTA-STS policy would deliver to an MX host: what they ask of it (RFC 8461 §4.2), and what it
//! answered. Pure.

use crate::{
    facts::{Known, MxFacts},
    finding::{Finding, Remedy, Subject, Verdict},
    view::{EndpointView, Judged, Offer, Probe, Wire},
};
use std::net::SocketAddr;

/// One conversation with each address of the hosts, as a sender has it.
#[must_use]
pub fn sender_probes(hosts: &[MxFacts]) -> Vec<Probe> {
    let addresses = hosts.iter().flat_map(|h| h.addresses.value().into_iter().flat_map(|a| &a.records).map(move |a| (h, *a)));
    addresses
        .map(|(host, address)| Probe {
            addr: SocketAddr::new(address, 25),
            wire: Wire::StartTls,
            name: host.name.clone(),
            sni: true,
            offer: Offer::Any,
            postmaster_of: None,
        })
        .collect()
}

/// What stands against a host in mode enforce: senders would not deliver to it, or nobody could tell from here. An address that is
/// silent while another one of the host answers well is worth a word.
#[must_use]
pub fn sts_host(host: &MxFacts, views: &[EndpointView]) -> Vec<Finding> {
    let finding = |id: &str, verdict, says: String| Finding::new(id, verdict, Subject::Mx(host.name.clone()), says);
    let again = || Remedy::Command(format!("mxseal policy show --mx {}", host.name));
    let addresses = match &host.addresses {
        Known::Seen { value, .. } if value.records.is_empty() => {
            let says = format!("{} has no address", host.name);
            return vec![finding("mta-sts-mx-unfit", Verdict::Fail, says).remedy(Remedy::Do("give it one, or take it out of MX".into()))];
        }
        Known::Seen { value, .. } => &value.records,
        Known::Unknown { why } => {
            let says = format!("the addresses of {} could not be looked up: {why}", host.name);
            return vec![finding("mta-sts-mx-unreached", Verdict::Unknown, says).remedy(again())];
        }
    };
    let mine: Vec<&EndpointView> = views.iter().filter(|v| v.probe.name == host.name && addresses.contains(&v.probe.addr.ip())).collect();
    let (answered, silent): (Vec<&EndpointView>, Vec<&EndpointView>) = mine.iter().partition(|v| !v.silent() && !v.turned_away());
    let wrong = answered.iter().filter_map(|v| {
        let says = format!("{} at {}: {}", host.name, v.probe.addr, unfit(v)?);
        Some(
            finding("mta-sts-mx-unfit", Verdict::Fail, says)
                .means("in mode enforce senders do not deliver to it")
                .remedy(Remedy::Do("make it present a certificate that verifies for that name: there, mxseal setup does that".into())),
        )
    });
    let mut all: Vec<Finding> = wrong.collect();
    let places = |views: &[&EndpointView]| views.iter().map(|v| v.probe.addr.to_string()).collect::<Vec<_>>().join(", ");
    if answered.is_empty() {
        let says = format!("{} could not be asked from here", host.name);
        let why = silent.iter().filter_map(|v| Some(format!("{}: {}", v.probe.addr, v.broke.as_ref()?)));
        let mut unknown = finding("mta-sts-mx-unreached", Verdict::Unknown, says);
        unknown.evidence = why.collect();
        all.push(
            unknown
                .means("whether senders would deliver to it in mode enforce is not known; many networks let nobody out on port 25")
                .remedy(Remedy::Do(
                    "start it, or look from a host that may connect to port 25, where mxseal list check asks the same".into(),
                )),
        );
    } else if !silent.is_empty() {
        let says = format!("{} does not answer from here at {}", host.name, places(&silent));
        all.push(finding("mta-sts-mx-partly", Verdict::Warn, says).means("its other addresses do; this one was not proved"));
    }
    all
}

/// Why a sender that verifies would not deliver, by one conversation.
pub(super) fn unfit(view: &EndpointView) -> Option<String> {
    let tls = match &view.tls {
        Known::Seen { value, .. } => value,
        Known::Unknown { why } => return Some(format!("no TLS: {why}")),
    };
    for (what, verdict) in [("no sender can verify its certificate", &tls.trusted), ("its certificate is of other names", &tls.named)] {
        if let Known::Seen { value: Judged::Bad(why), .. } = verdict {
            return Some(format!("{what}: {why}"));
        }
    }
    let old = !["TLS1.2", "TLS1.3"].contains(&tls.protocol.as_str());
    old.then(|| format!("{} is spoken, and senders that verify want TLS 1.2", tls.protocol))
}
