//! What this host keeps of the MTA-STS policy of one domain: what it should be, what senders may still believe, and the next step
//! between the two. Pure: the file before the record, the record before what rests on it, and each wait as long as some cache may
//! still know better (RFC 8461 §8).

use super::Text;
use crate::{
    facts::{Answer, Known},
    moment::Moment,
    name::DnsName,
    policy::{
        Fetched, Published,
        mta_sts::StsRecord,
        sts_policy::{Mode, StsPolicy},
    },
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// MX records are believed that long at least, whatever TTL was seen: a cache shows what is left of it.
const MX_LEAST: u32 = 3600;

/// Who serves the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum PolicyHost {
    /// `mxseal serve` on this host.
    Builtin,
    /// A web server that is here already: it takes the file from a directory, by a site that is printed for it.
    Snippet {
        /// Which.
        server: WebServer,
        /// The directory.
        dir: PathBuf,
    },
    /// Whoever takes files from a directory.
    Export {
        /// The directory.
        dir: PathBuf,
    },
    /// Somebody else: the text is printed.
    None,
}

/// Who is to serve a policy, as flag and settings say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "wires", derive(clap::ValueEnum))]
pub enum ServedBy {
    /// `mxseal serve` on port 443 of this host, as nobody, with a certificate of its own
    Builtin,
    /// A web server that is here already: a file for it, and the site that serves it
    Snippet,
    /// The file alone
    Export,
    /// Somebody else: the text is printed
    None,
}

impl ServedBy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Builtin, Self::Snippet, Self::Export, Self::None];

    /// As flag and settings say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Snippet => "snippet",
            Self::Export => "export",
            Self::None => "none",
        }
    }
}

/// A web server that a site is printed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "wires", derive(clap::ValueEnum))]
pub enum WebServer {
    /// nginx
    Nginx,
    /// The Apache HTTP server
    Apache,
    /// Caddy, which gets its certificate itself
    Caddy,
}

impl WebServer {
    /// The one that this program is.
    #[must_use]
    pub fn of(program: &str) -> Option<Self> {
        match program {
            "nginx" => Some(Self::Nginx),
            "apache2" | "httpd" => Some(Self::Apache),
            "caddy" => Some(Self::Caddy),
            _ => None,
        }
    }
}

impl fmt::Display for WebServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nginx => "nginx",
            Self::Apache => "Apache",
            Self::Caddy => "Caddy",
        })
    }
}

/// The policy of a domain, as this host keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPolicy {
    /// The domain.
    pub domain: DnsName,
    /// What is to be served.
    pub policy: StsPolicy,
    /// Since when.
    pub since: Moment,
    /// By whom.
    pub host: PolicyHost,
    /// When every address of the policy host was first seen to serve it.
    pub served: Option<Moment>,
    /// When the record with its id was first seen.
    pub announced: Option<Moment>,
    /// When the record of a policy that is left was first seen to be gone.
    pub withdrawn: Option<Moment>,
    /// The largest TTL of the record that was seen, in seconds.
    pub record_ttl: u32,
    /// What was served before, and may still be believed.
    pub before: Vec<Former>,
    /// The largest TTL of the MX records that was seen, in seconds.
    pub mx_ttl: u32,
    /// Names in the policy that are in no MX record, and since when they are not.
    pub absent: BTreeMap<DnsName, Moment>,
}

/// A policy that was served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The policy.
    pub policy: StsPolicy,
    /// When it was last served; `None` while that may still be so.
    pub last: Option<Moment>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The policy host has to serve the text.
    Serve,
    /// The record has to say that it changed.
    Announce(StsRecord),
    /// Nothing, until caches have forgotten.
    Wait {
        /// What then, as the end of a sentence.
        before: String,
        /// Until when.
        until: Moment,
    },
    /// The record of a policy that is left can go.
    Withdraw,
    /// The file, its host's name and what is kept can go.
    Close,
    /// Nothing.
    Stands,
}

impl KeptPolicy {
    /// One that nothing was seen of yet.
    #[must_use]
    pub fn new(domain: DnsName, policy: StsPolicy, host: PolicyHost, now: Moment) -> Self {
        Self {
            domain,
            policy,
            since: now,
            host,
            served: None,
            announced: None,
            withdrawn: None,
            record_ttl: 0,
            before: Vec::new(),
            mx_ttl: 0,
            absent: BTreeMap::new(),
        }
    }

    /// Another policy from now on. The one before may be served for a while yet, and believed for longer.
    #[must_use]
    pub fn becomes(mut self, policy: StsPolicy, now: Moment) -> Self {
        if policy != self.policy {
            let old = std::mem::replace(&mut self.policy, policy);
            self.was_served(old);
            (self.since, self.served, self.announced, self.withdrawn) = (now, None, None, None);
        }
        self
    }

