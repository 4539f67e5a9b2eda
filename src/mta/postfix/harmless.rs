//! The same configuration, of which nothing can leave and nobody else is asked: for a server that runs on a copy. TLS, names and
//! access rules stay as they are.

use crate::mta::{lines::Unreadable, main_cf, master_cf};
use std::{ffi::OsStr, path::Path};

/// Programs that deliver mail (master(5)).
const DELIVERY: [&str; 6] = ["smtp", "lmtp", "local", "virtual", "pipe", "uucp"];

/// Settings that lead to programs outside the copy, with the value that leads nowhere. They count where they are set, in
/// main.cf or for one service.
const LEADS: [(&str, &str); 9] = [
    // Other instances are no part of the copy.
    ("multi_instance_enable", "no"),
    ("multi_instance_directories", ""),
    ("multi_instance_wrapper", ""),
    ("smtpd_milters", ""),
    ("non_smtpd_milters", ""),
    ("content_filter", ""),
    ("smtpd_proxy_filter", ""),
    // Without its socket smtpd ends at once.
    ("smtpd_sasl_auth_enable", "no"),
    ("maillog_file", ""),
];

/// What a policy service that cannot be reached says (SMTPD_POLICY_README).
const POLICY: [(&str, &str); 2] = [("smtpd_policy_service_default_action", "DUNNO"), ("smtpd_policy_service_try_limit", "1")];

const WHY: &str = "Nothing may leave the copy.";

/// One file of a copy.
///
/// # Errors
/// When it cannot be read as Postfix reads it.
pub(in crate::mta) fn harmless(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    match path.file_name().and_then(OsStr::to_str) {
        Some("master.cf") => master_cf(path, bytes),
        _ => main_cf(path, bytes),
    }
}

/// main.cf of a copy.
///
/// # Errors
/// When it cannot be read as Postfix reads it.
fn main_cf(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let present = main_cf::read(path, bytes)?;
    let set = LEADS.iter().filter(|(name, _)| present.iter().any(|e| e.name == *name));
    let asks = present.iter().any(|e| e.value.contains("check_policy_service"));
    let mut leads = set.chain(POLICY.iter().filter(|_| asks));
    leads.try_fold(bytes.to_vec(), |bytes, (name, value)| Ok(main_cf::set(path, &bytes, name, value, WHY)?.0))
}

/// master.cf of a copy: every service that delivers is `discard`, whatever transport leads to it.
///
/// # Errors
/// When it cannot be read as Postfix reads it.
fn master_cf(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let present = master_cf::read(path, bytes)?;
    let own = |e: &master_cf::Entry, name: &str| e.options.iter().any(|o| o.name == name);
    let mut leads = present.iter().flat_map(|e| LEADS.iter().filter(|(name, _)| own(e, name)).map(|lead| (&e.id, lead)));
    let edited = leads.try_fold(bytes.to_vec(), |bytes, (service, (name, value))| {
        Ok::<_, Unreadable>(master_cf::set(path, &bytes, service, name, value, WHY)?.0)
    })?;
    let delivers = |command: &str| Path::new(command).file_name().is_some_and(|n| DELIVERY.iter().any(|d| n == *d));
    master_cf::with_command(path, &edited, &|e| e.kind != "inet" && delivers(&e.command), "discard")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn main_cf_leads_nowhere() {
        for (was, becomes) in [
            ("myhostname = a.example\n", "myhostname = a.example\n"),
            ("smtpd_milters = unix:/run/m,\n  inet:x:1\nx = y\n", "smtpd_milters =\nx = y\n"),
            ("smtpd_sasl_auth_enable = yes\ncontent_filter=scan:[127.0.0.1]:10024\n", "smtpd_sasl_auth_enable = no\ncontent_filter=\n"),
            ("multi_instance_directories = /etc/postfix-out\n", "multi_instance_directories =\n"),
            (
                "smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10023\n",
                "smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10023\nsmtpd_policy_service_default_action = DUNNO\n\
                 smtpd_policy_service_try_limit = 1\n",
            ),
        ] {
            assert_eq!(text(main_cf(Path::new("main.cf"), was.as_bytes()).expect(was)), becomes);
        }
    }

    #[test]
    fn whatever_delivers_discards() {
        for (was, becomes) in [
            ("smtp inet n - y - - smtpd\n", "smtp inet n - y - - smtpd\n"),
            (
                "smtp unix - - y - - smtp\nrelay unix - - y - - smtp\n  -o syslog_name=x\n# c\nlocal unix - n n - - local\n",
                "smtp unix - - y - - discard\nrelay unix - - y - - discard\n# c\nlocal unix - n n - - discard\n",
            ),
            (
                "maildrop unix - n n - - pipe flags=DRXhu user=vmail\n  argv=/usr/bin/maildrop -d ${recipient}\nx unix - n n - - pipe a",
                "maildrop unix - n n - - discard\nx unix - n n - - discard",
            ),
            ("dovecot unix - n n - - /usr/lib/postfix/sbin/lmtp\n", "dovecot unix - n n - - discard\n"),
            (
                "587 inet n - y - - smtpd\n  -o smtpd_sasl_auth_enable=yes -o content_filter=\n  -o { smtpd_milters = inet:a:1 }\n",
                "587 inet n - y - - smtpd\n  -o smtpd_sasl_auth_enable=no -o content_filter=\n  -o { smtpd_milters =  }\n",
            ),
        ] {
            assert_eq!(text(master_cf(Path::new("master.cf"), was.as_bytes()).expect(was)), becomes);
        }
    }
}
