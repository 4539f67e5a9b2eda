//! How records get into DNS: for every zone, and for one.

use super::{Settings, read_resolver, write_resolver};
#[cfg(feature = "dns-apis")]
use crate::publish::api::Api;
use crate::{
    change::Command,
    name::DnsName,
    publish::publisher::{How, Publisher, Publishers},
};
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Wishes about publishing; each is a key of the file, and of the table `[zone."NAME"]` for that zone alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Publishing {
    /// The way.
    pub publish: Option<How>,
    /// The server that takes updates.
    #[serde(deserialize_with = "read_resolver", serialize_with = "write_resolver")]
    pub dns_server: Option<SocketAddr>,
    /// The file of its key.
    pub tsig_file: Option<PathBuf>,
    /// The zone's file.
    pub zone_file: Option<PathBuf>,
    /// What makes the server read that file again: program and arguments.
    pub zone_reload: Vec<String>,
    /// The admin's program.
    pub hook: Option<PathBuf>,
    /// Whose programming interface is used.
    pub dns_provider: Option<String>,
    /// The file of what it asks for.
    pub dns_credentials: Option<PathBuf>,
}

impl Publishing {
    /// Every key.
    pub(super) const KEYS: &[&str] =
        &["publish", "dns-server", "tsig-file", "zone-file", "zone-reload", "hook", "dns-provider", "dns-credentials"];

    /// These wishes; where there is none, those of `lower`.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            publish: self.publish.or(lower.publish),
            dns_server: self.dns_server.or(lower.dns_server),
            tsig_file: self.tsig_file.or(lower.tsig_file),
            zone_file: self.zone_file.or(lower.zone_file),
            zone_reload: if self.zone_reload.is_empty() { lower.zone_reload } else { self.zone_reload },
            hook: self.hook.or(lower.hook),
            dns_provider: self.dns_provider.or(lower.dns_provider),
            dns_credentials: self.dns_credentials.or(lower.dns_credentials),
        }
    }

    /// The way that is wished.
    ///
    /// # Errors
    /// A sentence: no way is named, or what it needs is not.
    pub fn publisher(&self) -> Result<Publisher, String> {
        let needs = |flag: &str, how: &str| format!("--publish {how} needs {flag}, or that key in mxseal.toml");
        match self.publish {
            None => Err("say how records are published: --publish manual, zonefile, rfc2136, hook or api".into()),
            Some(How::Manual) => Ok(Publisher::Manual),
            Some(How::Zonefile) => Ok(Publisher::ZoneFile {
                file: self.zone_file.clone().ok_or_else(|| needs("--zone-file FILE", "zonefile"))?,
                reload: Command(self.zone_reload.clone()),
            }),
            Some(How::Rfc2136) => Ok(Publisher::Rfc2136 { server: self.dns_server, key: self.tsig_file.clone() }),
            Some(How::Hook) => Ok(Publisher::Hook { program: self.hook.clone().ok_or_else(|| needs("--hook FILE", "hook"))? }),
            #[cfg(feature = "dns-apis")]
            Some(How::Api) => Ok(Publisher::Api(Api::of(
                self.dns_provider.as_deref().ok_or_else(|| needs("--dns-provider NAME", "api"))?,
                self.dns_credentials.clone().ok_or_else(|| needs("--dns-credentials FILE", "api"))?,
            )?)),
            #[cfg(not(feature = "dns-apis"))]
            Some(How::Api) => Err("--publish api is not in this build of mxseal: the Debian package of the project has it, and so has \
                                   `cargo build --features dns-apis`; another way is --publish hook"
                .into()),
        }
    }

    /// The way that is wished, where mxseal can go it by itself.
    #[must_use]
    pub fn by_itself(&self) -> Option<Result<Publisher, String>> {
        self.publish.filter(|how| *how != How::Manual).map(|_| self.publisher())
    }

    pub(super) fn beside(&mut self, dir: &Path) {
        for file in [&mut self.tsig_file, &mut self.zone_file, &mut self.hook, &mut self.dns_credentials].into_iter().flatten() {
            *file = dir.join(&*file);
        }
    }
}

impl Settings {
    /// How the records of a zone are published: as its own table says, else as the file says for all.
    #[must_use]
    pub fn publishing(&self, zone: &DnsName) -> Publishing {
        self.zone.get(zone).cloned().unwrap_or_default().over(self.way.clone())
    }

    /// The ways of all zones.
    ///
    /// # Errors
    /// A sentence: what a way needs is missing.
    pub fn publishers(&self) -> Result<Publishers, String> {
        let of = |wishes: Publishing| wishes.publish.is_some().then(|| wishes.publisher()).transpose();
        let mut publishers = Publishers { all: of(self.way.clone())?, ..Publishers::default() };
        for zone in self.zone.keys() {
            publishers.zones.extend(of(self.publishing(zone))?.map(|way| (zone.clone(), way)));
        }
        Ok(publishers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_names_what_it_lacks() {
        let api = if cfg!(feature = "dns-apis") { "--publish api needs --dns-credentials FILE" } else { "is not in this build of mxseal" };
        for (text, says) in [
            ("", "say how records are published"),
            ("publish = 'zonefile'", "--publish zonefile needs --zone-file FILE"),
            ("publish = 'hook'", "--publish hook needs --hook FILE"),
            ("publish = 'api'\ndns-provider = 'desec'", api),
        ] {
            let wishes: Publishing = toml_edit::de::from_str(text).expect(text);
            let said = wishes.publisher().expect_err(text);
            assert!(said.contains(says), "{text}: {said}");
        }
    }
}
