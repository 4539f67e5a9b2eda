//! By which challenge the CA is shown that the names are ours: the first rung of a ladder that was measured to hold, and why it
//! is that one. Pure.

use crate::{
    change::Command,
    facts::{Known, PortOwner},
    intent::ChallengeType,
};
use std::path::{Path, PathBuf};

/// Where the CA's question is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Challenge {
    /// http-01 (RFC 8555 §8.3) by our own listener on port 80.
    #[default]
    Listen,
    /// http-01 by a web server that serves this directory on port 80.
    Webroot(PathBuf),
    /// tls-alpn-01 (RFC 8737) by our own listener on port 443.
    TlsAlpn,
    /// tls-alpn-01 by the policy host of this machine, whose port 443 is.
    PolicyHost(Door),
    /// dns-01 (RFC 8555 §8.4) by the publisher of the settings.
    Dns,
}

/// How the policy host of this machine is told what to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The file of what it serves.
    pub file: PathBuf,
    /// What makes it read that again; empty where it looks by itself.
    pub reload: Command,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct Rungs<'a> {
    /// What the admin asks for.
    pub asked: Option<ChallengeType>,
    /// The directory that the admin named.
    pub webroot: Option<&'a Path>,
    /// Who answers on port 80.
    pub port80: &'a Known<PortOwner>,
    /// Who answers on port 443.
    pub port443: &'a Known<PortOwner>,
    /// The policy host that has port 443.
    pub policy_host: Option<&'a Door>,
    /// Whether records can be published without a human.
    pub publisher: bool,
}

/// The rung and the reason, which ends a sentence that begins with the challenge's name.
#[must_use]
pub fn ladder(rungs: &Rungs<'_>) -> (Challenge, String) {
    let free = |port: &Known<PortOwner>| port.value().is_some_and(|owner| owner.pid == 0);
    let http = || match (rungs.webroot, rungs.port80) {
        (Some(dir), _) => Some((Challenge::Webroot(dir.to_owned()), format!("{} was named with --webroot", dir.display()))),
        (None, port) if free(port) => Some((Challenge::Listen, "port 80 is free here".to_owned())),
        (None, Known::Seen { value, .. }) => {
            let dir = value.webroot.as_ref()?;
            Some((Challenge::Webroot(dir.clone()), format!("{} serves {} on port 80", value.program, dir.display())))
        }
        (None, Known::Unknown { .. }) => None,
    };
    let taken = match rungs.port80 {
        Known::Seen { value, .. } => format!("{} has port 80 and does not say plainly what it serves", value.program),
        Known::Unknown { why } => format!("who has port 80 is unknown ({why})"),
    };
    match rungs.asked {
        Some(ChallengeType::Http01) => http().unwrap_or_else(|| (Challenge::Listen, "it was asked for".to_owned())),
        Some(ChallengeType::TlsAlpn01) => {
            let ours = rungs.policy_host.cloned().map(Challenge::PolicyHost);
            (ours.unwrap_or(Challenge::TlsAlpn), "it was asked for".to_owned())
        }
        Some(ChallengeType::Dns01) => (Challenge::Dns, "it was asked for".to_owned()),
        None => match http() {
            Some(rung) => rung,
            // What others serve on port 443 is not interrupted, and nothing is passed on.
            None if free(rungs.port443) => (Challenge::TlsAlpn, format!("{taken}, and port 443 is free")),
            None if let Some(door) = rungs.policy_host => {
                (Challenge::PolicyHost(door.clone()), format!("{taken}, and port 443 is that of mxseal serve"))
            }
            None if rungs.publisher => (Challenge::Dns, format!("{taken}, and records can be published")),
            None => (Challenge::Listen, format!("{taken}; it must make room")),
        },
    }
}

/// What the ladder may come to, today or at a renewal.
#[must_use]
pub fn challenges(asked: Option<ChallengeType>, publisher: bool) -> Vec<ChallengeType> {
    let all = [ChallengeType::Http01, ChallengeType::TlsAlpn01, ChallengeType::Dns01];
    all.into_iter().filter(|rung| asked.map_or(publisher || *rung != ChallengeType::Dns01, |asked| asked == *rung)).collect()
}

