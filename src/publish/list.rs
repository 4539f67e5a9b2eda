//! A policy list on this host: read, its signature checked by gpgv(1), kept whole in the Store. A library for OpenPGP would
//! be larger than this program, and every Debian has gpgv, because apt needs it.

use crate::{
    certificate::Digest,
    change::Command,
    moment::Moment,
    policy::policy_list::{Fingerprint, NotAList, PolicyList, Unfit},
    topics::Explained,
    world::{Failure, Look, Scratch, Store},
};
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf, time::Duration};

const KEPT: &str = "list/kept.json";
const LIMIT: Duration = Duration::from_secs(20);

/// The bytes of a list, and who must have signed them.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The list.
    pub list: Vec<u8>,
    /// Its detached signature.
    pub signature: Vec<u8>,
    /// The public key of whoever keeps it.
    pub keyring: Vec<u8>,
    /// The fingerprint of that key.
    pub fingerprint: Fingerprint,
}

/// What the Store knows of the list that was fetched last: one file names all parts, so a kill leaves the old or the new.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Where it came from.
    pub url: String,
    /// Who must have signed it.
    pub fingerprint: Fingerprint,
    list: Digest,
    signature: Digest,
    keyring: Digest,
}

/// Why a list is not used.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its bytes are no list.
    #[error(transparent)]
    Form(#[from] NotAList),
    /// It is past, or older than what is at hand.
    #[error(transparent)]
    Time(#[from] Unfit),
    /// Nobody that may has signed it.
    #[error("the list is not signed by the key {by}: {said}")]
    Signature {
        /// The key that must have signed it.
        by: Fingerprint,
        /// What gpgv said.
        said: String,
    },
    /// gpgv could not be asked.
    #[error("{0}; it comes with the package gpgv")]
    Asked(#[from] Failure),
    /// Our own files failed.
    #[error(transparent)]
    Files(#[from] io::Error),
}

impl Explained for Refused {
    fn topic(&self) -> &'static str {
        match self {
            Self::Form(_) | Self::Signature { .. } | Self::Asked(_) => "list-not-genuine",
            Self::Time(_) => "list-past",
            Self::Files(_) => "state-unusable",
        }
    }
}

impl Signed {
    /// The list, where it is one and its keeper signed it. Whether it may be used now is another question.
    ///
    /// # Errors
    /// When it is none, or the signature is not that key's.
    pub fn read(&self, look: &dyn Look) -> Result<PolicyList, Refused> {
        // gpgv reads files; others could change the originals while it does.
        let scratch = Scratch::new()?;
        let store = Store::at(scratch.path());
        for (name, bytes) in [("list", &self.list), ("signature", &self.signature), ("keyring", &self.keyring)] {
            store.save_bytes(name, bytes)?;
        }
        let path = |name: &str| scratch.path().join(name).display().to_string();
        let words = ["gpgv", "--homedir", &scratch.path().display().to_string(), "--status-fd", "1", "--keyring", &path("keyring")];
        let mut words: Vec<String> = words.map(ToOwned::to_owned).into();
        words.extend([path("signature"), path("list")]);
        let output = look.run(&Command(words), LIMIT)?;
        if output.code != 0 || !self.fingerprint.signed(&output.stdout) {
            let said = output.stderr.lines().map(|l| l.trim_start_matches("gpgv: ").trim()).collect::<Vec<_>>().join("; ");
            return Err(Refused::Signature { by: self.fingerprint.clone(), said });
        }
        Ok(PolicyList::read(&self.list)?)
    }
}

impl Kept {
    /// What is kept; `None` where nothing was fetched yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(store: &Store) -> io::Result<Option<Self>> {
        store.load(KEPT)
    }

    /// Its parts.
    ///
    /// # Errors
    /// When one is missing or damaged.
    pub fn signed(&self, store: &Store) -> io::Result<Signed> {
        Ok(Signed {
            list: store.get(&self.list)?,
            signature: store.get(&self.signature)?,
            keyring: store.get(&self.keyring)?,
            fingerprint: self.fingerprint.clone(),
        })
    }

    /// Keeps a list that was fetched from `url`, in place of the one before, where it may be used at `now`.
    ///
    /// # Errors
    /// When it is not genuine, past, or older than the one before; that one then stays.
    pub fn keep(look: &dyn Look, store: &Store, url: &str, signed: &Signed, now: Moment) -> Result<PolicyList, Refused> {
        let list = signed.read(look)?;
        let before = Self::load(store)?;
        // Of another keeper or place, it is another list.
        let same = before.as_ref().filter(|b| b.url == url && b.fingerprint == signed.fingerprint);
        let kept = match same {
            Some(same) => Some(same.signed(store)?.read(look)?.timestamp),
            None => None,
        };
        list.fit(now, kept)?;
        let [of_list, of_signature, of_keyring] = [&signed.list, &signed.signature, &signed.keyring].map(|bytes| store.put(bytes));
        let new = Self {
            url: url.to_owned(),
            fingerprint: signed.fingerprint.clone(),
            list: of_list?,
            signature: of_signature?,
            keyring: of_keyring?,
        };
        store.save(KEPT, &new)?;
        if let Some(old) = before {
            for digest in [old.list, old.signature, old.keyring] {
                if ![&new.list, &new.signature, &new.keyring].contains(&&digest) {
                    store.remove(PathBuf::from("objects").join(&digest.0))?;
                }
            }
        }
        Ok(list)
    }
}
