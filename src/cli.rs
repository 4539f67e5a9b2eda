//! The command line as types. Every question of the wizard has a flag here.

use crate::{
    intent::{Existing, KeyTypes},
    moment::Moment,
    name::DnsName,
    policy::{
        policy_list::{self, Fingerprint},
        tls_rpt::Rua,
    },
    rehearsal::Fault,
    settings::{Settings, addressee, resolver},
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

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
    /// Put back what a setup changed, setting by setting; what you changed since stays
    Undo(Undo),
    /// What is installed, since when, until when, and what is served
    Status(Status),
    /// Write to the admin what needs a human and was not told yet; what the failed timer runs
    Alarm(Alarm),
    /// The DNS records that senders need to verify this host: what is missing or wrong, ready for your zone
    Dns(Dns),
    /// The MTA-STS policy of a domain: what is served, and what should be
    #[command(subcommand)]
    Policy(Policy),
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

/// Where to look.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Where to look")]
pub struct Where {
    /// Mail domain; several, or repeated [default: those the server receives for]
    #[arg(long = "domain", value_name = "DOMAIN", num_args = 1.., value_delimiter = ',')]
    pub domains: Vec<DnsName>,
    /// MX name of this host; several, or repeated [default: those in DNS that point here]
    #[arg(long, value_name = "HOST", num_args = 1.., value_delimiter = ',')]
    pub mx: Vec<DnsName>,
    /// Mail server to work on, where several are installed (an id that `mxseal profiles` lists)
    #[arg(long, value_name = "NAME")]
    pub mta: Option<String>,
    /// Configuration directory of the instance to work on
    #[arg(long, value_name = "DIR")]
    pub mta_config: Option<PathBuf>,
    /// DNS resolver to ask [default: those of /etc/resolv.conf; port 53]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = resolver)]
    pub resolver: Option<SocketAddr>,
    /// Certificate that verdicts may end in, besides the system's and Mozilla's roots; may be repeated
    #[arg(long = "trust-anchor", value_name = "PEM", num_args = 1..)]
    pub trust_anchors: Vec<PathBuf>,
}

/// `mxseal survey`
#[derive(Clone, Debug, Args)]
pub struct Survey {
    /// Where to look.
    #[command(flatten)]
    pub place: Where,
}

/// `mxseal setup`
#[derive(Clone, Debug, Args)]
pub struct Setup {
    /// Where to look.
    #[command(flatten)]
    pub place: Where,
    /// Address that the CA may write to
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_email", help_heading = "The certificate")]
    pub email: Option<String>,
    /// Give the CA no address
    #[arg(long, help_heading = "The certificate")]
    pub no_email: bool,
    /// Agree to the CA's terms of service
    #[arg(long, help_heading = "The certificate")]
    pub agree_tos: bool,
    /// ACME directory of the CA [default: as before, else Let's Encrypt]
    #[arg(long, value_name = "URL", help_heading = "The certificate")]
    pub acme_directory: Option<String>,
    /// Order from Let's Encrypt's staging CA (or --acme-directory), check the plan on a copy, and stop: no live file is touched
    #[arg(long, conflicts_with = "adopt", help_heading = "The certificate")]
    pub staging: bool,
    /// Root of the CA's own API, where it is private; may be repeated
    #[arg(long = "acme-ca-file", value_name = "PEM", num_args = 1.., help_heading = "The certificate")]
    pub acme_ca_files: Vec<PathBuf>,
    /// Key id of an external account (RFC 8555 §7.3.4)
    #[arg(long, value_name = "ID", requires = "eab_hmac_key_file", help_heading = "The certificate")]
    pub eab_kid: Option<String>,
    /// File with the external account's HMAC key in base64url
    #[arg(long, value_name = "FILE", requires = "eab_kid", help_heading = "The certificate")]
    pub eab_hmac_key_file: Option<PathBuf>,
    /// Certificate profile to ask of the CA
    #[arg(long, value_name = "NAME", help_heading = "The certificate")]
    pub acme_profile: Option<String>,
    /// How to prove control of the names
    #[arg(long, value_enum, value_name = "TYPE", help_heading = "The certificate")]
    pub challenge: Option<ChallengeType>,
    /// Directory that a web server serves on port 80 of every name
    #[arg(long, value_name = "DIR", help_heading = "The certificate")]
    pub webroot: Option<PathBuf>,
    /// Port to answer the CA on, where something passes port 80 of every name on to it [default: 80]
    #[arg(long, value_name = "PORT", conflicts_with = "webroot", help_heading = "The certificate")]
    pub http_port: Option<u16>,
    /// Key types to serve [default: both]
    #[arg(long, value_enum, value_name = "TYPE", help_heading = "The certificate")]
    pub key_type: Option<KeyTypeFlag>,
    /// What becomes of a certificate that another program keeps.
    #[command(flatten)]
    pub existing: ExistingFlags,
    /// Who is written to when something needs a human; "" for nobody [default: postmaster of the mail domain]
    #[arg(long, value_name = "ADDRESS", value_parser = addressee, help_heading = "Afterwards")]
    pub alarm: Option<String>,
    /// File for Prometheus' textfile collector, which every renewal writes anew
    #[arg(long, value_name = "FILE", help_heading = "Afterwards")]
    pub textfile: Option<PathBuf>,
    /// Take the answers from this settings file, over those of --config; a flag wins
    #[arg(long, value_name = "FILE", help_heading = "Approval")]
    pub from: Option<PathBuf>,
    /// Write your answers to this settings file; where it exists, take them from it and ask no question
    #[arg(long, value_name = "FILE", help_heading = "Approval")]
    pub answers: Option<PathBuf>,
    /// Ask nothing: a missing answer is an error that names its flag
    #[arg(long, help_heading = "Approval")]
    pub non_interactive: bool,
    /// Approve the plan
    #[arg(long, help_heading = "Approval")]
    pub yes: bool,
    /// Print the plan and stop
    #[arg(long, conflicts_with = "print_only", help_heading = "Approval")]
    pub dry_run: bool,
    /// Get the certificate, show what to change, touch no file of the mail server
    #[arg(long, help_heading = "Approval")]
    pub print_only: bool,
}

impl Setup {
    /// What the flags say, in the words of the settings file.
    #[must_use]
    pub fn wishes(&self) -> Settings {
        let place = &self.place;
        let all = |files: &[PathBuf]| files.iter().map(|f| absolute(f)).collect();
        let one = |file: &Option<PathBuf>| file.as_deref().map(absolute);
        Settings {
            domain: place.domains.clone(),
            mx: place.mx.clone(),
            email: if self.no_email { Some(String::new()) } else { self.email.clone() },
            agree_tos: self.agree_tos,
            acme_directory: self.acme_directory.clone(),
            acme_ca_file: all(&self.acme_ca_files),
            trust_anchor: all(&place.trust_anchors),
            eab_kid: self.eab_kid.clone(),
            eab_hmac_key_file: one(&self.eab_hmac_key_file),
            acme_profile: self.acme_profile.clone(),
            webroot: one(&self.webroot),
            http_port: self.http_port,
            key_type: self.key_type.map(Into::into),
            existing: self.existing.wish(),
            mta: place.mta.clone(),
            mta_config: one(&place.mta_config),
            resolver: place.resolver,
            alarm: self.alarm.clone(),
            textfile: one(&self.textfile),
        }
    }
}

/// `mxseal rehearse`
#[derive(Clone, Debug, Args)]
pub struct Rehearse {
    /// Where to look.
    #[command(flatten)]
    pub place: Where,
    /// Key types to serve [default: both]
    #[arg(long, value_enum, value_name = "TYPE")]
    pub key_type: Option<KeyTypeFlag>,
    /// Let something go wrong, and watch the recovery
    #[arg(long, value_enum, value_name = "NAME")]
    pub fault: Option<Fault>,
    /// Keep the copy and its server until Ctrl-C, for a look around
    #[arg(long, conflicts_with = "json")]
    pub keep: bool,
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

/// `mxseal dns`
#[derive(Clone, Debug, Args)]
pub struct Dns {
    /// Where to look.
    #[command(flatten)]
    pub place: Where,
    /// Form of the records
    #[arg(long, value_enum, value_name = "FORM", default_value = "zone")]
    pub format: RecordFormat,
    /// Print what is right already too
    #[arg(long)]
    pub all: bool,
    /// Where senders report to: mailto:ADDRESS or https://HOST/PATH; may be repeated [default: as published, else the domain's
    /// postmaster]
    #[arg(long, value_name = "URI", value_delimiter = ',')]
    pub rua: Vec<Rua>,
    /// Records that let one CA alone issue for the MX names and policy hosts [default: the CA in use, where it is Let's Encrypt]
    #[arg(long, value_name = "CA", num_args = 0..=1)]
    pub caa: Option<Option<DnsName>>,
}

/// The form of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecordFormat {
    /// Lines of a zone file
    Zone,
    /// Commands of nsupdate
    Nsupdate,
    /// Lines of a zone file, with types as numbers for servers that do not know them
    Generic,
    /// The fields of a web form
    Panel,
    /// One JSON document
    Json,
    /// A local value of Terraform
    Terraform,
    /// JavaScript of dnscontrol
    Dnscontrol,
    /// A file of octoDNS for each zone
    Octodns,
}

/// `mxseal policy`
#[derive(Clone, Debug, Subcommand)]
pub enum Policy {
    /// What is served, what it leaves out, and the text to serve
    Show(PolicyShow),
}

/// `mxseal policy show`
#[derive(Clone, Debug, Args)]
pub struct PolicyShow {
    /// Where to look.
    #[command(flatten)]
    pub place: Where,
}

/// `mxseal list`
#[derive(Clone, Debug, Subcommand)]
pub enum List {
    /// Whether a domain would be taken, by the rules of the list that the EFF kept
    Check(ListOf),
    /// The entry of a domain in the list's format, made from its MX records and its MTA-STS policy
    Entry(ListOf),
    /// Whether a list may be used: form, signature, time
    Verify(ListSource),
    /// What a list says of a domain, or how many domains it has
    Show(ListShow),
    /// A list as a map for a mail server that sends
    Export(ListExport),
    /// Get a list from the web, and keep it where it is newer and may be used
    Fetch(ListFetch),
}

/// `mxseal list check` and `entry`
#[derive(Clone, Debug, Args)]
pub struct ListOf {
    /// The mail domain
    pub domain: DnsName,
    /// The DNS resolver to ask, instead of those of /etc/resolv.conf
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = resolver)]
    pub resolver: Option<SocketAddr>,
    /// Root that a certificate may end in, besides the system's and Mozilla's; may be repeated
    #[arg(long = "trust-anchor", value_name = "PEM", num_args = 1..)]
    pub trust_anchors: Vec<PathBuf>,
}