impl Challenge {
    /// Its name (RFC 8555 §8).
    #[must_use]
    pub const fn kind(&self) -> ChallengeType {
        match self {
            Self::Listen | Self::Webroot(_) => ChallengeType::Http01,
            Self::TlsAlpn | Self::PolicyHost(_) => ChallengeType::TlsAlpn01,
            Self::Dns => ChallengeType::Dns01,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(pid: u32, program: &str, webroot: Option<&str>) -> Known<PortOwner> {
        Known::seen(PortOwner { pid, program: program.into(), elsewhere: false, webroot: webroot.map(Into::into) }, "test")
    }

    #[test]
    fn every_rung_that_may_be_taken_is_named() {
        use ChallengeType::{Dns01, Http01, TlsAlpn01};
        for (asked, publisher, expected) in [
            (None, false, &[Http01, TlsAlpn01][..]),
            (None, true, &[Http01, TlsAlpn01, Dns01]),
            (Some(Dns01), false, &[Dns01]),
            (Some(Http01), true, &[Http01]),
        ] {
            assert_eq!(challenges(asked, publisher), expected);
        }
    }

    #[test]
    fn the_first_rung_that_holds_is_taken() {
        let free = || owner(0, "", None);
        let dark = || owner(7, "java", None);
        let hidden = || Known::unknown("of another namespace");
        let www = || Challenge::Webroot("/srv/www".into());
        for (what, asked, webroot, port80, port443, publisher, expected, why) in [
            ("a mail host alone", None, None, free(), free(), true, Challenge::Listen, "port 80 is free"),
            ("a directory is named", None, Some("/srv/www"), free(), free(), true, www(), "--webroot"),
            ("a web server says it", None, None, owner(7, "nginx", Some("/srv/www")), owner(7, "nginx", None), true, www(), "nginx serves"),
            ("port 80 alone is taken", None, None, dark(), free(), true, Challenge::TlsAlpn, "port 443 is free"),
            ("both are taken", None, None, dark(), dark(), true, Challenge::Dns, "records can be published"),
            ("nothing holds", None, None, dark(), dark(), false, Challenge::Listen, "it must make room"),
            ("nothing can be seen", None, None, hidden(), hidden(), false, Challenge::Listen, "unknown (of another namespace)"),
            ("asked", Some(ChallengeType::TlsAlpn01), Some("/srv/www"), free(), dark(), true, Challenge::TlsAlpn, "asked for"),
            ("asked", Some(ChallengeType::Dns01), None, free(), free(), false, Challenge::Dns, "asked for"),
            ("asked", Some(ChallengeType::Http01), None, dark(), free(), true, Challenge::Listen, "asked for"),
            ("asked", Some(ChallengeType::Http01), Some("/srv/www"), dark(), free(), true, www(), "--webroot"),
        ] {
            let webroot = webroot.map(Path::new);
            let (challenge, says) = ladder(&Rungs { asked, webroot, port80: &port80, port443: &port443, policy_host: None, publisher });
            assert_eq!(challenge, expected, "{what}");
            assert!(says.contains(why), "{what}: {says}");
        }
    }
    #[test]
    fn the_policy_host_answers_where_it_has_the_port() {
        let (free, dark, systemd) = (owner(0, "", None), owner(7, "java", None), owner(1, "systemd", None));
        let door = Door { file: "/var/lib/mxseal/policy-host/served.json".into(), reload: Command::default() };
        for (what, asked, port80, publisher, expected) in [
            ("port 80 is free", None, &free, true, Challenge::Listen),
            ("port 80 is taken", None, &dark, true, Challenge::PolicyHost(door.clone())),
            ("asked", Some(ChallengeType::TlsAlpn01), &free, true, Challenge::PolicyHost(door.clone())),
            ("asked otherwise", Some(ChallengeType::Dns01), &dark, true, Challenge::Dns),
        ] {
            let rungs = Rungs { asked, webroot: None, port80, port443: &systemd, policy_host: Some(&door), publisher };
            assert_eq!(ladder(&rungs).0, expected, "{what}");
        }
    }
}
