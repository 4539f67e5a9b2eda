//! Tables that choose a certificate by the name that a sender sends: an entry for an MX name keeps its certificate, whatever
//! the server's own settings say.

use super::prove::Place;
use crate::{
    facts::{Facts, Origin, Role, Server},
    finding::{Finding, Remedy, Subject, Verdict},
    intent::Intent,
    mta::dialect::{ByName, Dialect},
    name::DnsName,
    view::Offer,
};

/// Where MX services have such tables of others.
pub(super) fn tables<'a>(server: &'a Server, dialect: Dialect, intent: &'a Intent) -> impl Iterator<Item = ByName<'a>> {
    server.services.iter().filter(|s| s.role == Role::Mx).filter_map(move |s| dialect.by_name(s, &intent.live_dir))
}

/// What stands against serving our certificate to senders that send a name; empty where nothing does.
pub(super) fn keeps(
    facts: &Facts,
    server: &Server,
    dialect: Dialect,
    mx: &[DnsName],
    places: &[Place],
    intent: &Intent,
) -> Option<Finding> {
    let table = tables(server, dialect, intent).next()?;
    let named: Vec<(&String, &String)> = facts
        .sni_names
        .iter()
        .flat_map(|(source, names)| names.iter().map(move |n| (source, n)))
        .filter(|(_, entry)| mx.iter().any(|name| chooses(entry, name)))
        .collect();
    let differing = facts.views.iter().find_map(|with| {
        let at_mx = places.iter().any(|p| p.role == Role::Mx && p.ours && p.addr == with.probe.addr);
        let asked = |v: &crate::view::EndpointView, sni| v.probe.offer == Offer::Any && v.probe.sni == sni;
        let without = facts.views.iter().find(|v| v.probe.addr == with.probe.addr && asked(v, false))?.leaf()?;
        let leaf = with.leaf().filter(|leaf| at_mx && asked(with, true) && leaf.digest != without.digest)?;
        Some(format!("{}: serial {} with the name {}, {} without", with.probe.addr, leaf.serial, with.probe.name, without.serial))
    });
    if named.is_empty() && differing.is_none() {
        return None;
    }
    let mut finding = Finding::new(
        "sni-keeps-certificate",
        Verdict::Fail,
        at(&table),
        format!("{} = {} holds a certificate of its own for an MX name", table.name, table.tables.value),
    )
    .means("senders that send the name would still be served that certificate, so nothing is ordered");
    for (source, entry) in &named {
        finding = finding.seen(format!("{source} has an entry for {entry}"));
    }
    if let Some(line) = differing {
        finding = finding.seen(line);
    }
    let entries: Vec<&str> =
        if named.is_empty() { mx.iter().map(DnsName::as_str).collect() } else { named.iter().map(|(_, e)| e.as_str()).collect() };
    let entries = entries.join(", ");
    Some(finding.remedy(Remedy::Do(format!(
        "remove the entry of {entries} from the table, {}, then mxseal setup again: one certificate then serves every name",
        table.again
    ))))
}

/// A table that names none of ours stays.
pub(super) fn note(facts: &Facts, server: &Server, dialect: Dialect, intent: &Intent) -> Option<Finding> {
    let table = tables(server, dialect, intent).next()?;
    let (verdict, means) = if facts.sni_names.is_empty() {
        (Verdict::Unknown, "its names could not be read here: the proof shows whether an MX name is among them, and else all is put back")
    } else {
        (Verdict::Pass, "it names no MX name, and goes on choosing for the names that it holds")
    };
    Some(Finding::new("sni-map", verdict, at(&table), format!("{} = {} stays as it is", table.name, table.tables.value)).means(means))
}

/// Whether an entry answers for a name: the name itself, or a parent with a dot before it, as in postconf(5) `tls_server_sni_maps`.
fn chooses(entry: &str, name: &DnsName) -> bool {
    let (entry, name) = (entry.to_ascii_lowercase(), name.as_str());
    entry == name || entry.starts_with('.') && name.ends_with(&entry)
}

fn at(table: &ByName<'_>) -> Subject {
    match &table.tables.from {
        Origin::File { path, line } | Origin::Service { path, line } => Subject::File { path: path.clone(), line: *line },
        Origin::Default => Subject::Setting(table.name.into()),
    }
}
