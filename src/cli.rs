//! The command line as types. Every question of the wizard has a flag here.

mod setup;
mod told;

pub use setup::{CertificatesFlag, ChallengeFlag, ExistingFlags, KeyTypeFlag, Rehearse, Setup, Where};
pub use told::{
    Dns, LEAST_WEEKS, List, ListExport, ListFetch, ListOf, ListShow, ListSource, ListSubmit, ListWish, Policy, PolicyHow, PolicyMx,
    PolicyMxOf, PolicyOf, PolicyShow, PolicyTesting, PublicResolver, RecordFormat, Serve, WaitFor, Way,
};

use crate::{name::DnsName, rehearsal::Fault};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};

/// TLS that senders can verify, for the mail server on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "mxseal",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Exit status: 0 fine, 1 needs a human, 2 wrong use, 3 could not tell.\nThe manual: man 8 mxseal"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Flags of every verb.
    #[command(flatten)]
    pub global: Global,
}

const CONFIG: &str = "/etc/mxseal/mxseal.toml";

const STATE_DIR: &str = "/var/lib/mxseal";

/// Flags of every verb.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Settings file; mail servers read their certificates from `live/` beside it
    #[arg(long, global = true, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// Keys, orders, receipts and the journal
    #[arg(long, global = true, value_name = "DIR", default_value = STATE_DIR)]
    pub state_dir: PathBuf,
    /// One JSON document on standard output instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// For screen readers: no colour, no dotted lines, nothing that is written over
    #[arg(long, global = true)]
    pub plain: bool,
}

impl Global {
    /// What counts where nothing is said.
    #[must_use]
    pub fn usual() -> Self {
        Self { config: CONFIG.into(), state_dir: STATE_DIR.into(), json: false, plain: false }
    }

    /// The same from any working directory: the guard and the server's own tools run in others.
    #[must_use]
    pub fn absolute(&self) -> Self {
        Self { config: absolute(&self.config), state_dir: absolute(&self.state_dir), json: self.json, plain: self.plain }
    }
}

/// The path from the root; as it was written where the working directory is gone.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Look at this host and change nothing: server, listeners, certificates, names, DNS
    Survey(Survey),
    /// Get a certificate, make the mail server present it, prove it on the wire; or put everything back
    Setup(Box<Setup>),
    /// Watch a whole setup on a private copy of this host's mail server, with a made-up CA and DNS: nothing leaves, nothing is
    /// changed
    Rehearse(Rehearse),
    /// Renew what is due, put it in place and prove it; what the timer runs
    Renew(Renew),
    /// Go over to the next keys, as soon as every sender may know them; later, take away the records of those before
    Rollover(RollOver),
    /// Put back what a setup changed, setting by setting, once no sender was told otherwise; what you changed since stays
    Undo(Undo),
    /// What is installed, since when, until when, and what is served
    Status(Status),
    /// Write to the admin what needs a human and was not told yet; what the failed timer runs
    Alarm(Alarm),
    /// The DNS records that senders need to verify this host: what is missing or wrong, ready for your zone
    Dns(Dns),
    /// The MTA-STS policy of a domain: what is served and should be; try one, let it bind, leave it
    #[command(subcommand)]
    Policy(Policy),
    /// Serve MTA-STS policies over HTTPS; what the systemd unit of the policy host runs
    Serve(Serve),
    /// A signed list of domains that want TLS: what it says, whether it may be used, its entries, maps for senders
    #[command(subcommand)]
    List(List),
    /// Finish or put back a change that was interrupted; safe at any time
    Recover,
    /// What setup would do on the host that `survey --json` came from; needs neither root nor that host
    Plan(Plan),
    /// The mail servers that are known, which of them is here, and why the others are not
    Profiles,
    /// What a finding, an error or a setting means for mail, how to see it by hand, where it is written
    Explain(Explain),
    /// A script by which a shell completes verbs, flags and their values
    Completions(Completions),
    /// The inner side of a rehearsal (started by it)
    #[command(hide = true)]
    Stage,
    /// The mail server of a rehearsal where none can be copied (started by the rehearsal)
    #[command(hide = true, subcommand)]
    StandIn(StandIn),
    /// Waits for the death of a setup, then recovers (started by setup itself)
    #[command(hide = true)]
    Guard,
}

/// `mxseal stand-in`
#[derive(Clone, Debug, Subcommand)]
pub enum StandIn {
    /// Listen as the files say, until standard input ends
    Serve {
        /// Configuration directory
        dir: PathBuf,
        /// What to do wrong
        #[arg(long, value_enum)]
        fault: Option<Fault>,
    },
    /// Read the files again
    Reload {
        /// Configuration directory
        dir: PathBuf,
    },
    /// End with 0 where it runs
    Status {
        /// Configuration directory
        dir: PathBuf,
    },
    /// Say what is wrong with the files
    Check {
        /// Configuration directory
        dir: PathBuf,
    },
    /// Say the values of settings
    Values {
        /// Configuration directory
        dir: PathBuf,
        /// Their names
        names: Vec<String>,
    },
    /// The version of Postfix whose files it understands
    Version,
}