    /// Takes in what senders see at `now`.
    ///
    /// Where nothing leads from here to an address of the policy host, the old policy may still lie there. It counts as changed
    /// there too once the record says so: mxseal does not change that one then, and whoever did has looked.
    #[must_use]
    pub fn seen(mut self, served: Option<&Fetched>, record: &Known<Answer<Text>>, mx: &Known<Answer<(u16, DnsName)>>, now: Moment) -> Self {
        let announced = record.value().map(|a| StsRecord::published(&a.records).strict() == Some(&self.policy.record()));
        if let Some(reading) = served.and_then(Fetched::reading) {
            let everywhere = served.is_some_and(Fetched::is_from_all) || self.before.is_empty() || announced == Some(true);
            match reading.strict() {
                Some(policy) if *policy == self.policy && !everywhere => {}
                Some(policy) if *policy == self.policy => {
                    self.served.get_or_insert(now);
                    self.before.iter_mut().filter(|b| b.last.is_none()).for_each(|b| b.last = Some(now));
                }
                other => {
                    self.served = None;
                    if let Some(policy) = other.cloned() {
                        self.was_served(policy);
                    }
                }
            }
        }
        if let Some(answer) = record.value() {
            self.announced = announced.filter(|ours| *ours).map(|_| self.announced.unwrap_or(now));
            self.withdrawn = matches!(StsRecord::published(&answer.records), Published::Absent).then(|| self.withdrawn.unwrap_or(now));
            if !answer.records.is_empty() {
                self.record_ttl = self.record_ttl.max(answer.ttl);
            }
        }
        if let Some(answer) = mx.value() {
            self.mx_ttl = self.mx_ttl.max(answer.ttl);
            let named = |name: &DnsName| answer.records.iter().any(|(_, mx)| mx == name);
            self.absent.retain(|name, _| !named(name));
            for name in self.policy.mx.iter().filter_map(|p| p.single()).filter(|name| !named(name)) {
                self.absent.entry(name.clone()).or_insert(now);
            }
            let policy = &self.policy;
            self.absent.retain(|name, _| policy.mx.iter().any(|p| p.single() == Some(name)));
        }
        self.before.retain(|b| b.last.is_none_or(|last| last.after(age(&b.policy)) > now));
        self
    }

    /// The name of the policy host leads nowhere: nobody can fetch what was served before.
    #[must_use]
    pub fn unnamed(mut self, now: Moment) -> Self {
        self.before.iter_mut().for_each(|b| b.last = b.last.or(Some(now)));
        self
    }

    /// Until when some sender may go by a policy that was served before: the countdown of whoever leaves. `None` where nobody does.
    #[must_use]
    pub fn believed(&self, now: Moment) -> Option<Moment> {
        let binding = self.before.iter().filter(|b| b.policy.mode != Mode::None);
        binding.map(|b| b.last.unwrap_or(now).after(age(&b.policy))).max().filter(|until| *until > now)
    }

    /// When a name that left MX may leave the policy: caches have forgotten the MX records that had it. `None` while MX has it.
    #[must_use]
    pub fn may_leave(&self, mx: &DnsName) -> Option<Moment> {
        self.absent.get(mx).map(|gone| gone.after(seconds(self.mx_ttl.max(MX_LEAST))))
    }

    /// When a name that entered the policy may enter MX: every cache knows that the policy changed. `None` until that is announced.
    #[must_use]
    pub fn may_enter(&self) -> Option<Moment> {
        self.announced.map(|at| at.after(seconds(self.record_ttl)))
    }

    /// What is to be done next, as things stood when they were last looked at.
    #[must_use]
    pub fn step(&self, now: Moment) -> Step {
        let wait = |before: &str, until| Step::Wait { before: before.to_owned(), until };
        let leaving = self.policy.mode == Mode::None;
        match (leaving, self.served, self.announced, self.withdrawn) {
            (true, _, _, Some(gone)) if self.believed(now).is_none() => {
                let forgotten = gone.after(seconds(self.record_ttl));
                if forgotten > now { wait("the file and the name of the policy host can go", forgotten) } else { Step::Close }
            }
            // Nobody gets anything any more, and whoever got it before forgets it.
            (true, None, _, Some(_)) if self.before.iter().all(|b| b.last.is_some()) => {
                self.believed(now).map_or(Step::Close, |until| wait("what is kept of the policy can go", until))
            }
            (_, None, _, _) => Step::Serve,
            (_, Some(_), None, _) => Step::Announce(self.policy.record()),
            (true, Some(_), Some(_), _) => {
                self.believed(now).map_or(Step::Withdraw, |until| wait("the record of the policy can go", until))
            }
            (false, Some(_), Some(_), _) => match self.may_enter() {
                Some(at) if at > now && !self.absent.is_empty() => wait("the new name can enter MX", at),
                _ => Step::Stands,
            },
        }
    }

    fn was_served(&mut self, policy: StsPolicy) {
        match self.before.iter_mut().find(|b| b.policy == policy) {
            Some(again) => again.last = None,
            None => self.before.push(Former { policy, last: None }),
        }
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

fn age(policy: &StsPolicy) -> Duration {
    seconds(policy.max_age)
}
