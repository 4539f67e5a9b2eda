//! The one currency of verdicts. A check, a plan that holds back and a proof that fails all speak in findings.

use crate::name::DnsName;
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr, path::PathBuf};

/// What is said of one subject. What could not be tested from here is [`Verdict::Unknown`]: never a failure, never a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Works, with a consequence that the admin should know.
    Warn,
    /// Mail is lost, delayed or open to others.
    Fail,
    /// Could not be tested from here.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        })
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// This machine.
    Host,
    /// A mail domain.
    Domain(DnsName),
    /// An MX name.
    Mx(DnsName),
    /// One address and port.
    Address(SocketAddr),
    /// A file and, where one is meant, its line (from 1; 0 for the whole file).
    File {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
    },
    /// One setting of one service, such as `submission/inet smtpd_tls_security_level`.
    Setting(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("this host"),
            Self::Domain(n) | Self::Mx(n) => write!(f, "{n}"),
            Self::Address(a) => write!(f, "{a}"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Setting(s) => f.write_str(s),
        }
    }
}

/// The one next thing to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// Nothing.
    #[default]
    None,
    /// A command line, ready to be pasted.
    Command(String),
    /// A DNS record in zone-file form.
    Record(String),
    /// Something that only the admin can do, in one sentence.
    Do(String),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Command(c) => write!(f, "run: {c}"),
            Self::Record(r) => write!(f, "publish: {r}"),
            Self::Do(s) => f.write_str(s),
        }
    }
}

/// One verdict with its evidence and what it means for mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable id, listed in [`crate::topics`].
    pub id: String,
    /// What it is about.
    pub subject: Subject,
    /// The verdict.
    pub verdict: Verdict,
    /// What is the case, in one sentence.
    pub says: String,
    /// What was seen, line by line; never a secret.
    pub evidence: Vec<String>,
    /// What which sender or reader of mail will experience; empty when nothing follows.
    pub consequence: String,
    /// The one next step.
    pub remedy: Remedy,
}

impl Finding {
    /// A finding with an id of [`crate::topics`], a verdict, a subject and its sentence.
    #[must_use]
    pub fn new(id: &str, verdict: Verdict, subject: Subject, says: impl Into<String>) -> Self {
        Self {
            id: id.to_owned(),
            subject,
            verdict,
            says: says.into(),
            evidence: Vec::new(),
            consequence: String::new(),
            remedy: Remedy::None,
        }
    }

    /// Adds a line of evidence.
    #[must_use]
    pub fn seen(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    /// States what it means for mail.
    #[must_use]
    pub fn means(mut self, consequence: impl Into<String>) -> Self {
        self.consequence = consequence.into();
        self
    }

    /// States the next step.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = remedy;
        self
    }
}
