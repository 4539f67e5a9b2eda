//! Pages for a terminal of 80 columns: one line a fact, *fact · verdict · consequence*.

use super::{Style, diff::config_diff, wrap::hang};
use crate::{
    certificate::Certificate,
    change::{Change, Edit, Expect, Want},
    facts::{ConfigFile, Deployment, Facts, Here, Known, Lineage, Origin, Reader, Role, Security, Server, Source},
    finding::{Finding, Remedy, Verdict},
    moment::Moment,
    plan::{Errand, Plan, Stage},
    record::Text,
    view::{EndpointView, Judged, Offer},
};
use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

/// Joins names, or says that there are none.
pub(super) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(" ") }
}

/// Another service's line that names a file.
pub(super) fn read_by(style: Style, out: &mut String, reader: &Reader) {
    let line = format!("{}:{} {} {}", reader.at.0.display(), reader.at.1, reader.setting, reader.file.display());
    fact(style, out, "Read by", format!("{} ({line})", reader.program));
}

/// A labelled line, in as many as the terminal needs.
pub(super) fn fact(style: Style, out: &mut String, label: &str, value: impl AsRef<str>) {
    let label = match label {
        "" if style.plain => "  ".to_owned(),
        label if style.plain => format!("{label}: "),
        label => format!("  {label:<15}"),
    };
    hang(out, &label, value.as_ref(), style.width);
}

fn known<T>(value: &Known<T>, show: impl FnOnce(&T) -> String) -> String {
    match value {
        Known::Seen { value, .. } => show(value),
        Known::Unknown { why } => format!("? {why}"),
    }
}

/// What DNSSEC says of an answer: DANE needs `signed`.
const fn dnssec(security: Security) -> &'static str {
    match security {
        Security::Secure => " (signed)",
        Security::Insecure => " (not signed)",
        Security::Bogus => " (signed wrongly: validating senders see nothing)",
        Security::Unknown => " (signed or not is unknown from here)",
    }
}

/// What survey saw; the mail server is called by its `title`.
#[must_use]
pub fn survey_page(style: Style, facts: &Facts, title: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} · {} · {}", facts.host.hostname, facts.host.os, facts.now);
    match &facts.server {
        Known::Unknown { why } => fact(style, &mut out, "Mail server", format!("? {why}")),
        Known::Seen { value, .. } => server(style, &mut out, value, title),
    }
    for listener in &facts.listeners {
        let owner = known(&listener.owner, |o| {
            let place = if o.elsewhere { ", in another filesystem or namespace" } else { "" };
            format!("{} (pid {}){place}", o.program, o.pid)
        });
        fact(
            style,
            &mut out,
            "Listens",
            format!("{} {owner} {}", listener.addr, listener.service.as_deref().unwrap_or("not of this server")),
        );
    }
    fact(
        style,
        &mut out,
        "Port 80",
        known(&facts.port80, |o| if o.pid == 0 { "free".into() } else { format!("{} (pid {})", o.program, o.pid) }),
    );
    fact(style, &mut out, "Clock", known(&facts.host.clock_off, clock));
    fact(style, &mut out, "Addresses", list(&facts.host.addresses));
    for domain in &facts.domains {
        let mx = known(&domain.mx, |a| format!("{}{}", list(a.records.iter().map(|(p, n)| format!("{p} {n}"))), dnssec(a.security)));
        fact(style, &mut out, "Receives for", format!("{} MX {mx}", domain.domain));
        for (label, texts) in [("MTA-STS", &domain.mta_sts), ("TLSRPT", &domain.tls_rpt)] {
            fact(style, &mut out, "", format!("{label} {}", known(texts, |a| list(a.records.iter().map(Text::as_str)))));
        }
    }
    for mx in &facts.mx_hosts {
        let here = known(&mx.here, |h| match h {
            Here::Yes => "this host".into(),
            Here::Partly => "only some addresses are this host's".into(),
            Here::No => "another host".into(),
        });
        let addresses = known(&mx.addresses, |a| format!("{}{}", list(&a.records), dnssec(a.security)));
        fact(style, &mut out, "MX host", format!("{} {addresses} · {here}", mx.name));
        fact(style, &mut out, "", format!("TLSA {}", known(&mx.tlsa, |a| format!("{}{}", list(&a.records), dnssec(a.security)))));
        fact(style, &mut out, "", format!("CAA {}", known(&mx.caa, |a| list(&a.records))));
    }
    for file in &facts.foreign {
        let state = if file.trusted { "verifiable" } else { "not verifiable" };
        let used = if file.in_use { ", in use" } else { "" };
        fact(
            style,
            &mut out,
            "Certificate",
            format!("{} ({}, {state}{used}) until {}", file.chain.display(), file.keeper, file.leaf.not_after),
        );
        if let Some(by) = &file.kept {
            let renewal =
                by.renewed_by.as_ref().map_or_else(|| "nothing was found that renews it".to_owned(), |job| format!("renewed by {job}"));
            fact(style, &mut out, "", format!("{} of {}, {renewal}", by.name, file.keeper));
        }
    }
    facts.readers.iter().for_each(|reader| read_by(style, &mut out, reader));
    for line in &facts.lineages {
        fact(style, &mut out, "Ours", lineage(line, &BTreeSet::new()));
    }
    for view in facts.views.iter().filter(|v| v.probe.offer == Offer::Any && v.probe.sni) {
        fact(style, &mut out, "Served now", format!("{} {}", view.probe.addr, presents(view)));
    }
    out
}

