//! Flags of the verbs about what the world is told: records, policies, lists.

use super::{Approval, Where, absolute};
use crate::{
    moment::Moment,
    mta::policy_map::PolicyMap,
    name::DnsName,
    policy::{
        policy_list::{self, Fingerprint},
        sts_policy::ENFORCE_AGE,
        tls_rpt::Rua,
    },
    publish::{ServedBy, WebServer, publisher::How},
    settings::{Publishing, Settings, resolver},
};
use clap::{Args, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

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
    /// Publish what is missing, in this way [default: that of the settings]
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, help_heading = "Publishing")]
    pub publish: Option<Option<How>>,
    /// What a way needs.
    #[command(flatten)]
    pub way: Way,
    /// Show the exact change and stop
    #[arg(long, requires = "publish", help_heading = "Publishing")]
    pub dry_run: bool,
    /// Wait until every authoritative server of the zones, a public resolver and this host's see the records
    #[arg(long, conflicts_with = "dry_run", help_heading = "Waiting")]
    pub wait: bool,
    /// Wait no longer than this, such as 90s, 15m or 2h
    #[arg(long, requires = "wait", value_name = "DURATION", value_parser = duration, default_value = "15m", help_heading = "Waiting")]
    pub timeout: Duration,
    /// The public resolver to ask; `none` asks none
    #[arg(long, requires = "wait", value_name = "ADDR[:PORT]", default_value = PUBLIC_RESOLVER, help_heading = "Waiting")]
    pub public_resolver: PublicResolver,
}

/// What a way to publish needs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Publishing")]
pub struct Way {
    /// Server that takes updates [default: the primary that the zone's SOA record names; port 53]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = resolver)]
    pub dns_server: Option<SocketAddr>,
    /// File with the key for updates, as nsupdate -k reads it
    #[arg(long, value_name = "FILE")]
    pub tsig_file: Option<PathBuf>,
    /// The zone's file on this host
    #[arg(long, value_name = "FILE")]
    pub zone_file: Option<PathBuf>,
    /// Program that is told what to change, as mxseal-hook(5) says
    #[arg(long, value_name = "FILE")]
    pub hook: Option<PathBuf>,
    /// DNS company whose programming interface is used, such as cloudflare: `mxseal explain dns-providers` lists them
    #[arg(long, value_name = "NAME")]
    pub dns_provider: Option<String>,
    /// File with what that interface asks for, such as token = "..."; nobody else may read it
    #[arg(long, value_name = "FILE")]
    pub dns_credentials: Option<PathBuf>,
}

impl Way {
    /// What the flags say, in the words of the settings file.
    #[must_use]
    pub fn wishes(&self, publish: Option<How>) -> Publishing {
        let file = |file: &Option<PathBuf>| file.as_deref().map(absolute);
        Publishing {
            publish,
            dns_server: self.dns_server,
            tsig_file: file(&self.tsig_file),
            zone_file: file(&self.zone_file),
            zone_reload: Vec::new(),
            hook: file(&self.hook),
            dns_provider: self.dns_provider.clone(),
            dns_credentials: file(&self.dns_credentials),
        }
    }
}

/// One that validates.
pub(super) const PUBLIC_RESOLVER: &str = "9.9.9.9";

/// The public resolver that is asked what the world sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicResolver(pub Option<SocketAddr>);

impl FromStr for PublicResolver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self(None)) } else { resolver(text).map(|addr| Self(Some(addr))) }
    }
}

/// How long a setup waits for the world, at most; `no` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitFor(pub Option<Duration>);

impl FromStr for WaitFor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "no" { Ok(Self(None)) } else { duration(text).map(|at_most| Self(Some(at_most))) }
    }
}

/// No wait is longer: a year, in seconds.
const LONGEST_WAIT: u64 = 31_536_000;

/// A number with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write one such as 90s, 15m or 2h");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(wrong)?;
    if seconds > LONGEST_WAIT { Err(format!("{text:?} is longer than a year")) } else { Ok(Duration::from_secs(seconds)) }
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
    /// A policy by which senders report what would fail, and deliver all the same: how a domain begins
    Testing(PolicyTesting),
    /// A policy by which senders deliver to hosts that keep it, and to no others
    Enforce(PolicyEnforce),
    /// Give the policy up, in the order that loses no mail; to be run again when its waits are over
    Leave(PolicyOf),
    /// Let an MX host enter the policy before it enters DNS, or leave it after it left DNS
    #[command(subcommand)]
    Mx(PolicyMx),
}

/// `mxseal policy testing`
#[derive(Clone, Debug, Args)]
pub struct PolicyTesting {
    /// The policy.
    #[command(flatten)]
    pub of: PolicyOf,
    /// Although senders go by a policy in mode enforce now
    #[arg(long)]
    pub weaken: bool,
}

