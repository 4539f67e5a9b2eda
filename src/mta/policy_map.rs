//! A policy list as a map of a mail server that sends.

use crate::{
    moment::Moment,
    policy::policy_list::{ListMode, ListPattern, ListPolicy, PolicyList},
};

/// A mail server that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "wires", derive(clap::ValueEnum))]
pub enum PolicyMap {
    /// A table for smtp_tls_policy_maps
    Postfix,
    /// A table for lsearch: the MX hosts of each domain
    Exim,
}

impl PolicyMap {
    /// The map of a list at `now`.
    #[must_use]
    pub fn of(self, list: &PolicyList, now: Moment) -> Export {
        match self {
            Self::Postfix => postfix(list, now),
            Self::Exim => exim(list, now),
        }
    }
}

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
fn postfix(list: &PolicyList, now: Moment) -> Export {
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
fn exim(list: &PolicyList, now: Moment) -> Export {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{
      "version": "0.1", "timestamp": "2020-05-20T10:25:12.123456-07:00", "expires": 1591205112, "author": "somebody", "policy-aliases": {},
      "policies": {
        "small.example": { "mode": "enforce", "mxs": ["mx1.small.example", "mx2.small.example"] },
        "wild.example": { "mode": "enforce", "mxs": ["mx.wild.example", ".in.wild.example"] },
        "big.example": { "mode": "testing", "mxs": [".mail.big.example"] }
      }
    }"#;
    const DAY: Moment = Moment(1_590_364_800);

    #[test]
    fn a_map_says_no_more_than_the_list() {
        let list = PolicyList::read(LIST.as_bytes()).unwrap();
        let of_postfix = PolicyMap::Postfix.of(&list, DAY);
        assert_eq!((of_postfix.domains, of_postfix.testing, of_postfix.left_out), (1, 1, 1));
        let lines: Vec<&str> = of_postfix.text.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(lines, ["small.example secure match=mx1.small.example:mx2.small.example servername=hostname"]);
        let of_exim = PolicyMap::Exim.of(&list, DAY);
        assert_eq!((of_exim.domains, of_exim.testing, of_exim.left_out), (2, 1, 0));
        assert!(of_exim.text.ends_with("wild.example: mx.wild.example : ^[^.]+\\.in\\.wild\\.example$\n"), "{}", of_exim.text);
        for export in [PolicyMap::Postfix, PolicyMap::Exim].map(|map| map.of(&list, list.expires)) {
            assert!(export.domains == 0 && export.text.lines().all(|l| l.starts_with('#')), "{}", export.text);
        }
    }

    /// A real list, where one is at hand: `MXSEAL_POLICY_LIST` is its path.
    #[test]
    fn the_last_list_of_the_eff_becomes_maps() {
        let Some(path) = std::env::var_os("MXSEAL_POLICY_LIST") else { return };
        let list = PolicyList::read(&std::fs::read(path).unwrap()).unwrap();
        let of_postfix = PolicyMap::Postfix.of(&list, DAY);
        assert_eq!(of_postfix.domains + of_postfix.testing + of_postfix.left_out, 926);
        assert_eq!(PolicyMap::Exim.of(&list, DAY).domains, 361);
    }
}
