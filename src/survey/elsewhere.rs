//! What other hosts present that share an MX name with this one.

use super::{CONVERSATION, published::each};
use crate::{
    check::observe,
    dns::Resolver,
    facts::{Known, Security},
    name::DnsName,
    view::{EndpointView, Offer, Probe, Wire},
    world::Net,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

/// What each address of these MX names presents to other servers, of both key types; those that are `proved` are not asked.
pub async fn elsewhere(net: &Net, names: &BTreeSet<DnsName>, proved: &BTreeSet<IpAddr>) -> BTreeMap<DnsName, Known<Vec<EndpointView>>> {
    let resolver = match Resolver::new(net) {
        Ok(resolver) => resolver,
        Err(e) => return names.iter().map(|name| (name.clone(), Known::unknown(e.to_string()))).collect(),
    };
    let mut seen = BTreeMap::new();
    for (name, addresses) in each(&resolver, names, |resolver, name| async move { resolver.addresses(&name).await }).await {
        let views = match addresses {
            Some(Known::Seen { value, .. }) if value.security == Security::Bogus => {
                Known::unknown("DNSSEC says that the answer is forged or broken")
            }
            Some(Known::Seen { value, at }) => {
                let others = value.records.into_iter().filter(|address| !proved.contains(address));
                let probes: Vec<Probe> =
                    others.flat_map(|address| [Offer::Any, Offer::Rsa].map(|offer| probe(&name, address, offer))).collect();
                Known::seen(observe(net, &probes, CONVERSATION).await, at)
            }
            Some(Known::Unknown { why }) => Known::Unknown { why },
            None => Known::unknown("DNS took too long"),
        };
        seen.insert(name, views);
    }
    seen
}

fn probe(name: &DnsName, address: IpAddr, offer: Offer) -> Probe {
    Probe { addr: SocketAddr::new(address, 25), wire: Wire::StartTls, name: name.clone(), sni: true, offer, postmaster_of: None }
}
