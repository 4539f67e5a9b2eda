//! What senders see of policies: asked, and taken into what is kept.

use super::super::{Trouble, place::Site};
use crate::{
    check::{observe, sender_probes, sts_host},
    facts::{DomainFacts, Facts},
    finding::Finding,
    name::DnsName,
    policy::Fetched,
    publish::{Asked, KeptPolicy, Sight, policies, told},
    survey, world,
};
use std::{collections::BTreeSet, time::Duration};

/// How long the conversation with an MX host may take.
const CONVERSATION: Duration = Duration::from_secs(30);

/// What senders see of policies, and of the hosts that they name.
pub(in crate::command) struct Seen {
    pub(super) facts: Facts,
    pub(super) sight: Sight,
}

impl Seen {
    /// A look: the policy by every address of its host, its record at the zone's own servers.
    pub(super) async fn look(site: &Site, mut facts: Facts) -> Self {
        let sight = survey::sight(&site.net, &facts, &Asked::default()).await;
        for domain in &mut facts.domains {
            domain.policy_host = sight.policy_hosts.get(&domain.domain).unwrap_or(&domain.policy_host).clone();
        }
        let owners: BTreeSet<DnsName> = facts.domains.iter().filter_map(|d| d.domain.under("_mta-sts").ok()).collect();
        let places = survey::whereabouts(&site.net, &owners).await;
        survey::ask_authorities(&site.net, &mut facts, &places, &owners).await;
        Self { facts, sight }
    }

    /// What is kept of a policy, with what was seen taken in. What senders were seen to be told is a claim.
    pub(super) fn keep(&self, site: &Site, kept: KeptPolicy) -> Result<KeptPolicy, Trouble> {
        let Some(domain) = self.facts.domains.iter().find(|d| d.domain == kept.domain) else { return Ok(kept) };
        let (now, served) = (world::now(), self.sight.policies.get(&kept.domain));
        if let Some(policy) = served.and_then(Fetched::strict) {
            told::tell(&site.store, now, |claims| claims.tell_policy(&kept.domain, Some(policy), now)).map_err(Trouble::state)?;
        }
        let mut kept = kept.seen(served, &domain.mta_sts, &domain.mx, now);
        if domain.policy_host.value().is_some_and(|a| a.records.is_empty()) {
            kept = kept.unnamed(now);
        }
        policies::save(&site.store, &kept).map_err(Trouble::state)?;
        Ok(kept)
    }

    /// What conversations show against MX hosts of the domain, and against one that is to enter.
    pub(super) async fn hosts(&self, site: &Site, domain: &DomainFacts, entering: Option<&DnsName>) -> Vec<Finding> {
        let named = |name: &DnsName| domain.mx.value().is_some_and(|a| a.records.iter().any(|(_, mx)| mx == name));
        let mut hosts = self.facts.mx_hosts.clone();
        hosts.retain(|h| named(&h.name) || entering == Some(&h.name));
        let views = observe(&site.net, &sender_probes(&hosts), CONVERSATION).await;
        hosts.iter().flat_map(|h| sts_host(h, &views)).collect()
    }
}