/// A list, and who must have signed it.
#[derive(Clone, Debug, Default, Args)]
pub struct ListSource {
    /// The list [default: the one that was fetched last]
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Its signature [default: the list's name with .asc behind it]
    #[arg(long, value_name = "FILE", requires = "list")]
    pub signature: Option<PathBuf>,
    /// The public key of whoever keeps it, as gpgv reads it
    #[arg(long, value_name = "FILE")]
    pub keyring: Option<PathBuf>,
    /// The whole fingerprint of that key
    #[arg(long, value_name = "HEX")]
    pub fingerprint: Option<Fingerprint>,
    /// Judge as if it were this time, such as 2020-05-25T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = at)]
    pub at: Option<Moment>,
}

fn at(text: &str) -> Result<Moment, String> {
    policy_list::moment(text).ok_or_else(|| format!("{text:?} is no time with a zone, such as 2020-05-25T00:00:00Z"))
}

/// `mxseal list show`
#[derive(Clone, Debug, Args)]
pub struct ListShow {
    /// The mail domain [default: the whole list]
    pub domain: Option<DnsName>,
    /// The list.
    #[command(flatten)]
    pub source: ListSource,
}

/// `mxseal list export`
#[derive(Clone, Debug, Args)]
pub struct ListExport {
    /// The mail server
    #[arg(value_enum)]
    pub server: ListServer,
    /// The list.
    #[command(flatten)]
    pub source: ListSource,
    /// Write it to this file, whole or not at all, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// A mail server that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListServer {
    /// A table for smtp_tls_policy_maps
    Postfix,
    /// A table for lsearch: the MX hosts of each domain
    Exim,
}

/// `mxseal list fetch`
#[derive(Clone, Debug, Args)]
pub struct ListFetch {
    /// Where the list lies; its signature lies beside it with .asc behind the name [default: as before]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The public key of whoever keeps it, as gpgv reads it [default: as before]
    #[arg(long, value_name = "FILE")]
    pub keyring: Option<PathBuf>,
    /// The whole fingerprint of that key [default: as before]
    #[arg(long, value_name = "HEX")]
    pub fingerprint: Option<Fingerprint>,
    /// Root that the web server's certificate may end in, besides the system's and Mozilla's; may be repeated
    #[arg(long = "trust-anchor", value_name = "PEM", num_args = 1..)]
    pub trust_anchors: Vec<PathBuf>,
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

/// How control of a name is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ChallengeType {
    /// A file on port 80 (RFC 8555 §8.3).
    #[value(name = "http-01")]
    Http01,
}

/// Key types as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyTypeFlag {
    /// ECDSA and RSA.
    Both,
    /// ECDSA only.
    Ecdsa,
    /// RSA only.
    Rsa,
}

/// What becomes of a certificate that another program keeps.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "The certificate")]
pub struct ExistingFlags {
    /// Serve the certificate that another program (certbot, acme.sh, lego, dehydrated) keeps for this host, and leave its renewal
    /// there
    #[arg(long, conflicts_with = "take_over")]
    pub adopt: bool,
    /// Order one of our own although another program keeps one
    #[arg(long)]
    pub take_over: bool,
}

impl ExistingFlags {
    /// What the flags say.
    #[must_use]
    pub const fn wish(self) -> Option<Existing> {
        match (self.adopt, self.take_over) {
            (true, _) => Some(Existing::Adopt),
            (_, true) => Some(Existing::TakeOver),
            _ => None,
        }
    }
}

impl From<KeyTypeFlag> for KeyTypes {
    fn from(flag: KeyTypeFlag) -> Self {
        match flag {
            KeyTypeFlag::Both => Self::Both,
            KeyTypeFlag::Ecdsa => Self::Ecdsa,
            KeyTypeFlag::Rsa => Self::Rsa,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
