//! What is: server, listeners, names, certificates, DNS. Looks and changes nothing; what it could not see says why.

mod certificates;
mod clock;
mod companions;
mod elsewhere;
mod hand;
mod host;
mod instances;
mod keepers;
mod key_sight;
mod port80;
mod published;
mod readers;
mod recognise;
mod recognised;
mod server;
mod sight;
mod sockets;
mod tools;

use crate::{
    acme::load_lineages,
    change::Image,
    check::{observe, survey_probes},
    claims::Claims,
    dns::Resolver,
    facts::{DomainFacts, FACTS_VERSION, Facts, Known, Lineage, MxFacts, NameFacts, PortOwner},
    moment::Moment,
    mta::profile::Profile,
    name::DnsName,
    plan::CERTBOT_HOOK,
    publish::told,
    world::{Look, Net, Store},
};
pub use certificates::kept;
pub use elsewhere::elsewhere;
pub use hand::last_hand;
pub use key_sight::key_sights;
pub use readers::read_by;
pub use recognised::{Recognised, recognised};
use server::Found;
pub use sight::{ask_authorities, domains, policies, sight, tlsa, whereabouts};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long one conversation may take: postscreen holds a stranger for six seconds before it greets.
const CONVERSATION: Duration = Duration::from_secs(15);

/// What the admin named; everything else is measured.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// Id of the mail server's profile.
    pub mta: Option<String>,
    /// Its configuration directory, for another instance than the first.
    pub config_dir: Option<PathBuf>,
    /// Mail domains; empty means those that the server receives for.
    pub domains: Vec<DnsName>,
    /// MX names that are this host's, beside those that DNS shows.
    pub mx: Vec<DnsName>,
    /// Where our own files for mail servers lie; certificates in it are not foreign.
    pub live_dir: PathBuf,
    /// The profiles to look for; `None` means those that are compiled in.
    pub profiles: Option<Vec<Profile>>,
    /// Talk to the listeners, so that [`Facts::views`] shows what is served.
    pub served: bool,
}

/// Takes everything in, at `now`. What could not be seen is unknown and says why.
///
/// # Errors
/// Only when our own directory holds something unreadable: whoever plans without it would order what is there already.
pub async fn survey(look: &dyn Look, store: &Store, net: &Net, wants: &Wants, now: Moment) -> io::Result<Facts> {
    let host = host::host(look);
    let sockets = sockets::listening(look);
    let owners = sockets::owners(look, &sockets);
    let profiles = match &wants.profiles {
        Some(these) => Ok(these.clone()),
        None => Profile::built_in().map_err(|e| e.to_string()),
    };
    let found = profiles.as_ref().map_err(Clone::clone).and_then(|all| server::find(look, all, wants, &owners));

    let services = found.as_ref().map(|f| f.server.services.as_slice()).unwrap_or_default();
    let processes = found.as_ref().map(|f| f.profile.recognise.processes.as_slice()).unwrap_or_default();
    let listeners = sockets::listeners(&sockets, &owners, services, processes, found.as_ref().ok().and_then(|f| f.pid));
    let foreign =
        certificates::foreign(look, found.as_ref().ok().map(|f| (f.profile.dialect, services)), &wants.live_dir, &net.verdict_roots, now);
    let lineages = lineages(store, host.root)?;
    let companions = companions::find(look, &sockets, &owners, &net.verdict_roots, now);
    let sni_names = found.as_ref().map(|f| sni_names(look, f)).unwrap_or_default();

    let written = found.as_ref().map(|f| f.domains.as_slice()).unwrap_or_default();
    let asked: BTreeSet<DnsName> = if wants.domains.is_empty() { written } else { &wants.domains }.iter().cloned().collect();
    let published = publish(
        net,
        wants,
        &asked,
        &found,
        &host,
        &certificates::trusted_names(foreign.iter().chain(companions.iter().flat_map(|c| &c.reads))),
    )
    .await;

    let names = published.mx_hosts.iter().map(|m| m.name.clone()).collect();
    let mut facts = Facts {
        version: FACTS_VERSION,
        now,
        port80: port80::owner(look, net.http_port, &sockets, &owners, &names),
        port443: port80::owner(look, net.tls_port, &sockets, &owners, &BTreeSet::new()),
        listeners,
        domains: published.domains,
        mx_hosts: published.mx_hosts,
        other_names: published.other_names,
        views: Vec::new(),
        candidates: profiles.as_deref().map(|all| recognise::candidates(look, all, wants, &owners)).unwrap_or_default(),
        live: live(look, &lineages),
        lineages,
        sni_names,
        hooks: hooks(look),
        readers: readers::readers(look, &foreign),
        foreign,
        companions,
        groups: found.as_ref().map(groups).unwrap_or_default(),
        claims: claims(store, host.root)?,
        server: match found {
            Ok(Found { server, .. }) => {
                let at = server.config_dir.display().to_string();
                Known::seen(server, at)
            }
            Err(why) => Known::Unknown { why },
        },
        host,
    };
    if wants.served {
        facts.views = observe(net, &survey_probes(&facts), CONVERSATION).await;
    }
    Ok(facts)
}