/// `mxseal survey`
#[derive(Clone, Debug, Args)]
pub struct Survey {
    /// Where to look.
    #[command(flatten)]
    pub place: Where,
}

/// `mxseal renew`
#[derive(Clone, Debug, Args)]
pub struct Renew {
    /// Renew although it is not due: CAs count certificates
    #[arg(long)]
    pub force: bool,
    /// The configuration that changed since the last proof is meant so: check it on a copy, reload the server, prove it
    #[arg(long)]
    pub reload: bool,
    /// Write metrics for Prometheus' textfile collector to this file
    #[arg(long, value_name = "FILE")]
    pub textfile: Option<PathBuf>,
}

/// Whether what is planned may be done.
#[derive(Clone, Debug, Args)]
pub struct Approval {
    /// Ask nothing
    #[arg(long)]
    pub non_interactive: bool,
    /// Approve the plan
    #[arg(long)]
    pub yes: bool,
    /// Print the plan and stop
    #[arg(long)]
    pub dry_run: bool,
}

/// `mxseal rollover`
#[derive(Clone, Debug, Args)]
pub struct RollOver {
    /// Certificates, or names in them [default: all]
    #[arg(value_name = "NAME")]
    pub name: Vec<DnsName>,
    /// Whether it may be done.
    #[command(flatten)]
    pub approval: Approval,
}

/// `mxseal alarm`
#[derive(Clone, Debug, Args)]
pub struct Alarm {
    /// Send a test, and wait until the mail server has delivered it or handed it on
    #[arg(long)]
    pub test: bool,
}

/// `mxseal undo`
#[derive(Clone, Debug, Args)]
pub struct Undo {
    /// Id of the change, as `mxseal status` lists them [default: the last one]
    pub id: Option<String>,
    /// Whether it may be done.
    #[command(flatten)]
    pub approval: Approval,
    /// Put the files back although senders were told otherwise and will keep or bounce mail: names a domain or MX name that this
    /// hits
    #[arg(long, value_name = "NAME")]
    pub files_only: Option<DnsName>,
}

/// `mxseal status`
#[derive(Clone, Debug, Args)]
pub struct Status {
    /// Ask every listener now, instead of telling what the last run saw
    #[arg(long)]
    pub live: bool,
    /// Write metrics for Prometheus' textfile collector to this file
    #[arg(long, value_name = "FILE")]
    pub textfile: Option<PathBuf>,
    /// Roots for the verdicts.
    #[command(flatten)]
    pub place: Where,
}

/// `mxseal plan`
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// What `mxseal survey --json` printed there; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub facts: PathBuf,
    /// Settings file of that host, as it was written there
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Mail domain; several, or repeated [default: those in the facts]
    #[arg(long = "domain", value_name = "DOMAIN", num_args = 1.., value_delimiter = ',')]
    pub domains: Vec<DnsName>,
    /// MX name of that host; several, or repeated [default: those in the facts that point there]
    #[arg(long, value_name = "HOST", num_args = 1.., value_delimiter = ',')]
    pub mx: Vec<DnsName>,
    /// ACME directory of the CA [default: as before, else Let's Encrypt]
    #[arg(long, value_name = "URL")]
    pub acme_directory: Option<String>,
    /// Certificate profile to ask of the CA
    #[arg(long, value_name = "NAME")]
    pub acme_profile: Option<String>,
    /// Key types to serve [default: both]
    #[arg(long, value_enum, value_name = "TYPE")]
    pub key_type: Option<KeyTypeFlag>,
    /// Certificates for several MX names: one that holds all, or one for each [default: one]
    #[arg(long, value_enum, value_name = "HOW", conflicts_with = "adopt")]
    pub certificates: Option<CertificatesFlag>,
    /// What becomes of a certificate that another program keeps there.
    #[command(flatten)]
    pub existing: ExistingFlags,
}

/// `mxseal explain`
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// The id in brackets behind a finding or an error, or the name of a setting [default: lists them all]
    pub id: Option<String>,
}

/// `mxseal completions`
#[derive(Clone, Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash(1)
    Bash,
    /// zsh(1)
    Zsh,
    /// fish(1)
    Fish,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::resolver;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_resolver_is_an_address_with_or_without_a_port() {
        for (text, port) in [("127.0.0.1", 53), ("127.0.0.1:5353", 5353), ("::1", 53), ("[::1]", 53), ("[::1]:5353", 5353)] {
            assert_eq!(resolver(text).map(|a| a.port()), Ok(port), "{text}");
        }
        assert!(resolver("dns.example").is_err());
    }
}