fn clock(off: &i64) -> String {
    match off {
        0 => "right".into(),
        1.. => format!("{off} s ahead: set it before anything else"),
        _ => format!("{} s behind: set it before anything else", off.unsigned_abs()),
    }
}

fn server(style: Style, out: &mut String, server: &Server, title: &str) {
    let running = known(&server.running, |r| if *r { "running".into() } else { "not running".into() });
    fact(style, out, "Mail server", format!("{title} {}, {running}", server.version));
    for file in &server.files {
        let link = if file.path == file.real { String::new() } else { format!(" -> {} (link, will be kept)", file.real.display()) };
        fact(style, out, "Config", format!("{}{link}", file.path.display()));
    }
    if server.instances.len() > 1 {
        fact(style, out, "Instances", list(server.instances.iter().map(|i| format!("{} ({})", i.name, i.config_dir.display()))));
    }
    for service in &server.services {
        let role = match service.role {
            Role::Mx => "mail from other servers",
            Role::Submission => "mail from users, STARTTLS",
            Role::Submissions => "mail from users, TLS",
        };
        let chroot = if service.chroot { ", chroot" } else { "" };
        fact(style, out, "Service", format!("{} {}{chroot}, {role}", service.name, service.program));
        for (name, effective) in &service.settings {
            let from = match &effective.from {
                Origin::Default => continue,
                Origin::File { path, line } => format!("{}:{line}", path.display()),
                Origin::Service { path, line } => format!("{}:{line} override", path.display()),
            };
            fact(style, out, "", format!("{name} = {} ({from})", effective.value));
        }
    }
}

/// A certificate in a line.
fn certificate(leaf: &Certificate) -> String {
    let by = if leaf.self_signed { "self-signed".to_owned() } else { format!("by {}", leaf.issuer) };
    format!("{} {}, {by}, until {}", leaf.key_type, list(&leaf.names), leaf.not_after.day())
}

/// What a listener presents, in a line.
pub(super) fn presents(view: &EndpointView) -> String {
    match (&view.tls, &view.broke) {
        (Known::Seen { value, .. }, _) => {
            let trusted = known(&value.trusted, |j| match j {
                Judged::Good => "verifiable".into(),
                Judged::Bad(why) => format!("not verifiable: {why}"),
            });
            let leaf = value.chain.first().map_or_else(|| "no certificate".into(), certificate);
            format!("{} {leaf} · {trusted}", value.protocol)
        }
        (Known::Unknown { .. }, Some(broke)) => broke.clone(),
        (Known::Unknown { why }, None) => format!("no TLS: {why}"),
    }
}

/// Whose certificate is served, and where it lies.
fn kept(source: &Source) -> String {
    format!("{} keeps {} ({}) in {}", source.keeper, source.name, source.key_type, source.chain.display())
}

/// A certificate of ours, and in which files it is installed: in its one file where nothing else is known.
pub(super) fn lineage(line: &Lineage, files: &BTreeSet<&PathBuf>) -> String {
    let state = match line.deployment {
        Deployment::Ordered => "ordered",
        Deployment::Issued => "issued",
        Deployment::Installed => "installed",
        Deployment::Proved => "installed and proved",
    };
    let until = line.keys.iter().filter_map(|k| k.leaf.as_ref()).map(|l| l.not_after).min();
    let until = until.map_or_else(String::new, |m: Moment| format!(", until {}", m.day()));
    let from = match line.adopted.as_slice() {
        [] => format!("from {}", line.directory),
        sources => sources.iter().map(kept).collect::<Vec<_>>().join("\n"),
    };
    format!(
        "{} ({}){until}, {state}\n{from}\nin {}",
        line.name,
        list(line.keys.iter().map(|k| k.key_type)),
        if files.is_empty() { line.live.display().to_string() } else { list(files.iter().map(|f| f.display())) }
    )
}

