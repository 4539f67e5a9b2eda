//! The status page: what is installed and served, what was told, what watches.

use super::{
    Style,
    json::{KeyDoc, RollOverDoc, StatusDoc},
    text::{fact, findings, lineage, list, presents, read_by},
    wrap::hang,
};
use crate::{
    certificate::Certificate,
    claims::Claim,
    facts::Lineage,
    maintain::{Due, Run, lineage_due},
    moment::Moment,
    view::Offer,
};
use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

/// What is installed, since when, until when, and what is served; whether a change of ours is `standing`.
#[must_use]
pub fn status_page(style: Style, status: &StatusDoc, standing: bool, now: Moment) -> String {
    let mut out = String::new();
    if let Some(open) = &status.open {
        let _ = writeln!(out, "Change {open} was interrupted. Next: mxseal recover");
    }
    for line in &status.lineages {
        let standing = status.changes.iter().filter(|c| !c.undone);
        let files: BTreeSet<&PathBuf> =
            standing.flat_map(|c| &c.installed).filter(|path| line.live_files().any(|live| live == **path)).collect();
        fact(style, &mut out, "Certificate", lineage(line, &files));
    }
    for change in &status.changes {
        let undone = if change.undone { ", undone since" } else { "" };
        fact(style, &mut out, "Change", format!("{} proved {}{undone}\n{}", change.id, Moment(change.proved), change.why));
    }
    // Most hosts present the same on every address.
    let mut alike: Vec<(String, Vec<String>)> = Vec::new();
    let seen = status.served.iter().map(|v| v.taken).max();
    for view in status.served.iter().filter(|v| v.probe.offer == Offer::Any && v.probe.sni) {
        let ours = view.leaf().is_some_and(|leaf| is_ours(&status.lineages, leaf));
        let what = format!("{} · {}", presents(view), if ours { "ours" } else { "not ours" });
        let at = view.probe.addr.to_string();
        match alike.iter_mut().find(|(same, _)| *same == what) {
            Some((_, all)) => all.push(at),
            None => alike.push((what, vec![at])),
        }
    }
    for (what, at) in alike {
        fact(style, &mut out, "Served", format!("{}\n{what}", list(at)));
    }
    if let Some(seen) = seen {
        fact(style, &mut out, "Seen", age(seen, now));
    }
    status.readers.iter().for_each(|reader| read_by(style, &mut out, reader));
    for claim in &status.told {
        let until = match claim.until() {
            None => format!("seen {}", age(claim.seen(), now)),
            Some(until) => format!("not told any more, and may be believed until {until}"),
        };
        fact(style, &mut out, "Told", format!("{}\n{until}", claim.says()));
    }
    status.rollover.iter().for_each(|doc| next_keys(style, &mut out, doc, status, now));
    watched(style, &mut out, status, now);
    let next = match status.exit {
        _ if !standing => "Nothing of mxseal stands on this host. To begin: mxseal setup",
        _ if !status.findings.is_empty() || status.run.as_ref().is_some_and(|run| !run.needs().is_empty()) => "",
        3 if seen.is_none() => "Nobody has looked yet what is served: mxseal status --live",
        3 => "A listener could not be asked what it presents. What is seen of it: mxseal survey",
        1 if status.open.is_none() => "Another certificate is served than was proved. To mend it: mxseal setup",
        _ => "",
    };
    hang(&mut out, "", next, style.width);
    out
}

/// The keys that follow, and those that left; nothing where senders know no keys of this host.
fn next_keys(style: Style, out: &mut String, doc: &RollOverDoc, status: &StatusDoc, now: Moment) {
    let of = |keys: &[KeyDoc]| keys.iter().map(|k| format!("{} {}", k.key_type, k.spki.short())).collect::<Vec<_>>().join(", ");
    if !doc.former.is_empty() {
        let until = match doc.former_until.map(Moment) {
            None => "their records stay until the keys in use are proved".to_owned(),
            Some(until) if until > now => format!("their records stay until {until}"),
            Some(_) => "their records may be taken away: mxseal rollover".to_owned(),
        };
        fact(style, out, "Keys before", format!("{} of {}\n{until}", of(&doc.former), doc.name));
    }
    let told = status.told.iter().any(|c| matches!(c, Claim::Tlsa { mx, .. } if doc.mx.iter().any(|name| name == mx.as_str())));
    let when = match (doc.seen_since.map(Moment), doc.known_from.map(Moment)) {
        (Some(since), Some(from)) if from <= now => format!("at every name server since {since}, ready: mxseal rollover"),
        (Some(since), Some(from)) => format!("at every name server since {since}, can be used from {from} on"),
        _ if told => "not seen at every name server yet: mxseal dns".to_owned(),
        _ => return,
    };
    fact(style, out, "Next keys", format!("{} of {}\n{when}", of(&doc.next), doc.name));
}

