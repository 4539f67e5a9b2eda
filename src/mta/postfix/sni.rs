//! The tables that choose a certificate by the name that a sender sends (postconf(5) `tls_server_sni_maps`, since 3.4).
//!
//! Ours is written out in main.cf itself. A table that postmap builds holds copies of the keys, to be built anew at each
//! renewal; this one names the files, which are read with root's rights when a process starts, as those of
//! `smtpd_tls_chain_files` are: the rename of a file stays the whole deployment.

use crate::name::DnsName;
use std::path::{Path, PathBuf};

/// The setting.
pub(super) const SNI: &str = "tls_server_sni_maps";

/// The tables of a list: commas and blanks part them, but not within braces.
pub(super) fn tables(value: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = value.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0 && (c == ',' || c.is_whitespace())
    });
    parts.filter(|t| !t.is_empty()).collect()
}

/// The names of a table that is written out, each with its files: `{name = value, name = value}`, a pair in braces of its own
/// where its value holds blanks (DATABASE_README, inline).
pub(super) fn inline(pairs: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, files) = pair.split_once('=')?;
        Some((name.trim_matches(['{', '}', ' ']).to_owned(), files.trim_matches(['{', '}', ' ']).to_owned()))
    };
    pairs.split([',', '\t', '}']).filter_map(pair).filter(|(name, _)| !name.is_empty() && !name.contains(' ')).collect()
}

/// The table of these names, one file each.
pub(super) fn ours(by_name: &[(DnsName, Vec<PathBuf>)]) -> Option<String> {
    let pair = |(name, files): &(DnsName, Vec<PathBuf>)| Some(format!("{name}={}", files.first()?.display()));
    let pairs: Vec<String> = by_name.iter().filter_map(pair).collect();
    (!pairs.is_empty()).then(|| format!("inline:{{{}}}", pairs.join(", ")))
}

/// Whether a table names nothing but files of ours, which lie in `folder`.
pub(super) fn is_ours(table: &str, folder: &Path) -> bool {
    let pairs = table.strip_prefix("inline:").map(inline).unwrap_or_default();
    !pairs.is_empty() && pairs.iter().all(|(_, file)| Path::new(file).parent() == Some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_known_again() {
        let name = |n: &str| n.parse::<DnsName>().expect("a name");
        let by_name = [(name("mx1.example.org"), vec!["/live/a.pem".into()]), (name("mx2.example.org"), vec!["/live/b.pem".into()])];
        let table = ours(&by_name).expect("a table");
        assert_eq!(table, "inline:{mx1.example.org=/live/a.pem, mx2.example.org=/live/b.pem}");
        assert_eq!(ours(&[]), None);
        let list = format!("{table}, hash:/etc/postfix/sni");
        assert_eq!(tables(&list), [&table, "hash:/etc/postfix/sni"]);
        for (table, expected) in [
            (table.as_str(), true),
            ("inline:{mx1.example.org=/live/a.pem, mx2.example.org=/etc/b.pem}", false),
            ("inline:{{mx1.example.org = /etc/a.key /live/a.pem}}", false),
            ("hash:/live/sni", false),
            ("inline:{}", false),
        ] {
            assert_eq!(is_ours(table, Path::new("/live")), expected, "{table}");
        }
    }
}
