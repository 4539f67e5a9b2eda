//! The same configuration, of which nothing can leave and nobody else is asked: for a server that runs on a copy. Daemons, TLS, names
//! and rules stay as they are.

use super::cf;
use crate::mta::lines::{Logical, Unreadable, line_end, logical, spliced};
use std::path::Path;

/// With this what a copy takes stays in the queue.
const MODE: (&str, &str) = ("DeliveryMode", "q");
/// In the place of every program that delivers.
const NOBODY: &str = "P=/bin/true";

/// One file of a copy; `sendmail.mc` is what nobody builds there.
///
/// # Errors
/// When the option that keeps mail in the queue has no place in it.
pub(in crate::mta) fn harmless(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut copy = bytes.to_vec();
    if path.extension().is_some_and(|e| e == "mc") {
        return Ok(copy);
    }
    for line in logical(bytes).iter().rev() {
        if let Some(becomes) = becomes(bytes, line) {
            copy = spliced(&copy, line.span(), &becomes);
        }
    }
    Ok(cf::set(path, &copy, MODE.0, MODE.1, "Nothing may leave the copy.")?.0)
}

/// What a line is in a copy; `None` where it stays. Mailers deliver (`M`), filters are programs of others (`InputMailFilters`, for
/// all daemons or for one of them).
fn becomes(bytes: &[u8], line: &Logical) -> Option<Vec<u8>> {
    let text = &bytes[line.span()];
    let fields = |keep: &dyn Fn(&str) -> Option<String>| {
        let whole = String::from_utf8_lossy(text);
        let fields: Vec<String> = whole.trim_end().split(',').filter_map(keep).collect();
        [fields.join(",").as_bytes(), line_end(text)].concat()
    };
    match text {
        [b'M', ..] => Some(fields(&|field| {
            let program = field.trim_start().starts_with("P=");
            Some(if program { format!(" {NOBODY}") } else { field.to_owned() })
        })),
        _ if text.starts_with(b"O InputMailFilters=") => Some([b"#", line_end(text)].concat()),
        _ if text.starts_with(b"O DaemonPortOptions=") => {
            let is_filter = |field: &str| field.trim().strip_prefix("O DaemonPortOptions=").unwrap_or(field.trim()).starts_with('I');
            let head = |field: &str| field.starts_with("O ").then(|| "O DaemonPortOptions=Name=MTA".to_owned());
            Some(fields(&|field| if is_filter(field) { head(field) } else { Some(field.to_owned()) }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_stays_in_the_queue_and_no_program_takes_it() {
        let mode = "O DeliveryMode=background\n";
        for (was, becomes) in [
            ("Mlocal,\t\tP=/usr/bin/mda, F=lsD,\n\t\tT=DNS,\n\t\tA=mda\n", "Mlocal, P=/bin/true, F=lsD,\n\t\tT=DNS,\n\t\tA=mda\n"),
            ("Mesmtp,\t\tP=[IPC], F=mDFMuXa, E=\\r\\n,\n\t\tA=TCP $h\n", "Mesmtp, P=/bin/true, F=mDFMuXa, E=\\r\\n,\n\t\tA=TCP $h\n"),
            ("O InputMailFilters=clamav,spam\n", "#\n"),
            (
                "O DaemonPortOptions=Family=inet, Name=MTA, InputMailFilters=x, Port=smtp\n",
                "O DaemonPortOptions=Family=inet, Name=MTA, Port=smtp\n",
            ),
            ("O DaemonPortOptions=I=x,P=25\n", "O DaemonPortOptions=Name=MTA,P=25\n"),
            (
                "O DaemonPortOptions=Family=inet6, Name=MTA-v6, Port=smtp\nSMailer\n",
                "O DaemonPortOptions=Family=inet6, Name=MTA-v6, Port=smtp\nSMailer\n",
            ),
        ] {
            let copy = harmless(Path::new("/c"), format!("{mode}{was}").as_bytes()).expect(was);
            assert_eq!(String::from_utf8(copy).expect("text"), format!("O DeliveryMode=q\n{becomes}"));
        }
        assert_eq!(harmless(Path::new("/a.mc"), b"MAILER(`smtp')\n").expect("as it was"), b"MAILER(`smtp')\n");
        assert!(harmless(Path::new("/c"), b"DZ8\n").is_err(), "no place for the mode");
    }
}
