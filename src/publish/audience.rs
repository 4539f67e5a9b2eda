//! Everybody who is asked whether a record is there: all at once, each by itself and once a round.

use super::wait::{Awaited, Says, View, Who};
use crate::{
    dns::{One, Resolver, Unheard, weaker},
    facts::{Known, Security},
    name::DnsName,
};
use std::{collections::BTreeSet, net::SocketAddr};
use tokio::task::JoinSet;

/// Name servers with their zones, and resolvers.
#[derive(Clone, Debug)]
pub struct Audience {
    authorities: Vec<(DnsName, DnsName, One)>,
    resolvers: Vec<(Who, One)>,
}

impl Audience {
    /// Every address of every name server of the zones, the public resolver and those of this host.
    ///
    /// # Errors
    /// A sentence: the name servers of a zone could not be found.
    pub async fn of(resolver: &Resolver, zones: &BTreeSet<DnsName>, public: Option<SocketAddr>) -> Result<Self, String> {
        let mut authorities = Vec::new();
        for zone in zones {
            let names = known(resolver.name_servers(zone).await)?;
            for name in names {
                let addresses = known(resolver.addresses(&name).await)?;
                if addresses.is_empty() {
                    return Err(format!("{name}, which serves {zone}, has no address"));
                }
                let one = |ip| One::authority(SocketAddr::new(ip, 53));
                authorities.extend(addresses.into_iter().map(|ip| (zone.clone(), name.clone(), one(ip))));
            }
        }
        // Answers come in any order.
        authorities.sort_by(|(z, n, o), (zone, name, one)| (z, n, o.addr()).cmp(&(zone, name, one.addr())));
        let local = resolver.each().into_iter().map(|one| (Who::Local(one.addr()), one));
        let public = public.map(|addr| (Who::Public(addr), resolver.beside(addr)));
        Ok(Self { authorities, resolvers: public.into_iter().chain(local).collect() })
    }

    /// What all of them say, name servers first; the resolvers only where they are to be asked.
    pub async fn views(&self, awaited: &[Awaited], ask_resolvers: bool) -> Vec<View> {
        let zones: BTreeSet<&DnsName> = awaited.iter().map(|a| &a.zone).collect();
        let authorities = self.authorities.iter().map(|(zone, name, one)| (zone, Who::Authority(name.clone(), one.addr()), one));
        let resolvers = zones.into_iter().flat_map(|zone| self.resolvers.iter().map(move |(who, one)| (zone, who.clone(), one)));
        let (mut asked, mut views) = (JoinSet::new(), Vec::new());
        for (order, (zone, who, one)) in authorities.chain(resolvers).enumerate() {
            let view = View { who, zone: zone.clone(), serial: None, says: Says::NotAsked };
            if ask_resolvers || matches!(view.who, Who::Authority(..)) {
                let (one, of_zone) = (one.clone(), awaited.iter().filter(|a| a.zone == *zone).cloned().collect::<Vec<_>>());
                asked.spawn(async move { (order, heard(view, &one, &of_zone).await) });
            } else {
                views.push((order, view));
            }
        }
        while let Some(done) = asked.join_next().await {
            views.extend(done);
        }
        views.sort_by_key(|(order, _)| *order);
        views.into_iter().map(|(_, view)| view).collect()
    }
}

fn known<T>(answer: Known<crate::facts::Answer<T>>) -> Result<Vec<T>, String> {
    match answer {
        Known::Seen { value, .. } => Ok(value.records),
        Known::Unknown { why } => Err(why),
    }
}

/// The view of one server.
async fn heard(mut view: View, one: &One, awaited: &[Awaited]) -> View {
    view.says = match says(&mut view, one, awaited).await {
        Ok(says) => says,
        Err(Unheard::NoRoute) => Says::NoRoute,
        Err(Unheard::Silent(why)) => Says::Silent(why),
    };
    view
}

async fn says(view: &mut View, one: &One, awaited: &[Awaited]) -> Result<Says, Unheard> {
    if matches!(view.who, Who::Authority(..)) {
        view.serial = Some(one.serial(&view.zone).await?);
    }
    let questions: BTreeSet<(&DnsName, &str)> = awaited.iter().map(|a| (&a.record.owner, a.record.data.kind())).collect();
    let (mut right, mut longest, mut soonest, mut security) = (0, 0, 0, None::<Security>);
    for (owner, kind) in questions {
        let answer = one.data(owner, kind).await?;
        for a in awaited.iter().filter(|a| a.record.owner == *owner && a.record.data.kind() == kind) {
            if answer.records.contains(&a.record.data) == a.there {
                (right, longest) = (right + 1, answer.ttl.max(longest));
            } else {
                soonest = answer.ttl.max(soonest);
            }
        }
        security = Some(security.map_or(answer.security, |before| weaker(before, answer.security)));
    }
    let of = awaited.len();
    let ttl = if right == of { longest } else { soonest };
    Ok(Says::Seen { right, of, ttl, security: security.unwrap_or(Security::Unknown) })
}