/// Findings, worst first, each with its evidence, consequence and next step.
#[must_use]
pub fn findings(style: Style, all: &[Finding]) -> String {
    let mut sorted: Vec<&Finding> = all.iter().collect();
    sorted.sort_by_key(|f| match f.verdict {
        Verdict::Fail => 0,
        Verdict::Unknown => 1,
        Verdict::Warn => 2,
        Verdict::Pass => 3,
    });
    let mut out = String::new();
    for finding in sorted {
        hang(&mut out, &format!("  {} ", style.verdict(finding.verdict)), &format!("{} [{}]", finding.says, finding.id), style.width);
        for line in &finding.evidence {
            hang(&mut out, "          seen: ", line, style.width);
        }
        if !finding.consequence.is_empty() {
            hang(&mut out, "          so: ", &finding.consequence, style.width);
        }
        out.push_str(&remedy("          next: ", &finding.remedy, style.width));
    }
    out
}

/// What to do about it.
fn remedy(label: &str, remedy: &Remedy, width: usize) -> String {
    let mut out = String::new();
    match remedy {
        Remedy::None => {}
        Remedy::Do(what) => hang(&mut out, label, what, width),
        // To be pasted: in one line.
        paste @ (Remedy::Command(_) | Remedy::Record(_)) => hang(&mut out, label, &paste.to_string(), usize::MAX),
    }
    out
}

/// The plan on one page: stages in order, the diff, what the admin should know.
#[must_use]
pub fn plan_page(style: Style, files: &[ConfigFile], plan: &Plan, context: usize) -> String {
    let mut out = String::new();
    let mut number = 0;
    let mut step = |out: &mut String, text: &str| {
        number += 1;
        hang(out, &format!("  {number} "), text, style.width);
    };
    if plan.next.is_none() && plan.later.is_empty() && plan.held.is_empty() {
        out.push_str("Nothing to do: the server presents what it should.\n");
    } else {
        out.push_str("Plan\n");
    }
    match &plan.next {
        Some(Stage::Errand(Errand::Obtain(order))) => {
            step(
                &mut out,
                &format!(
                    "Get a certificate for {} ({}) [certificate-wanted]",
                    list(&order.names),
                    list(order.keys.iter().map(|k| k.key_type))
                ),
            );
            let _ = writeln!(out, "      from {}", order.directory);
        }
        Some(Stage::Errand(Errand::Adopt(wanted))) => {
            step(&mut out, &format!("Take in the certificate for {} [adopt-planned]", list(&wanted.names)));
            for source in &wanted.sources {
                hang(&mut out, "      ", &kept(source), style.width);
            }
        }
        Some(Stage::Change(change)) => {
            let topic = if change.undoes.is_some() { "undo-planned" } else { "change-planned" };
            step(&mut out, &format!("{} [{topic}]", change.why));
            change_page(style, &mut out, files, change, context);
        }
        Some(Stage::Wait { what, not_before }) => step(&mut out, &format!("Wait for {what}, not before {not_before} [wait-planned]")),
        None => {}
    }
    for later in &plan.later {
        step(&mut out, &format!("{} [change-planned]", later.says));
        hang(&mut out, "      ", &later.why, style.width);
        for path in later.touches.iter().filter(|path| later.edits.iter().all(|e| e.path != **path)) {
            let _ = writeln!(out, "      key and chain: {}", path.display());
        }
        settings_page(style, &mut out, &later.edits);
        indent(&mut out, &config_diff(files, &later.edits, context), style.width);
    }
    for follows in &plan.after {
        step(&mut out, &format!("{} [{}]", sentence(&follows.says), follows.id));
        follows.evidence.iter().for_each(|line| hang(&mut out, "      ", line, style.width));
        hang(&mut out, "      ", &sentence(&follows.consequence), style.width);
        out.push_str(&remedy("      next: ", &follows.remedy, style.width));
    }
    if !plan.held.is_empty() {
        out.push_str("Held back, nothing is done until these are settled\n");
        out.push_str(&findings(style, &plan.held));
    }
    if !plan.notes.is_empty() {
        out.push_str("To know\n");
        out.push_str(&findings(style, &plan.notes));
    }
    if !out.starts_with("Nothing") || plan.findings().next().is_some() {
        out.push_str("What an [id] or a setting means: mxseal explain ID\n");
    }
    out
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

fn change_page(style: Style, out: &mut String, files: &[ConfigFile], change: &Change, context: usize) {
    settings_page(style, out, &change.edits);
    indent(out, &config_diff(files, &change.edits, context), style.width);
    if !change.activate.is_empty() {
        let _ = writeln!(out, "      then: {}", list(change.activate.iter().map(|c| format!("`{c}`"))));
    }
    let count = |wanted: fn(&Want) -> bool| change.prove.iter().filter(|e| wanted(&e.want)).count();
    let parts = [
        (count(|w| matches!(w, Want::Ours(_))), "listening addresses present the new certificate"),
        (count(|w| matches!(w, Want::Former(_))), "listening addresses present again what they did before"),
        (count(|w| matches!(w, Want::Unchanged)), "listening addresses stay as they are"),
    ];
    let promised: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if !promised.is_empty() {
        hang(out, "      ", &format!("proved on the wire, or put back: {}", promised.join(", ")), style.width);
    }
}

fn settings_page(style: Style, out: &mut String, edits: &[Edit]) {
    for change in edits.iter().flat_map(|e| &e.settings) {
        let service = change.service.as_ref().map_or_else(String::new, |s| format!("{s}: "));
        hang(out, &format!("      {service}{}: ", change.name), &change.why, style.width);
    }
}

/// A diff as a person reads it: a file is named once, and numbers of lines are left out.
fn indent(out: &mut String, diff: &str, width: usize) {
    let mut file = "";
    let mut first = true;
    let mut lines = diff.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(path) = line.strip_prefix("--- ").filter(|_| lines.peek().is_some_and(|next| next.starts_with("+++ "))) {
            (file, first) = (path, true);
        } else if let Some(path) = line.strip_prefix("+++ ").filter(|_| first) {
            let how = match (file, path) {
                ("/dev/null", _) => " (new):",
                (_, "/dev/null") => " (removed)",
                _ => ":",
            };
            let _ = writeln!(out, "      {}{how}", if path == "/dev/null" { file } else { path });
        } else if line.starts_with("@@ ") {
            if !std::mem::take(&mut first) {
                out.push_str("       ...\n");
            }
        } else if let Some(stored) = line.strip_prefix("=== ") {
            hang(out, "      ", stored, width);
        } else {
            let _ = writeln!(out, "      {line}");
        }
    }
}

