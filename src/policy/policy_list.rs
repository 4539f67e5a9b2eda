//! A policy list: which mail domains want TLS of which MX hosts, in one signed file, in the format (version 0.1) of the list
//! that the EFF kept until 2020.

use crate::{moment::Moment, name::DnsName};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The largest list that is read, in bytes: the last one of the EFF has 0.2 MB.
pub const LARGEST: usize = 8 << 20;
/// The only version there is.
pub const VERSION: &str = "0.1";

/// The whole fingerprint of an OpenPGP key: shorter ids can be made to order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Whether gpgv's status says that this key, or a subkey of it, made a good signature, and no other did (doc/DETAILS of
    /// GnuPG).
    #[must_use]
    pub fn signed(&self, status: &str) -> bool {
        let mut lines = status.lines().filter_map(|l| l.strip_prefix("[GNUPG:] ").map(|l| l.split(' ').collect::<Vec<_>>()));
        let (mut good, mut valid) = (0, 0);
        let honest = lines.all(|words| match words.as_slice() {
            ["GOODSIG", ..] => {
                good += 1;
                true
            }
            ["VALIDSIG", key, .., primary] => {
                valid += 1;
                *key == self.0 || *primary == self.0
            }
            ["BADSIG" | "ERRSIG" | "EXPSIG" | "EXPKEYSIG" | "REVKEYSIG" | "NODATA", ..] => false,
            _ => true,
        });
        honest && good == 1 && valid == 1
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.replace([' ', ':'], "").to_ascii_uppercase();
        let digits = digits.strip_prefix("0X").unwrap_or(&digits);
        if matches!(digits.len(), 40 | 64) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(digits.to_owned()))
        } else {
            Err(format!("{text:?} is no whole fingerprint: 40 or 64 hexadecimal digits, for a shorter id can be made to order"))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The whole list, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyList {
    /// When it was made: a newer list has a later one.
    pub timestamp: Moment,
    /// From when on it says nothing any more.
    pub expires: Moment,
    /// Who made it.
    pub author: Option<String>,
    /// The policy of each domain, aliases followed.
    pub policies: BTreeMap<DnsName, ListPolicy>,
}

/// What a list says of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListPolicy {
    /// Whether senders insist.
    pub mode: ListMode,
    /// The MX hosts that mail may go to, at least one.
    pub mxs: Vec<ListPattern>,
}

/// Whether senders insist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListMode {
    /// Deliver whatever happens.
    Testing,
    /// Do not deliver where the policy is not met.
    Enforce,
}

impl fmt::Display for ListMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Enforce { "enforce" } else { "testing" })
    }
}

/// The name of an MX host, or a dot before one for exactly one label more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListPattern {
    /// It stands for every host with one label more.
    pub any_label: bool,
    /// The name, without the leading dot.
    pub name: DnsName,
}

impl ListPattern {
    /// Whether a host of this name is meant.
    #[must_use]
    pub fn matches(&self, mx: &DnsName) -> bool {
        if self.any_label { mx.parent().as_ref() == Some(&self.name) } else { *mx == self.name }
    }
}

impl fmt::Display for ListPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.any_label { "." } else { "" }, self.name)
    }
}

impl FromStr for ListPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (any_label, rest) = text.strip_prefix('.').map_or((false, text), |rest| (true, rest));
        let wrong = || format!("{text:?} is no name of an MX host, nor a dot before one");
        let name: DnsName = rest.parse().map_err(|_| wrong())?;
        if rest.contains('_') || rest.ends_with('.') || !rest.contains('.') { Err(wrong()) } else { Ok(Self { any_label, name }) }
    }
}

impl TryFrom<String> for ListPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ListPattern> for String {
    fn from(pattern: ListPattern) -> Self {
        pattern.to_string()
    }
}

/// Why bytes are no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAList {
    /// More bytes than any list has.
    #[error("it has more than {} MiB: no list is that large", LARGEST >> 20)]
    TooLarge,
    /// Not the documented form.
    #[error("it is no policy list of version {VERSION}: {0}")]
    Form(String),
}

/// Why a list must not be used now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It ended.
    #[error("the list expired at {expires}: it protects nobody any more, and mail goes out as if there were none")]
    Expired {
        /// When.
        expires: Moment,
    },
    /// It is older than the one at hand.
    #[error("the list is of {timestamp}, older than the one at hand ({kept}): whoever gave it wants to go back in time")]
    Older {
        /// Of the list.
        timestamp: Moment,
        /// Of the one at hand.
        kept: Moment,
    },
    /// It comes from the future.
    #[error("the list is of {timestamp}, and it is {now}: one of the two clocks is wrong")]
    Early {
        /// Of the list.
        timestamp: Moment,
        /// By this clock.
        now: Moment,
    },
}

