//! `mxseal.toml`: the written form of what the admin wants. The same names as the flags; a flag wins.

use crate::{intent::KeyTypes, name::DnsName};
use serde::Deserialize;
use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The settings file as it is written. Unknown keys are errors: a mistyped wish must not be ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Mail domains.
    pub domain: Vec<DnsName>,
    /// MX names of this host.
    pub mx: Vec<DnsName>,
    /// Address that the CA may write to.
    pub email: Option<String>,
    /// The CA's terms of service are agreed to.
    pub agree_tos: bool,
    /// Directory URL of the CA.
    pub acme_directory: Option<String>,
    /// Roots of the CA's API.
    pub acme_ca_file: Vec<PathBuf>,
    /// Roots for verdicts.
    pub trust_anchor: Vec<PathBuf>,
    /// Key id of an external account.
    pub eab_kid: Option<String>,
    /// File of its key.
    pub eab_hmac_key_file: Option<PathBuf>,
    /// Profile to ask of the CA.
    pub acme_profile: Option<String>,
    /// Directory that a web server serves.
    pub webroot: Option<PathBuf>,
    /// Key types.
    pub key_type: Option<KeyTypes>,
    /// Mail server.
    pub mta: Option<String>,
    /// Its configuration directory.
    pub mta_config: Option<PathBuf>,
    /// Resolver.
    pub resolver: Option<IpAddr>,
}

/// A settings file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{}: {source}; give another file with --config", .path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{}: {said}\nSee mxseal(8), FILES, for the keys that it may hold.", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Line, column and reason, as the parser says them.
        said: String,
    },
}

impl Settings {
    /// Reads the file; a missing one holds no wishes.
    ///
    /// # Errors
    /// When it cannot be read or holds something else than settings.
    pub fn read(path: &Path) -> Result<Self, Unusable> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text)
                .map(|settings| settings.beside(path.parent().unwrap_or(path)))
                .map_err(|said| Unusable::Wrong { path: path.to_owned(), said }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Unusable::Unread { path: path.to_owned(), source }),
        }
    }

    /// Files that are named without their directory lie beside the settings.
    fn beside(mut self, dir: &Path) -> Self {
        let single = [&mut self.eab_hmac_key_file, &mut self.webroot, &mut self.mta_config].into_iter().flatten();
        for file in single.chain(&mut self.acme_ca_file).chain(&mut self.trust_anchor) {
            *file = dir.join(&*file);
        }
        self
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml_edit::de::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_the_names_of_the_flags() {
        let read = Settings::parse("mx = ['mx.example.org']\nkey-type = 'rsa'\nagree-tos = true\n").expect("settings");
        assert_eq!(read.mx, ["mx.example.org".parse().expect("a name")]);
        assert_eq!((read.key_type, read.agree_tos), (Some(KeyTypes::Rsa), true));
    }

    #[test]
    fn files_lie_beside_the_settings() {
        let text = "webroot = '/srv/www'\ntrust-anchor = ['root.pem']\neab-hmac-key-file = 'eab/key'\n";
        let read = Settings::parse(text).expect("settings").beside(Path::new("/etc/mxseal"));
        assert_eq!(read.webroot.as_deref(), Some(Path::new("/srv/www")));
        assert_eq!(read.trust_anchor, [Path::new("/etc/mxseal/root.pem")]);
        assert_eq!(read.eab_hmac_key_file.as_deref(), Some(Path::new("/etc/mxseal/eab/key")));
    }

    #[test]
    fn a_wrong_key_or_value_names_its_line() {
        for (text, line) in
            [("emial = 'a@example.org'\n", "line 1"), ("mx = []\nkey-type = 'dsa'\n", "line 2"), ("mx = ['a b']\n", "line 1")]
        {
            let said = Settings::parse(text).expect_err(text);
            assert!(said.contains(line), "{text}: {said}");
        }
    }
}
