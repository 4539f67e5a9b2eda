//! What of `sendmail.cf` and `sendmail.mc` may leave the host: daemons and the options about TLS. Rules, maps and all else may
//! hold names and passwords, and stay.

use super::cf::{self, OPTIONS};
use std::fmt::Write as _;

/// The text with nothing else in it, in the same lines; `None` where it is neither file.
pub(in crate::mta) fn redacted(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let is_mc = text.lines().any(|l| l.trim_start().starts_with("OSTYPE(") || l.trim_start().starts_with("MAILER("));
    let is_cf = text.lines().any(|l| l.starts_with("O DaemonPortOptions=") || l.starts_with("O QueueDirectory="));
    let is_ours = |line: &str| -> bool {
        let of_cf = |l: &str| OPTIONS.iter().any(|(name, _)| l.strip_prefix(name).is_some_and(|r| r.is_empty() || r.starts_with('=')));
        match line.strip_prefix("#O ").or_else(|| line.strip_prefix("O ")) {
            Some(option) => of_cf(option) || line.starts_with("O DaemonPortOptions="),
            None => false,
        }
    };
    if is_cf && !is_mc {
        let mut out = String::new();
        for line in text.lines() {
            let _ = writeln!(out, "{}", if is_ours(line.trim_end()) { line.trim_end() } else { "#" });
        }
        // A file whose options go on in another line is not cut in two.
        let whole = |b: &[u8]| {
            cf::options(b).into_iter().filter(|o| OPTIONS.iter().any(|(n, _)| *n == o.name)).map(|o| o.value).collect::<Vec<_>>()
        };
        return Some(if whole(out.as_bytes()) == whole(bytes) { out } else { "#\n".repeat(text.lines().count()) });
    }
    let keeps = |l: &str| {
        let l = l.trim_start();
        l.starts_with("MAILER")
            || l.starts_with("OSTYPE(")
            || l.contains("starttls")
            || OPTIONS.iter().any(|(_, name)| l.contains(&format!("`{name}'")))
    };
    is_mc.then(|| text.lines().map(|l| if keeps(l) { format!("{l}\n") } else { "dnl\n".to_owned() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_leaves_the_host() {
        let cf = "# hunter2\nO DaemonPortOptions=Name=MTA\nO QueueDirectory=/q\n#O ServerCertFile\nO ServerKeyFile=/k\nKauth hunter2\n";
        assert_eq!(
            redacted(cf.as_bytes()).as_deref(),
            Some("#\nO DaemonPortOptions=Name=MTA\n#\n#O ServerCertFile\nO ServerKeyFile=/k\n#\n")
        );
        let mc = "OSTYPE(`debian')dnl\ndefine(`confAUTH', `hunter2')dnl\ndefine(`confSERVER_CERT', `/c')dnl\nMAILER(`smtp')dnl\n";
        assert_eq!(
            redacted(mc.as_bytes()).as_deref(),
            Some("OSTYPE(`debian')dnl\ndnl\ndefine(`confSERVER_CERT', `/c')dnl\nMAILER(`smtp')dnl\n")
        );
        assert_eq!(redacted(b"smtpd_tls_cert_file = /c\n"), None);
    }
}
