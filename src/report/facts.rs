//! What was seen of this host, on one screen: a line a fact, *fact · verdict · consequence*. `survey` tells all of it.

use super::{Style, wrap::hang};
use crate::{
    facts::{Answer, Facts, Here, Known, Role, Security, Server},
    finding::Verdict,
    intent::Intent,
    view::{EndpointView, Judged, Offer},
};
use std::{collections::BTreeMap, time::Duration};

/// A clock that is off by more makes certificates look wrong.
const CLOCK_MATTERS: i64 = 300;
/// Columns of the label.
const LABEL: usize = 14;

/// One line.
struct Fact {
    label: &'static str,
    seen: String,
    verdict: Option<Verdict>,
    so: String,
}

impl Fact {
    fn new(label: &'static str, seen: impl Into<String>) -> Self {
        Self { label, seen: seen.into(), verdict: None, so: String::new() }
    }

    fn pass(self, so: &str) -> Self {
        self.judged(Verdict::Pass, so)
    }

    fn judged(self, verdict: Verdict, so: impl Into<String>) -> Self {
        Self { verdict: Some(verdict), so: so.into(), ..self }
    }
}

/// The facts that decide what is planned; the mail server is called by its `title`.
#[must_use]
pub fn facts_page(style: Style, facts: &Facts, intent: &Intent, title: &str) -> String {
    let mut out = String::from("What is here (nothing was changed)\n");
    let mut all = Vec::new();
    match &facts.server {
        Known::Unknown { why } => all.push(Fact::new("Mail server", why).judged(Verdict::Unknown, "")),
        Known::Seen { value, .. } => {
            all.push(mail_server(value, title));
            all.extend(configuration(value));
            all.push(listens(facts, value));
        }
    }
    all.extend(served(facts));
    all.extend(domains(facts));
    all.extend(mx_names(facts, intent));
    all.extend(dane(facts));
    all.extend(port80(facts));
    all.extend(clock(facts));
    for fact in all {
        line(&mut out, style, &fact);
    }
    out
}

fn line(out: &mut String, style: Style, fact: &Fact) {
    let between = if style.plain { ", " } else { " · " };
    let verdict = fact.verdict.map(|v| style.paint(v, v.to_string()));
    let parts = [Some(fact.seen.clone()), verdict, Some(fact.so.clone())];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|p| !p.is_empty()).collect();
    let label = if style.plain { format!("{}: ", fact.label) } else { format!("  {:<LABEL$}", fact.label) };
    hang(out, &label, &parts.join(between), style.width);
}

fn mail_server(server: &Server, title: &str) -> Fact {
    let seen = format!("{title} {}", server.version);
    match server.running.value() {
        Some(true) => Fact::new("Mail server", format!("{seen}, running")).pass(""),
        Some(false) => {
            Fact::new("Mail server", format!("{seen}, not running")).judged(Verdict::Fail, "nothing can be proved: start it first")
        }
        None => Fact::new("Mail server", seen).judged(Verdict::Unknown, "whether it runs cannot be seen"),
    }
}

/// Where it is configured; links are worth a word.
fn configuration(server: &Server) -> Option<Fact> {
    let dir = server.config_dir.display();
    let links = server.files.iter().filter(|f| f.path != f.real).count();
    let instances = server.instances.iter().filter(|i| i.enabled).count();
    let fact = Fact::new("Configuration", dir.to_string());
    match (links, instances) {
        (0, 0..2) => Some(fact.pass("")),
        (0, n) => Some(fact.pass(&format!("one of {n} instances, the others are left alone"))),
        (n, _) => Some(fact.pass(&format!("{n} file{} behind a link, which is kept", if n == 1 { "" } else { "s" }))),
    }
}

fn listens(facts: &Facts, server: &Server) -> Fact {
    let mut ports: BTreeMap<u16, usize> = BTreeMap::new();
    for listener in facts.listeners.iter().filter(|l| l.service.is_some()) {
        *ports.entry(listener.addr.port()).or_default() += 1;
    }
    let seen = ports.keys().map(|port| format!("port {port}")).collect::<Vec<_>>().join(", ");
    if !server.services.iter().any(|s| s.role == Role::Mx) || !ports.contains_key(&25) {
        let seen = if seen.is_empty() { "no mail port".to_owned() } else { seen };
        return Fact::new("Listens on", seen).judged(Verdict::Warn, "no other server delivers here on port 25");
    }
    Fact::new("Listens on", seen).pass("each address is proved after a change")
}

/// What senders are shown on port 25 today.
fn served(facts: &Facts) -> Option<Fact> {
    let views: Vec<&EndpointView> = facts.views.iter().filter(|v| v.probe.addr.port() == 25 && v.probe.offer == Offer::Any).collect();
    let view = views.iter().find(|v| v.leaf().is_some()).or(views.first())?;
    let Some(tls) = view.tls.value() else {
        let (why, verdict) = match (&view.broke, &view.tls) {
            (Some(broke), _) => (broke.clone(), Verdict::Unknown),
            (None, Known::Unknown { why }) => (format!("no TLS ({why})"), Verdict::Fail),
            (None, Known::Seen { .. }) => ("no TLS".to_owned(), Verdict::Fail),
        };
        return Some(Fact::new("TLS now", why).judged(verdict, if verdict == Verdict::Fail { "mail comes in clear text" } else { "" }));
    };
    let leaf = view.leaf()?;
    let by = if leaf.self_signed { "self-signed".to_owned() } else { format!("by {}", leaf.issuer) };
    let fact = Fact::new("TLS now", format!("certificate {by}, until {}", leaf.not_after.day()));
    Some(match tls.trusted.value() {
        Some(Judged::Good) => fact.pass("senders can verify it"),
        Some(Judged::Bad(_)) if leaf.self_signed => fact.judged(Verdict::Fail, "no sender can verify it"),
        Some(Judged::Bad(why)) => fact.judged(Verdict::Fail, format!("no sender can verify it: {why}")),
        None => fact.judged(Verdict::Unknown, ""),
    })
}

