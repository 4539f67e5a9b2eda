//! What is said beside records and policies, on a terminal.

use super::{
    Style,
    json::{ListDoc, PoliciesDoc, PolicyDoc, ZoneDoc},
    text::findings,
    wrap::hang,
};
use crate::publish::{Need, Sheet};

/// What the records that were printed come to, and why others were not.
#[must_use]
pub fn dns_page(style: Style, sheet: &Sheet, published: bool) -> String {
    let mut out = findings(style, &sheet.findings);
    if published {
        return out;
    }
    let (required, open) = (sheet.open().filter(|w| w.need == Need::Required).count(), sheet.open().count());
    let right = sheet.wanted.len() - open;
    let last = match (required, open - required) {
        (0, 0) if right == 0 => "No record is proposed.".to_owned(),
        (0, 0) => format!("Nothing is missing: {right} of {right} records are as they should be."),
        (0, more) => format!("{more} recommended, {right} right already."),
        (must, more) => format!("{must} required, {more} recommended, {right} right already."),
    };
    if !out.is_empty() {
        out.push('\n');
    }
    hang(&mut out, "", &last, style.width);
    out
}

/// What was done in each zone.
#[must_use]
pub fn zones_page(style: Style, zones: &[ZoneDoc]) -> String {
    let mut out = String::new();
    for zone in zones {
        let words = match zone.state {
            "published" => "published",
            "nothing-to-do" => "everything is there already",
            "by-hand" => "to be entered by you",
            "planned" => "would be published",
            "unclear" => "may have been published",
            _ => "not published",
        };
        hang(&mut out, "", &format!("Zone {}: {words}", zone.zone), style.width);
        if let Some(change) = &zone.change {
            out.push_str(change);
        } else if zone.state != "by-hand" {
            // Records are to be pasted: they stay whole.
            zone.added.iter().for_each(|record| hang(&mut out, "  + ", record, usize::MAX));
            zone.removed.iter().for_each(|record| hang(&mut out, "  - ", record, usize::MAX));
        }
        zone.error.iter().for_each(|error| hang(&mut out, "  ", error, style.width));
        zone.next.iter().for_each(|next| hang(&mut out, "  ", &format!("Next: {next}"), style.width));
    }
    out
}

/// The policy of each domain, and what is to be said of it.
#[must_use]
pub fn policy_page(style: Style, document: &PoliciesDoc) -> String {
    let mut out = String::new();
    for policy in &document.policies {
        one(style, &mut out, policy);
    }
    if document.policies.is_empty() {
        out.push_str("No mail domain is known: name one with --domain.\n");
    }
    out.push_str(&findings(style, &document.findings));
    out
}

/// What a list says, of itself or of a domain, and what is to be said of it.
#[must_use]
pub fn list_page(style: Style, document: &ListDoc) -> String {
    let mut out = String::new();
    let mut fact = |label: &str, value: &str| hang(&mut out, &format!("  {label:<11}"), value, style.width);
    if let (Some(timestamp), Some(expires)) = (&document.timestamp, &document.expires) {
        fact("List of", timestamp);
        fact("Until", expires);
        fact("Made by", document.author.as_deref().unwrap_or("nobody that it names"));
        let counts = (document.domains.unwrap_or(0), document.enforced.unwrap_or(0));
        fact("Domains", &format!("{}, {} of them in mode enforce", counts.0, counts.1));
    }
    if let Some(domain) = &document.domain {
        match &document.policy {
            None => fact(domain, "is not on the list"),
            Some(policy) => {
                let names: Vec<String> = policy.mxs.iter().map(ToString::to_string).collect();
                fact(domain, &format!("mode {}, MX hosts {}", policy.mode, names.join(" ")));
            }
        }
    }
    out + &findings(style, &document.findings)
}

fn one(style: Style, out: &mut String, policy: &PolicyDoc) {
    let mut line = |label: &str, value: &str, width: usize| hang(out, &format!("  {label:<11}"), value, width);
    let mut fact = |label: &str, value: &str| line(label, value, style.width);
    fact("Domain", &policy.domain);
    match (&policy.served, &policy.not_served) {
        (Some(text), _) => fact("Served", text),
        (None, why) => fact("Served", &format!("nothing: {}", why.as_deref().unwrap_or("not asked"))),
    }
    fact("Announced", policy.announced.as_deref().map_or("no", |id| id));
    for mx in &policy.mx {
        fact("MX host", &format!("{} {}", mx.name, if mx.covered { "is named" } else { "is not named" }));
    }
    if let Some(kept) = &policy.kept {
        fact("Kept", &format!("mode {} since {}, served by {}", kept.mode, kept.since, kept.by));
        if let Some(until) = &kept.believed_until {
            fact("Believed", &format!("what was served before, by some sender, until {until}"));
        }
        for (label, text) in [("File", &kept.file), ("Site", &kept.site)] {
            if let Some(text) = text {
                line(label, text, usize::MAX);
            }
        }
        if let Some(next) = &kept.next {
            line("Next", next, usize::MAX);
        }
    }
    if !policy.right && policy.kept.as_ref().is_none_or(|k| k.by == "none") {
        // To be pasted: lines stay whole.
        line("To serve", &format!("https://mta-sts.{}/.well-known/mta-sts.txt", policy.domain), usize::MAX);
        line("", &policy.text, usize::MAX);
        line("Then", &format!("_mta-sts.{}. IN TXT \"{}\"", policy.domain, policy.record), usize::MAX);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::CoverDoc;

    #[test]
    fn a_policy_is_shown_with_what_is_to_be_served() {
        let text = "version: STSv1\nmode: testing\nmx: mx.example.org\nmax_age: 86400\n";
        let page = |right: bool| {
            let policy = PolicyDoc {
                domain: "example.org".into(),
                served: right.then(|| text.to_owned()),
                not_served: (!right).then(|| "mta-sts.example.org has no address".to_owned()),
                announced: right.then(|| "a1".to_owned()),
                right,
                mx: vec![CoverDoc { name: "mx.example.org".into(), covered: right }],
                text: text.into(),
                record: "v=STSv1; id=0123456789abcdef0123456789abcdef;".into(),
                kept: None,
            };
            policy_page(
                Style::default(),
                &PoliciesDoc { version: 1, exit: 1, changed: false, policies: vec![policy], findings: vec![], zones: vec![] },
            )
        };
        assert_eq!(
            page(false),
            "  Domain     example.org\n  Served     nothing: mta-sts.example.org has no address\n  Announced  no\n  \
             MX host    mx.example.org is not named\n  To serve   https://mta-sts.example.org/.well-known/mta-sts.txt\n             \
             version: STSv1\n             mode: testing\n             mx: mx.example.org\n             max_age: 86400\n  \
             Then       _mta-sts.example.org. IN TXT \"v=STSv1; id=0123456789abcdef0123456789abcdef;\"\n\n"
        );
        assert_eq!(
            page(true),
            "  Domain     example.org\n  Served     version: STSv1\n             mode: testing\n             mx: mx.example.org\n             \
             max_age: 86400\n  Announced  a1\n  MX host    mx.example.org is named\n\n"
        );
    }
}