/// What watches: the last run, what it waits for, and who is told.
fn watched(style: Style, out: &mut String, status: &StatusDoc, now: Moment) {
    if let Some(run) = &status.run {
        let ended = match run.ended {
            None => format!("began {}, and did not end", age(run.began, now)),
            Some(ended) => format!("{}: {}", age(ended, now), run.outcome),
        };
        fact(style, out, "Last run", ended);
    }
    for line in status.lineages.iter().filter(|_| status.rests.is_empty() && !status.served.is_empty()) {
        if let Due::Later(at) = lineage_due(line, now) {
            fact(style, out, "Renewed", format!("{} from {} on", line.name, at.day()));
        }
    }
    for rest in &status.rests {
        let who = if rest.asked { " as the CA asks" } else { "" };
        fact(style, out, "Renewal", format!("failed {} times, tried again from {}{who} on", rest.failures, rest.until));
    }
    if let Some(alarm) = &status.alarm {
        let reached = alarm.reached.map_or_else(
            || "no test has reached it yet: mxseal alarm --test".to_owned(),
            |at| format!("a test reached it on {}", Moment(at).day()),
        );
        fact(style, out, "Alarm", format!("{}, {reached}", alarm.to));
    }
    let needs = status.run.as_ref().map(Run::needs).unwrap_or_default();
    out.push_str(&findings(style, &[&status.findings[..], &needs[..]].concat()));
}

/// How long ago, as people say it, and when.
fn age(at: Moment, now: Moment) -> String {
    let ago = match now.since(at).as_secs() {
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds @ ..7200 => format!("{} minutes", seconds / 60),
        seconds @ ..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    };
    format!("{ago} ago ({at})")
}

/// Whether a certificate is one of our lineages'.
#[must_use]
pub fn is_ours(lineages: &[Lineage], leaf: &Certificate) -> bool {
    lineages.iter().flat_map(|l| &l.keys).filter_map(|k| k.leaf.as_ref()).any(|l| l.digest == leaf.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        certificate::Digest,
        claims::Claims,
        policy::sts_policy::{Mode, MxPattern, StsPolicy},
    };

    #[test]
    fn a_status_that_is_not_good_says_what_to_do() {
        let status = |exit, open: Option<&str>, standing| {
            let open = open.map(str::to_owned);
            let document = StatusDoc { version: 1, exit, open, ..StatusDoc::default() };
            status_page(Style::default(), &document, standing, Moment(0))
        };
        for (page, says) in [
            (status(0, None, true), ""),
            (status(1, None, true), "Another certificate is served than was proved. To mend it: mxseal setup\n"),
            (status(1, Some("7"), true), "Change 7 was interrupted. Next: mxseal recover\n"),
            (status(1, None, false), "Nothing of mxseal stands on this host. To begin: mxseal setup\n"),
            (status(3, None, true), "Nobody has looked yet what is served: mxseal status --live\n"),
        ] {
            assert_eq!(page, says);
        }
    }

    #[test]
    fn what_the_world_was_told_is_said_with_its_end() {
        let (mx, domain) = ("mx.example.org".parse().expect("a name"), "example.org".parse().expect("a name"));
        let mut claims = Claims::default();
        claims.tell_tlsa(&mx, &[Digest::of(b"a"), Digest::of(b"b")], 60, Moment(0));
        let policy = StsPolicy { mode: Mode::Testing, mx: vec![MxPattern::of(mx)], max_age: 86400 };
        claims.tell_policy(&domain, Some(&policy), Moment(0));
        claims.tell_policy(&domain, None, Moment(60));
        let document = StatusDoc { told: claims.0, ..StatusDoc::default() };
        let page = status_page(Style::default(), &document, true, Moment(120));
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        for says in [
            "Told mx.example.org presents one of 2 keys (TLSA)",
            "seen 2 minutes ago (1970-01-01T00:00:00Z)",
            "mail for example.org goes to mx.example.org, by MTA-STS in mode testing",
            "not told any more, and may be believed until 1970-01-02T00:01:00Z",
        ] {
            assert!(page.contains(says), "{says}: {page}");
        }
    }
}
