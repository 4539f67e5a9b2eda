//! The catalogue: what an id means for mail, how to see it by hand, where it is written. One id, one entry: it feeds `mxseal
//! explain`, and tests hold it against the sources, the profiles and the manual.

mod certificate;
mod plan;
mod reason;
mod stop;
mod told;
mod watch;
mod wire;

/// What an id means.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    /// The id of a finding or an error, or the name of a setting.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it means for mail and what to do, in a few sentences.
    pub text: &'static str,
    /// How to see it by hand: command lines, to be pasted with the admin's own names in place of `mx.example.org`.
    pub see: &'static str,
    /// Where it is written: sections of RFCs, pages and settings.
    pub reference: &'static str,
}

/// Topics that belong together, by id.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// What they have in common.
    pub title: &'static str,
    /// The topics.
    pub topics: &'static [Topic],
}

/// The whole catalogue.
pub const FAMILIES: &[Family] = &[
    Family { title: "What a plan says, and why it holds back", topics: plan::TOPICS },
    Family { title: "Why a step is planned, or a setting set", topics: reason::TOPICS },
    Family { title: "What conversations show", topics: wire::TOPICS },
    Family { title: "What the world is told", topics: told::TOPICS },
    Family { title: "Why there is no certificate", topics: certificate::TOPICS },
    Family { title: "Why a run stopped, or ended otherwise", topics: stop::TOPICS },
    Family { title: "What watches, and whom it tells", topics: watch::TOPICS },
];

/// Every topic.
pub fn all() -> impl Iterator<Item = &'static Topic> {
    FAMILIES.iter().flat_map(|f| f.topics)
}

/// The topic of an id.
#[must_use]
pub fn topic(id: &str) -> Option<&'static Topic> {
    all().find(|t| t.id == id)
}

/// An error that the catalogue explains.
pub trait Explained {
    /// Its id.
    fn topic(&self) -> &'static str;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn sorted_and_said_once() {
        for family in FAMILIES {
            assert!(family.topics.is_sorted_by(|a, b| a.id < b.id), "{}", family.title);
        }
        assert_eq!(all().map(|t| t.id).collect::<BTreeSet<_>>().len(), all().count());
    }

    #[test]
    fn every_entry_has_its_parts() {
        const PROGRAMS: &[&str] = &[
            "cat",
            "certbot",
            "chronyc",
            "crontab",
            "curl",
            "delv",
            "df",
            "dig",
            "doveconf",
            "exim",
            "exim4",
            "getent",
            "grep",
            "id",
            "ip",
            "journalctl",
            "ls",
            "mxseal",
            "openssl",
            "postconf",
            "postfix",
            "posttls-finger",
            "ps",
            "ss",
            "systemctl",
            "timedatectl",
        ];
        for Topic { id, title, text, see, reference } in all() {
            assert!(!title.is_empty() && title.len() <= 60 && !title.ends_with('.'), "{id}: {title}");
            assert!(text.len() > 60 && text.ends_with('.'), "{id}: {text}");
            assert!(!see.is_empty() && see.lines().all(|l| PROGRAMS.contains(&l.split(' ').next().unwrap_or_default())), "{id}: {see}");
            let written = |r: &str| r.starts_with("RFC ") || r.contains('(') || r.contains(" section ") || r.contains('/');
            assert!(reference.split("; ").all(written), "{id}: {reference}");
        }
    }
}
