//! What setup and rehearse are told: names, the certificate, the answers.

use super::{ListWish, PublicResolver, WaitFor, Way, absolute, told::PUBLIC_RESOLVER};
use crate::{
    intent::{Certificates, ChallengeType, Existing, KeyTypes, Tell},
    mta::companion::{COMPANIONS, NOTHING},
    name::DnsName,
    policy::tls_rpt::Rua,
    publish::{ServedBy, WebServer, publisher::How},
    rehearsal::Fault,
    settings::{Settings, addressee, resolver},
};
use clap::{Args, ValueEnum, builder::PossibleValuesParser};
use std::{net::SocketAddr, path::PathBuf};

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
    /// Root keys that DNSSEC may start from, besides the known ones, as DNSKEY records
    #[arg(long, value_name = "FILE")]
    pub dnssec_anchor: Option<PathBuf>,
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
    /// How to show the CA that the names are this host's [default: the first of them that the ports of this host allow]
    #[arg(long, value_enum, value_name = "TYPE", help_heading = "The certificate")]
    pub challenge: Option<ChallengeFlag>,
    /// Directory that a web server serves on port 80 of every name
    #[arg(long, value_name = "DIR", help_heading = "The certificate")]
    pub webroot: Option<PathBuf>,
    /// Port to answer the CA on, where something passes port 80 of every name on to it [default: 80]
    #[arg(long, value_name = "PORT", conflicts_with = "webroot", help_heading = "The certificate")]
    pub http_port: Option<u16>,
    /// Key types to serve [default: both]
    #[arg(long, value_enum, value_name = "TYPE", help_heading = "The certificate")]
    pub key_type: Option<KeyTypeFlag>,
    /// Certificates for several MX names: one that holds all, or one for each, chosen by the name that a sender sends
    /// [default: one]
    #[arg(long, value_enum, value_name = "HOW", conflicts_with = "adopt", help_heading = "The certificate")]
    pub certificates: Option<CertificatesFlag>,
    /// What becomes of a certificate that another program keeps.
    #[command(flatten)]
    pub existing: ExistingFlags,
    /// Switch a service beside the mail server to the same certificate, in the same change; several, or repeated
    /// [default: nothing]
    #[arg(long, value_name = "SERVICE", num_args = 1.., value_delimiter = ',', value_parser = companions(), help_heading = "The certificate")]
    pub with: Vec<String>,
    /// Who is written to when something needs a human; "" for nobody [default: postmaster of the mail domain]
    #[arg(long, value_name = "ADDRESS", value_parser = addressee, help_heading = "Afterwards")]
    pub alarm: Option<String>,
    /// File for Prometheus' textfile collector, which every renewal writes anew
    #[arg(long, value_name = "FILE", help_heading = "Afterwards")]
    pub textfile: Option<PathBuf>,
    /// What senders are told once the proof stands [default: all that can be kept]
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',', help_heading = "Telling senders")]
    pub tell: Vec<Tell>,
    /// Where they report to: mailto:ADDRESS or https://HOST/PATH; may be repeated [default: as published, else the domain's
    /// postmaster]
    #[arg(long, value_name = "URI", value_delimiter = ',', help_heading = "Telling senders")]
    pub rua: Vec<Rua>,
    /// Begin an MTA-STS policy in mode testing for each domain that has none, and let it be served so
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Telling senders")]
    pub policy_host: Option<ServedBy>,
    /// The web server that a site is printed for [default: the one that listens on port 443]
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Telling senders")]
    pub web_server: Option<WebServer>,
    /// Where the file is written for a web server: DIR/mta-sts.DOMAIN/.well-known/mta-sts.txt [default: /var/www/mta-sts]
    #[arg(long, value_name = "DIR", help_heading = "Telling senders")]
    pub export_dir: Option<PathBuf>,
    /// How the records get into DNS [default: manual]
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Telling senders")]
    pub publish: Option<How>,
    /// What a way needs.
    #[command(flatten)]
    pub way: Way,
    /// Wait at most so long until the world sees what was published, such as 90s or 15m; `no` does not wait [default: 2m where
    /// mxseal publishes, no with --json]
    #[arg(long, value_name = "DURATION", help_heading = "Telling senders")]
    pub wait: Option<WaitFor>,
    /// The public resolver to ask then; `none` asks none
    #[arg(long, value_name = "ADDR[:PORT]", default_value = PUBLIC_RESOLVER, help_heading = "Telling senders")]
    pub public_resolver: PublicResolver,
    /// At the end, ask for the domains to be taken on the list of the settings, or do not offer it [default: a terminal is asked]
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Telling senders")]
    pub list: Option<ListWish>,
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
            dnssec_anchor: one(&place.dnssec_anchor),
            eab_kid: self.eab_kid.clone(),
            eab_hmac_key_file: one(&self.eab_hmac_key_file),
            acme_profile: self.acme_profile.clone(),
            challenge: self.challenge.map(Into::into),
            webroot: one(&self.webroot),
            http_port: self.http_port,
            key_type: self.key_type.map(Into::into),
            certificates: self.certificates.map(Into::into),
            existing: self.existing.wish(),
            with: self.with.clone(),
            mta: place.mta.clone(),
            mta_config: one(&place.mta_config),
            resolver: place.resolver,
            alarm: self.alarm.clone(),
            textfile: one(&self.textfile),
            tell: self.tell.clone(),
            rua: self.rua.clone(),
            policy_host: self.policy_host,
            web_server: self.web_server,
            export_dir: one(&self.export_dir),
            way: self.way.wishes(self.publish),
            ..Settings::default()
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
    /// Certificates for several MX names: one that holds all, or one for each [default: one]
    #[arg(long, value_enum, value_name = "HOW")]
    pub certificates: Option<CertificatesFlag>,
    /// Let something go wrong, and watch the recovery
    #[arg(long, value_enum, value_name = "NAME")]
    pub fault: Option<Fault>,
    /// On a stand-in for Postfix, not on a copy of this host's mail server
    #[arg(long)]
    pub stand_in: bool,
    /// Keep the copy and its server until Ctrl-C, for a look around
    #[arg(long, conflicts_with = "json")]
    pub keep: bool,
}

fn companions() -> PossibleValuesParser {
    PossibleValuesParser::new(COMPANIONS.iter().map(|c| c.id).chain([NOTHING]))
}

/// How control of a name is proved, as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ChallengeFlag {
    /// A file on port 80.
    #[value(name = "http-01")]
    Http01,
    /// A certificate on port 443.
    #[value(name = "tls-alpn-01")]
    TlsAlpn01,
    /// A record in DNS.
    #[value(name = "dns-01")]
    Dns01,
}

impl From<ChallengeFlag> for ChallengeType {
    fn from(flag: ChallengeFlag) -> Self {
        match flag {
            ChallengeFlag::Http01 => Self::Http01,
            ChallengeFlag::TlsAlpn01 => Self::TlsAlpn01,
            ChallengeFlag::Dns01 => Self::Dns01,
        }
    }
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

/// How many certificates, as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CertificatesFlag {
    /// One that holds all names.
    One,
    /// One for each name.
    Each,
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

impl From<CertificatesFlag> for Certificates {
    fn from(flag: CertificatesFlag) -> Self {
        match flag {
            CertificatesFlag::One => Self::One,
            CertificatesFlag::Each => Self::Each,
        }
    }
}