/// A clock may be off by this much, in seconds.
const SLACK: std::time::Duration = std::time::Duration::from_secs(3600);

impl PolicyList {
    /// Reads the bytes of a list. That they are signed is another question.
    ///
    /// # Errors
    /// When they are too many, or not of the documented form.
    pub fn read(bytes: &[u8]) -> Result<Self, NotAList> {
        if bytes.len() > LARGEST {
            return Err(NotAList::TooLarge);
        }
        let form = |why: String| NotAList::Form(why);
        let written: Written = serde_json::from_slice(bytes).map_err(|e| form(e.to_string()))?;
        if written.version != VERSION {
            return Err(form(format!("its version is {:?}", written.version)));
        }
        let Once(aliases) = written.aliases;
        let mut policies = BTreeMap::new();
        for (domain, entry) in written.policies.0 {
            let policy = match entry {
                Entry::Alias(Alias { alias }) => aliases
                    .get(&alias)
                    .cloned()
                    .ok_or_else(|| form(format!("{domain} refers to the alias {alias:?}, which is not there")))?,
                Entry::Policy(policy) => policy,
            };
            policies.insert(domain, policy);
        }
        for (of, policy) in aliases.iter().map(|(n, p)| (n.clone(), p)).chain(policies.iter().map(|(d, p)| (d.to_string(), p))) {
            let different: BTreeSet<_> = policy.mxs.iter().collect();
            if policy.mxs.is_empty() || different.len() != policy.mxs.len() {
                return Err(form(format!("the MX hosts of {of} are none, or one of them stands there twice")));
            }
        }
        Ok(Self { timestamp: written.timestamp.0, expires: written.expires.0, author: written.author, policies })
    }

    /// Whether it may be used at `now` by somebody who has one of the time `kept` already.
    ///
    /// # Errors
    /// When it expired, or is older than the one at hand, or from the future.
    pub fn fit(&self, now: Moment, kept: Option<Moment>) -> Result<(), Unfit> {
        if self.expires <= now {
            return Err(Unfit::Expired { expires: self.expires });
        }
        match kept {
            Some(kept) if self.timestamp < kept => Err(Unfit::Older { timestamp: self.timestamp, kept }),
            _ if self.timestamp > now.after(SLACK) => Err(Unfit::Early { timestamp: self.timestamp, now }),
            _ => Ok(()),
        }
    }

    /// So many domains in mode enforce.
    #[must_use]
    pub fn enforced(&self) -> usize {
        self.policies.values().filter(|p| p.mode == ListMode::Enforce).count()
    }
}

/// An entry in the list's format, for whoever keeps one.
#[must_use]
pub fn entry(domain: &DnsName, policy: &ListPolicy) -> String {
    let text = serde_json::to_string_pretty(&BTreeMap::from([(domain, policy)]));
    text.map_or_else(|_| String::new(), |t| t + "\n")
}

/// The list as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: String,
    timestamp: At,
    expires: At,
    #[serde(default)]
    author: Option<String>,
    #[serde(rename = "policy-aliases")]
    aliases: Once<String, ListPolicy>,
    policies: Once<DnsName, Entry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Alias(Alias),
    Policy(ListPolicy),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alias {
    #[serde(rename = "policy-alias")]
    alias: String,
}

/// Seconds since 1970, or a text of ISO 8601 with a zone.
struct At(Moment);

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Seconds(u64),
            Text(String),
        }
        match Form::deserialize(from)? {
            Form::Seconds(seconds) => Ok(Self(Moment(seconds))),
            Form::Text(text) => moment(&text).map(Self).ok_or_else(|| D::Error::custom(format!("{text:?} is no time with a zone"))),
        }
    }
}

/// A time with its zone, such as `2020-06-03T10:25:12-07:00`.
#[must_use]
pub fn moment(text: &str) -> Option<Moment> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp()).ok().map(Moment)
}

/// A map in which no key stands twice: which of two would count is nobody's guess.
struct Once<K, V>(BTreeMap<K, V>);

impl<'de, K: Deserialize<'de> + Ord + fmt::Debug, V: Deserialize<'de>> Deserialize<'de> for Once<K, V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(std::marker::PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de> + Ord + fmt::Debug, V: Deserialize<'de>> serde::de::Visitor<'de> for Entries<K, V> {
            type Value = BTreeMap<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut all = BTreeMap::new();
                while let Some(key) = entries.next_key::<K>()? {
                    if all.contains_key(&key) {
                        return Err(A::Error::custom(format!("{key:?} stands there twice")));
                    }
                    all.insert(key, entries.next_value()?);
                }
                Ok(all)
            }
        }
        from.deserialize_map(Entries(std::marker::PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests;
