//! The same configuration, of which nothing can leave and nobody else is asked: for a server that runs on a copy. Listeners, TLS,
//! names and rules stay as they are.

use super::lines::{Statement, statements};
use crate::mta::lines::{Unreadable, spliced};
use std::path::Path;

/// Every action of a copy: a server that is not there.
const NOWHERE: &str = "relay host \"smtp://127.0.0.1:1\"";

/// One file of a copy.
///
/// # Errors
/// When it cannot be read as smtpd reads it.
pub(in crate::mta) fn harmless(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut copy = bytes.to_vec();
    for statement in statements(path, bytes)?.iter().rev() {
        if let Some(becomes) = becomes(bytes, statement) {
            copy = spliced(&copy, statement.span.clone(), &becomes);
        }
    }
    Ok(copy)
}

/// What a statement is in a copy; `None` where it stays.
fn becomes(bytes: &[u8], statement: &Statement) -> Option<Vec<u8>> {
    let first = statement.words.first().filter(|w| !w.quoted)?;
    match first.text.as_str() {
        "action" => {
            let name = &bytes[statement.words.get(1)?.at.clone()];
            Some([b"action ", name, b" ", NOWHERE.as_bytes(), b"\n"].concat())
        }
        // Programs of others, which could do anything.
        "filter" | "proc" if statement.words.get(1).is_none_or(|w| w.text != "=" || w.quoted) => Some(b"\n".to_vec()),
        "listen" => {
            let at = statement.words.iter().position(|w| w.text == "filter" && !w.quoted)?;
            let named = statement.words.get(at + 1)?;
            let last =
                if named.text == "{" && !named.quoted { statement.words[at..].iter().find(|w| w.text == "}" && !w.quoted)? } else { named };
            let span = statement.words[at].at.start - statement.span.start..last.at.end - statement.span.start;
            Some(spliced(&bytes[statement.span.clone()], span, b""))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_copy_and_no_filter_runs() {
        for (was, becomes) in [
            ("listen on lo tls pki a\nmatch for local action \"l\"\n", "listen on lo tls pki a\nmatch for local action \"l\"\n"),
            (
                "action \"l\" maildir alias <aliases>\naction o relay host smtp+tls://x@r.example auth <s> # out\n",
                "action \"l\" relay host \"smtp://127.0.0.1:1\"\naction o relay host \"smtp://127.0.0.1:1\"\n",
            ),
            ("action p \\\n  mda \"/bin/sh -c 'cat >/x'\"\n# c\n", "action p relay host \"smtp://127.0.0.1:1\"\n# c\n"),
            (
                "filter rspamd proc-exec \"filter-rspamd\"\nproc x \"/bin/x\"\nlisten on lo port 25 filter rspamd tls\n",
                "\n\nlisten on lo port 25  tls\n",
            ),
            ("listen on lo filter { a, \"b\" } tls pki a", "listen on lo  tls pki a"),
            ("filter = \"x\"\n", "filter = \"x\"\n"),
        ] {
            let copy = harmless(Path::new("/c"), was.as_bytes()).expect(was);
            assert_eq!(String::from_utf8(copy).expect("text"), becomes);
        }
    }
}
