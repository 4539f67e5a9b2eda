//! What a rehearsal lets go wrong, so that every recovery can be watched before it is needed.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One thing that goes wrong in a rehearsal; its description is what `--help` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The certificate authority refuses to certify the name
    CaRefuses,
    /// The certificate authority cannot reach port 80 of this host
    CaCannotReach,
    /// The certificate authority goes away in the middle of the order
    CaVanishes,
    /// The certificate authority takes ten seconds to look
    CaSlow,
    /// The certificate that comes is for another key
    WrongKey,
    /// The resolver says that the answers for the domain are forged
    DnsBogus,
    /// The domain is not signed
    DnsUnsigned,
    /// The mail server accepts the reload and goes on as before
    ReloadIgnored,
    /// The mail server does not come back from the reload
    ServerDies,
    /// The run is killed between the change and its proof
    Killed,
}

impl Fault {
    /// Its name, as `--fault` takes it.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }

    /// What goes wrong, in one sentence without its full stop.
    #[must_use]
    pub fn says(self) -> String {
        self.to_possible_value().and_then(|v| Some(v.get_help()?.to_string())).unwrap_or_default()
    }
}
