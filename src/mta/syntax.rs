//! The syntaxes by name: what a profile says and [`super::dialect`] does.

use serde::{Deserialize, Serialize};

/// A configuration syntax that we read and edit without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Postfix: `main.cf` (postconf(5)) and `master.cf` (master(5)).
    PostfixCf,
    /// Exim: the main section of its configuration, with the macros that a distribution's template asks for.
    Exim,
    /// OpenSMTPD: smtpd.conf(5) as of 6.4, with the files that it includes.
    SmtpdConf,
    /// Sendmail: options of `sendmail.cf`, and the macros of `sendmail.mc` that it is built of.
    SendmailCf,
}