fn domains(facts: &Facts) -> Vec<Fact> {
    let mut all = Vec::new();
    if facts.domains.is_empty() {
        all.push(Fact::new("Receives for", "no domain that is written in its configuration").judged(Verdict::Unknown, "it is asked for"));
    }
    // A host of many domains has the same few MX names for most.
    let mut alike: BTreeMap<(String, Option<Verdict>, String), Vec<String>> = BTreeMap::new();
    for domain in &facts.domains {
        let (seen, verdict, so) = match &domain.mx {
            Known::Unknown { why } => (String::new(), Some(Verdict::Unknown), why.clone()),
            Known::Seen { value, .. } if value.records.is_empty() => {
                (String::new(), Some(Verdict::Warn), "no MX record: no mail comes for it".to_owned())
            }
            Known::Seen { value, .. } => {
                (format!("MX {}", value.records.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" ")), None, String::new())
            }
        };
        alike.entry((seen, verdict, so)).or_default().push(domain.domain.to_string());
    }
    for ((seen, verdict, so), names) in alike {
        let shown = if names.len() > 4 { format!("{} and {} more", names[..3].join(" "), names.len() - 3) } else { names.join(" ") };
        let seen = if seen.is_empty() { shown } else { format!("{shown}, {seen}") };
        all.push(Fact { label: "Receives for", seen, verdict, so });
    }
    all
}

fn mx_names(facts: &Facts, intent: &Intent) -> Vec<Fact> {
    let one = |mx: &crate::facts::MxFacts| {
        let at = mx.addresses.value().map(|a| a.records.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        let fact = Fact::new("MX name", format!("{} {}", mx.name, at.unwrap_or_default()).trim().to_owned());
        match &mx.here {
            _ if intent.mx.contains(&mx.name) => fact.pass("this host, as you say"),
            Known::Seen { value: Here::Yes, .. } => fact.pass("this host"),
            Known::Seen { value: Here::Partly, .. } => fact.judged(Verdict::Warn, "only some of its addresses are this host's"),
            Known::Seen { value: Here::No, .. } => fact.judged(Verdict::Warn, "another host: it is left alone"),
            Known::Unknown { why } => fact.judged(Verdict::Unknown, why),
        }
    };
    facts.mx_hosts.iter().map(one).collect()
}

/// DNSSEC and TLSA: what was told to the world already must stay true.
fn dane(facts: &Facts) -> Option<Fact> {
    let told: Vec<String> =
        facts.mx_hosts.iter().filter(|m| m.tlsa.value().is_some_and(|a| !a.records.is_empty())).map(|m| m.name.to_string()).collect();
    if !told.is_empty() {
        return Some(Fact::new("DANE", format!("TLSA records of {}", told.join(" "))).pass("no published key is dropped"));
    }
    let security = |a: &Answer<std::net::IpAddr>| a.security;
    let states: Vec<Security> = facts.mx_hosts.iter().filter_map(|m| m.addresses.value().map(security)).collect();
    let fact = |seen: &str| Some(Fact::new("DANE", seen).pass("no TLSA record binds the key"));
    match states.as_slice() {
        [] => None,
        all if all.iter().all(|s| *s == Security::Secure) => fact("DNSSEC signed"),
        all if all.contains(&Security::Bogus) => {
            Some(Fact::new("DANE", "DNSSEC is signed wrongly").judged(Verdict::Fail, "validating senders find no address"))
        }
        all if all.contains(&Security::Unknown) => {
            Some(Fact::new("DANE", "no TLSA record").judged(Verdict::Unknown, "whether DNSSEC signs the name cannot be told from here"))
        }
        _ => fact("DNSSEC not signed"),
    }
}

fn port80(facts: &Facts) -> Option<Fact> {
    Some(match &facts.port80 {
        Known::Seen { value, .. } if value.pid == 0 => Fact::new("Port 80", "free").pass("the CA is answered there for a moment"),
        Known::Seen { value, .. } => {
            let fact = Fact::new("Port 80", format!("{} (pid {})", value.program, value.pid));
            match &value.webroot {
                Some(dir) => fact.pass(&format!("the CA is answered from {}", dir.display())),
                None if facts.port443.value().is_some_and(|owner| owner.pid == 0) => {
                    fact.pass("the CA is answered on port 443 for a moment")
                }
                None => fact.judged(Verdict::Unknown, "what it serves cannot be read"),
            }
        }
        Known::Unknown { why } => Fact::new("Port 80", why).judged(Verdict::Unknown, ""),
    })
}

/// Only a wrong clock is worth a line.
fn clock(facts: &Facts) -> Option<Fact> {
    let off = *facts.host.clock_off.value().filter(|off| off.abs() > CLOCK_MATTERS)?;
    let minutes = Duration::from_secs(off.unsigned_abs()).as_secs() / 60;
    let seen = format!("{minutes} minutes {}", if off > 0 { "ahead" } else { "behind" });
    Some(Fact::new("Clock", seen).judged(Verdict::Fail, "set it first: certificates look wrong with it"))
}