/// What the wire showed for each expectation.
#[must_use]
pub fn proof_table(expect: &[Expect], views: &[EndpointView]) -> String {
    let mut out = String::new();
    for one in expect {
        let wire = one.wire.called();
        let seen: Vec<&EndpointView> = views.iter().filter(|v| v.probe.addr == one.addr && v.probe.wire == one.wire).collect();
        let served = seen.iter().filter(|v| v.leaf().is_some()).count();
        let what = match &one.want {
            Want::Ours(_) => "our certificate",
            Want::Unchanged | Want::Former(_) => "as before",
        };
        let protocol = seen.iter().find_map(|v| v.tls.value()).map_or("no TLS", |t| t.protocol.as_str());
        let _ = writeln!(out, "  {:<28}{wire:<10}{what}, {protocol}, {served} connections", one.addr.to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Subject;

    #[test]
    fn a_diff_names_a_file_once() {
        let mut out = String::new();
        indent(
            &mut out,
            "--- /a\n+++ /a\n@@ -1 +1 @@\n-x\n+y\n@@ -9 +9 @@\n+z\n--- /dev/null\n+++ /b\n@@ -0,0 +1 @@\n+n\n--- /c\n+++ /dev/null\n=== /d: new\n",
            80,
        );
        let page = ["/a:", "-x", "+y", " ...", "+z", "/b (new):", "+n", "/c (removed)", "/d: new"].map(|l| format!("      {l}\n")).concat();
        assert_eq!(out, page);
    }

    #[test]
    fn findings_hold_to_the_width_and_what_is_pasted_stays_whole() {
        let long = "every sender that verifies keeps the mail and tries again later ".repeat(3);
        let paste = Remedy::Command(format!("postconf -e '{}'", "smtpd_tls_security_level = may ".repeat(4)));
        for (remedy, lines_over) in [(Remedy::Do(long.clone()), 0), (paste, 1)] {
            let finding = Finding::new("wire-silent", Verdict::Fail, Subject::Host, long.trim()).seen(&long).means(&long).remedy(remedy);
            let page = findings(Style::default(), &[finding]);
            assert_eq!(page.lines().filter(|l| l.chars().count() > 80).count(), lines_over, "{page}");
            assert!(page.lines().skip(1).all(|l| l.starts_with("          ")), "{page}");
            assert!(page.starts_with("  fail    every sender") && page.contains("[wire-silent]"), "{page}");
        }
    }
}
