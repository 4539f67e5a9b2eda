//! What senders know of the next keys: asked of every name server of the zone, and of this host's resolver, which our own validation
//! has to agree with.

use crate::{
    certificate::Digest,
    dns::Resolver,
    facts::{Answer, Known, Security, Tlsa},
    maintain::KeySight,
    name::DnsName,
    policy::dane::KeyDigest,
    publish::{
        Data, Record,
        audience::Audience,
        wait::{Awaited, View},
    },
    world::Net,
};
use std::collections::{BTreeMap, BTreeSet};

/// What DNS says of these keys, by MX name.
pub async fn key_sights(net: &Net, keys: &BTreeMap<DnsName, Vec<Digest>>) -> Vec<KeySight> {
    let mut sights = Vec::new();
    for (mx, keys) in keys {
        sights.push(match Resolver::new(net) {
            Ok(resolver) => sight(&resolver, mx, keys).await,
            Err(e) => unseen(mx, &e.to_string()),
        });
    }
    sights
}

async fn sight(resolver: &Resolver, mx: &DnsName, keys: &[Digest]) -> KeySight {
    let owner = match mx.under("_25._tcp") {
        Ok(owner) => owner,
        Err(e) => return unseen(mx, &e.to_string()),
    };
    // Who asks a cache first makes it remember for a while that there is none.
    let servers = servers(resolver, &owner, keys).await;
    let (addresses, records) = tokio::join!(resolver.addresses(mx), resolver.tlsa(&owner));
    let zone = match addresses {
        Known::Seen { value, at } => Known::seen(value.security, at),
        Known::Unknown { why } => Known::Unknown { why },
    };
    KeySight { mx: mx.clone(), zone, records, servers }
}

async fn servers(resolver: &Resolver, owner: &DnsName, keys: &[Digest]) -> Known<Vec<View>> {
    let at = match resolver.whereabouts(owner).await {
        Known::Seen { value, .. } => value,
        Known::Unknown { why } => return Known::Unknown { why },
    };
    let tlsa = keys.iter().filter_map(|key| KeyDigest::try_from(key).ok()).map(Tlsa::from);
    let record = |tlsa| Record { owner: at.owner.clone(), ttl: 0, data: Data::Tlsa(tlsa) };
    let awaited: Vec<Awaited> = tlsa.map(|tlsa| Awaited { zone: at.zone.clone(), record: record(tlsa), there: true }).collect();
    match Audience::of(resolver, &BTreeSet::from([at.zone.clone()]), None).await {
        Ok(audience) => {
            let views = audience.views(&awaited, false).await;
            let of_zone = views.into_iter().filter(|v| matches!(v.who, crate::publish::wait::Who::Authority(..)));
            Known::seen(of_zone.collect(), format!("the name servers of {}", at.zone))
        }
        Err(why) => Known::unknown(why),
    }
}

fn unseen(mx: &DnsName, why: &str) -> KeySight {
    let (zone, records): (Known<Security>, Known<Answer<Tlsa>>) = (Known::unknown(why), Known::unknown(why));
    KeySight { mx: mx.clone(), zone, records, servers: Known::unknown(why) }
}