/// `mxseal policy enforce`
#[derive(Clone, Debug, Args)]
pub struct PolicyEnforce {
    /// The policy.
    #[command(flatten)]
    pub of: PolicyOf,
    /// How long senders go by it after they fetched it, in seconds; never less than before
    #[arg(long, value_name = "SECONDS", default_value_t = ENFORCE_AGE, value_parser = clap::value_parser!(u32).range(i64::from(ENFORCE_AGE)..=LONGEST_AGE))]
    pub max_age: u32,
}

/// `mxseal policy leave`
#[derive(Clone, Debug, Args)]
pub struct PolicyOf {
    /// The mail domain [default: the one that the server receives for]
    pub domain: Option<DnsName>,
    /// How.
    #[command(flatten)]
    pub how: PolicyHow,
}

/// `mxseal policy mx`
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyMx {
    /// The policy names the host from now on; DNS may when caches know
    Add(PolicyMxOf),
    /// The policy names the host no more, where caches have forgotten that DNS did
    Remove(PolicyMxOf),
}

/// `mxseal policy mx add` and `remove`
#[derive(Clone, Debug, Args)]
pub struct PolicyMxOf {
    /// The MX host
    pub host: DnsName,
    /// The mail domain [default: the one that the server receives for]
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<DnsName>,
    /// How.
    #[command(flatten)]
    pub how: PolicyHow,
}

/// No policy may be kept longer: a year, in seconds (RFC 8461 §3.2).
const LONGEST_AGE: i64 = 31_557_600;

/// What every verb that changes a policy takes.
#[derive(Clone, Debug, Args)]
pub struct PolicyHow {
    /// Who serves the policy [default: as before, else builtin, or none where it is served already]
    #[arg(long, value_enum, value_name = "HOW")]
    pub policy_host: Option<ServedBy>,
    /// The web server that a site is printed for [default: the one that listens on port 443]
    #[arg(long, value_enum, value_name = "NAME")]
    pub web_server: Option<WebServer>,
    /// Where the file is written for a web server: DIR/mta-sts.DOMAIN/.well-known/mta-sts.txt
    /// [default: /var/www/mta-sts]
    #[arg(long, value_name = "DIR")]
    pub export_dir: Option<PathBuf>,
    /// The DNS resolver to ask, instead of those of /etc/resolv.conf
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = resolver)]
    pub resolver: Option<SocketAddr>,
    /// Root that a certificate may end in, besides the system's and Mozilla's; may be repeated
    #[arg(long = "trust-anchor", value_name = "PEM", num_args = 1)]
    pub trust_anchors: Vec<PathBuf>,
    /// Publish the record that announces the policy, and take it away in the end, in this way [default: that of the settings]
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, help_heading = "Publishing")]
    pub publish: Option<Option<How>>,
    /// What a way needs.
    #[command(flatten)]
    pub way: Way,
    /// Whether it may be done.
    #[command(flatten)]
    pub approval: Approval,
}

impl PolicyHow {
    /// What the flags say of who serves it, in the words of the settings file.
    #[must_use]
    pub fn wishes(&self) -> Settings {
        let export_dir = self.export_dir.as_deref().map(absolute);
        Settings { policy_host: self.policy_host, web_server: self.web_server, export_dir, ..Settings::default() }
    }
}

/// `mxseal serve`
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Listen there too, beside the socket that systemd gives; may be repeated
    #[arg(long, value_name = "ADDR:PORT", num_args = 1)]
    pub listen: Vec<SocketAddr>,
    /// What to serve [default: what systemd hands over, else what mxseal policy wrote]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
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
    /// Ask whoever keeps the list of the settings to take a domain, and follow what becomes of it
    Submit(ListSubmit),
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

/// A domain waits that many weeks at least before it is taken.
pub const LEAST_WEEKS: u8 = 4;

/// What a setup does about a list at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListWish {
    /// Ask whoever keeps the list of the settings to take each domain, where it would be taken
    Submit,
    /// Nothing
    No,
}

/// `mxseal list submit`
#[derive(Clone, Debug, Args)]
pub struct ListSubmit {
    /// The domain.
    #[command(flatten)]
    pub of: ListOf,
    /// Ask for it: senders that go by the list will insist on what it says
    #[arg(long)]
    pub yes: bool,
    /// Address that the list's keeper may write to [default: the domain's postmaster]
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// How many weeks the domain waits before it is taken
    #[arg(long, value_name = "N", default_value_t = LEAST_WEEKS, value_parser = clap::value_parser!(u8).range(4..52))]
    pub weeks: u8,
    /// The token of the letter that the domain's postmaster got
    #[arg(long, value_name = "TOKEN", conflicts_with = "yes")]
    pub token: Option<String>,
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
    pub server: PolicyMap,
    /// The list.
    #[command(flatten)]
    pub source: ListSource,
    /// Write it to this file, whole or not at all, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
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