/// Who answers on the ports where a CA looks, 80 and 443, for these names.
#[must_use]
pub fn doors(look: &dyn Look, net: &Net, names: &BTreeSet<DnsName>) -> [Known<PortOwner>; 2] {
    let mut sockets = sockets::listening(look);
    sockets.retain(|s| [net.http_port, net.tls_port].contains(&s.addr.port()));
    let owners = sockets::owners(look, &sockets);
    [net.http_port, net.tls_port].map(|port| port80::owner(look, port, &sockets, &owners, names))
}

/// Who listens on a port, on any address; nobody where it is free.
#[must_use]
pub fn port_owners(look: &dyn Look, port: u16) -> Vec<Known<PortOwner>> {
    let mut sockets = sockets::listening(look);
    sockets.retain(|s| s.addr.port() == port);
    sockets::owners(look, &sockets).into_values().collect()
}

struct Published {
    domains: Vec<DomainFacts>,
    mx_hosts: Vec<MxFacts>,
    other_names: Vec<NameFacts>,
}

async fn publish(
    net: &Net,
    wants: &Wants,
    asked: &BTreeSet<DnsName>,
    found: &Result<Found<'_>, String>,
    host: &crate::facts::Host,
    certified: &BTreeMap<String, PathBuf>,
) -> Published {
    let resolver = Resolver::new(net).map_err(|e| e.to_string());
    let mut domains = match &resolver {
        Ok(resolver) => published::domains(resolver, asked).await,
        Err(why) => published::unasked_domains(asked, why),
    };
    // A server's own host name among its destinations is no mail domain unless the world is told so.
    let own: Vec<DnsName> =
        [host.hostname.parse().ok(), found.as_ref().ok().and_then(|f| f.server.hostname.value().cloned())].into_iter().flatten().collect();
    let no_mx = |d: &DomainFacts| d.mx.value().is_some_and(|a| a.records.is_empty());
    domains.retain(|d| wants.domains.contains(&d.domain) || !(own.contains(&d.domain) && no_mx(d)));

    let named = domains.iter().filter_map(|d| d.mx.value()).flat_map(|a| &a.records).map(|(_, name)| name);
    let mx_names: BTreeSet<DnsName> = named.chain(&wants.mx).cloned().collect();
    let others: BTreeSet<DnsName> = certified.keys().filter_map(|n| n.parse().ok()).filter(|n| !mx_names.contains(n)).collect();
    match &resolver {
        Ok(resolver) => {
            let (mx_hosts, other_names) = tokio::join!(
                published::mx_hosts(resolver, &mx_names, &host.addresses),
                published::other_names(resolver, &others, &host.addresses)
            );
            Published { domains, mx_hosts, other_names }
        }
        Err(why) => {
            let other_names = others.into_iter().map(|name| NameFacts { name, here: Known::unknown(why) }).collect();
            Published { domains, mx_hosts: published::unasked_hosts(&mx_names, why), other_names }
        }
    }
}

/// The names in tables of certificates by name.
fn sni_names(look: &dyn Look, found: &Found<'_>) -> BTreeMap<String, Vec<String>> {
    let read = |path: &Path| Ok(look.read(path)?.map(|(bytes, _)| bytes));
    found.profile.dialect.names_by_table(&found.server.services, &read)
}

/// Our own certificates. Without root they cannot be seen, and nothing is changed then.
fn lineages(store: &Store, root: bool) -> io::Result<Vec<Lineage>> {
    match load_lineages(store) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && !root => Ok(Vec::new()),
        loaded => loaded,
    }
}

/// What the world was told; like our certificates, root's to see.
fn claims(store: &Store, root: bool) -> io::Result<Claims> {
    match told::claims(store) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && !root => Ok(Claims::default()),
        kept => kept,
    }
}

/// The files of our lineages as they lie on the disk.
fn live(look: &dyn Look, lineages: &[Lineage]) -> BTreeMap<PathBuf, Image> {
    let all = lineages.iter().flat_map(Lineage::live_files);
    all.filter_map(|path| Some((path.clone(), look.image(&path).ok()??))).collect()
}

/// Our hooks among those of programs that renew.
fn hooks(look: &dyn Look) -> BTreeMap<PathBuf, Image> {
    let path = PathBuf::from(CERTBOT_HOOK);
    look.image(&path).ok().flatten().map(|image| (path, image)).into_iter().collect()
}

/// The id of the group that must read the key, where this host has it.
fn groups(found: &Found<'_>) -> BTreeMap<String, u32> {
    let group = found.profile.key.group.fill(&found.server);
    let named = nix::unistd::Group::from_name(&group).ok().flatten().map(|g| g.gid.as_raw());
    let id = named.or_else(|| group.parse().ok());
    id.map(|id| (group, id)).into_iter().collect()
}
