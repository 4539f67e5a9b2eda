//! A list as a map of a mail server that sends.

use super::{ListMode, ListPattern, ListPolicy, PolicyList};
use crate::moment::Moment;

/// A map, and what is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The file.
    pub text: String,
    /// Domains that are in it.
    pub domains: usize,
    /// Domains in mode testing, which change nothing.
    pub testing: usize,
    /// Domains that are left out, because the map cannot say one of their patterns.
    pub left_out: usize,
}

const EXPIRED: &str = "# The policy list is expired: mail goes out as if there were none.\n";

/// A table of Postfix for `smtp_tls_policy_maps` (postconf(5)), sorted by domain. `secure` verifies against the names of the
/// list, and the host's own name is sent as SNI. A name with a leading dot means any number of labels to Postfix, and
/// exactly one to the list: a domain with such a pattern is left out, for without the pattern its mail would be deferred.
#[must_use]
pub fn postfix(list: &PolicyList, now: Moment) -> Export {
    let says = |policy: &ListPolicy| {
        if policy.mxs.iter().any(|p| p.any_label) {
            return None;
        }
        let names: Vec<String> = policy.mxs.iter().map(ToString::to_string).collect();
        Some(format!("secure match={} servername=hostname", names.join(":")))
    };
    let head = format!(
        "# Policy list of {}, until {}. For smtp_tls_policy_maps, behind maps of MTA-STS and DANE.\n",
        list.timestamp, list.expires
    );
    map(list, now, &head, "a pattern of it would mean more names to Postfix than to the list", " ", says)
}

/// A table for Exim's `lsearch`: the MX hosts of each domain as a host list. A regular expression says exactly one label.
#[must_use]
pub fn exim(list: &PolicyList, now: Moment) -> Export {
    let item = |p: &ListPattern| {
        if p.any_label { format!("^[^.]+\\.{}$", p.name.as_str().replace('.', "\\.")) } else { p.name.to_string() }
    };
    let says = |policy: &ListPolicy| Some(policy.mxs.iter().map(item).collect::<Vec<_>>().join(" : "));
    let head =
        format!("# Policy list of {}, until {}. The MX hosts of each domain as a host list of Exim.\n", list.timestamp, list.expires);
    map(list, now, &head, "Exim cannot say a pattern of it", ": ", says)
}

fn map(list: &PolicyList, now: Moment, head: &str, why: &str, between: &str, says: impl Fn(&ListPolicy) -> Option<String>) -> Export {
    let mut export = Export { text: head.to_owned(), domains: 0, testing: 0, left_out: 0 };
    if list.expires <= now {
        export.text = EXPIRED.to_owned();
        return export;
    }
    for (domain, policy) in &list.policies {
        let line = match (policy.mode, says(policy)) {
            (ListMode::Testing, _) => {
                export.testing += 1;
                format!("# {domain}: in mode testing\n")
            }
            (ListMode::Enforce, None) => {
                export.left_out += 1;
                format!("# {domain}: {why}\n")
            }
            (ListMode::Enforce, Some(value)) => {
                export.domains += 1;
                format!("{domain}{between}{value}\n")
            }
        };
        export.text.push_str(&line);
    }
    export
}
