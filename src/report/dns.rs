//! What is said beside records and policies, on a terminal.

use super::{
    Style,
    json::{ListDoc, PoliciesDoc, PolicyDoc},
    text::findings,
    wrap::hang,
};
use crate::publish::{Need, Sheet};

/// What the records that were printed come to, and why others were not.
#[must_use]
pub fn dns_page(style: Style, sheet: &Sheet) -> String {
    let mut out = findings(style, &sheet.findings);
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
    let mut fact = |label: &str, value: &str| hang(out, &format!("  {label:<11}"), value, style.width);
    fact("Domain", &policy.domain);
    match (&policy.served, &policy.not_served) {
        (Some(text), _) => fact("Served", text),
        (None, why) => fact("Served", &format!("nothing: {}", why.as_deref().unwrap_or("not asked"))),
    }
    fact("Announced", policy.announced.as_deref().map_or("no", |id| id));
    for mx in &policy.mx {
        fact("MX host", &format!("{} {}", mx.name, if mx.covered { "is named" } else { "is not named" }));
    }
    if !policy.right {
        fact("To serve", &format!("https://mta-sts.{}/.well-known/mta-sts.txt", policy.domain));
        fact("", &policy.text);
        fact("Then", &format!("_mta-sts.{}. IN TXT \"{}\"", policy.domain, policy.record));
    }
    out.push('\n');
}
