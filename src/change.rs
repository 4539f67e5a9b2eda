//! One change of this host: all or nothing, in seconds, exclusive. Everything here is a value that a journal can hold.

use crate::{
    certificate::{Digest, KeyType},
    moment::Moment,
    name::DnsName,
    view::{EndpointView, Probe, Wire},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

pub use crate::image::{Content, Image, Meta, Raw, Target};

/// What happens to one file. `was: None` creates it, `becomes: None` removes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The file, links followed; replaced by rename, so that a link to it stays a link.
    pub path: PathBuf,
    /// The file before; anything else there is drift and nothing is done.
    pub was: Option<Image>,
    /// The file after.
    pub becomes: Option<Target>,
    /// The server's own edit lock, held for compare-and-rename only (Postfix: `main.cf.tmp`, edit_file(3)).
    pub edit_lock: Option<PathBuf>,
    /// The settings that this edit changes: what undo works on.
    pub settings: Vec<SettingChange>,
}

/// One setting, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// The service that it belongs to, such as `submission/inet`; `None` for the whole server.
    pub service: Option<String>,
    /// Its name.
    pub name: String,
    /// Its bytes in the file before, line ends included; `None` where it was not there.
    pub was: Option<Raw>,
    /// Its bytes in the file after, line ends included; `None` where it is gone.
    pub becomes: Option<Raw>,
    /// Why, in one sentence.
    pub why: String,
}

/// A command line: program and arguments, no shell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command(pub Vec<String>);

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// What one listener shall present after the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// Address and port to connect to.
    pub addr: SocketAddr,
    /// How TLS begins there.
    pub wire: Wire,
    /// The MX name, sent as SNI and looked for in the certificate.
    pub name: DnsName,
    /// The domain whose postmaster the dialogue asks for.
    pub domain: Option<DnsName>,
    /// Ours, or as it was.
    pub want: Want,
    /// The certificates of ours that who sends no name is shown, where they are others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unnamed: Vec<Presented>,
}

impl Expect {
    /// What is to be presented to a probe: `named`, or what is for those that send no name.
    #[must_use]
    pub fn asked_by<'a>(&'a self, probe: &Probe, named: &'a [Presented]) -> &'a [Presented] {
        if probe.sni || self.unnamed.is_empty() { named } else { &self.unnamed }
    }
}

/// Every listener has an expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// The certificates of our lineage, one a key type.
    Ours(Vec<Presented>),
    /// Exactly what the baseline saw.
    Unchanged,
    /// What was there before a change that is taken back: as the baseline of that day saw it, or what renewed it since; on no
    /// connection any more the certificates that the change brought.
    Former(Vec<Presented>),
}

/// One certificate that must be presented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presented {
    /// Its key type.
    pub key_type: KeyType,
    /// Fingerprint of its key.
    pub spki: Digest,
    /// Its serial number in hexadecimal.
    pub serial: String,
}

/// How to try a change on a copy of the configuration. `{room}` stands for a private directory, `{copy}` for the copied
/// configuration directory in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trial {
    /// Lines that the copy needs at the end of a file, so that it has a queue and data of its own: file name, lines.
    pub append: Vec<(String, Vec<String>)>,
    /// Directories to make in the room, and the user who owns each.
    pub directories: Vec<(String, String)>,
    /// Configuration files that are links, with their targets: an edit of the target is an edit of the link's name.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// The commands open key and chain: they lie in the room, and the copy names them there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub with_keys: bool,
    /// Commands that check the copy.
    pub check: Vec<Command>,
    /// A file in the room where the tools write what they will not say on standard error.
    pub log: Option<String>,
}

/// How the server takes the change into service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// It does not run: nothing to activate.
    None,
    /// It reads its configuration again; no connection is refused.
    Reload,
    /// It stops and starts; the plan announces for how long.
    Restart,
}

/// All or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Unique and sortable: the moment and a short digest of the edits.
    pub id: String,
    /// Why, in one sentence.
    pub why: String,
    /// Id of the profile of the server that is changed.
    pub profile: String,
    /// The configuration directory (canonical): what the run lock is keyed by.
    pub config_dir: PathBuf,
    /// The files.
    pub edits: Vec<Edit>,
    /// How to try it on a copy before anything live is touched.
    pub trial: Option<Trial>,
    /// Run after the swap and before the activation; a failure puts everything back.
    pub check: Vec<Command>,
    /// What activation means here.
    pub activation: Activation,
    /// The commands that do it.
    pub activate: Vec<Command>,
    /// Ends with 0 while the server runs: one that does not, at boot, is not told of files that were put back, for it reads
    /// them when it starts.
    #[serde(default)]
    pub running: Option<Command>,
    /// What the wire must show.
    pub prove: Vec<Expect>,
    /// The id of the change that this one undoes.
    pub undoes: Option<String>,
    /// The id of the change whose certificates this one renews: both are undone together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<String>,
    /// The id of the change whose certificate this one replaced where it lies, without a setting of its own: both are undone
    /// together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Within how many milliseconds the server presents by itself what a certificate file holds anew; 0 where it has to be told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub notices_ms: u64,
    /// The files of the server's configuration, links followed, as this change leaves them: whatever else lies there later is
    /// somebody's work that no proof has seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<PathBuf, Digest>,
}

impl Change {
    /// How long the server may take to see by itself what this change brings, where nobody has to tell it: a renewal of files
    /// that it watches. No connection is refused for that, as it may be when it is told.
    #[must_use]
    pub fn is_noticed_within(&self) -> Option<Duration> {
        let files_alone = self.renews.is_some() && !self.edits.is_empty() && self.edits.iter().all(|e| e.settings.is_empty());
        (files_alone && self.notices_ms > 0).then(|| Duration::from_millis(self.notices_ms))
    }
}

/// The id of a change, so that it sorts behind `last`: two may be planned in one second, and a clock may be set back.
#[must_use]
pub fn id_behind(id: String, last: &str) -> String {
    if *id > *last {
        return id;
    }
    let moment = last.split_once('-').map_or(last, |(moment, _)| moment);
    format!("{moment}a-{}", id.split_once('-').map_or("", |(_, digest)| digest))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A change that was proved and stands: what undo is planned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The id of the change.
    pub id: String,
    /// The change.
    pub change: Change,
    /// When the wire proved it.
    pub proved: Moment,
    /// What each listener presented before it: what an undo must show again.
    pub baseline: Vec<EndpointView>,
    /// Files were renewed and the wire has not shown them yet: it stands because what was there before would be worse.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unproved: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_change_sorts_behind_whatever_the_clock_says() {
        for (id, last, expected) in [
            ("20261123010409-00", "20261123010408-ff", "20261123010409-00"),
            ("20261123010408-ff", "20261123010408-00", "20261123010408-ff"),
            ("20261123010408-00", "20261123010408-ff", "20261123010408a-00"),
            ("20261123010408-00", "20261123010408a-ff", "20261123010408aa-00"),
            ("20261123010409-00", "20261123010408aa-ff", "20261123010409-00"),
            ("20251231000000-00", "20261123010408-ff", "20261123010408a-00"),
        ] {
            let later = id_behind(id.to_owned(), last);
            assert_eq!(later, expected, "{id} after {last}");
            // Receipts are read in the order of their files' names.
            assert!(*later > *last && format!("{later}.json") > format!("{last}.json"), "{id} after {last}");
        }
    }
}
